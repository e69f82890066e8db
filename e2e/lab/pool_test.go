package lab_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// everywhere sends a line to the HAProxy of every proxy.
func everywhere(ctx context.Context, t *testing.T, l *lab.Lab, command string) {
	t.Helper()
	for _, p := range l.PX {
		if _, err := p.Runtime(ctx, command); err != nil {
			t.Fatal(err)
		}
	}
}

// startProxies resets the lab and starts plain HAProxies.
func startProxies(ctx context.Context, t *testing.T, l *lab.Lab) {
	t.Helper()
	must(t, l.Reset(ctx))
	for _, p := range l.PX {
		must(t, p.Start(ctx, lab.HAProxyOptions{Config: l.StickyConfig(p, lab.Sticky{})}))
	}
}

// totalOrder checks Galera's order against what clients saw: no number twice, and none that contradicts an
// acknowledgement before a beginning.
func totalOrder(t *testing.T, log *lab.Log) (known int) {
	t.Helper()
	seen := map[int64]bool{}
	for _, a := range log.Commits {
		if a.Seqno == 0 {
			continue
		}
		known++
		if seen[a.Seqno] {
			t.Errorf("seqno %d twice", a.Seqno)
		}
		seen[a.Seqno] = true
		for _, b := range log.Commits {
			if b.Seqno != 0 && b.Seqno < a.Seqno && b.Start > a.Ack {
				t.Fatalf("%+v has a lower seqno than %+v", b, a)
			}
		}
	}
	return known
}

func acked(log *lab.Log) (n int) {
	for _, via := range log.Vias {
		n += log.Acked(via)
	}
	return n
}

// TestPool moves and disturbs applications with connection pools, by HAProxy's own means.
func TestPool(t *testing.T) {
	ctx, l := newLab(t, lab.Config{})

	t.Run("a move that cuts", func(t *testing.T) {
		startProxies(ctx, t, l)
		before, err := l.DB[1].Replicated(ctx)
		must(t, err)
		pool, err := l.StartPool(ctx, lab.PoolConfig{Long: 400 * time.Millisecond})
		must(t, err)
		load, err := l.StartLoad(ctx, lab.LoadConfig{Clients: 1, Direct: l.DB[2:]})
		must(t, err)
		must(t, pool.WaitNode(ctx, "db0"))
		wait(t, time.Second)
		if now, err := l.DB[1].Replicated(ctx); err != nil || now != before {
			t.Errorf("db1 has replicated %d write-sets while only others wrote: %v", now-before, err)
		}
		pool.Mark("move")
		everywhere(ctx, t, l, "set server galera-nodes/db0 state maint")
		must(t, pool.WaitNode(ctx, "db1"))
		pool.Mark("moved")
		wait(t, 300*time.Millisecond)
		log, other := pool.Stop(), load.Stop()
		t.Logf("\n%s%s", log, other)
		h, ok := log.HandOver("db0", "db1")
		t.Logf("hand-over %+v, in order %v, failures %+v", h, h.InOrder(), log.Failures("", ""))
		if !ok || h.LastOldSeqno == 0 || h.FirstNewSeqno == 0 {
			t.Errorf("hand-over %+v %v", h, ok)
		}
		if f := log.Failures("", "move"); f != (lab.Failures{}) {
			t.Errorf("failures before the move: %+v", f)
		}
		// Thirteen writers hold a transaction most of the time: maint cuts most of them.
		if f := log.Failures("move", "moved"); f.Statements == 0 || f.Unknown != 0 {
			t.Errorf("failures of the move: %+v", f)
		}
		if known, all := totalOrder(t, log), acked(log); known < all-13 {
			t.Errorf("%d of %d commits have a seqno", known, all)
		}
		if known, all := totalOrder(t, other), acked(other); known != all {
			t.Errorf("%d of %d commits of the load have a seqno", known, all)
		}
		together := *log
		together.Commits = append(together.Commits, other.Commits...)
		// One load began a little later: only doubles can be found over both.
		for i := range together.Commits {
			together.Commits[i].Start = 0
		}
		totalOrder(t, &together)
		long := 0
		for _, c := range log.Commits {
			if c.Acked() && c.Ack-c.Start >= 400*time.Millisecond {
				long++
			} else if c.Acked() && c.Ack-c.Got < 50*time.Millisecond {
				t.Errorf("held for %v", c.Ack-c.Got)
			}
		}
		if long < 2 {
			t.Errorf("%d long transactions", long)
		}
		lost, err := l.Lost(ctx, log)
		must(t, err)
		if len(lost) > 0 {
			t.Errorf("lost %v", lost)
		}
		if now, err := l.DB[1].Replicated(ctx); err != nil || now == before {
			t.Errorf("db1 has replicated nothing after the move: %v", err)
		}
		committed, err := l.DB[0].Committed(ctx)
		must(t, err)
		if seen, err := l.DB[0].Seen(ctx); err != nil || seen < h.FirstNewSeqno || committed < seen {
			t.Errorf("db0 has seen %d, committed %d, the first of db1 was %d: %v", seen, committed, h.FirstNewSeqno, err)
		}
	})

	t.Run("idle sessions that are closed fail nothing", func(t *testing.T) {
		startProxies(ctx, t, l)
		pool, err := l.StartPool(ctx, lab.PoolConfig{Writers: 6, Hold: -1, Think: 400 * time.Millisecond, NoSeqnos: true})
		must(t, err)
		must(t, pool.WaitFlowing(ctx))
		pool.Mark("close")
		killed := 0
		for range 6 {
			// Those in the middle of their pause: they have committed for sure and none of them begins meanwhile.
			rows, err := l.DB[0].Query(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ? AND COMMAND = 'Sleep' AND TIME_MS BETWEEN 50 AND 250", lab.AppUser)
			must(t, err)
			for _, row := range rows {
				if l.DB[0].Exec(ctx, "KILL CONNECTION "+row[0]) == nil {
					killed++
				}
			}
			wait(t, 150*time.Millisecond)
		}
		log := pool.Stop()
		t.Logf("%d closed, %d connections, %+v\n%s", killed, len(log.Connections), log.Failures("close", ""), log)
		if f := log.Failures("close", ""); killed < 6 || f != (lab.Failures{}) {
			t.Errorf("%d closed, failures %+v", killed, f)
		}
		if len(log.Connections) < killed {
			t.Errorf("%d connections for %d that were closed", len(log.Connections), killed)
		}
		for _, c := range log.Commits {
			if c.Seqno != 0 {
				t.Fatalf("a seqno was read: %+v", c)
			}
		}
	})

	t.Run("held connections", func(t *testing.T) {
		startProxies(ctx, t, l)
		pool, err := l.StartPool(ctx, lab.PoolConfig{Proxies: l.PX[1:2], Writers: 3, Hold: -1, Think: 20 * time.Millisecond, MaxIdle: -1})
		must(t, err)
		must(t, pool.WaitFlowing(ctx))
		pool.Mark("hold")
		must(t, l.PX[1].Pause())
		wait(t, 300*time.Millisecond)
		must(t, l.PX[1].Cont())
		must(t, pool.WaitFlowing(ctx))
		pool.Mark("held")
		log := pool.Stop()
		greeting, _ := log.LongestGreeting("hold", "held")
		waited, _ := log.LongestWait("hold", "held")
		t.Logf("longest greeting %v, longest wait %v, %+v", greeting, waited, log.Failures("", ""))
		for what, d := range map[string]time.Duration{"greeting": greeting, "wait": waited} {
			if d < 250*time.Millisecond || d > 2*time.Second {
				t.Errorf("%s of %v under a hold of 300 ms", what, d)
			}
		}
		if f := log.Failures("", ""); f != (lab.Failures{}) || len(log.Connections) < acked(log) {
			t.Errorf("%+v, %d connections for %d commits", f, len(log.Connections), acked(log))
		}

		pool, err = l.StartPool(ctx, lab.PoolConfig{Proxies: l.PX[1:2], Writers: 3})
		must(t, err)
		must(t, pool.WaitFlowing(ctx))
		l.PX[1].Kill9()
		must(t, waitFailures(ctx, pool, func(f lab.Failures) bool { return f.NoConnection > 0 && f.Connections > 0 }))
	})
}

func waitFailures(ctx context.Context, load *lab.Load, done func(lab.Failures) bool) error {
	for !done(load.Snapshot().Failures("", "")) {
		if ctx.Err() != nil {
			return fmt.Errorf("%+v: %w", load.Snapshot().Failures("", ""), ctx.Err())
		}
	}
	return nil
}

// TestSessions opens sessions that must not be cut, and five thousand that do nothing, and has a node supervised.
func TestSessions(t *testing.T) {
	const idle = 5000
	ctx, l := newLab(t, lab.Config{MaxConnections: idle + 200})
	startProxies(ctx, t, l)
	count := func(sql string, args ...any) int {
		t.Helper()
		rows, err := l.DB[0].Query(ctx, "SELECT COUNT(*) FROM information_schema."+sql, args...)
		must(t, err)
		n, err := strconv.Atoi(rows[0][0])
		must(t, err)
		return n
	}
	for _, test := range []struct {
		state lab.State
		open  int // does InnoDB know of a transaction?
	}{
		{lab.Idle, 0}, {lab.InTransaction, 1}, {lab.InSnapshot, 1}, {lab.InBegin, 0}, {lab.WithUserLock, 0},
		{lab.WithTableLock, 0}, {lab.WithTemporaryTable, 0},
	} {
		s, err := l.OpenSession(ctx, l.PX[2], test.state)
		if err != nil {
			t.Errorf("%s: %v", test.state, err)
			continue
		}
		if s.Node != "db0" || !s.Alive() || count("PROCESSLIST WHERE ID = ?", s.ID) != 1 {
			t.Errorf("%s: %+v, alive %v", test.state, s, s.Alive())
		}
		// INNODB_TRX shows what it has cached unless nobody has read it for 0.1 s.
		wait(t, 150*time.Millisecond)
		trx := count("INNODB_TRX WHERE TRX_MYSQL_THREAD_ID = ?", s.ID)
		t.Logf("%s: %d transactions", test.state, trx)
		if trx != test.open {
			t.Errorf("%s: InnoDB knows of %d transactions, want %d", test.state, trx, test.open)
		}
		must(t, l.DB[0].Exec(ctx, "KILL CONNECTION "+strconv.FormatInt(s.ID, 10)))
		for s.Alive() {
			if ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
		}
		s.Close()
		s.Close() // a second time does nothing
	}

	begin := time.Now()
	sessions, err := l.OpenIdle(ctx, idle)
	must(t, err)
	t.Logf("%d idle sessions took %v", idle, time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	if n := sessions.Alive(); n != idle {
		t.Errorf("%d of %d are alive", n, idle)
	}
	t.Logf("Alive took %v", time.Since(begin).Round(time.Millisecond))
	if n := count("PROCESSLIST WHERE USER = ?", lab.AppUser); n != idle {
		t.Errorf("db0 has %d sessions", n)
	}
	l.PX[0].Kill9()
	for n := sessions.Alive(); n != idle-(idle+2)/3; n = sessions.Alive() {
		if ctx.Err() != nil {
			t.Fatalf("%d alive without px0", n)
		}
	}

	node := l.DB[2]
	end := node.Supervise(200 * time.Millisecond)
	first := node.Process()
	begin = time.Now()
	must(t, node.Stop())
	for node.Process() == first {
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("started again after %v", took)
	}
	must(t, node.WaitSynced(ctx))
	t.Logf("a supervised node was back after %v", time.Since(begin).Round(time.Millisecond))
	end()
	begin = time.Now()
	must(t, l.Reset(ctx))
	t.Logf("Reset took %v", time.Since(begin).Round(time.Millisecond))
	if n := sessions.Alive(); n != 0 {
		t.Errorf("%d idle sessions after Reset", n)
	}
}
