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

// maxHold is the default of --max-hold; holdSlack is what a release takes on all
// proxies, with what this machine adds.
const (
	maxHold   = 2 * time.Second
	holdSlack = 400 * time.Millisecond
)

// holdLoad is a load under which a hold must not be noticed: twelve writers that
// keep their connections, and six that make one for each transaction.
type holdLoad struct{ kept, fresh *lab.Load }

func (s *scenario) startHoldLoad() holdLoad {
	s.t.Helper()
	return holdLoad{
		kept:  s.startPool(lab.PoolConfig{Think: pause, Apart: true}),
		fresh: s.startPool(lab.PoolConfig{Writers: 6, Hold: 5 * time.Millisecond, Think: 15 * time.Millisecond, MaxIdle: -1}),
	}
}

func (h holdLoad) waitNode(s *scenario, node string) {
	s.t.Helper()
	s.must(h.kept.WaitNode(s.within(20*time.Second), node))
	s.must(h.fresh.WaitNode(s.within(20*time.Second), node))
}

// stop ends both loads, asserts that nobody noticed more than a wait of at most
// so long, and returns what they wrote down.
func (h holdLoad) stop(s *scenario, bound time.Duration) (kept, fresh *lab.Log) {
	s.t.Helper()
	kept, fresh = h.kept.Stop(), h.fresh.Stop()
	for what, log := range map[string]*lab.Log{"kept": kept, "fresh": fresh} {
		greeting, which := log.LongestGreeting("", "")
		waited, _ := log.LongestWait("", "")
		s.t.Logf("connections %s: longest wait for the greeting %v, for a connection %v; %+v\n%s", what, greeting, waited, log.Failures("", ""), log)
		if greeting > bound || waited > bound {
			s.t.Errorf("a client waited for %v (%+v), a transaction for %v: at most %v", greeting, which, waited, bound)
		}
		s.onlyTheRace(log, raceAllowed)
		s.nothingLost(log)
	}
	if f := fresh.Failures("", ""); f != (lab.Failures{}) {
		s.t.Errorf("new connections: %+v", f) // no idle session is theirs: not even the race
	}
	return kept, fresh
}

// inOrder asserts by Galera's own numbers that the old node's last commit came
// before the new one's first, over several loads.
func (s *scenario) inOrder(from, to string, logs ...*lab.Log) {
	s.t.Helper()
	last, first := int64(0), int64(0)
	for _, log := range logs {
		h, ok := log.HandOver(from, to)
		if !ok || !h.InOrder() {
			s.t.Errorf("not in order: %+v, %t", h, ok)
		}
		s.t.Logf("from %s to %s: %+v, pause %v", from, to, h, h.Pause())
		last = max(last, h.LastOldSeqno)
		if first == 0 || h.FirstNewSeqno < first {
			first = h.FirstNewSeqno
		}
	}
	if last >= first {
		s.t.Errorf("%s committed %d, and %s had committed %d", from, last, to, first)
	}
}

// With --hold new connections wait instead of writing on a second node: none
// fails, and the old node's last commit comes before the new one's first.
func TestHold(t *testing.T) {
	s := beginDrain(t, stack.Options{})
	load := s.startHoldLoad()
	a := s.plan(s.PX[0], "db2", "--drain", "transactions", "--hold")
	load.waitNode(s, "db2")
	kept, fresh := load.stop(s, maxHold)
	s.done(a)
	if m := a.Move; m.Killed > 0 || m.HeldMS == 0 || m.HeldMS >= maxHold.Milliseconds() {
		t.Errorf("report %+v", m)
	}
	s.inOrder("db1", "db2", kept, fresh)
	s.samePath(kept, []string{"db1", "db2"})
	s.clean("db2")
}

// A transaction is longer than --max-hold: all who wait are let go in time. By
// default to the new node, the long one being closed; with --keep back to the old
// node, and the long one commits.
func TestHoldTooLong(t *testing.T) {
	full(t)
	const bound = time.Second
	for _, keep := range []bool{false, true} {
		name, args := "close", []string{"--drain", "transactions", "--hold", "--max-hold", bound.String()}
		if keep {
			name, args = "keep", append(args, "--keep")
		}
		t.Run(name, func(t *testing.T) {
			s := beginDrain(t, stack.Options{})
			load := s.startHoldLoad()
			long := s.open(lab.InTransaction)[0]
			a := s.plan(s.PX[1], "db2", args...)
			if a.Move.HeldMS > (bound + holdSlack).Milliseconds() {
				t.Errorf("held for %d ms", a.Move.HeldMS)
			}
			if keep {
				load.waitNode(s, "db1")
				s.commits(long)
				kept, fresh := load.stop(s, bound+holdSlack)
				if a.exit != 1 || a.Move.State != api.MoveRolledBack {
					t.Errorf("exit %d, %s", a.exit, a.words)
				}
				for _, log := range []*lab.Log{kept, fresh} {
					s.samePath(log, []string{"db1"})
					// Those who waited have landed on the old node.
					s.allRight(log.Wrong(0, "db1"), "a hold that was given back")
				}
				s.clean("db1")
				return
			}
			load.waitNode(s, "db2")
			kept, fresh := load.stop(s, bound+holdSlack)
			s.done(a)
			if a.Move.Killed != 1 || long.Alive() {
				t.Errorf("%d killed, the long one is alive: %t", a.Move.Killed, long.Alive())
			}
			s.inOrder("db1", "db2", kept, fresh)
			s.clean("db2")
		})
	}
}

// The new node has not applied what the old one committed. Without a hold the
// move is refused for it; with one it is rolled back, because clients who were let
// go would not find what they have just written.
func TestHoldLaggingTarget(t *testing.T) {
	full(t)
	s := beginDrain(t, stack.Options{DaemonArgs: []string{"--max-lag", "20"}})
	load := s.startHoldLoad()
	// All within two seconds: a node that has committed nothing for so long counts as down, and is left for that.
	lag, err := s.DB[2].Lag(s.ctx)
	s.must(err)
	before := s.active(s.PX[0])
	s.must(until(s.within(20*time.Second), "db2 to be behind for all", func() (bool, string) {
		for _, p := range s.PX {
			nodes, err := client(p).Nodes(s.ctx)
			s.must(err)
			at := map[string]int64{}
			for _, n := range nodes {
				for _, o := range n.Opinions {
					if seqno, ok := at[n.Name]; !ok || n.Name == "db2" && o.Seqno > seqno || n.Name != "db2" && o.Seqno < seqno {
						at[n.Name] = o.Seqno
					}
				}
			}
			if at["db1"]-at["db2"] <= 40 {
				return false, p.Name
			}
		}
		return true, ""
	}))
	_, err = s.Set(s.ctx, s.PX[0], "db2")
	no := s.refused(err)
	t.Log(no)
	if !strings.Contains(no, "write sets behind") || !strings.Contains(no, "--hold") {
		t.Errorf("the refusal does not say why: %q", no)
	}
	s.unchanged(before)
	a := s.plan(s.PX[0], "db2", "--drain", "transactions", "--hold", "--max-hold", "800ms")
	if a.exit != 1 || a.Move.State != api.MoveRolledBack || !strings.Contains(a.words, "db2 had not applied what db1 committed last") {
		t.Errorf("exit %d, %s: %q", a.exit, a.Move.State, a.words)
	}
	load.waitNode(s, "db1")
	s.must(lag.Undo(s.ctx))
	kept, fresh := load.stop(s, maxHold+holdSlack)
	for _, log := range []*lab.Log{kept, fresh} {
		s.samePath(log, []string{"db1"})
	}
	s.clean("db1")
}

// HAProxy is reloaded while new connections wait in it: the new process holds too,
// and the move ends as it would have. The order of commits is not kept then: what is
// left in the old process is out of reach of the Runtime API and ends by itself.
func TestHoldReloaded(t *testing.T) {
	full(t)
	s := beginDrain(t, stack.Options{})
	load := s.startHoldLoad()
	long := s.open(lab.InTransaction)[0] // through px0
	var r api.SetResponse
	s.must(s.Ask(s.ctx, s.PX[0], &r, "active", "set", "db2", "--drain", "transactions", "--hold", "--wait=false"))
	held := func(m api.Move) bool {
		return len(m.Proxies) == len(s.PX) && !slices.ContainsFunc(m.Proxies, func(p api.MoveProxy) bool { return !p.Held })
	}
	s.report(s.PX[0], 2*time.Second, "all to hold", func(m api.Move) bool { return m.Left == 1 && held(m) })
	start := time.Now()
	s.must(s.PX[1].Reload(s.ctx, ""))
	t.Logf("reloaded in %v", time.Since(start))
	s.report(s.PX[0], 2*time.Second, "all to hold, after the reload", held)
	s.commits(long)
	m := s.report(s.PX[0], 5*time.Second, "the end", func(m api.Move) bool { return m.State != api.MovePending && m.State != api.MoveClosing })
	t.Logf("over %v after the reload: %+v", time.Since(start), m)
	if m.State != api.MoveDone {
		t.Errorf("report %+v", m)
	}
	load.waitNode(s, "db2")
	load.stop(s, maxHold+holdSlack)
	s.clean("db2")
}
