package admin

import (
	"context"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

func (s *Server) registerInit(ctx context.Context, r api.InitRequest) (any, error) {
	c := s.cfg.Vote.Cluster()
	if c == nil {
		return nil, s.unstarted()
	}
	if !r.Force {
		return nil, refused("the first start happens by itself when all initial voters are there; --force starts with those that are here now")
	}
	if err := c.InitForce(ctx); err != nil {
		return nil, refused("init: %v", err)
	}
	o := s.order(ctx, model.OrderInit, "")
	s.cfg.Log.Warn("an operator made the record by force, with the voters that were here", "ordered_by", o.OrderedBy, "reason", o.Reason)
	s.cfg.Events.Add(s.cfg.Now(), "the record was made by force, with the voters that were here"+o.Said())
	s.cfg.Vote.Owe(o)
	s.cfg.Vote.Renew()
	return s.asked().register(), nil
}

func (s *Server) registerRecover(ctx context.Context, r api.RecoverRequest) (any, error) {
	c := s.cfg.Vote.Cluster()
	if c == nil {
		return nil, s.unstarted()
	}
	if len(r.Voters) == 0 {
		return nil, &api.Error{Code: api.CodeBadRequest, Message: "which voters? give --voters NAME,... (live members, see `haproxyctl members`)"}
	}
	if err := c.Recover(ctx, r.Voters); err != nil {
		return nil, refused("recover: %v", err)
	}
	o := s.order(ctx, model.OrderRecover, join(r.Voters))
	s.cfg.Log.Warn("an operator recovered the record", "voters", join(r.Voters), "ordered_by", o.OrderedBy, "reason", o.Reason)
	s.cfg.Events.Add(s.cfg.Now(), "the record was recovered with the voters "+join(r.Voters)+o.Said())
	s.cfg.Vote.Owe(o)
	s.cfg.Vote.Renew()
	return s.asked().register(), nil
}
