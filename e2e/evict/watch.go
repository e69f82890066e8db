package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// reader reads what the daemons have logged since it was made.
type reader struct {
	stage *stage
	from  map[string]int64
}

func (s *stage) reader() *reader {
	r := &reader{stage: s, from: map[string]int64{}}
	for _, path := range s.daemonLogs() {
		if info, err := os.Stat(path); err == nil {
			r.from[path] = info.Size()
		}
	}
	return r
}

// line is one of a daemon's log.
type line struct {
	file string
	at   time.Time
	text string
}

var stamp = regexp.MustCompile(`^time=(\S+) `)

// lines are those that contain one of the texts, in the order of their times.
func (r *reader) lines(texts ...string) []line {
	var all []line
	for _, path := range r.stage.daemonLogs() {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		text = text[min(r.from[path], int64(len(text))):]
		for raw := range bytes.Lines(text) {
			if !slices.ContainsFunc(texts, func(t string) bool { return bytes.Contains(raw, []byte(t)) }) {
				continue
			}
			l := line{file: path, text: string(bytes.TrimSpace(raw))}
			if m := stamp.FindStringSubmatch(l.text); m != nil {
				l.at, _ = time.Parse(time.RFC3339Nano, m[1])
			}
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return a.at.Compare(b.at) })
	return all
}

// What the daemons say of an eviction.
const (
	saysTold    = "a survivor was told to evict"
	saysView    = "msg=evicted "
	saysPaid    = "every evict list is empty again"
	saysWhy     = `msg="eviction considered"`
	saysEvicted = "it is evicted from Galera's view"
)

// wait waits until such a line is there, false if ctx ended.
func (r *reader) wait(ctx context.Context, texts ...string) (line, bool) {
	for {
		if l := r.lines(texts...); len(l) > 0 {
			return l[0], true
		}
		if !lab.Sleep(ctx, 2*time.Millisecond) {
			return line{}, false
		}
	}
}

var (
	afterField = regexp.MustCompile(` after=(\S+)`)
	whyField   = regexp.MustCompile(` why="((?:[^"\\]|\\.)*)"`)
)

// order is when the executor learned of the order, and after how long it saw the view: of the first eviction.
func (r *reader) order() (at time.Time, view time.Duration, ok bool) {
	l := r.lines(saysView)
	if len(l) == 0 {
		return time.Time{}, 0, false
	}
	m := afterField.FindStringSubmatch(l[0].text)
	if m == nil {
		return time.Time{}, 0, false
	}
	view, err := time.ParseDuration(m[1])
	return l[0].at.Add(-view), view, err == nil
}

// whys are the reasons for which nobody was evicted, each once, with what differs from round to round left out.
func (r *reader) whys() []string {
	var all []string
	for _, l := range r.lines(saysWhy) {
		if m := whyField.FindStringSubmatch(l.text); m != nil {
			_, why, found := strings.Cut(m[1], "is not evicted: ")
			if !found {
				why = m[1]
			}
			if why != "" && !slices.Contains(all, why) {
				all = append(all, why)
			}
		}
	}
	return all
}

// life is what a node's process must keep through a round.
type life struct {
	node   *lab.Node
	pid    int
	log    string
	from   int64
	period string
}

func lifeOf(ctx context.Context, n *lab.Node) (life, error) {
	l := life{node: n, pid: n.Process().Pid, log: n.Process().Log}
	info, err := os.Stat(l.log)
	if err != nil {
		return l, err
	}
	l.from = info.Size()
	l.period, err = period(ctx, n)
	return l, err
}

// saysEvicting is what a server says that was told.
var saysEvicting = []byte("WSREP: Evicting node")

// evicts tells whether the node's process was told to evict somebody since the round began.
func (l life) evicts() bool {
	text, err := os.ReadFile(l.log)
	return err == nil && bytes.Contains(text[min(l.from, int64(len(text))):], saysEvicting)
}

var bad = regexp.MustCompile(`(?i)received non-primary|\[ERROR\]|got signal|abort|inconsisten`)

// ended says what befell a survivor's process, "" for nothing.
func (l life) ended() string {
	if !l.node.Running() || l.node.Process().Pid != l.pid {
		return l.node.Name + " has ended: " + l.node.Process().LogTail(500)
	}
	text, err := os.ReadFile(l.log)
	if err != nil {
		return err.Error()
	}
	for raw := range bytes.Lines(text[min(l.from, int64(len(text))):]) {
		if bad.Match(raw) && !bytes.Contains(raw, []byte("Aborted connection")) && !bytes.Contains(raw, []byte("aborting connection")) {
			return fmt.Sprintf("%s says: %s", l.node.Name, bytes.TrimSpace(raw))
		}
	}
	return ""
}

var periodOf = regexp.MustCompile(`evs\.join_retrans_period = ([^;]*);`)

func period(ctx context.Context, n *lab.Node) (string, error) {
	rows, err := n.Query(ctx, "SELECT @@global.wsrep_provider_options")
	if err != nil {
		return "", err
	}
	m := periodOf.FindStringSubmatch(rows[0][0])
	if m == nil {
		return "", fmt.Errorf("%s has no evs.join_retrans_period", n.Name)
	}
	return m[1], nil
}

// owed says what an eviction has left on a node, "" for nothing.
func owed(ctx context.Context, n *lab.Node, before string) string {
	s, err := n.Status(ctx, "wsrep_evs_evict_list")
	if err != nil {
		return err.Error()
	}
	now, err := period(ctx, n)
	switch {
	case err != nil:
		return err.Error()
	case s["wsrep_evs_evict_list"] != "":
		return fmt.Sprintf("the evict list of %s is %s", n.Name, s["wsrep_evs_evict_list"])
	case now != before:
		return fmt.Sprintf("evs.join_retrans_period of %s is %s and was %s", n.Name, now, before)
	}
	return ""
}
