package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Names that the two kinds of clients have as Via.
const (
	// ViaConnections are workers that make a new connection every few transactions.
	ViaConnections = "conn"
	// ViaPool are writers that share a pool, which tests a connection before each use.
	ViaPool = "pool"
	// ViaLong is the one writer of that pool with long transactions.
	ViaLong = "long"
)

// Header begins every log.
type Header struct {
	// Run tells the rows of several loads in one table apart.
	Run string `json:"run"`
	// Begin is the moment, by the pod's clock, from which all times of the log count.
	Begin time.Time `json:"begin"`
}

// Line is one line of a log: one of its fields is there.
type Line struct {
	Header     *Header         `json:"header,omitempty"`
	Commit     *lab.Commit     `json:"commit,omitempty"`
	Connection *lab.Connection `json:"connection,omitempty"`
}

// Book collects the lines of a log. It is not safe for concurrent use.
type Book struct {
	Header Header
	log    lab.Log
}

// Add takes one line as it stands in the file.
func (b *Book) Add(text []byte) error {
	var line Line
	if err := json.Unmarshal(text, &line); err != nil {
		return fmt.Errorf("a line of the load's log is broken: %w: %.200q", err, text)
	}
	switch {
	case line.Header != nil:
		if b.Header.Run != "" && b.Header.Run != line.Header.Run {
			return fmt.Errorf("the load began anew (run %s after %s): its pod was replaced, and with it the log", line.Header.Run, b.Header.Run)
		}
		b.Header = *line.Header
	case line.Commit != nil:
		b.log.Commits = append(b.log.Commits, *line.Commit)
		b.via(line.Commit.Via)
	case line.Connection != nil:
		b.log.Connections = append(b.log.Connections, *line.Connection)
		b.via(line.Connection.Via)
	default:
		return fmt.Errorf("a line of the load's log says nothing: %.200q", text)
	}
	return nil
}

func (b *Book) via(name string) {
	if !slices.Contains(b.log.Vias, name) {
		b.log.Vias = append(b.log.Vias, name)
	}
}

// Commits are all transactions so far, in the order in which they were written down.
func (b *Book) Commits() []lab.Commit { return b.log.Commits }

// Cut returns what ended between two moments of the log, in the judge's order, with these marks. What was under way at
// the end is not in it.
func (b *Book) Cut(from, to time.Duration, marks []lab.Mark) *lab.Log {
	cut := &lab.Log{Run: b.Header.Run, Vias: slices.Clone(b.log.Vias), End: to, Marks: marks}
	for _, c := range b.log.Commits {
		if c.Ack >= from && c.Ack <= to {
			cut.Commits = append(cut.Commits, c)
		}
	}
	for _, c := range b.log.Connections {
		if c.End >= from && c.End <= to {
			cut.Connections = append(cut.Connections, c)
		}
	}
	slices.SortStableFunc(cut.Commits, func(a, b lab.Commit) int { return cmp.Compare(a.Ack, b.Ack) })
	slices.SortStableFunc(cut.Connections, func(a, b lab.Connection) int { return cmp.Compare(a.Start, b.Start) })
	return cut
}
