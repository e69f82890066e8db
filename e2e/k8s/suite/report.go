package suite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/load"
	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/timeline"
)

// Row is what a scenario came to.
type Row struct {
	Scenario string
	load.Verdict
	// Lost is the number of acknowledged commits that a database node does not have, of the whole run up to here.
	Lost int
	// Agreed is how long it took from the last fault, or the end of what was done, until every proxy was as agreed and
	// every pod ready.
	Agreed time.Duration
	// Operator is what became of `haproxyctl active set` in the middle, "" if there was none.
	Operator string
	// Failed: the scenario's own assertions did not hold.
	Failed bool
}

// String is the row for people, in one line.
func (r Row) String() string {
	text := fmt.Sprintf("%-34s %5d commits, lost %d, outage %s (one client %s, %s), two writers %s, failed: workers %s; pool %s (%d on a tested connection), path %s, as agreed after %s",
		r.Scenario, r.Commits, r.Lost, seconds(r.Outage), seconds(r.Worst), r.Whose, millis(r.Two.Total),
		load.Failed(r.Connections), load.Failed(r.Pool), r.Pool.Transactions(), strings.Join(r.Path, " > "), seconds(r.Agreed))
	if r.Operator != "" {
		text += ", active set: " + r.Operator
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func millis(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}

// Report collects what the scenarios came to and writes it after each, so that a run that is broken off leaves what it
// had. It is safe for concurrent use.
type Report struct {
	// Dir is where it is written; Taken says on what it was taken.
	Dir, Taken string

	mu      sync.Mutex
	results []Result
}

// Result is a scenario's row with what it was judged from.
type Result struct {
	Row  Row
	Lane timeline.Lane
}

// Names of the files in Report.Dir.
const (
	figuresFile  = "figures.md"
	timelineFile = "timeline.svg"
	resultsFile  = "results.json"
)

// Load takes the results that an earlier run has left in the folder: runs of a few scenarios each make one report.
func (r *Report) Load() error {
	data, err := os.ReadFile(filepath.Join(r.Dir, resultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r.results)
	}
	return err
}

// Add writes the files anew, with one scenario more, or in the place of an earlier result of the same one.
func (r *Report) Add(row Row, lane timeline.Lane) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	lane.Title = row.Scenario
	lane.Note = fmt.Sprintf("longest outage %s, two writers %s, lost %d", seconds(row.Outage), millis(row.Two.Total), row.Lost)
	if i := slices.IndexFunc(r.results, func(e Result) bool { return e.Row.Scenario == row.Scenario }); i >= 0 {
		r.results[i] = Result{row, lane}
	} else {
		r.results = append(r.results, Result{row, lane})
	}
	return r.write()
}

func (r *Report) write() error {
	data, err := json.Marshal(r.results)
	if err != nil {
		return err
	}
	picture := timeline.Picture{Title: r.Taken}
	for _, result := range r.results {
		picture.Lanes = append(picture.Lanes, result.Lane)
	}
	var drawn bytes.Buffer
	if err := picture.Write(&drawn); err != nil {
		return err
	}
	for name, content := range map[string][]byte{resultsFile: data, figuresFile: []byte(r.markdown()), timelineFile: drawn.Bytes()} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Taken on: %s.\n\n", r.Taken)
	b.WriteString("| Scenario | Commits | Lost | Longest outage | One client | Two writers | Workers' failures | Pool's failures | On a tested connection | Path | As agreed after | `active set` meanwhile |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|---|---|--:|---|--:|---|\n")
	for _, result := range r.results {
		row := result.Row
		name := row.Scenario
		if row.Failed {
			name += " (failed)"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %s | %s | %d | %s | %s | %s |\n", name, row.Commits, row.Lost,
			seconds(row.Outage), seconds(row.Worst), millis(row.Two.Total), load.Failed(row.Connections), load.Failed(row.Pool),
			row.Pool.Transactions(), strings.Join(row.Path, ", "), seconds(row.Agreed), strings.ReplaceAll(row.Operator, "|", "/"))
	}
	return b.String()
}
