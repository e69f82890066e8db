package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/load"
	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/timeline"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Runs of a few scenarios into one folder make one report, in which the newest result of each counts.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	add := func(scenario string, outage time.Duration, failed bool) {
		t.Helper()
		r := &Report{Dir: dir, Taken: "a cluster"}
		if err := r.Load(); err != nil {
			t.Fatal(err)
		}
		log := &lab.Log{End: 10 * time.Second, Commits: []lab.Commit{{Node: "pxc-1", Ack: time.Second}}}
		row := Row{Scenario: scenario, Verdict: load.Verdict{Outage: outage, Commits: 7, Path: []string{"pxc-1"}}, Failed: failed}
		if err := r.Add(row, timeline.Lane{Log: log}); err != nil {
			t.Fatal(err)
		}
	}
	add("one", time.Second, true)
	add("two", 2*time.Second, false)
	add("one", 1500*time.Millisecond, false)
	figures, err := os.ReadFile(filepath.Join(dir, figuresFile))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(figures)) {
		if strings.HasPrefix(line, "| one") || strings.HasPrefix(line, "| two") {
			rows = append(rows, line)
		}
	}
	if len(rows) != 2 || !strings.Contains(rows[0], "| one | 7 | 0 | 1.50 s |") || !strings.Contains(rows[1], "| two | 7 | 0 | 2.00 s |") {
		t.Errorf("%q", rows)
	}
	picture, err := os.ReadFile(filepath.Join(dir, timelineFile))
	if err != nil || strings.Count(string(picture), "longest outage") != 2 {
		t.Errorf("%v: %s", err, picture)
	}
}
