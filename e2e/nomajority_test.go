package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

const (
	gossipPort = 7946
	// fenceMargin is decide's: what a failover waits longer for a proxy that is not heard.
	fenceMargin = time.Second
	// lastView is how old the last view of a proxy may be when it is cut off.
	lastView = 750 * time.Millisecond
)

func fencing(after time.Duration) stack.Options {
	return stack.Options{DaemonArgs: []string{"--on-no-majority", "fence", "--fence-after", after.String()}}
}

// cutGossip loses all gossip between one proxy's daemon and the others; clients and databases are reached as before.
func (s *scenario) cutGossip(p *lab.Proxy) {
	s.t.Helper()
	for _, q := range s.PX {
		if q == p {
			continue
		}
		for _, way := range [][2]*lab.Host{{p.Host, q.Host}, {q.Host, p.Host}} {
			_, err := s.CutPort(s.ctx, way[0], way[1], gossipPort)
			s.must(err)
		}
	}
}

// on-no-majority: fence. A proxy whose daemon hears nobody serves nobody from fence-after on, and the others go on. If
// the active is lost to the others meanwhile, but not to that proxy, which goes on writing to it, their failover waits
// until it must have fenced itself: there is never a second writer.
func TestNoMajorityFences(t *testing.T) {
	for _, c := range []struct {
		how   string
		after time.Duration
		lose  bool
	}{{"the others go on", 2 * time.Second, false}, {"a failover waits", 4 * time.Second, true}} {
		t.Run(c.how, func(t *testing.T) {
			full(t)
			s := begin(t, fencing(c.after))
			// The leader: what it knows of a majority is its own, not a follower's.
			alone, majority := s.leader()
			before := s.active(alone)
			s.start(lab.LoadConfig{ReconnectEvery: 5})
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			s.cutGossip(alone)
			cut := s.load.Mark("cut")
			path := []string{"db1"}
			if c.lose {
				for _, p := range majority {
					s.waitProblem(p, 5*time.Second, alone.Name+" is not heard")
				}
				for _, p := range majority {
					_, err := s.Refuse(s.ctx, p.Host, s.DB[1].Host, lab.MySQLPort)
					s.must(err)
				}
				lost := s.load.Mark("lost")
				t.Logf("the others lost the active %v after the cut", lost-cut)
				if lost-cut > c.after-time.Second {
					t.Fatal("too late: the scenario proves nothing")
				}
			}
			s.waitFenced(alone, 10*time.Second)
			fenced := s.load.Mark("fenced")
			t.Logf("fenced %v after the cut", fenced-cut)
			// What it heard last is up to a heartbeat older than the cut, whose rules are made one by one.
			if took := fenced - cut; took < c.after-500*time.Millisecond || took > c.after+500*time.Millisecond {
				t.Errorf("fenced after %v, policy says %v", took, c.after)
			}
			if c.lose {
				s.must(s.waitOn(majority, "another active", func(a apiActive) bool { return a.Agreed && a.Active == "db0" }))
				moved := s.load.Mark("moved")
				t.Logf("moved %v after the cut: %s", moved-cut, s.active(majority[0]).Reason)
				due := c.after + fenceMargin
				if took := moved - cut; took < due-lastView || took > due+time.Second {
					t.Errorf("moved after %v, it should have waited %v", took, due)
				}
				path = append(path, "db0")
			}
			wait(s.ctx, 2*time.Second)
			if code := s.ready(alone); code != 503 {
				t.Errorf("%s is ready: %d", alone.Name, code)
			}
			// It went on until it was fenced, and nothing was acknowledged through it afterwards.
			served := false
			for _, commit := range s.load.Snapshot().Commits {
				if commit.Via != alone.Name || !commit.Acked() {
					continue
				}
				served = served || commit.Start > cut+c.after/2
				if commit.Start > fenced {
					t.Fatalf("a commit through the fenced proxy: %+v", commit)
				}
			}
			if !served {
				t.Errorf("%s did not serve until its time was over", alone.Name)
			}
			s.must(s.HealAll(s.ctx))
			t.Logf("serving %v after the cut was healed", s.waitServing(alone, 20*time.Second))
			s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			log := s.load.Stop()
			t.Logf("\n%s", log)
			s.samePath(log, path)
			if two := log.TwoWriters(); two.Total > 0 {
				t.Errorf("two writers: %+v", two.Overlaps)
			}
			s.nothingLost(log)
			if now := s.active(alone); now.Epoch != before.Epoch+uint64(len(path)-1) {
				t.Errorf("epoch %d, before %d", now.Epoch, before.Epoch)
			}
		})
	}
}

// Break-glass: two of three daemons are dead, and an operator forces the last one's proxy. The order is refused while
// there is a majority, is carried out at once without one, is shown everywhere, and ends with the majority's return.
// What rules then: the old active, if it was up all the time; what the HAProxies did, if it had died (rule 4).
func TestLocalOnly(t *testing.T) {
	for _, c := range []struct {
		how, node string
		kill      bool
		want      string
	}{
		{how: "undone", node: "db2", want: "db1"},
		{how: "adopted", node: "db0", kill: true, want: "db0"},
	} {
		t.Run(c.how, func(t *testing.T) {
			full(t)
			s := begin(t, stack.Options{})
			p, dead := s.PX[0], s.PX[1:]
			s.start(lab.LoadConfig{ReconnectEvery: 5})
			_, err := s.Set(s.ctx, p, c.node, "--local-only")
			if no := s.refused(err); !strings.Contains(no, "there is a majority") {
				t.Errorf("refused with %q", no)
			}
			for _, q := range dead {
				q.Daemon.Kill9()
			}
			s.waitNative(s.PX...)
			_, err = s.Set(s.ctx, p, c.node)
			if no := s.refused(err); !strings.Contains(no, "no majority") {
				t.Errorf("an ordinary move without a majority: %q", no)
			}
			if c.kill {
				s.DB[1].Kill9()
				s.must(s.load.WaitNode(s.within(20*time.Second), "db0"))
			}
			before := s.active(p)
			ordered := s.load.Mark("ordered")
			_, err = s.Set(s.ctx, p, c.node, "--local-only")
			s.must(err)
			done := s.load.Mark("done")
			s.must(until(s.within(5*time.Second), p.Name+" to commit on "+c.node, func() (bool, string) {
				log := s.load.Snapshot()
				for _, commit := range log.Commits {
					if commit.Via == p.Name && commit.Start >= ordered && commit.Node == c.node && commit.Acked() {
						return true, ""
					}
				}
				return false, log.String()
			}))
			first := s.load.Mark("first")
			wait(s.ctx, time.Second)
			t.Logf("haproxyctl took %v; the first commit on %s %v after the order", done-ordered, c.node, first-ordered)
			if first-ordered > time.Second {
				t.Errorf("its clients went there %v after the order", first-ordered)
			}
			s.allRight(through(s.load.Snapshot().Wrong(first, c.node), p), "after a local order")
			var a apiActive
			s.must(s.Ask(s.ctx, p, &a, "active", "show"))
			if a.Agreed || a.LocalOnly != c.node || !strings.Contains(a.Reason, c.node+" was forced on this proxy alone") || a.Epoch != before.Epoch {
				t.Errorf("active show: %+v", a)
			}
			t.Log(s.waitProblem(p, 5*time.Second, c.node+" was forced on this proxy alone"))
			for _, q := range dead {
				s.must(q.Daemon.StartAgain())
			}
			s.must(s.WaitSteering(s.within(40*time.Second), len(s.PX)))
			s.must(s.load.WaitNode(s.within(20*time.Second), c.want))
			for _, q := range s.PX {
				if a := s.active(q); a.LocalOnly != "" || !a.Agreed || a.Active != c.want {
					t.Errorf("%s: %+v", q.Name, a)
				}
			}
			h, err := client(p).History(s.ctx)
			s.must(err)
			if kind := h.Decisions[0].Kind; (kind == "native") != c.kill {
				t.Errorf("the last decision is %+v", h.Decisions[0])
			}
			s.nothingLost(s.load.Stop())
		})
	}
}

// One automatic move an hour: the second crash freezes and alerts instead.
func TestMaxAutoMoves(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{DaemonArgs: []string{"--max-auto-moves", "1"}})
	s.DB[1].Kill9()
	s.must(s.WaitActive(s.within(20*time.Second), "db0", len(s.PX)))
	s.must(s.DB[1].Start(s.ctx))
	s.must(s.waitHealthy("db1"))
	before := s.active(s.PX[0])
	s.DB[0].Kill9()
	s.must(s.WaitAll(s.within(20*time.Second), "a freeze", func(a apiActive) bool { return a.Frozen }))
	leader, _ := s.leader()
	t.Log(s.waitProblem(leader, 5*time.Second, "frozen", "db0 is down"))
	if n := s.metric(leader, "haproxyd_alert"); n != 1 {
		t.Errorf("haproxyd_alert is %v", n)
	}
	s.must(until(s.within(5*time.Second), "the reason", func() (bool, string) {
		turn := s.status(leader).Turn
		return strings.Contains(turn, "frozen"), turn
	}))
	wait(s.ctx, time.Second)
	if now := s.active(s.PX[0]); now.Epoch != before.Epoch || now.Active != "db0" {
		t.Errorf("%+v, before %+v", now, before)
	}
	// An operator is not bound by it.
	_, err := client(s.PX[0]).Set(s.ctx, forced("db2"))
	s.must(err)
	s.must(s.WaitActive(s.within(20*time.Second), "db2", len(s.PX)))
}

// A node that the votes call down is chosen by --force only, and that freezes, or the next turn would leave it.
func TestForceToDeadNodeFreezes(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	s.DB[2].Kill9()
	s.must(s.waitNode("db2", "down for all", func(n apiNode) bool { return n.Down == len(s.PX) }))
	before := s.active(s.PX[0])
	_, err := s.Set(s.ctx, s.PX[1], "db2")
	if no := s.refused(err); !strings.Contains(no, "db2 is down for 3 of 3 voters") || !strings.Contains(no, "db0 would do") {
		t.Errorf("refused with %q", no)
	}
	r, err := client(s.PX[1]).Set(s.ctx, forced("db2"))
	s.must(err)
	if !strings.Contains(strings.Join(r.Warnings, " "), "frozen") {
		t.Errorf("the operator is not told: %q", r.Warnings)
	}
	s.must(s.WaitAll(s.within(10*time.Second), "frozen on db2", func(a apiActive) bool { return a.Active == "db2" && a.Frozen }))
	wait(s.ctx, 2*time.Second)
	s.oneEpoch(before, "db2")
	for _, p := range s.PX {
		s.waitProblem(p, 5*time.Second, "frozen")
	}
}

// Two proxies, so a vote of 1 to 1. The one that cannot reach the active fences itself and does not drag the other along:
// nothing is decided, nobody writes elsewhere, the other serves. It serves again when the way is free.
func TestTwoProxies(t *testing.T) {
	full(t)
	theLab(t) // what the machine needs, and the binaries
	two, err := lab.New(t.Context(), lab.Config{Proxies: 2, Haproxyd: filepath.Join(binaries, "haproxyd"), Haproxyctl: filepath.Join(binaries, "haproxyctl")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := two.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &scenario{t: t, ctx: t.Context()}
	t.Cleanup(func() {
		if t.Failed() {
			s.saveLogs(two)
		}
	})
	s.Stack, err = stack.Up(s.ctx, two, stack.Options{})
	s.must(err)
	_, err = s.Set(s.ctx, s.PX[0], "db1", "--drain", "immediate")
	s.must(err)
	s.must(s.WaitActive(s.ctx, "db1", 2))
	s.must(s.WaitSteering(s.ctx, 2))
	blind, other := s.PX[0], s.PX[1]
	before := s.active(other)
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	s.load.Mark("cut")
	fault, err := s.Refuse(s.ctx, blind.Host, s.DB[1].Host, lab.MySQLPort)
	s.must(err)
	took := s.waitFenced(blind, 5*time.Second)
	t.Logf("fenced %v after the cut", took)
	if took > 250*time.Millisecond+fenceWithin { // as in TestBlindProxyFences
		t.Errorf("fenced after %v", took)
	}
	wait(s.ctx, 3*time.Second)
	s.unchangedOn(other, before)
	if code := s.ready(other); code != 200 {
		t.Errorf("%s is not ready: %d", other.Name, code)
	}
	// An operator is told why not every proxy could follow, or would be left behind.
	if st := s.status(other); !strings.Contains(st.Turn, "1 of 2") {
		t.Errorf("the turn says %q", st.Turn)
	}
	s.must(fault.Undo(s.ctx))
	s.waitServing(blind, 10*time.Second)
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	log := s.finish(expect{path: []string{"db1"}, twoWriters: 0})
	s.allRight(log.Wrong(0, "db1"), "two proxies")
	if o := log.OutageAfter(other.Name, "cut"); o > time.Second {
		t.Errorf("%s noticed: no commit for %v", other.Name, o)
	}
	s.unchangedOn(other, before)
}
