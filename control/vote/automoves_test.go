package vote

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/walltest"
)

// machine is a daemon whose machine's clock the test sets.
type machine struct {
	*Loop
	cluster *clustertest.Cluster
	clock   *walltest.Clock
}

func newMachine(t *testing.T) *machine {
	c := walltest.New()
	d, f := newTestLoop(t, func(cfg *Config) {
		cfg.Now = c.Now
		cfg.Policy = decide.Policy{
			MaxAutoMoves: 2, MinStay: 10 * time.Minute, Leave: []string{"maintenance"}, LeaveTimeout: time.Minute,
			FenceAfter: 5 * time.Second,
		}
	})
	f.Set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader, ag.Term = true, "px0", 3 })
	return &machine{Loop: d, cluster: f, clock: c}
}

// pass lets time pass, and turns the vote loop at its pace for the last while of it.
func (m *machine) pass(t *rapid.T, d time.Duration) {
	const turns = 12
	m.clock.Pass(d)
	for range turns {
		m.clock.Pass(200 * time.Millisecond)
		m.Turn(t.Context(), m.clock.Now())
		m.proposed()
	}
}

// proposed waits for the answer to a proposal, which the fake register gives at once.
func (m *machine) proposed() {
	for {
		m.mu.Lock()
		busy := m.proposing
		m.mu.Unlock()
		if !busy {
			return
		}
		time.Sleep(10 * time.Microsecond)
	}
}

// everybody has the voters say the same of the nodes.
func (m *machine) everybody(down, leaving string) {
	v := clustertest.HealthyView()
	for i := range v.Nodes {
		switch n := &v.Nodes[i]; n.Name {
		case down:
			n.Verdict, n.Eligible = model.Down, false
		case leaving:
			n.Class, n.Avoid, n.Eligible = "maintenance", true, false
		}
	}
	ag := m.cluster.Agreement()
	v.Epoch = ag.Record.Epoch
	for _, name := range []string{"px1", "px2"} {
		m.cluster.Say(name, 0, v)
	}
}

// unfreeze is an operator's order.
func (m *machine) unfreeze() {
	m.cluster.Set(func(ag *cluster.Agreement) {
		r, err := model.DecodeRecord(ag.Record.Value)
		if err != nil {
			panic(err)
		}
		if next := decide.Freeze(r, false, "", ""); next != nil {
			ag.Record.Value = next.Encode()
			ag.Record.Revision++
		}
	})
}

// decided is the record without what is written down for people.
func (m *machine) decided() (model.Record, cluster.Version) {
	ag := m.cluster.Agreement()
	r, err := model.DecodeRecord(ag.Record.Value)
	if err != nil {
		panic(err)
	}
	out := *r
	out.AutoMoves = make([]time.Time, len(r.AutoMoves)) // how many, not when
	for i := range out.History {
		out.History[i].At = time.Time{}
	}
	return out, ag.Record.Version
}

// Whoever sets the machine's clock, by an hour in either direction and at any
// moment, changes nothing that is decided, nor when.
func TestStepsOfTheClockDecideNothing(t *testing.T) {
	base := t
	moved, froze := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		steady, stepped := newMachine(base), newMachine(base)
		nodes := []string{"", "pxc-0", "pxc-1", "pxc-2"}
		for i := range rapid.IntRange(4, 12).Draw(t, "events") {
			down, leaving := rapid.SampledFrom(nodes).Draw(t, "down"), rapid.SampledFrom(nodes).Draw(t, "leaving")
			passes := rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Minute, 25 * time.Minute}).Draw(t, "passes")
			leads := rapid.IntRange(0, 9).Draw(t, "leads anew") == 0
			unfreezes := rapid.IntRange(0, 5).Draw(t, "unfreezes") == 0
			step := rapid.SampledFrom([]time.Duration{0, time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second}).Draw(t, "step")
			for _, m := range []*machine{steady, stepped} {
				if m == stepped {
					m.clock.Set(step)
				}
				if leads {
					m.cluster.Set(func(ag *cluster.Agreement) { ag.Term++ })
				}
				m.everybody(down, leaving)
				if unfreezes {
					m.unfreeze()
				}
				m.pass(t, passes)
			}
			a, av := steady.decided()
			b, bv := stepped.decided()
			if !reflect.DeepEqual(a, b) || av != bv {
				t.Fatalf("event %d: with steps %+v %v\nwithout %+v %v", i, b, bv, a, av)
			}
			moved += int(av.Epoch) - 4 //nolint:gosec // a few
			if a.Frozen {
				froze++
			}
		}
	})
	if moved == 0 || froze == 0 {
		t.Errorf("nothing happened: %d moves, %d freezes", moved, froze)
	}
}

// Automatic moves count for an hour by the leader's own clock, whatever times the
// record has, and then leave the record.
func TestAutoMovesOfAnHour(t *testing.T) {
	now := walltest.New()
	moves := []time.Time{time.Now().Add(-48 * time.Hour).UTC(), time.Now().Add(48 * time.Hour).UTC()}
	ag := &cluster.Agreement{IsLeader: true, Term: 3}
	var a autoMoves
	old := func(ag *cluster.Agreement, moves []time.Time, now time.Time) int {
		a.note(ag, moves, now)
		return a.old(ag, moves, now)
	}
	if old(ag, moves, now.Now()) != 0 {
		t.Error("a new leader calls a move old")
	}
	now.Pass(59 * time.Minute)
	now.Set(24 * time.Hour)
	moves = append(moves, time.Now().Add(-10*time.Hour).UTC())
	if old(ag, moves, now.Now()) != 0 {
		t.Error("within the hour one is old")
	}
	now.Pass(time.Minute)
	if got := old(ag, moves, now.Now()); got != 2 {
		t.Errorf("after an hour %d are old", got)
	}
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("without the old ones %d are old", got)
	}
	ag.Term = 4
	now.Pass(59 * time.Minute) // the last one is an hour old to the leader of term 3
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("in a new term %d are old", got)
	}
	ag.IsLeader = false
	now.Pass(2 * time.Hour)
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("a follower calls %d old", got)
	}
	ag.IsLeader = true
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("leading again in the same term it calls %d old", got)
	}
}
