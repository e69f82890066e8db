package vote

import (
	"bytes"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// steered is a look at a HAProxy that does what epoch 4 wants.
func steered() *published.Look {
	return &published.Look{
		At: time.Now(), Reachable: true, Steering: true, Effective: "pxc-1", Result: plan.Result{Converged: true},
		Want: mandate.Want{Known: true, MayWrite: true, Active: "pxc-1", Version: cluster.Version{Epoch: 4, Revision: 9}},
	}
}

// A view never says that the new epoch is converged when the look was held against the old one.
func TestConvergedIsOfTheRecordInTheView(t *testing.T) {
	l := steered()
	d, f := newTestLoop(t, func(c *Config) { c.Look = func() *published.Look { return l } })
	d.Turn(t.Context(), time.Now())
	if v := f.Own; v.Epoch != 4 || !v.Proxy.Converged || !v.Proxy.Steering {
		t.Fatalf("%+v", v.Proxy)
	}
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 5, Active: "pxc-2"})
	f.Set(func(ag *cluster.Agreement) { ag.Record.Epoch, ag.Record.Value = 5, rec.Encode() })
	d.Turn(t.Context(), time.Now())
	if v := f.Own; v.Epoch != 5 || v.Proxy.Converged {
		t.Errorf("says converged at epoch %d (pxc-2) while it routes to %s", v.Epoch, v.Proxy.Effective)
	}
}

// A loop that hangs does not claim to steer.
func TestStuckProxyLoopDoesNotClaimToSteer(t *testing.T) {
	l := steered()
	l.At = l.At.Add(-time.Minute) // its turn hangs in a write to the disk since
	d, f := newTestLoop(t, func(c *Config) { c.Look = func() *published.Look { return l } })
	d.Turn(t.Context(), time.Now())
	if v := f.Own; v.Proxy.Steering || v.Proxy.Converged {
		t.Errorf("a look of a minute ago is published as the present: %+v", v.Proxy)
	}
}

// Daemons of version 1 are told nothing that they would not keep: the record says which may be there.
func TestRefusedIsToldFromVersion2On(t *testing.T) {
	for _, lowest := range []int{0, 2} {
		l := steered()
		l.Nodes = map[string]published.Node{"pxc-1": {State: model.ServerUp, Refused: true}}
		d, f := newTestLoop(t, func(c *Config) { c.Look = func() *published.Look { return l } })
		rec := (&model.Record{Lowest: lowest}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"})
		f.Set(func(ag *cluster.Agreement) { ag.Record.Value = rec.Encode() })
		d.Turn(t.Context(), time.Now())
		if got := f.Own.Node("pxc-1").Refused; got != (lowest == 2) {
			t.Errorf("lowest version %d: refused is told: %v", lowest, got)
		}
	}
}

// For how long a HAProxy has not answered is told, and is no news by itself.
func TestSilenceInTheView(t *testing.T) {
	l := &published.Look{At: time.Now(), Silent: time.Now().Add(-12 * time.Second), Problem: "no answer"}
	d, f := newTestLoop(t, func(c *Config) { c.Look = func() *published.Look { return l } })
	rec := (&model.Record{Lowest: 2}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"})
	f.Set(func(ag *cluster.Agreement) { ag.Record.Value = rec.Encode() })
	d.Turn(t.Context(), time.Now())
	ms := f.Own.Proxy.SilentMS
	if ms < 12_000 || ms > 20_000 {
		t.Errorf("silent for %d ms", ms)
	}
	later := *f.Own
	p := *later.Proxy
	p.SilentMS, later.Proxy = ms+1000, &p
	if !bytes.Equal(significantPart(&later), significantPart(f.Own)) {
		t.Error("every second is told at once")
	}
	forgetNewer(&later, nil)
	if bytes.Contains(later.Encode(), []byte(`"si"`)) {
		t.Errorf("a view for daemons of version 1 has %s", later.Encode())
	}
}

// Whoever asks changes nothing. Here the agreement is another one by now than at the last
// step, which a step would take.
func TestQuestionsChangeNothing(t *testing.T) {
	l := steered()
	d, f := newTestLoop(t, func(c *Config) { c.Look = func() *published.Look { return l } })
	d.Turn(t.Context(), time.Now())
	rec := (&model.Record{AutoMoves: []time.Time{time.Now()}}).WithActive(model.Decision{Epoch: 5, Active: "pxc-2"})
	f.Set(func(ag *cluster.Agreement) {
		ag.Fresh, ag.IsLeader, ag.Leader, ag.Term = false, true, "px0", 9
		ag.Record.Epoch, ag.Record.Value = 5, rec.Encode()
	})
	rules, last := d.mandate.rules, d.situation.Load()
	d.Situation().Input()
	d.Wanted()
	d.StateUUID()
	d.Cluster()
	d.TurnedWithin(time.Second)
	if d.mandate.rules != rules || d.situation.Load() != last || d.autoMoves.term != 0 || len(d.autoMoves.moves) != 0 {
		t.Errorf("asked, and changed: %+v %+v", d.mandate.rules, d.autoMoves.moves)
	}
	if hear(d); d.mandate.rules == rules {
		t.Error("a step changes nothing either: this test shows nothing")
	}
}
