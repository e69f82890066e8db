package admin

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
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
	if remote, ok := r.Context().Value(remoteKey{}).(string); ok {
		g.by = remote
	} else if _, _, err := net.SplitHostPort(g.by); err == nil || g.by == "@" {
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
func (s *Server) order(ctx context.Context, kind, what string) model.Order {
	if len(what) > maxWhat {
		what = what[:maxWhat-3] + "..."
	}
	what = strings.ToValidUTF8(what, "") // as the record gives it back: payOwed compares
	g := orderOf(ctx)
	return model.Order{
		Kind: kind, What: what, Reason: g.reason, OrderedBy: g.by, By: s.cfg.Name,
		At: s.cfg.Now().UTC().Truncate(time.Millisecond),
	}
}

// changeBy changes the record by an order that makes no decision, and notes the
// order with it. Where the record cannot keep it yet it is told here alone.
func (s *Server) changeBy(ctx context.Context, o model.Order, build func(*model.Record) (*model.Record, error)) error {
	changed, kept := false, false
	err := s.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
		next, err := build(sit.Record)
		if changed = err == nil && next != nil; !changed {
			return nil, false, err
		}
		kept = next.Speaks(2)
		return published.Noted(next, o, &sit.Agreement), false, nil
	})
	if err == nil && changed && !kept {
		s.cfg.Vote.Tell(s.cfg.Now(), &o)
	}
	return err
}

// tellDecision says here who ordered a decision, where the record does not keep it.
func (s *Server) tellDecision(ctx context.Context, kind, what string) {
	if !s.asked().Record.Speaks(2) {
		o := s.order(ctx, kind, what)
		s.cfg.Vote.Tell(s.cfg.Now(), &o)
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
