package control

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/lograte"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// maxWhat bounds what an order in the record is about: the names of voters.
const maxWhat = 200

type orderKey struct{}

// giver is who gives an order, "ana (uid 1000)", and why; "" where it is not known.
type giver struct{ by, reason string }

// withOrder is the request's context with who sent it, which the admin socket's
// connection says instead of an address (an address is nobody), and with the reason
// that the order in its body has. A reason that cannot be shown is an error.
func withOrder(r *http.Request, body any) (context.Context, error) {
	g := giver{by: r.RemoteAddr}
	if _, _, err := net.SplitHostPort(g.by); err == nil || g.by == "@" {
		g.by = ""
	}
	if o, ok := body.(interface{ Why() string }); ok {
		g.reason = o.Why()
	}
	return context.WithValue(r.Context(), orderKey{}, g), api.CheckReason(g.reason)
}

func orderOf(ctx context.Context) giver {
	g, _ := ctx.Value(orderKey{}).(giver)
	return g
}

// order is what is ordered now, through this member.
func (d *Daemon) order(ctx context.Context, kind, what string) model.Order {
	if len(what) > maxWhat {
		what = what[:maxWhat-3] + "..."
	}
	what = strings.ToValidUTF8(what, "") // as the record gives it back: payOwed compares
	g := orderOf(ctx)
	return model.Order{
		Kind: kind, What: what, Reason: g.reason, OrderedBy: g.by, By: d.cfg.Name,
		At: d.clock.now().UTC().Truncate(time.Millisecond),
	}
}

// noted is next with the order, as of the revision that it is proposed as.
func noted(next *model.Record, o model.Order, ag *cluster.Agreement) *model.Record {
	o.Recovery, o.Revision = ag.Record.Recovery, ag.Record.Revision+1
	return next.WithOrder(o)
}

// changeBy changes the record by an order that makes no decision, and notes the
// order with it. Where the record cannot keep it yet it is told here alone.
func (d *Daemon) changeBy(ctx context.Context, o model.Order, build func(*model.Record) (*model.Record, error)) error {
	changed, kept := false, false
	err := d.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
		next, err := build(sit.Record)
		if changed = err == nil && next != nil; !changed {
			return nil, false, err
		}
		kept = next.Speaks(2)
		return noted(next, o, &sit.Agreement), false, nil
	})
	if err == nil && changed && !kept {
		d.tell(d.clock.now(), &o)
	}
	return err
}

// tell says who ordered what, in the log and among the events.
func (d *Daemon) tell(now time.Time, o *model.Order) {
	lograte.Always(d.log).Info("order", "kind", o.Kind, "what", o.What, "ordered_by", o.OrderedBy, "by", o.By, "reason", o.Reason)
	d.events.Add(now, "order: "+o.Words()+" through "+o.By+said(o))
}

// tellDecision says here who ordered a decision, where the record does not keep it.
func (d *Daemon) tellDecision(ctx context.Context, kind, what string) {
	if !d.asked().Record.Speaks(2) {
		o := d.order(ctx, kind, what)
		d.tell(d.clock.now(), &o)
	}
}

// said is who and why, for the end of a sentence.
func said(o *model.Order) string {
	s := ""
	if o.OrderedBy != "" {
		s = ", ordered by " + o.OrderedBy
	}
	if o.Reason != "" {
		s += ": " + o.Reason
	}
	return s
}

// followOrders tells the orders that came with this record since the one before.
// What a daemon finds when it starts is told by its history alone.
func (d *Daemon) followOrders(before cluster.Version, rec *model.Record, now time.Time) {
	if before == (cluster.Version{}) {
		return
	}
	for _, o := range slices.Backward(rec.Orders) {
		if o.Recovery > before.Recovery || o.Recovery == before.Recovery && o.Revision > before.Revision {
			d.tell(now, &o)
		}
	}
}

// owed are orders about the register itself, not in the record yet: there may be no
// record, no majority, or one that cannot keep them.
type owed struct {
	mu     sync.Mutex    // guards what follows
	orders []model.Order // oldest first
}

// owe keeps an order for the record.
func (d *Daemon) owe(o model.Order) {
	d.owed.mu.Lock()
	defer d.owed.mu.Unlock()
	d.owed.orders = append(d.owed.orders, o)
	if n := len(d.owed.orders); n > model.MaxOrders {
		d.owed.orders = d.owed.orders[n-model.MaxOrders:]
	}
	nudge.Send(d.wakeV)
}

// payOwed puts the oldest order that is owed into the record once that can keep it.
func (d *Daemon) payOwed(ctx context.Context, s *started, ag *cluster.Agreement, rec *model.Record) {
	if !ag.Fresh || !rec.Speaks(2) {
		return
	}
	d.owed.mu.Lock()
	d.owed.orders = slices.DeleteFunc(d.owed.orders, func(o model.Order) bool {
		return slices.ContainsFunc(rec.Orders, func(in model.Order) bool {
			return in.Kind == o.Kind && in.What == o.What && in.By == o.By && in.At.Equal(o.At)
		})
	})
	var next *model.Record
	if len(d.owed.orders) > 0 {
		next = noted(rec, d.owed.orders[0], ag)
	}
	d.owed.mu.Unlock()
	if next != nil {
		d.propose(ctx, s, ag, decide.Outcome{Propose: next, Reason: "an order is noted in the record"})
	}
}

// decisionOf is an entry of the history for people.
func decisionOf(x *model.Decision) api.Decision {
	return api.Decision{
		Recovery: x.Recovery, Epoch: x.Epoch, Active: x.Active, From: x.From, Kind: x.Kind, Reason: x.Reason, By: x.By, At: x.At,
		OrderedBy: x.OrderedBy,
	}
}

func ordersOf(list []model.Order) []api.Order {
	out := make([]api.Order, 0, len(list))
	for _, o := range list {
		out = append(out, api.Order{Kind: o.Kind, What: o.What, Reason: o.Reason, OrderedBy: o.OrderedBy, By: o.By, At: o.At})
	}
	return out
}
