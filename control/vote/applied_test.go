package vote

import (
	"context"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// appliedInspector says what a node has applied.
type appliedInspector struct {
	drain.NodeInspector
	seqno func() int64
}

func (a *appliedInspector) Applied(context.Context) (int64, error) { return a.seqno(), nil }

// heldMove is a daemon that leads, with a hold from pxc-0 to pxc-1 in the record and
// everybody done with it.
func heldMove(t *testing.T, seqno func(node string) int64) (*Loop, *clustertest.Cluster) {
	d, f := newTestLoop(t)
	d.cfg.Inspectors.Dial = func(n galera.Target) (drain.NodeInspector, error) {
		return &appliedInspector{seqno: func() int64 { return seqno(n.Name) }}, nil
	}
	rec := f.Record(t)
	rec.Move = &model.Move{From: "pxc-0", To: "pxc-1", Hold: true, Drain: model.DrainImmediate, Phase: model.PhaseDrain, TimeoutMS: 60_000, MaxHoldMS: 60_000}
	f.Set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader, ag.Record.Value = true, "px0", rec.Encode() })
	f.Nearby = []cluster.Member{{Name: "px0", Self: true, Witness: true}, {Name: "px1"}, {Name: "px2"}}
	word := clustertest.HealthyView()
	word.Proxy.Move = &model.MoveView{Epoch: 4, Done: true, Held: true}
	f.Say("px1", 0, word)
	f.Say("px2", 0, word)
	return d, f
}

// wait turns the vote loop until done.
func wait(t *testing.T, d *Loop, what string, done func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for !done() {
		d.Turn(t.Context(), time.Now())
		select {
		case <-deadline:
			t.Fatalf("%s: %q", what, d.Situation().Turn)
		case <-d.wake:
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A hold ends when the new node has applied what the old one committed last.
func TestHoldEndsWhenApplied(t *testing.T) {
	behind := make(chan struct{})
	d, f := heldMove(t, func(node string) int64 {
		select {
		case <-behind:
			return 100
		default:
			return map[string]int64{"pxc-0": 100, "pxc-1": 99}[node]
		}
	})
	for range 5 {
		d.Turn(t.Context(), time.Now())
	}
	if f.Record(t).Move == nil {
		t.Fatal("released before the new node has applied everything")
	}
	close(behind)
	wait(t, d, "never released", func() bool { return f.Record(t).Move == nil })
}

// What a leader found out is not true any more once it has ceased to lead: what
// was committed on the old node since, nobody has looked at.
func TestAppliedIsForgottenByWhoDoesNotLead(t *testing.T) {
	d, f := heldMove(t, func(string) int64 { return 100 })
	epoch := model.Epoch{N: 4}
	f.OnPropose = func(cluster.Command) error { return context.DeadlineExceeded } // the move stays
	wait(t, d, "never applied", func() bool { return d.applied.yes(epoch) })
	f.Set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = false, "px1" })
	d.Turn(t.Context(), time.Now())
	if d.applied.yes(epoch) {
		t.Error("it would release on this when it leads again")
	}
}

// The same where a proxy has a session to the old node again.
func TestAppliedIsForgottenWithANewSession(t *testing.T) {
	d, f := heldMove(t, func(string) int64 { return 100 })
	epoch := model.Epoch{N: 4}
	f.OnPropose = func(cluster.Command) error { return context.DeadlineExceeded }
	wait(t, d, "never applied", func() bool { return d.applied.yes(epoch) })
	word := clustertest.HealthyView()
	word.Proxy.Move = &model.MoveView{Epoch: 4, Left: 1, Held: true}
	f.Say("px1", 0, word)
	d.Turn(t.Context(), time.Now())
	if d.applied.yes(epoch) {
		t.Error("the session may commit, and nobody looks again")
	}
}
