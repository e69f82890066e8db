package admin

import (
	"context"
	"fmt"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// openOn are the sessions that the proxies have to a node, as they last said.
func openOn(in *decide.Input, node string) *api.Open {
	o := &api.Open{Proxies: map[string]int{}}
	for _, v := range in.Voices {
		if v.View.Proxy != nil {
			n := v.View.Node(node).Sessions
			o.Proxies[v.Member] = n
			o.Sessions += n
		}
	}
	return o
}

// openLook is a look at which sessions of the active are in a transaction.
type openLook struct {
	node  string
	found chan found // one
}

// found is how many there are, -1 with why it is not known.
type found struct {
	n   int
	why string
}

// lookAtOpen begins the look when an order comes in, beside what is done for the order: a move
// must not wait for it, and what is to be closed is to be seen before that. A node that does
// not serve is not asked: it would not answer. The look ends by itself, soon; broken off with
// a refused order it would take the connection with it, which a drainer may be using.
func (s *Server) lookAtOpen(ctx context.Context) *openLook {
	l := &openLook{found: make(chan found, 1)}
	unknown := func(format string, args ...any) { l.found <- found{-1, fmt.Sprintf(format, args...)} }
	sit := s.cfg.Vote.Situation()
	if sit == nil || sit.Record == nil {
		unknown("nothing is decided yet")
		return l
	}
	l.node = sit.Record.Active
	switch own := sit.Own.Node(l.node); {
	case own.Verdict != model.Healthy:
		unknown("%s is not healthy as seen from %s", l.node, s.cfg.Name)
	case own.Lacks != "":
		unknown("%s needs %s", s.cfg.Name, own.Lacks)
	default:
		go func() {
			n, err := s.cfg.InTransaction(context.WithoutCancel(ctx), l.node)
			if err != nil {
				unknown("%v", err)
				return
			}
			l.found <- found{n: n}
		}()
	}
	return l
}

// tell puts what was found into the answer, and warns of what is closed at once.
func (l *openLook) tell(ctx context.Context, res *api.SetResponse) {
	o := res.Open
	if o == nil {
		return
	}
	is := found{-1, "another node was the active when it was looked"}
	if l.node == res.From {
		select {
		case is = <-l.found:
		case <-ctx.Done():
			is.why = res.From + " has not answered in time"
		}
	}
	o.InTransaction, o.Unknown = is.n, is.why
	if res.Drain != model.DrainImmediate || o.Sessions == 0 {
		return
	}
	res.Warnings = append(res.Warnings, res.ClosedAtOnce(o.Sessions))
}
