package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// The probe's password is changed in the database, and later in the daemons' file. In between no daemon can say
// anything of any node: unknown is no vote, nothing moves.
func TestPasswordRotated(t *testing.T) {
	s := begin(t, stack.Options{})
	before, counts := s.active(s.PX[0]), s.counted("db1")
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	const fresh = "rotated"
	s.must(s.SetPassword(s.ctx, lab.ProbeUser, fresh))
	for _, n := range s.DB {
		// The change ends no session: the daemons must log in again to notice.
		s.must(n.Exec(s.ctx, "KILL CONNECTION USER "+lab.ProbeUser))
	}
	for _, n := range s.DB {
		s.must(s.waitNode(n.Name, "unknown to all", func(n apiNode) bool {
			return n.Unknown == len(s.PX) && strings.Contains(n.Opinions[0].Reason, s.Password)
		}))
	}
	s.load.Mark("blind")
	wait(s.ctx, 2*time.Second)
	s.unchanged(before)
	s.must(s.WritePassword(fresh))
	for _, n := range s.DB {
		s.must(s.waitHealthy(n.Name))
	}
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	s.finish(expect{path: []string{"db1"}, after: "blind", outage: time.Second})
	s.sameCount(counts, "db1")
	s.unchanged(before)
	s.must(s.WaitSteering(s.within(10*time.Second), len(s.PX)))
}

// The active becomes a donor: by default nothing moves. Another donor is not chosen by an operator without --force.
func TestDonor(t *testing.T) {
	s := begin(t, stack.Options{})
	before, counts := s.active(s.PX[0]), s.counted("db1")
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	s.must(s.DB[1].Desync(s.ctx, true))
	s.must(s.waitNode("db1", "a donor for all", func(n apiNode) bool {
		return n.Healthy == len(s.PX) && !n.Eligible && n.Opinions[0].Avoid
	}))
	s.load.Mark("donor")
	wait(s.ctx, 2*time.Second)
	s.must(s.DB[1].Desync(s.ctx, false))
	s.must(s.DB[2].Desync(s.ctx, true))
	s.must(s.waitNode("db2", "a donor for all", func(n apiNode) bool { return !n.Eligible && n.Opinions[0].Avoid }))
	_, err := s.Set(s.ctx, s.PX[0], "db2")
	if no := s.refused(err); !strings.Contains(no, "db0") {
		t.Errorf("the refusal does not say who would do: %q", no)
	}
	s.must(s.DB[2].Desync(s.ctx, false))
	s.finish(expect{path: []string{"db1"}, after: "donor", outage: time.Second})
	s.sameCount(counts, "db1")
	s.unchanged(before)
}

// Frozen, and the active dies: no epoch, an alert, HAProxy's own checks and order carry the load. Lifting the freeze
// decides for the node that carries it: no second failover.
func TestFrozenAndActiveKilled(t *testing.T) {
	s := begin(t, stack.Options{CheckInterval: time.Second})
	for _, p := range s.PX {
		if n := s.metric(p, "haproxyd_alert"); n != 0 {
			t.Errorf("an alert before anything happened: %s %v", p.Name, n)
		}
	}
	var frozen apiActive
	s.must(s.Ask(s.ctx, s.PX[0], &frozen, "freeze", "--reason", "maintenance of the racks"))
	before := s.active(s.PX[0])
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	s.load.Mark("killed")
	s.DB[1].Kill9()
	// HAProxy's own checks: two, a second apart; and Galera's floor.
	s.must(s.load.WaitNode(s.within(20*time.Second), "db0"))
	s.must(s.waitNode("db1", "down for all", func(n apiNode) bool { return n.Down == len(s.PX) }))
	leader, _ := s.leader()
	t.Log(s.waitProblem(leader, 5*time.Second, "frozen", "db1 is down"))
	if n := s.metric(leader, "haproxyd_alert"); n != 1 {
		t.Errorf("haproxyd_alert is %v", n)
	}
	for _, p := range s.PX {
		s.waitProblem(p, 5*time.Second, "frozen")
	}
	wait(s.ctx, time.Second)
	s.unchanged(before)
	s.load.Mark("unfrozen")
	s.must(s.Ask(s.ctx, s.PX[2], &frozen, "unfreeze"))
	s.must(s.WaitActive(s.within(10*time.Second), "db0", len(s.PX)))
	if now := s.active(s.PX[0]); now.Epoch != before.Epoch+1 {
		t.Errorf("epoch %d, before %d: one decision was expected", now.Epoch, before.Epoch)
	}
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	s.finish(expect{path: []string{"db1", "db0"}, twoWriters: 0, after: "unfrozen", outage: 10 * time.Second})
}

// Two operators set different nodes at once, having looked at the same epoch: one wins, the other is refused and told
// who won. One epoch, no bounce. The leader is stopped for a moment, so that both are validated before either commits.
func TestTwoOperators(t *testing.T) {
	s := begin(t, stack.Options{})
	s.start(lab.LoadConfig{ReconnectEvery: 2})
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	leader, others := s.leader()
	before := s.active(leader)
	s.load.Mark("set")
	s.must(leader.Daemon.Pause())
	wishes := []wish{{on: others[0], node: "db0"}, {on: others[1], node: "db2"}}
	var all sync.WaitGroup
	for i := range wishes {
		all.Go(func() { wishes[i].ask(s, before.Epoch) })
	}
	wait(s.ctx, 150*time.Millisecond) // shorter than a leader may be silent
	s.must(leader.Daemon.Cont())
	all.Wait()
	winner := s.oneWinner(wishes)
	s.must(s.WaitActive(s.within(10*time.Second), winner, len(s.PX)))
	s.must(s.load.WaitNode(s.within(10*time.Second), winner))
	wait(s.ctx, 500*time.Millisecond) // a bounce would come now
	s.oneEpoch(before, winner)
	log := s.finish(expect{path: []string{"db1", winner}, twoWriters: 400 * time.Millisecond, after: "set", outage: time.Second})
	t.Logf("two writers for %v", log.TwoWriters().Total)
}

// An operator's move races the failover from a node that dies at that moment: one decision, whoever makes it.
func TestOperatorRacesFailover(t *testing.T) {
	full(t)
	for _, delay := range []time.Duration{0, 60 * time.Millisecond, 120 * time.Millisecond} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			s := begin(t, stack.Options{})
			s.start(lab.LoadConfig{ReconnectEvery: 20})
			before := s.active(s.PX[0])
			s.load.Mark("killed")
			s.DB[1].Kill9()
			wait(s.ctx, delay) // the case: before, while and after the voters notice
			w := wish{on: s.PX[2], node: "db2"}
			w.ask(s, before.Epoch)
			winner := s.otherThan("db1")
			if no := (*api.Error)(nil); errors.As(w.err, &no) {
				t.Logf("the failover to %s won: %s", winner, no.Message)
				if no.Code != api.CodeRefused || no.Winner == nil || no.Winner.Active != winner {
					t.Errorf("the refusal does not name the winner: %+v", no)
				}
			} else if w.err != nil || winner != "db2" {
				t.Errorf("the operator got %+v, %v, and the active is %s", w.res, w.err, winner)
			} else {
				t.Log("the operator won")
			}
			s.must(s.load.WaitNode(s.within(20*time.Second), winner))
			s.oneEpoch(before, winner)
			s.finish(expect{path: []string{"db1", winner}, twoWriters: 0})
		})
	}
}

// wish is one operator's.
type wish struct {
	on   *lab.Proxy
	node string
	res  api.SetResponse
	err  error
}

// ask asks for the node, by somebody who has looked at this epoch.
func (w *wish) ask(s *scenario, epoch uint64) {
	w.res, w.err = client(w.on).Set(s.ctx, api.SetRequest{Node: w.node, Drain: "immediate", ExpectEpoch: epoch})
}

// oneWinner asserts that one wish came true and that the others were refused with its name.
func (s *scenario) oneWinner(wishes []wish) string {
	s.t.Helper()
	i := slices.IndexFunc(wishes, func(w wish) bool { return w.err == nil && w.res.Changed })
	if i < 0 {
		s.t.Fatalf("nobody won: %v, %v", wishes[0].err, wishes[1].err)
	}
	for j, w := range wishes {
		if j == i {
			continue
		}
		no := (*api.Error)(nil)
		if !errors.As(w.err, &no) || no.Code != api.CodeRefused || no.Winner == nil || no.Winner.Active != wishes[i].node ||
			!strings.Contains(no.Message, wishes[i].node) {
			s.t.Errorf("the loser got %+v, %v; %s won", w.res, w.err, wishes[i].node)
			continue
		}
		s.t.Logf("%s won; %s: %s", wishes[i].node, w.node, no.Message)
	}
	return wishes[i].node
}

// oneEpoch asserts that exactly one decision came after the one before.
func (s *scenario) oneEpoch(before apiActive, active string) {
	s.t.Helper()
	for _, p := range s.PX {
		if now := s.active(p); now.Epoch != before.Epoch+1 || now.Active != active {
			s.t.Errorf("%s: %s, epoch %d; expected %s, epoch %d", p.Name, now.Active, now.Epoch, active, before.Epoch+1)
		}
	}
}
