package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// Bounds of a planned move.
const (
	// defaultDrain is for a drain that was asked for, defaultAuto for one that was not: who
	// says nothing does not want to wait for long.
	defaultDrain   = 10 * time.Second
	defaultAuto    = 5 * time.Second
	defaultMaxHold = 2 * time.Second
	// longestHold is shorter than MySQL's connect_timeout (10 s), which ends the
	// placeholder that keeps new connections waiting.
	longestHold = 5 * time.Second
)

// moveRequest reads what is asked for of a move, and names what makes no sense.
func moveRequest(req *api.SetRequest) (decide.Request, *api.Error) {
	bad := func(format string, args ...any) (decide.Request, *api.Error) {
		return decide.Request{}, &api.Error{Code: api.CodeBadRequest, Message: fmt.Sprintf(format, args...)}
	}
	r := decide.Request{
		Node: req.Node, Force: req.Force, Drain: cmp.Or(req.Drain, model.DrainAuto), Hold: req.Hold, Keep: req.Keep,
		Timeout: time.Duration(req.TimeoutMS) * time.Millisecond, MaxHold: cmp.Or(time.Duration(req.MaxHoldMS)*time.Millisecond, defaultMaxHold),
	}
	auto := r.Drain == model.DrainAuto
	if r.Timeout == 0 {
		if r.Timeout = defaultDrain; auto {
			r.Timeout = defaultAuto
		}
	}
	if auto && req.LocalOnly {
		r.Drain = model.DrainImmediate // there is nothing to choose
	}
	switch {
	case !auto && !slices.Contains(model.Drains, r.Drain):
		return bad("drain %q: give auto, immediate, graceful or transactions", req.Drain)
	case r.Timeout < 0 || r.Timeout > 24*time.Hour:
		return bad("timeout %v: give 1ms to 24h", r.Timeout)
	case r.MaxHold < 100*time.Millisecond || r.MaxHold > longestHold:
		return bad("max hold %v: give 100ms to %v", r.MaxHold, longestHold)
	case req.MaxHoldMS != 0 && !req.Hold:
		return bad("a longest hold without a hold: give hold too")
	case req.Keep && !r.Planned():
		return bad("keep rolls a drain back, and there is none: give drain or hold too")
	case req.Keep && auto && req.Force:
		return bad("keep rolls a drain back, and force waits for none: give drain too")
	case req.LocalOnly && r.Planned():
		return bad("local-only moves one proxy at once: it can neither drain nor hold")
	}
	return r, nil
}

// setActive is `active set`.
func (s *Server) setActive(ctx context.Context, req api.SetRequest) (any, error) {
	if req.Node == "" {
		return nil, &api.Error{Code: api.CodeBadRequest, Message: "which node? give its name as in haproxy.cfg"}
	}
	want, bad := moveRequest(&req)
	if bad != nil {
		return nil, bad
	}
	want.By, want.Owner = "an operator through "+s.cfg.Name, s.cfg.Name
	want.OrderedBy, want.Reason = orderOf(ctx).by, req.Reason
	if req.LocalOnly {
		return s.setLocal(ctx, &req)
	}
	open := s.lookAtOpen(ctx)
	res := api.SetResponse{DryRun: req.DryRun, To: req.Node}
	planned := false
	err := s.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
		at := sit.Agreement.Record.Epoch
		if req.ExpectEpoch != 0 && req.ExpectEpoch != at {
			return nil, false, s.lost(sit)
		}
		in, r := sit.Input(), want
		res.From, res.Epoch, res.Warnings = sit.Record.Active, at, nil
		res.Votes = decide.Votes(in, req.Node)
		res.DrainWhy = "it was asked for"
		if r.Drain == model.DrainAuto {
			r.Drain, res.DrainWhy = decide.Auto(in, &r)
		}
		out, warnings, err := decide.Operator(in, r)
		var no *decide.RefusedError
		if errors.As(err, &no) {
			e := refused("%s", no.Error())
			e.Candidates = no.Candidates
			return nil, false, e
		}
		if err != nil {
			return nil, false, err
		}
		res.Warnings = warnings
		if out.Propose == nil {
			res.DrainWhy = ""
			return nil, false, nil
		}
		if not := decide.NotFollowing(in, req.Node); len(not) > 0 {
			if !req.Force {
				return nil, false, refused("not every proxy could follow, so the move could leave two writers: %s; --force moves all the same", join(not))
			}
			for _, n := range not {
				res.Warnings = append(res.Warnings, n+": until it follows there may be two writers")
			}
		}
		planned = out.Propose.Move != nil
		res.Drain, res.TimeoutMS = model.DrainImmediate, 0
		if planned {
			res.Drain, res.TimeoutMS = out.Propose.Move.Drain, out.Propose.Move.Bound().Milliseconds()
		} else if r.Drain != model.DrainImmediate {
			res.DrainWhy = res.From + " is down"
		}
		res.Open = openOn(in, res.From)
		if req.DryRun {
			return nil, false, nil
		}
		res.Changed = true
		return out.Propose, out.NewEpoch, nil
	})
	if err != nil {
		return nil, err
	}
	if res.Changed {
		res.Epoch++
		s.tellDecision(ctx, "set", req.Node)
		if !planned {
			s.cfg.Vote.AtOnce(&api.Move{
				Recovery: s.asked().Agreement.Record.Recovery, Epoch: res.Epoch, From: res.From, To: res.To,
				Drain: res.Drain, State: api.MoveClosing, Proxies: []api.MoveProxy{},
			})
			s.cfg.Vote.Renew()
		}
	}
	open.tell(ctx, &res)
	now := s.asked()
	res.Active = now.active()
	if res.Changed && planned {
		m := now.move()
		res.Move = &m
	}
	return res, nil
}
