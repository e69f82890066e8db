package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

const (
	// canaryGrant is what the commit canary needs.
	canaryGrant  = "CREATE, SELECT, INSERT, UPDATE ON `haproxyd`.*"
	canaryMetric = "haproxyd_galera_canary_duration_seconds_count"
	// hangBound is how long the active's own commits may hang until every proxy commits elsewhere: 0.5 s to the canary's
	// next commit, its deadline of 1 s, looked at every 0.2 s, 0.2 s of proof that others' go on, the vote, and a second
	// for this machine. Under load the probe's own rule may be first, which takes 2 s: see galera/stuck.go.
	hangBound = 3 * time.Second
	// waitsBound is the same without the canary: the 2 s for which statements must be seen waiting, a reading (0.2 s), the
	// drain of a departure, which gives transactions under a second, the vote, and a second for this machine.
	waitsBound = 4 * time.Second
)

// beginCanary is begin with the canary's privileges for the probe's user, which it has before the daemons start and
// until the scenario's end.
func beginCanary(t *testing.T, o stack.Options) *scenario {
	t.Helper()
	l := theLab(t)
	if err := l.Reset(t.Context()); err != nil { // every node takes statements then
		t.Fatal(err)
	}
	if err := l.DB[0].Exec(t.Context(), "GRANT "+canaryGrant+" TO "+lab.ProbeUser); err != nil {
		t.Fatal(err)
	}
	s := begin(t, o)
	t.Cleanup(func() {
		// Through whichever node takes it: some are dead or stuck at the end of their scenario.
		if !slices.ContainsFunc(s.DB, func(n *lab.Node) bool {
			return n.Exec(s.ctx, "REVOKE "+canaryGrant+" FROM "+lab.ProbeUser) == nil
		}) {
			t.Errorf("no node takes back %s", canaryGrant)
		}
	})
	return s
}

// waitMoved waits until the last planned move is over, and returns it.
func (s *scenario) waitMoved(p *lab.Proxy) api.Move {
	s.t.Helper()
	var m api.Move
	s.must(until(s.within(20*time.Second), "the move to be over", func() (bool, string) {
		var err error
		m, err = client(p).Move(s.ctx)
		return err == nil && m.Epoch > 0 && m.State != api.MovePending && m.State != api.MoveClosing, m.State + " " + m.WaitingFor
	}))
	return m
}

// The active becomes a donor, or read-only, and policy says that it is left then: by a planned move that lets
// transactions end, once. When it is as before nothing moves back. (Without the policy it stays: TestDonor.)
func TestActiveLeftByPolicy(t *testing.T) {
	for _, c := range []struct {
		how  string
		core bool
		set  func(s *scenario, n *lab.Node, on bool) error
		// writes: the node goes on taking writes while it is left, so that no transaction need fail.
		writes bool
	}{
		{how: "donor", core: true, writes: true,
			set: func(s *scenario, n *lab.Node, on bool) error { return n.Desync(s.ctx, on) }},
		{how: "read-only", set: func(s *scenario, n *lab.Node, on bool) error {
			return n.SetGlobal(s.ctx, "read_only", map[bool]string{true: "ON", false: "OFF"}[on])
		}},
	} {
		t.Run(c.how, func(t *testing.T) {
			if !c.core {
				full(t)
			}
			s := beginDrain(t, stack.Options{DaemonArgs: []string{"--leave", "donor,read-only", "--min-stay", "1s"}})
			for _, n := range s.DB {
				s.must(s.waitNode(n.Name, "without a missing privilege", func(n apiNode) bool {
					return !slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return o.Lacks != "" })
				}))
			}
			var err error
			s.load, err = s.StartPool(s.ctx, lab.PoolConfig{Think: 200 * time.Millisecond})
			s.must(err)
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			before := s.active(s.PX[0])
			s.load.Mark("set")
			s.must(c.set(s, s.DB[1], true))
			to := s.otherThan("db1")
			left := s.load.Mark("left")
			m := s.waitMoved(s.PX[0])
			s.must(s.load.WaitNode(s.within(10*time.Second), to))
			s.must(c.set(s, s.DB[1], false))
			s.must(s.waitNode("db1", "as before", func(n apiNode) bool { return n.Eligible && n.Healthy == len(s.PX) }))
			wait(s.ctx, 2*time.Second) // longer than --min-stay: a bounce would come now
			s.oneEpoch(before, to)
			log := s.finish(expect{path: []string{"db1", to}, twoWriters: 500 * time.Millisecond, after: "set", outage: 2 * time.Second})
			set, _ := log.At("set")
			f := log.Failures("", "")
			t.Logf("left %v after it was set; %s: %d moved, %d drained, %d finished, %d killed, the longest waited %d ms; two writers %v; failures %+v",
				left-set, m.State, m.Moved, m.Drained, m.Finished, m.Killed, m.LongestWaitMS, log.TwoWriters().Total, f)
			if m.State != api.MoveDone || m.Drain != "transactions" || m.Moved == 0 || m.Killed > 0 {
				t.Errorf("not a drain by transactions: %+v", m)
			}
			// What may fail is a BEGIN between the look at a session and its close, one of 12 at most here: the race's
			// own figure is of 10,000 closes, in TestDrain.
			if c.writes && f.Transactions()+f.NoConnection > 1 {
				t.Errorf("transactions failed: %+v", f)
			}
			if h, err := client(s.PX[0]).History(s.ctx); err != nil || h.Decisions[0].Kind != "planned" || !strings.Contains(h.Decisions[0].Reason, "db1 should be left") {
				t.Errorf("the history says %+v, %v", h.Decisions[0], err)
			}
		})
	}
}

// The active and the Raft leader's daemon die at the same moment. That costs an election, at most one second more than
// the active's death alone. The leader's own HAProxy is without a daemon then: it follows what the others teach it, and
// what it has tried to connect by then takes HAProxy's own retries, three of a second each, or fewer if its checks see the
// node down before.
func TestActiveAndLeaderKilled(t *testing.T) {
	const (
		election = time.Second
		retries  = 3 * time.Second
	)
	for _, inter := range []time.Duration{time.Second, 10 * time.Second} {
		t.Run("inter "+inter.String(), func(t *testing.T) {
			full(t)
			s := begin(t, stack.Options{CheckInterval: inter})
			s.must(s.FastFloor(s.ctx))
			s.start(lab.LoadConfig{ReconnectEvery: 20, Direct: []*lab.Node{s.DB[0], s.DB[2]}})
			leader, others := s.leader()
			before := s.active(leader)
			s.load.Mark("end")
			s.DB[1].Kill9()
			leader.Daemon.Kill9()
			to := s.otherThanOn(others, "db1")
			s.must(s.load.WaitNode(s.within(30*time.Second), to))
			s.must(s.load.WaitFlowing(s.within(30 * time.Second)))
			for _, p := range others {
				if now := s.active(p); now.Epoch != before.Epoch+1 {
					t.Errorf("%s: epoch %d, before %d", p.Name, now.Epoch, before.Epoch)
				}
			}
			log := s.finish(expect{path: []string{"db1", to}, twoWriters: 0})
			floor, _ := log.Floor("end")
			for _, p := range s.PX {
				bound := max(time.Duration(float64(floor)*floorFactor), 500*time.Millisecond) + election + slack
				if p == leader {
					bound = max(bound, min(retries, 2*inter)+500*time.Millisecond) + slack
				}
				outage := log.OutageAfter(p.Name, "end")
				t.Logf("%s (leader: %t): outage %v, Galera's floor %v", p.Name, p == leader, outage, floor)
				if outage > bound {
					t.Errorf("%s: outage of %v, at most %v", p.Name, outage, bound)
				}
			}
		})
	}
}

// otherThanOn is otherThan by the word of some proxies' daemons.
func (s *scenario) otherThanOn(proxies []*lab.Proxy, node string) string {
	s.t.Helper()
	s.must(s.waitOn(proxies, "another active than "+node, func(a apiActive) bool {
		return a.Agreed && a.Active != "" && a.Active != node
	}))
	return s.active(proxies[0]).Active
}

// The active answers every probe, and its commits hang. With the canary it is left like a dead one when others' go on,
// and kept when everybody's hang: moving would not help. Without the canary the statements that wait for the lock show it.
func TestCommitsHang(t *testing.T) {
	canary := []string{"--canary"}
	for _, c := range []struct {
		how  string
		args []string
		hang func(*scenario) (*lab.Fault, error)
		// says is in the reason for staying; "" means that the active is left, within bound.
		says  string
		bound time.Duration
		core  bool
	}{
		{how: "blocked on the active", args: canary, core: true, bound: hangBound,
			hang: func(s *scenario) (*lab.Fault, error) { return s.DB[1].BlockCommits(s.ctx) }},
		{how: "the active lags", args: canary, bound: hangBound,
			hang: func(s *scenario) (*lab.Fault, error) { return s.DB[1].Lag(s.ctx) }},
		{how: "everybody is paused", args: canary, says: "hang",
			hang: func(s *scenario) (*lab.Fault, error) { return s.DB[2].SlowEverybody(s.ctx) }},
		{how: "blocked without a canary", bound: waitsBound,
			hang: func(s *scenario) (*lab.Fault, error) { return s.DB[1].BlockCommits(s.ctx) }},
	} {
		t.Run(c.how, func(t *testing.T) {
			if !c.core {
				full(t)
			}
			s := beginCanary(t, stack.Options{DaemonArgs: c.args})
			for _, p := range s.PX {
				for _, n := range s.DB {
					s.must(until(s.within(20*time.Second), "the canary of "+p.Name+" on "+n.Name, func() (bool, string) {
						return c.args == nil || s.metric(p, canaryMetric, `node="`+n.Name+`"`) > 0, "no commit yet"
					}))
				}
			}
			s.start(lab.LoadConfig{ReconnectEvery: 20})
			before := s.active(s.PX[0])
			s.load.Mark("hang")
			fault, err := c.hang(s)
			s.must(err)
			if c.says == "" {
				to := s.otherThan("db1")
				decided := s.load.Mark("decided")
				s.must(s.load.WaitNode(s.within(20*time.Second), to))
				wait(s.ctx, time.Second) // a bounce would come now
				s.oneEpoch(before, to)
				s.must(fault.Undo(s.ctx))
				s.must(s.waitNode("db1", "healthy and not stuck", func(n apiNode) bool { return n.Healthy == len(s.PX) }))
				s.oneEpoch(before, to)
				log := s.finish(expect{path: []string{"db1", to}, after: "hang", outage: c.bound})
				at, _ := log.At("hang")
				via, worst := log.Worst("hang")
				t.Logf("left %v after the hang (%s), worst outage %v (%s)", decided-at, s.active(s.PX[0]).Reason, worst, via)
				return
			}
			wait(s.ctx, 6*time.Second)
			s.unchanged(before)
			st, err := client(s.PX[0]).Status(s.ctx)
			s.must(err)
			t.Log(st.Turn)
			if !strings.Contains(st.Turn, c.says) {
				t.Errorf("the reason for staying is %q, which does not say %q", st.Turn, c.says)
			}
			if via, stall := s.load.Snapshot().Worst("hang"); stall < 3*time.Second {
				t.Errorf("clients of %s stalled for %v only: the scenario proves nothing", via, stall)
			}
			s.must(fault.Undo(s.ctx))
			s.must(s.load.WaitFlowing(s.within(20 * time.Second)))
			s.finish(expect{path: []string{"db1"}})
			s.unchanged(before)
		})
	}
}
