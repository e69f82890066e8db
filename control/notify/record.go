package notify

import (
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// At is a record with its version.
type At struct {
	*model.Record
	Recovery, Epoch, Revision uint64
}

// Committed are the events that lie between two records, oldest first. A record in between may have been missed: its decisions and
// orders are in the history of the later one. Before the first record that a member knows (before is nil) they are those of the
// last Recent by their own times: a daemon that was started again need not tell the whole history.
func Committed(before *At, after At, now time.Time) []Event {
	d := differ{before: before, after: after, now: now}
	d.orders()
	d.decisions()
	d.move()
	d.eviction()
	slices.SortStableFunc(d.out, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return d.out
}

func epochOf(d *model.Decision) model.Epoch { return model.Epoch{Recovery: d.Recovery, N: d.Epoch} }

// Recent is how old an event may be that is told again by the next leader.
const Recent = time.Minute

type differ struct {
	before *At
	after  At
	now    time.Time
	out    []Event
}

// add appends an event. Its id is made of what every member derives alike, whatever records it has missed: which is the epoch of a
// decision and the revision of an order.
func (d *differ) add(id any, subject string, at time.Time, data Data) {
	d.out = append(d.out, event(fmt.Sprintf("%d.%v.%s", data.Recovery, id, data.Kind), "/haproxyd/cluster/"+d.after.StateUUID, subject, at, data))
}

// recent tells whether something of the past is to be told by a member that knew no record before.
func (d *differ) recent(at time.Time) bool { return d.now.Sub(at).Abs() <= Recent }

func (d *differ) orders() {
	for i := len(d.after.Orders) - 1; i >= 0; i-- {
		o := &d.after.Orders[i]
		known := d.before != nil && slices.ContainsFunc(d.before.Orders, func(b model.Order) bool { return b.Recovery == o.Recovery && b.Revision == o.Revision })
		if known || d.before == nil && !d.recent(o.At) {
			continue
		}
		kind := KindOrder
		switch o.Kind {
		case model.OrderFreeze:
			kind = KindFrozen
		case model.OrderUnfreeze:
			kind = KindUnfrozen
		}
		data := Data{Kind: kind, Text: o.Words() + " through " + o.By + o.Said(), Order: o.Kind, By: o.By, OrderedBy: o.OrderedBy, Recovery: o.Recovery, Revision: o.Revision}
		subject := o.What
		if o.Kind == model.OrderExclude || o.Kind == model.OrderInclude {
			data.Node = o.What
		}
		d.add(fmt.Sprintf("r%d", o.Revision), subject, o.At, data)
	}
	// What froze by itself (--max-auto-moves) has no order.
	if d.before != nil && d.after.Frozen && !d.before.Frozen && !slices.ContainsFunc(d.out, func(e Event) bool { return e.Data.Kind == KindFrozen }) {
		d.add(fmt.Sprintf("r%d", d.after.Revision), "", d.now, Data{Kind: KindFrozen, Text: "frozen: " + d.after.FrozenWhy, Recovery: d.after.Recovery, Revision: d.after.Revision})
	}
}

// kindOf is the event of a decision.
func kindOf(decision string) string {
	switch decision {
	case model.KindFailover, model.KindFollow:
		return KindFailover
	case model.KindRollback:
		return KindMoveRolledBack
	case model.KindAdopt, model.KindNative:
		return KindAdopted
	}
	return KindMoveBegun
}

func (d *differ) decisions() {
	for i := len(d.after.History) - 1; i >= 0; i-- {
		h := &d.after.History[i]
		if d.before != nil {
			if last := d.before.Last(); !epochOf(&last).Before(epochOf(h)) {
				continue
			}
		} else if !d.recent(h.At) {
			continue
		}
		data := Data{Kind: kindOf(h.Kind), Node: h.Active, From: h.From, By: h.By, OrderedBy: h.OrderedBy, Recovery: h.Recovery, Epoch: h.Epoch}
		before := ""
		if h.From != "" && h.From != h.Active {
			before = ", before " + h.From
		}
		data.Text = fmt.Sprintf("the active is %s%s: %s", h.Active, before, h.Reason)
		d.add(h.Epoch, h.Active, h.At, data)
		if data.Kind == KindMoveBegun && (i > 0 || d.after.Move == nil) {
			d.ended(h)
		}
	}
}

// move tells that nobody is waited for any more, of the last decision's move.
func (d *differ) move() {
	last := d.after.Last()
	if d.before == nil || d.before.Move == nil || d.after.Move != nil {
		return
	}
	if was := d.before.Last(); epochOf(&was) == epochOf(&last) && kindOf(last.Kind) == KindMoveBegun {
		d.ended(&last)
	}
}

func (d *differ) ended(h *model.Decision) {
	d.add(h.Epoch, h.Active, d.now, Data{Kind: KindMoveEnded, Node: h.Active, From: h.From, Recovery: h.Recovery, Epoch: h.Epoch, By: h.By, OrderedBy: h.OrderedBy,
		Text: fmt.Sprintf("the move from %s to %s is over", h.From, h.Active)})
}

func (d *differ) eviction() {
	e := d.after.Evict
	if e == nil || e.Found || d.before != nil && e.Same(d.before.Evict) || d.before == nil && !d.recent(e.At) {
		return
	}
	d.add(e.UUID, e.Node, e.At, Data{Kind: KindEviction, Node: e.Node, By: e.Owner, Recovery: d.after.Recovery, Epoch: d.after.Epoch, Text: e.Node + " is evicted from Galera's view: " + e.Reason})
}
