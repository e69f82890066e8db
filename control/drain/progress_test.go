package drain

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// draining is one proxy's progress with a transactions drain from a to b.
type draining struct {
	g       Progress
	want    mandate.Want
	now     time.Time
	started int
	ended   int
	refuse  error
}

func newDraining() *draining {
	return &draining{now: time.Now(), want: mandate.Want{
		Known: true, MayWrite: true, Active: "b", Version: cluster.Version{Epoch: 7, Revision: 1},
		Move: &model.Move{From: "a", To: "b", Drain: model.DrainTransactions, Phase: model.PhaseDrain, TimeoutMS: 10_000},
	}}
}

// look says that n sessions to the old node are open.
func (d *draining) look(n int, converged, held bool) *model.MoveView {
	d.now = d.now.Add(20 * time.Millisecond)
	d.g.Note(d.now, &Seen{Want: d.want, Left: n, Converged: converged, Held: held}, func() (context.CancelFunc, error) {
		if d.refuse != nil {
			return nil, d.refuse
		}
		d.started++
		return func() { d.ended++ }, nil
	})
	return d.g.Report()
}

func TestProgressCounts(t *testing.T) {
	d := newDraining()
	epoch := model.Epoch{N: 7}
	if v := d.look(10, false, false); v.Began != 10 || d.started != 0 {
		t.Errorf("drained before new connections go elsewhere: %+v, %d", v, d.started)
	}
	d.look(10, true, false)
	for range 4 {
		d.g.drained(epoch)
	}
	d.g.drained(model.Epoch{N: 6}) // a drainer of another move
	if v := d.look(5, true, false); v.Drained != 4 || v.Finished != 1 || v.Killed != 0 || v.Left != 5 || v.Done {
		t.Errorf("4 drained, 1 ended by itself, 5 left: %+v", v)
	}
	// The time is over; the drainer closed one more since the last look.
	d.g.drained(epoch)
	d.want.Move.Phase = model.PhaseClose
	if v := d.look(2, true, false); v.Drained != 5 || v.Killed != 2 || v.Finished != 1 {
		t.Errorf("a drained session was counted as killed too: %+v", v)
	}
	if d.ended != 1 {
		t.Errorf("the drainer goes on after the time is over: %d", d.ended)
	}
	v := d.look(0, true, false)
	if v.Done {
		t.Error("one look without a session is not enough: another may be on its way")
	}
	if v = d.look(0, true, false); !v.Done || v.Began != v.Drained+v.Finished+v.Killed {
		t.Errorf("%+v", v)
	}
	if v = d.look(1, true, false); v.Done {
		t.Error("done with a session that came late")
	}
}

// A proxy that may not write does what nobody knows: it has neither done its part
// of the move nor holds it anybody.
func TestProgressWithoutAMajorityIsNotDone(t *testing.T) {
	d := newDraining()
	d.want.Move.Hold, d.want.Move.MaxHoldMS = true, 2000
	for range 3 {
		d.look(0, true, true)
	}
	if v := d.g.Report(); !v.Done || !v.Held {
		t.Fatalf("%+v", v)
	}
	d.want.MayWrite, d.want.Why = false, "no majority"
	if v := d.look(0, true, true); v.Done || v.Held || v.Problem != "no majority" {
		t.Errorf("the leader would end the move on this: %+v", v)
	}
	d.want.MayWrite = true
	if v := d.look(0, true, true); v.Done {
		t.Error("done on the looks from before")
	}
}

// Whatever ends a move, its report does not go on saying that connections wait.
func TestProgressHeldEndsWithTheMove(t *testing.T) {
	for _, epoch := range []uint64{7, 8} {
		d := newDraining()
		d.look(3, true, true)
		d.want.Move, d.want.Version.Epoch = nil, epoch
		if v := d.look(3, true, false); v.Held || v.Epoch != 7 {
			t.Errorf("epoch %d: %+v", epoch, v)
		}
		if d.ended != 1 {
			t.Errorf("epoch %d: the drainer goes on", epoch)
		}
	}
}

// What keeps the drainer from its work is said, and tried again.
func TestProgressTriesTheDrainerAgain(t *testing.T) {
	d := newDraining()
	d.refuse = errors.New("the password file cannot be read")
	d.look(3, true, false)
	if v := d.look(3, true, false); v.Problem != d.refuse.Error() {
		t.Errorf("%+v", v)
	}
	d.refuse = nil
	d.look(3, true, false)
	if v := d.look(3, true, false); v.Problem != "" || d.started != 1 {
		t.Errorf("%+v, started %d times", v, d.started)
	}
}

// A leader of a version that knows of no moves ends none: the proxies close what
// is left by themselves.
func TestDrainEndsByItself(t *testing.T) {
	w := newDraining().want
	w.MoveAge = w.Move.Bound() + mandate.DrainGrace - time.Millisecond
	if w.Draining() != "a" {
		t.Error("not draining while a leader may still end it")
	}
	w.MoveAge += time.Millisecond
	if w.Draining() != "" {
		t.Error("draining for ever")
	}
}

// Where new connections are to wait, nobody is closed before they do: he would be back at once, on either node.
func TestProgressWaitsForTheHold(t *testing.T) {
	d := newDraining()
	d.want.Move.Hold, d.want.Move.MaxHoldMS = true, 2000
	if d.look(2, true, false); d.started != 0 {
		t.Error("sessions are closed although new connections do not wait yet")
	}
	if d.look(2, true, true); d.started != 1 {
		t.Errorf("new connections wait, and %d drainers have begun", d.started)
	}
}

// What is closed because the time is over is counted by what the last pass has seen of it.
func TestProgressSaysWhatWasCut(t *testing.T) {
	epoch := model.Epoch{N: 7}
	for _, c := range []struct {
		name         string
		passes       func(*Progress)
		trx, unknown int
	}{
		{"two in a transaction, one not in the process list", func(g *Progress) { g.found(epoch, 2, 1, 0); g.problem(epoch, "") }, 2, 1},
		{"a pass that failed tells nothing", func(g *Progress) { g.found(epoch, 2, 0, 0); g.problem(epoch, "no answer") }, 0, 5},
		{"no pass at all", func(*Progress) {}, 0, 5},
	} {
		d := newDraining()
		d.look(5, true, false)
		c.passes(&d.g)
		d.look(5, true, false)
		d.want.Move.Phase = model.PhaseClose
		d.look(5, true, false)
		d.g.found(epoch, 0, 0, 0) // a pass that was under way, and looked when they were closed
		d.g.problem(epoch, "")
		for range 3 {
			d.look(0, true, false)
		}
		if v := d.g.Report(); !v.Tells || v.Killed != 5 || v.KilledTrx != c.trx || v.KilledUnknown != c.unknown {
			t.Errorf("%s: %+v", c.name, v)
		}
		if v := d.look(1, true, false); v.Done {
			t.Error("done with a session that came late")
		}
		if v := d.look(0, true, false); v.Killed != 6 || v.KilledUnknown != c.unknown+1 {
			t.Errorf("%s: nobody has looked at the one that came late: %+v", c.name, v)
		}
	}
}

// The time with two nodes is from before the first connection to the new one until none is
// left on the old one; the hold's own connection is nobody's.
func TestProgressMeasuresBoth(t *testing.T) {
	type seen struct {
		left  int
		total int64
		held  bool
	}
	for _, c := range []struct {
		name      string
		looks     []seen // 20 ms apart
		now, gone int64
	}{
		{"the new one first", []seen{{5, 100, false}, {5, 100, false}, {4, 103, false}, {2, 110, false}, {0, 120, false}, {0, 130, false}}, 20, 80},
		{"nobody has come", []seen{{5, 100, false}, {0, 100, false}, {0, 100, false}}, 0, 20},
		{"nobody was there", []seen{{0, 100, false}, {0, 105, false}, {0, 105, false}}, 1, 0},
		{"one came late to the old one", []seen{{5, 0, false}, {0, 1, false}, {1, 2, false}, {0, 3, false}}, 1, 60},
		{"held", []seen{{5, 100, false}, {5, 101, true}, {0, 101, true}, {0, 101, true}}, 0, 40},
		{"HAProxy was restarted", []seen{{5, 100, false}, {5, 0, false}, {5, 1, false}, {0, 2, false}}, 20, 60},
	} {
		d := newDraining()
		d.want.Move.Hold, d.want.Move.MaxHoldMS = c.looks[1].held, 2000
		for _, s := range c.looks {
			d.now = d.now.Add(20 * time.Millisecond)
			d.g.Note(d.now, &Seen{Want: d.want, Left: s.left, Total: s.total, Converged: true, Held: s.held}, func() (context.CancelFunc, error) { return func() {}, nil })
		}
		if v := d.g.Report(); v.NewMS != c.now || v.GoneMS != c.gone {
			t.Errorf("%s: the first after %d ms, the last gone after %d; want %d, %d", c.name, v.NewMS, v.GoneMS, c.now, c.gone)
		}
	}
}

// A move that waits for nobody is reported by who has seen the decision come, once.
func TestProgressAtOnce(t *testing.T) {
	d := newDraining()
	d.want.Move, d.want.Left, d.want.Asked = nil, "a", true
	if v := d.look(5, true, false); v != nil {
		t.Fatalf("a decision from before this process: %+v", v)
	}
	d.want.Version.Epoch++
	d.want.MayWrite = false
	d.look(5, true, false)
	d.want.MayWrite = true
	if v := d.look(5, false, false); v == nil || v.Epoch != 8 || v.Began != 5 || v.Done {
		t.Fatalf("%+v", v)
	}
	for range 3 {
		d.look(0, true, false)
	}
	if v := d.look(2, true, false); !v.Done || v.Killed != 5 || v.KilledUnknown != 5 || v.Left != 0 || v.GoneMS != 20 {
		t.Errorf("what is opened later is no part of it: %+v", v)
	}
	d.want.Version.Epoch++
	d.want.Asked = false // a failover
	if v := d.look(3, true, false); v.Epoch != 8 || d.started != 0 {
		t.Errorf("%+v", v)
	}
}
