package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// Twelve writers with transactions of 50 ms do not notice the move: their pools
// find closed connections before they use them.
func TestDrainTransactions(t *testing.T) {
	for _, c := range []struct {
		think   time.Duration
		allowed int
	}{
		{think: pause, allowed: raceAllowed},
		{think: 50 * time.Millisecond, allowed: 3 * raceAllowed}, // five times as many of them begin in the same moment
	} {
		t.Run(fmt.Sprintf("think %v", c.think), func(t *testing.T) {
			if c.think != pause {
				full(t)
			}
			s := beginDrain(t, stack.Options{})
			pool := s.startPool(lab.PoolConfig{Think: c.think, Apart: true})
			a := s.plan(s.PX[0], "db2", "--drain", "transactions")
			s.must(pool.WaitNode(s.within(10*time.Second), "db2"))
			log := pool.Stop()
			t.Logf("%+v\n%s", log.Failures("", ""), log)
			s.done(a)
			if m := a.Move; m.Killed > 0 || m.Drained < 9 || m.LongestWaitMS > 3000 {
				t.Errorf("%d drained, %d killed, the last after %d ms", m.Drained, m.Killed, m.LongestWaitMS)
			}
			s.onlyTheRace(log, c.allowed)
			s.nothingLost(log)
			s.clean("db2")
		})
	}
}

// Writers without any pause between two transactions leave no time for a look and
// a close: every close is a race with the next BEGIN, and who is never met between
// two is closed at the timeout. So much is promised and no more: none is cut once it
// was seen to have begun, each session costs at most one transaction, and the move
// ends at its bound.
func TestDrainWithoutPauses(t *testing.T) {
	full(t)
	s := beginDrain(t, stack.Options{})
	pool := s.startPool(lab.PoolConfig{})
	a := s.plan(s.PX[0], "db2", "--drain", "transactions", "--timeout", "8s")
	s.must(pool.WaitNode(s.within(10*time.Second), "db2"))
	log := pool.Stop()
	f := log.Failures("", "")
	t.Logf("%+v\n%s", f, log)
	s.done(a)
	if a.took > 10*time.Second {
		t.Errorf("over after %v", a.took)
	}
	if n := f.Transactions(); n > a.Move.Moved || f.Connections+f.NoConnection > 0 {
		t.Errorf("%d failed of %d sessions: %+v", n, a.Move.Moved, f)
	}
	s.nothingLost(log)
	s.clean("db2")
}

// A transaction outlives the timeout: it is closed, or with --keep the move is
// rolled back and it commits.
func TestDrainTimeout(t *testing.T) {
	full(t)
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep %t", keep), func(t *testing.T) {
			s := beginDrain(t, stack.Options{})
			pool := s.startPool(lab.PoolConfig{Think: pause, Apart: true})
			long := s.open(lab.InTransaction)[0]
			args := []string{"--drain", "transactions", "--timeout", "1s"}
			if keep {
				args = append(args, "--keep")
			}
			a := s.plan(s.PX[1], "db2", args...)
			if !keep {
				s.done(a)
				if a.Move.Killed != 1 || long.Alive() || a.took < time.Second || a.took > 3*time.Second {
					t.Errorf("%d killed after %v, the long one is alive: %t", a.Move.Killed, a.took, long.Alive())
				}
				s.clean("db2")
			} else {
				if a.exit != 1 || a.Move.State != api.MoveRolledBack || !strings.Contains(a.words, "rolled back") || strings.Contains(a.words, "\n") {
					t.Errorf("exit %d, %s: %q", a.exit, a.Move.State, a.words)
				}
				s.clean("db1")
				s.commits(long)
			}
			log := pool.Stop()
			t.Logf("%+v\n%s", log.Failures("", ""), log)
			s.onlyTheRace(log, 2*raceAllowed) // a move that is rolled back drains twice
			s.nothingLost(log)
		})
	}
}

// autocommitOff has read in a session without autocommit: that is a transaction too.
const autocommitOff lab.State = "SET autocommit=0; SELECT COUNT(*) FROM lab.commits"

// What a session has that must not be cut is seen, where the server lets one see
// it. Without performance_schema a bare BEGIN is not seen, and temporary tables of
// other sessions never are on MariaDB: the documentation says so, and this shows it.
func TestDrainSeesSessions(t *testing.T) {
	full(t)
	l := theLab(t)
	if err := l.Reset(context.Background()); err != nil { // a node may be down from the scenario before
		t.Fatal(err)
	}
	old := l.Node("db1")
	if err := old.Exec(context.Background(), "INSTALL SONAME 'metadata_lock_info'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := old.Exec(context.Background(), "UNINSTALL SONAME 'metadata_lock_info'"); err != nil {
			t.Error(err)
		}
	})
	s := beginDrain(t, stack.Options{})
	kept := []lab.State{lab.InTransaction, lab.InSnapshot, autocommitOff, lab.WithUserLock, lab.WithTableLock}
	cut := []lab.State{lab.Idle, lab.InBegin, lab.WithTemporaryTable}
	sessions := s.open(append(slices.Clone(kept), cut...)...)
	var r api.SetResponse
	s.must(s.Ask(s.ctx, s.PX[0], &r, "active", "set", "db2", "--drain", "transactions", "--timeout", "1m", "--wait=false"))
	m := s.report(s.PX[0], 10*time.Second, "a drain that waits", func(m api.Move) bool {
		return m.Drained == len(cut) && m.Left == len(kept) && m.InTransaction == len(kept)
	})
	t.Logf("%+v", m)
	wait(s.ctx, time.Second) // fifty more passes over those that are left
	for i, c := range sessions {
		state := append(slices.Clone(kept), cut...)[i]
		if want := i < len(kept); c.Alive() != want {
			t.Errorf("%q: alive %t", state, c.Alive())
		}
	}
	for _, c := range sessions[:len(kept)] {
		if err := c.Exec(s.ctx, "DO 0"); err != nil {
			t.Errorf("a session that was to be kept: %v", err)
		}
		c.Close()
	}
	m = s.report(s.PX[0], 10*time.Second, "the end", func(m api.Move) bool { return m.State == api.MoveDone })
	if m.Moved != len(sessions) || m.Drained != len(cut) || m.Finished != len(kept) || m.Killed != 0 {
		t.Errorf("report %+v", m)
	}
	s.clean("db2")
}

// graceful closes nobody: pools whose connections live for a while go by themselves.
func TestDrainGraceful(t *testing.T) {
	full(t)
	s := beginDrain(t, stack.Options{})
	pool := s.startPool(lab.PoolConfig{Think: 20 * time.Millisecond, MaxLife: 2 * time.Second})
	a := s.plan(s.PX[2], "db2", "--drain", "graceful")
	s.must(pool.WaitNode(s.within(10*time.Second), "db2"))
	log := pool.Stop()
	t.Logf("%+v\n%s", log.Failures("", ""), log)
	s.done(a)
	if m := a.Move; m.Finished < 9 || m.Drained+m.Killed > 0 {
		t.Errorf("report %+v", m)
	}
	if f := log.Failures("", ""); f != (lab.Failures{}) {
		t.Errorf("failures %+v", f)
	}
	s.nothingLost(log)
	s.clean("db2")
}

// Ctrl-C in the middle rolls the move back and waits for that. An operator's
// process that is killed leaves the move to the daemons: it ends at its bound.
func TestDrainInterrupted(t *testing.T) {
	full(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			s := beginDrain(t, stack.Options{})
			pool := s.startPool(lab.PoolConfig{Think: pause, Apart: true})
			long := s.open(lab.InTransaction)[0]
			start := time.Now()
			ctl, err := s.PX[0].Daemon.StartCtl("active", "set", "db2", "--drain", "transactions", "--timeout", "4s")
			s.must(err)
			// The asked daemon and another one: the move does not hang on who was asked.
			s.report(s.PX[1], 5*time.Second, "a drain of all but one", func(m api.Move) bool {
				return m.To == "db2" && m.State == api.MovePending && m.Left == 1 && m.InTransaction == 1
			})
			s.must(ctl.Signal(signal))
			exit, err := ctl.ExitStatus(s.within(12 * time.Second))
			s.must(err)
			t.Logf("exit %d %v after the start: %s", exit, time.Since(start), ctl.LogTail(1000))
			if signal == syscall.SIGINT {
				if exit != 1 || !strings.Contains(ctl.LogTail(1000), "rolled back") || time.Since(start) > 4*time.Second {
					t.Errorf("exit %d after %v: %s", exit, time.Since(start), ctl.LogTail(1000))
				}
				s.clean("db1")
				s.commits(long)
			} else {
				m := s.report(s.PX[1], 10*time.Second, "the end", func(m api.Move) bool { return m.State == api.MoveDone })
				if took := time.Since(start); took > 6*time.Second || m.Killed != 1 || long.Alive() {
					t.Errorf("over after %v: %+v", took, m)
				}
				s.clean("db2")
			}
			log := pool.Stop()
			s.onlyTheRace(log, 2*raceAllowed) // a move that is rolled back drains twice
			s.nothingLost(log)
		})
	}
}

// Without PROCESS nobody guesses: the drain is refused with the GRANT that is
// missing, and accepted seconds after it was given. graceful needs no privilege.
func TestDrainWithoutPrivilege(t *testing.T) {
	full(t)
	l := theLab(t)
	ctx := context.Background()
	const grant = "GRANT PROCESS ON *.* TO '" + lab.ProbeUser + "'@'%'"
	if err := l.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.DB[0].Exec(ctx, "REVOKE PROCESS ON *.* FROM '"+lab.ProbeUser+"'@'%'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.DB[0].Exec(ctx, grant); err != nil {
			t.Error(err)
		}
	})
	s := begin(t, stack.Options{})
	s.must(s.waitNode("db1", "known to be closed to looks", func(n apiNode) bool {
		return !slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return o.Lacks != grant })
	}))
	before := s.active(s.PX[0])
	idle := s.open(lab.Idle)[0]
	_, err := s.Set(s.ctx, s.PX[0], "db2", "--drain", "transactions")
	no := s.refused(err)
	t.Log(no)
	if !strings.Contains(no, grant) || !strings.Contains(no, "graceful") {
		t.Errorf("the refusal does not say what to do: %q", no)
	}
	s.unchanged(before)
	s.t.Run("graceful", func(*testing.T) {
		var r api.SetResponse
		s.must(s.Ask(s.ctx, s.PX[0], &r, "active", "set", "db2", "--drain", "graceful", "--wait=false"))
		s.report(s.PX[0], 5*time.Second, "a drain that waits", func(m api.Move) bool { return m.Left == 1 })
		idle.Close()
		m := s.report(s.PX[0], 5*time.Second, "the end", func(m api.Move) bool { return m.State == api.MoveDone })
		if m.Finished != 1 || m.Killed != 0 {
			t.Errorf("report %+v", m)
		}
		s.clean("db2")
	})
	s.must(s.DB[0].Exec(s.ctx, grant))
	start := time.Now()
	s.waitMayLook()
	took := time.Since(start)
	t.Logf("known %v after the GRANT", took)
	if took > 5*time.Second {
		t.Errorf("the GRANT was noticed after %v", took)
	}
	s.done(s.plan(s.PX[0], "db1", "--drain", "transactions"))
	s.clean("db1")
}

// Five thousand idle sessions, in a lab of their own: the shared one's nodes take fewer.
func TestDrainCrowd(t *testing.T) {
	full(t)
	const crowd = 5000
	theLab(t) // builds the binaries
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Config{MaxConnections: crowd + 400,
		Haproxyd: filepath.Join(binaries, "haproxyd"), Haproxyctl: filepath.Join(binaries, "haproxyctl")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := &scenario{t: t, ctx: ctx}
	defer func() {
		if t.Failed() {
			s.saveLogs(l)
		}
	}()
	s.Stack, err = stack.Up(ctx, l, stack.Options{})
	s.must(err)
	_, err = s.Set(ctx, s.PX[0], "db1", "--drain", "immediate")
	s.must(err)
	s.waitMayLook()
	start := time.Now()
	sessions, err := l.OpenIdle(ctx, crowd)
	s.must(err)
	t.Logf("%d sessions opened in %v", crowd, time.Since(start))
	s.clean("db1") // the epoch is the one of the moment before
	before := s.active(s.PX[0])
	// A beacon that goes off or a failover would show.
	watch, stop := context.WithCancel(ctx)
	off := make(chan string, 1)
	go func() {
		defer close(off)
		for watch.Err() == nil {
			for _, p := range s.PX {
				if code, body := s.get(p, "/beacon"); code != 200 && watch.Err() == nil {
					off <- fmt.Sprintf("%s: %d %s", p.Name, code, body)
					return
				}
			}
			wait(watch, 50*time.Millisecond)
		}
	}()
	a := s.plan(s.PX[0], "db2", "--drain", "transactions", "--timeout", "40s")
	stop()
	if why := <-off; why != "" {
		t.Errorf("a beacon went off: %s", why)
	}
	s.done(a)
	// Two commands to HAProxy each, 1,667 on every proxy: 3.1 s where all share two cores. One by one the database took 70 ms for each.
	if m := a.Move; m.Moved != crowd || m.Drained != crowd || a.took > 15*time.Second {
		t.Errorf("report %+v after %v", m, a.took)
	}
	if n := sessions.Alive(); n != 0 {
		t.Errorf("%d sessions are alive", n)
	}
	if now := s.active(s.PX[0]); now.Active != "db2" || now.Epoch != before.Epoch+1 {
		t.Errorf("%s, epoch %d; before %d: there was another decision", now.Active, now.Epoch, before.Epoch)
	}
	s.clean("db2")
}

// The old node answers no more while it is drained: its looks hang. The move ends
// in bounded time, and the other nodes are seen and written to as before.
func TestDrainHangingNode(t *testing.T) {
	full(t)
	for _, hang := range []time.Duration{400 * time.Millisecond, 0} {
		t.Run(fmt.Sprintf("for %v", hang), func(t *testing.T) {
			s := beginDrain(t, stack.Options{})
			pool := s.startPool(lab.PoolConfig{Think: pause, Apart: true})
			s.open(lab.InTransaction)
			var r api.SetResponse
			start := time.Now()
			s.must(s.Ask(s.ctx, s.PX[0], &r, "active", "set", "db2", "--drain", "transactions", "--timeout", "3s", "--wait=false"))
			s.report(s.PX[0], 5*time.Second, "a drain of all but one", func(m api.Move) bool { return m.Left == 1 && m.InTransaction == 1 })
			s.must(pool.WaitNode(s.within(10*time.Second), "db2"))
			s.must(s.DB[1].Pause())
			slow := others(s, "db1")
			if hang > 0 {
				wait(s.ctx, hang)
				s.must(s.DB[1].Cont())
			}
			m := s.report(s.PX[0], 10*time.Second, "the end", func(m api.Move) bool {
				for _, n := range slow() {
					t.Errorf("another node suffered: %s", n)
				}
				return m.State != api.MovePending && m.State != api.MoveClosing
			})
			t.Logf("over after %v: %+v", time.Since(start), m)
			if took := time.Since(start); m.State != api.MoveDone || took > 3*time.Second+2*time.Second {
				t.Errorf("%s after %v", m.State, took)
			}
			if now := s.active(s.PX[0]); now.Active != "db2" || now.Epoch != r.Epoch {
				t.Errorf("%s, epoch %d: a decision after %d", now.Active, now.Epoch, r.Epoch)
			}
			s.must(s.DB[1].Cont())
			s.must(pool.WaitFlowing(s.within(20 * time.Second)))
			log := pool.Stop()
			t.Logf("%+v\n%s", log.Failures("", ""), log)
			s.onlyTheRace(log, raceAllowed)
			s.clean("db2")
		})
	}
}
