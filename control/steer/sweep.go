package steer

import (
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

const (
	// sweeps is how often the node that was left is swept after a decision:
	// connections that matched it before the tables moved can land late.
	sweeps = 3
	// sweepEvery is the time between two sweeps.
	sweepEvery = 100 * time.Millisecond
)

// sweep closes, right after a decision, what is still on its way to the node
// that was left. HAProxy waits up to a second before each of its `retries` to a
// server that refuses (back_handle_st_cer in src/backend.c), keeps the client
// waiting as long, and counts such a connection in no number of sessions that
// the plan could see; `shutdown sessions server` ends it all the same.
type sweep struct {
	of   model.Epoch
	left int
	next time.Time
}

// actions returns the commands that are due. It begins when new connections go
// to the active (or a client would come straight back), and a daemon that starts
// sweeps nothing: the decision is an old one.
func (s *sweep) actions(now time.Time, want mandate.Want, backends []plan.Backend, r *plan.Result) []plan.Action {
	decision := want.Epoch()
	if decision != s.of {
		s.left = sweeps
		if s.of == (model.Epoch{}) {
			s.left = 0
		}
		s.of, s.next = decision, now
	}
	if s.left == 0 || want.Left == "" || want.Left == want.Active || !r.Converged || !r.Usable || now.Before(s.next) {
		return nil
	}
	s.left--
	s.next = now.Add(sweepEvery)
	return closing(backends, r, "the decision has left "+want.Left, want.Left)
}

// closing are the commands that close everything that is at a server, or at any for "", or on
// its way there, besides what is to be closed already.
func closing(backends []plan.Backend, r *plan.Result, why, server string) []plan.Action {
	var out []plan.Action
	for i := range backends {
		for _, s := range backends[i].Servers {
			if (server == "" || s.Name == server) && !closes(r.Actions, backends[i].Name, s.Name) {
				out = append(out, plan.Action{Op: plan.OpClose, Backend: backends[i].Name, Server: s.Name, Why: why})
			}
		}
	}
	return out
}

// closesAny tells whether sessions to a node are to be closed in any backend.
func closesAny(actions []plan.Action, server string) bool {
	return slices.ContainsFunc(actions, func(a plan.Action) bool { return a.Op == plan.OpClose && a.Server == server })
}

func closes(actions []plan.Action, backend, server string) bool {
	return slices.ContainsFunc(actions, func(a plan.Action) bool {
		return a.Op == plan.OpClose && a.Backend == backend && a.Server == server
	})
}
