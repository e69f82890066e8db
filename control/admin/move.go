package admin

import (
	"cmp"
	"context"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// move sums the last move up over all proxies.
func (a *answer) move() api.Move {
	if !a.Started {
		return api.Move{Proxies: []api.MoveProxy{}}
	}
	in := a.Input()
	m := published.Moved(a.Move, in)
	if a.Record == nil {
		return m
	}
	if a.Record.Move != nil && m.Pending() {
		m.WaitingFor = decide.Decide(in).Reason
	}
	if a.Record.Last().Kind != model.KindDeparture { // the vote loop watches what those cut
		m.Cut = cmp.Or(m.Cut, published.Cut(&m))
	}
	return m
}

// cancelMove rolls the pending move back.
func (s *Server) cancelMove(ctx context.Context, req api.CancelRequest) (any, error) {
	err := s.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
		if at, rec := sit.Agreement.Record.Epoch, sit.Record; req.Epoch != 0 && req.Epoch != at {
			return nil, false, refused("the move of epoch %d is not pending any more: epoch %d, the active is %s (%s)",
				req.Epoch, at, rec.Active, rec.Last().Reason)
		}
		out, err := decide.Cancel(sit.Input(), "an operator through "+s.cfg.Name)
		if err != nil {
			return nil, false, refused("%v", err)
		}
		out.Propose.History[0].OrderedBy = orderOf(ctx).by
		return out.Propose, out.NewEpoch, nil
	})
	if err != nil {
		return nil, err
	}
	s.tellDecision(ctx, "cancel", "")
	return s.asked().move(), nil
}
