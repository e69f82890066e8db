package decide

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// The new node of a pending move dies: back to the old one, whose sessions are
// still there, and not to the first in the configured order. That is the end of
// the move, and so allowed when no more automatic moves are.
func TestTheNewNodeDies(t *testing.T) {
	died := func() *Input {
		in := input("hdh", "hdh", "hdh")
		in.Record.Move = &model.Move{From: "pxc-2", To: "pxc-1", Phase: model.PhaseDrain, Drain: "transactions", Hold: true, MaxHoldMS: 2000}
		in.Policy.MaxAutoMoves = 1
		return in
	}
	in := died()
	in.Record.AutoMoves = []time.Time{at.Add(-time.Minute)}
	out := Decide(in)
	if got := ends(in, out); got != "pxc-2" || out.Propose.Last().Kind != model.KindRollback || out.Propose.Move != nil || len(out.Propose.AutoMoves) != 1 {
		t.Errorf("%s, %+v: %s", got, out.Propose, out.Reason)
	}
	if !strings.Contains(out.Reason, "pxc-1") || !strings.Contains(out.Reason, "down for 3 of 3") {
		t.Errorf("the reason: %s", out.Reason)
	}
	in = died()
	in.Voices[0] = voice("px0", "hdd") // the old one is worse than the first
	if out := Decide(in); out.Propose == nil || out.Propose.Active != "pxc-0" || out.Propose.Last().Kind != model.KindFailover {
		t.Errorf("the old node is not as good: %+v", out.Propose)
	}
}

func TestDue(t *testing.T) {
	hold := &model.Move{Hold: true, TimeoutMS: 10_000, MaxHoldMS: 2000}
	for _, d := range []struct {
		m         *model.Move
		age, want time.Duration
	}{
		{hold, 0, 1700 * time.Millisecond},
		{hold, 1800 * time.Millisecond, 50 * time.Millisecond},
		{hold, 1900 * time.Millisecond, 100 * time.Millisecond},
		{hold, 3 * time.Second, 0},
		{&model.Move{TimeoutMS: 1000}, 1500 * time.Millisecond, 500 * time.Millisecond},
	} {
		if got := Due(d.m, d.age); got != d.want {
			t.Errorf("%+v after %v: due in %v, want %v", d.m, d.age, got, d.want)
		}
	}
}
