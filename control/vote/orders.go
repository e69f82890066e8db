package vote

import (
	"context"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/lograte"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// Tell says who ordered what, in the log and among the events.
func (v *Loop) Tell(now time.Time, o *model.Order) {
	lograte.Always(v.cfg.Log).Info("order", "kind", o.Kind, "what", o.What, "ordered_by", o.OrderedBy, "by", o.By, "reason", o.Reason)
	v.cfg.Events.Add(now, "order: "+o.Words()+" through "+o.By+o.Said())
}

// followOrders tells the orders that came with this record since the one before.
// What a daemon finds when it starts is told by its history alone.
func (v *Loop) followOrders(before cluster.Version, rec *model.Record, now time.Time) {
	if before == (cluster.Version{}) {
		return
	}
	for _, o := range slices.Backward(rec.Orders) {
		if o.Recovery > before.Recovery || o.Recovery == before.Recovery && o.Revision > before.Revision {
			v.Tell(now, &o)
		}
	}
}

// Owe keeps an order about the register itself for the record: now there may be none, no
// majority, or one that cannot keep it.
func (v *Loop) Owe(o model.Order) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.owed = append(v.owed, o)
	if n := len(v.owed); n > model.MaxOrders {
		v.owed = v.owed[n-model.MaxOrders:]
	}
	v.Wake()
}

// payOwed puts the oldest order that is owed into the record once that can keep it.
func (v *Loop) payOwed(ctx context.Context, ag *cluster.Agreement, rec *model.Record) {
	if !ag.Fresh || !rec.Speaks(2) {
		return
	}
	v.mu.Lock()
	v.owed = slices.DeleteFunc(v.owed, func(o model.Order) bool {
		return slices.ContainsFunc(rec.Orders, func(in model.Order) bool {
			return in.Kind == o.Kind && in.What == o.What && in.By == o.By && in.At.Equal(o.At)
		})
	})
	var next *model.Record
	if len(v.owed) > 0 {
		next = published.Noted(rec, v.owed[0], ag)
	}
	v.mu.Unlock()
	if next != nil {
		v.propose(ctx, ag, decide.Outcome{Propose: next, Reason: "an order is noted in the record"})
	}
}
