package lab_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// TestNodes does to database nodes what scenarios do, on one cluster, with a Reset after each.
func TestNodes(t *testing.T) {
	ctx, l := newLab(t, lab.Config{Proxies: 1})
	settled := func(t *testing.T) {
		t.Helper()
		begin := time.Now()
		must(t, l.Reset(ctx))
		t.Logf("Reset took %v", time.Since(begin).Round(time.Millisecond))
		must(t, l.WaitSynced(ctx))
	}
	timed := func(t *testing.T, what string, fn func() error) {
		t.Helper()
		begin := time.Now()
		must(t, fn())
		t.Logf("%s took %v", what, time.Since(begin).Round(time.Millisecond))
	}

	t.Run("stop and start", func(t *testing.T) {
		timed(t, "Stop", l.DB[1].Stop)
		must(t, l.DB[0].WaitClusterSize(ctx, 2))
		if ok, why := l.DB[1].Synced(ctx); ok {
			t.Error(why)
		}
		timed(t, "Start", func() error { return l.DB[1].Start(ctx) })
		if err := l.DB[1].Start(ctx); err == nil {
			t.Error("a running node was started again")
		}
		settled(t)
	})
	t.Run("desync, globals and password", func(t *testing.T) {
		must(t, l.DB[0].Desync(ctx, true))
		if ok, _ := l.DB[0].Synced(ctx); ok {
			t.Error("a desynced node is called synced")
		}
		must(t, l.DB[1].SetGlobal(ctx, "read_only", "ON"))
		must(t, l.DB[1].SetGlobal(ctx, "wsrep_reject_queries", "ALL"))
		must(t, l.SetPassword(ctx, lab.ProbeUser, `it's \ new`))
		settled(t)
		rows, err := l.DB[1].Query(ctx, "SELECT @@read_only, @@wsrep_reject_queries")
		must(t, err)
		if strings.Join(rows[0], " ") != "0 NONE" {
			t.Errorf("globals after Reset: %v", rows)
		}
	})
	t.Run("hang", func(t *testing.T) {
		must(t, l.FastFloor(ctx))
		must(t, l.DB[2].Pause())
		timed(t, "putting a hung node out", func() error { return l.DB[0].WaitClusterSize(ctx, 2) })
		must(t, l.DB[2].Cont())
		must(t, l.NormalFloor(ctx))
		timed(t, "its return", func() error { return l.WaitSynced(ctx) })
		must(t, l.FastFloor(ctx))
		must(t, l.DB[2].Pause())
		must(t, l.DB[0].WaitClusterSize(ctx, 2))
		settled(t) // with the node still paused
	})
	t.Run("partition", func(t *testing.T) {
		_, err := l.Isolate(ctx, l.DB[2].Host)
		must(t, err)
		timed(t, "putting a lost node out", func() error { return l.DB[0].WaitClusterSize(ctx, 2) })
		settled(t)
	})
	t.Run("the survivor of two crashes", func(t *testing.T) {
		l.DB[1].Kill9()
		l.DB[2].Kill9()
		settled(t)
	})
	t.Run("all crashed", func(t *testing.T) {
		for _, n := range l.DB {
			n.Kill9()
		}
		settled(t)
	})
}

// TestManyConnections makes a connection per transaction, 500 a second, as section 8 of the design asks for: the lab
// itself must be able to.
func TestManyConnections(t *testing.T) {
	ctx, l := newLab(t, lab.Config{Proxies: 3})
	for _, p := range l.PX {
		must(t, p.Start(ctx, lab.HAProxyOptions{Config: l.StickyConfig(p, lab.Sticky{})}))
	}
	load, err := l.StartLoad(ctx, lab.LoadConfig{Clients: 8, Rate: 170, ReconnectEvery: 1})
	must(t, err)
	must(t, load.WaitFlowing(ctx))
	wait(t, 3*time.Second)
	report := load.Stop()
	t.Logf("\n%s", report)
	rate := float64(len(report.Connections)) / report.End.Seconds()
	t.Logf("%.0f connections/s", rate)
	if lost, err := l.Lost(ctx, report); err != nil || len(lost) > 0 {
		t.Errorf("lost %v %v", lost, err)
	}
	for _, c := range report.Connections {
		if c.Err != "" && c.End < report.End {
			t.Errorf("a connection failed: %+v", c)
			break
		}
	}
	if rows, err := l.DB[1].Query(ctx, "SELECT node, COUNT(*) FROM lab.commits GROUP BY node"); err != nil || len(rows) != 1 || rows[0][0] != "db0" {
		t.Errorf("rows by node: %v %v", rows, err)
	}

	// Transactions held open, in steps, while the proxy is cut from the node: an open transaction is no commit.
	must(t, l.Reset(ctx))
	p := l.PX[0]
	must(t, p.Start(ctx, lab.HAProxyOptions{Config: l.StickyConfig(p, lab.Sticky{})}))
	load, err = l.StartLoad(ctx, lab.LoadConfig{Proxies: l.PX[:1], Hold: 30 * time.Millisecond})
	must(t, err)
	must(t, load.WaitFlowing(ctx))
	_, err = l.Refuse(ctx, p.Host, l.DB[0].Host, lab.MySQLPort)
	must(t, err)
	must(t, waitFailure(ctx, load))
	report = load.Stop()
	if lost, err := l.Lost(ctx, report); err != nil || len(lost) > 0 {
		t.Errorf("lost %v %v", lost, err)
	}
	for _, c := range report.Commits {
		if c.Acked() && c.Ack-c.Start < 30*time.Millisecond {
			t.Errorf("a held transaction took %v", c.Ack-c.Start)
		}
	}
}

// waitFailure waits until a transaction has failed.
func waitFailure(ctx context.Context, load *lab.Load) error {
	for ctx.Err() == nil {
		for _, c := range load.Snapshot().Commits {
			if !c.Acked() {
				return nil
			}
		}
	}
	return ctx.Err()
}
