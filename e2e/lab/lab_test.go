package lab_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// newLab builds a lab for a test, or skips it with the reason why this machine cannot.
func newLab(t *testing.T, cfg lab.Config) (context.Context, *lab.Lab) {
	t.Helper()
	if testing.Short() {
		t.Skip("a real lab is not for -short")
	}
	if err := lab.Requirements(cfg); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	begin := time.Now()
	l, err := lab.New(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("New took %v", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("LAB_LOGS") != "" {
			t.Log(l.SaveLogs(os.Getenv("LAB_LOGS")))
		}
		begin := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		t.Logf("Close took %v", time.Since(begin).Round(time.Millisecond))
		checkNothingLeft(t, l.ID, l.Dir)
	})
	return ctx, l
}

// checkNothingLeft fails the test if a lab has left a namespace, a file or a process behind.
func checkNothingLeft(t *testing.T, id, dir string) {
	t.Helper()
	if left, _ := filepath.Glob("/run/netns/lab-" + id + "-*"); len(left) > 0 {
		t.Errorf("namespaces left: %v", left)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("folder left: %v", err)
	}
	if _, err := os.Stat("/run/haproxy-peers-lab/" + id + ".json"); !os.IsNotExist(err) {
		t.Errorf("registry entry left: %v", err)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), dir+"/") {
			t.Errorf("process left: %s: %q", file, text)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestKillOfTheActive is the lab's proof on itself: everything real, a crash of the node that takes the writes under
// load through three proxies with plain stickiness, and the judge's figures of it. The active is not the first server
// of the configuration, and it is lowered and put back, rejoined and reset on the way.
func TestKillOfTheActive(t *testing.T) {
	ctx, l := newLab(t, lab.Config{})
	must(t, l.FastFloor(ctx))
	start := lab.Sticky{CheckInterval: "300", Order: []string{"db1", "db0", "db2"}}
	for _, p := range l.PX {
		must(t, p.Start(ctx, lab.HAProxyOptions{Config: l.StickyConfig(p, start)}))
	}
	load, err := l.StartLoad(ctx, lab.LoadConfig{Direct: []*lab.Node{l.DB[2]}, ReconnectEvery: 10})
	must(t, err)
	must(t, load.WaitFlowing(ctx))
	must(t, load.WaitNode(ctx, "db1"))
	wait(t, 1500*time.Millisecond)
	load.Mark("kill")
	l.DB[1].Kill9()
	must(t, load.WaitFlowing(ctx))
	must(t, load.WaitNode(ctx, "db0"))
	wait(t, 500*time.Millisecond)
	report := load.Stop()
	t.Logf("\n%s", report)

	via, outage := report.Worst("kill")
	floor, ok := report.Floor("kill")
	t.Logf("worst outage %v (%s), floor %v", outage, via, floor)
	if !ok || floor < 200*time.Millisecond || floor > 5*time.Second {
		t.Errorf("the direct client saw %v without a commit, expected Galera's own timeouts", floor)
	}
	if outage < floor/2 || outage > 10*time.Second {
		t.Errorf("outage %v of %s, floor %v", outage, via, floor)
	}
	if path := strings.Join(report.SettledPath(""), " "); path != "db1 db0" {
		t.Errorf("path %q", path)
	}
	lost, err := l.Lost(ctx, report)
	must(t, err)
	if len(lost) > 0 {
		t.Errorf("lost commits: %v", lost)
	}
	at, _ := report.At("kill")
	if len(report.Wrong(0, "db0")) == 0 || len(report.Wrong(at+outage, "db0")) > 0 {
		t.Errorf("connections to db1: %d in all, %v after the failover", len(report.Wrong(0, "db0")), report.Wrong(at+outage, "db0"))
	}
	counted, err := l.DB[0].Connections(ctx, lab.AppUser)
	must(t, err)
	seen := 0
	for _, c := range report.Connections {
		if c.Node == "db0" && c.Err == "" && !c.Direct() {
			seen++
		}
	}
	if counted < seen || counted > seen+9 { // nine clients may have been told to stop during their login
		t.Errorf("db0 counts %d connections of the load, the clients %d", counted, seen)
	}

	begin := time.Now()
	must(t, l.Reset(ctx))
	t.Logf("Reset with a killed node took %v", time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	must(t, l.Reset(ctx))
	t.Logf("Reset with nothing broken took %v", time.Since(begin).Round(time.Millisecond))
	rows, err := l.DB[1].Query(ctx, "SELECT COUNT(*) FROM lab.commits")
	must(t, err)
	if rows[0][0] != "0" {
		t.Errorf("%s rows after Reset", rows[0][0])
	}
}

// wait lets the load run: a duration is what this test is about.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}
