package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// Without --drain a move waits up to 5 s for transactions, and cuts none that ends within that. It
// says which way it took, and for how long both nodes could be written to: no less than they were.
func TestDefaultMove(t *testing.T) {
	s := beginDrain(t, stack.Options{})
	pool := s.startPool(lab.PoolConfig{Think: pause, Apart: true})
	long := s.open(lab.InTransaction)[0]
	s.knownOpen("db2", 10)
	committed := make(chan error, 1)
	go func() {
		wait(s.ctx, 2*time.Second)
		committed <- long.Exec(s.ctx, "COMMIT")
	}()
	a := s.plan(s.PX[0], "db2")
	s.must(<-committed)
	s.must(pool.WaitNode(s.within(10*time.Second), "db2"))
	log := pool.Stop()
	t.Logf("%+v, %+v\n%s", a.Open, log.Failures("", ""), log)
	s.done(a)
	if a.Drain != "transactions" || a.TimeoutMS != 5000 || !strings.Contains(a.DrainWhy, "every proxy can tell") || len(a.Warnings) > 0 {
		t.Errorf("%s, %d ms: %s; %q", a.Drain, a.TimeoutMS, a.DrainWhy, a.Warnings)
	}
	m := a.Move
	if m.Killed > 0 || m.Drained < 9 || m.Cut != "" || a.took < 1500*time.Millisecond || a.took > 4*time.Second {
		t.Errorf("%d drained, %d killed after %v: %s", m.Drained, m.Killed, a.took, m.Cut)
	}
	two := log.TwoWriters().Total
	t.Logf("both open for at most %d ms, two writers %v", m.BothMS, two)
	if both := time.Duration(m.BothMS) * time.Millisecond; two > both+100*time.Millisecond || both > a.took {
		t.Errorf("two nodes took commits for %v, and it says that they could for %v", two, both)
	}
	if o := a.Open; o == nil || o.Sessions < 10 || o.InTransaction < 1 || len(o.Proxies) != 3 {
		t.Errorf("open before: %+v", o)
	}
	s.onlyTheRace(log, raceAllowed)
	s.nothingLost(log)
	s.clean("db2")
}

// knownOpen waits until the daemons know that so many sessions are open on the active: they say so
// twice a second. It is asked by dry runs, which change nothing.
func (s *scenario) knownOpen(to string, n int) {
	s.t.Helper()
	before := s.active(s.PX[0])
	s.must(until(s.within(5*time.Second), "the open sessions to be known", func() (bool, string) {
		var dry api.SetResponse
		err := s.Ask(s.ctx, s.PX[0], &dry, "active", "set", to, "--dry-run")
		return err == nil && dry.DryRun && dry.Open.Sessions >= n, fmt.Sprintf("%+v, %v", dry.Open, err)
	}))
	s.unchanged(before)
}

// What a move cuts is told: a transaction that outlives the 5 s, and all that is open where nobody is
// waited for; the asked daemon has looked at those meanwhile.
func TestMoveSaysWhatItCuts(t *testing.T) {
	full(t)
	for _, c := range []struct {
		name             string
		args             []string
		drain            string
		atLeast, within  time.Duration
		killed, trx, not int
		warns            string
	}{
		{"by default", nil, "transactions", 5 * time.Second, 7 * time.Second, 2, 2, 0, "2 sessions to db1 were closed, 2 of them in a transaction"},
		{"at once", []string{"--drain", "immediate"}, "immediate", 0, 2 * time.Second, 3, 0, 3,
			"3 sessions to db1 were closed at once; 2 of that node's sessions were in a transaction when it was asked for"},
		{"at once with a hold", []string{"--drain", "immediate", "--hold"}, "immediate", 0, 2 * time.Second, 3, 0, 3,
			"3 sessions to db1 were closed at once; 2 of that node's sessions were in a transaction when it was asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := beginDrain(t, stack.Options{})
			sessions := s.open(lab.InTransaction, lab.InTransaction, lab.Idle)
			s.knownOpen("db2", 3)
			a := s.plan(s.PX[1], "db2", c.args...)
			s.done(a)
			if m := a.Move; a.Drain != c.drain || m.Killed != c.killed || m.KilledInTransaction != c.trx || m.KilledUnknown != c.not || m.Moved != 3 || sessions[0].Alive() {
				t.Errorf("%s: %+v", a.Drain, m)
			}
			if a.took < c.atLeast || a.took > c.within || a.Move.BothMS != 0 {
				t.Errorf("after %v, both open for %d ms, and nobody has come to db2", a.took, a.Move.BothMS)
			}
			if a.Open.Sessions != 3 || a.Open.InTransaction != 2 || !slices.Equal(a.Warnings, []string{c.warns}) {
				t.Errorf("%+v; warned of %q", a.Open, a.Warnings)
			}
			s.clean("db2")
		})
	}
}

// Where the account may not look the default waits for nobody, and names the GRANT.
func TestDefaultMoveWithoutPrivilege(t *testing.T) {
	full(t)
	const grant = "GRANT PROCESS ON *.* TO '" + lab.ProbeUser + "'@'%'"
	l := theLab(t)
	if err := l.Reset(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := l.DB[0].Exec(context.Background(), "REVOKE PROCESS ON *.* FROM '"+lab.ProbeUser+"'@'%'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.DB[0].Exec(context.Background(), grant); err != nil {
			t.Error(err)
		}
	})
	s := begin(t, stack.Options{})
	s.must(s.waitNode("db1", "known to be closed to looks", func(n apiNode) bool {
		return !slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return o.Lacks != grant })
	}))
	long := s.open(lab.InTransaction)[0]
	a := s.plan(s.PX[0], "db2")
	s.done(a)
	if a.Drain != "immediate" || !strings.Contains(a.DrainWhy, "px0, px1, px2 need "+grant) || a.took > 2*time.Second || long.Alive() {
		t.Errorf("%s after %v: %s", a.Drain, a.took, a.DrainWhy)
	}
	if m := a.Move; m.Killed != 1 || m.KilledUnknown != 1 || a.Open.InTransaction != -1 || !strings.Contains(a.Open.Unknown, grant) {
		t.Errorf("%+v, %+v", m, a.Open)
	}
	s.clean("db2")
}

// A failover by hand waits for nobody: here all is frozen, and the active is dead.
func TestDefaultMoveFromTheDead(t *testing.T) {
	full(t)
	s := beginDrain(t, stack.Options{})
	s.start(lab.LoadConfig{ReconnectEvery: 20})
	var frozen apiActive
	s.must(s.Ask(s.ctx, s.PX[0], &frozen, "freeze", "--reason", "a failover by hand"))
	s.load.Mark("killed")
	s.DB[1].Kill9()
	s.must(s.waitNode("db1", "down for all", func(n apiNode) bool { return n.Down == len(s.PX) }))
	a := s.plan(s.PX[0], "db2")
	if a.exit != 0 || a.Drain != "immediate" || !strings.Contains(a.DrainWhy, "db1 is down for 3 of 3 voters") || a.took > 2*time.Second {
		t.Errorf("exit %d, %s after %v: %s (%s)", a.exit, a.Drain, a.took, a.DrainWhy, a.words)
	}
	s.must(s.load.WaitNode(s.within(20*time.Second), "db2"))
	s.finish(expect{after: "killed", outage: 12 * time.Second})
}
