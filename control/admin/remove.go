package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/vote"
)

// removeMember is `members remove`. A second time is no mistake: then nothing is
// changed. A name that nobody knows is, most likely a slip.
func (s *Server) removeMember(ctx context.Context, r api.MemberRequest) (any, error) {
	if r.Name == "" {
		return nil, &api.Error{Code: api.CodeBadRequest, Message: "which member? give its name as in `haproxyctl register status`"}
	}
	c := s.cfg.Vote.Cluster()
	if c == nil {
		return nil, s.unstarted()
	}
	ag := c.Agreement()
	noMajority := func(why string) *api.Error {
		return &api.Error{Code: api.CodeNoMajority, Message: "no majority, so no voter can be removed: " + why +
			"; if the others are gone for good, make those that are left the voters: haproxyctl register recover --voters NAME,..."}
	}
	voter := slices.ContainsFunc(ag.Voters, func(v cluster.VoterInfo) bool { return v.Name == r.Name })
	switch {
	case !ag.Fresh:
		return nil, noMajority(ag.Reason)
	case isLive(c, r.Name):
		return nil, stopInstead(r.Name)
	case !voter && !s.isKnown(c, r.Name):
		return nil, refused("%s is no voter, and nobody knows it: see the names in `haproxyctl register status`", r.Name)
	}
	switch err := c.Remove(ctx, r.Name); {
	case errors.Is(err, cluster.ErrAlive):
		return nil, stopInstead(r.Name)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, cluster.ErrNoMajority):
		return nil, noMajority("no answer from a majority in time")
	case err != nil:
		return nil, err
	}
	if err := waitRemoved(ctx, c, r.Name); err != nil {
		return nil, err
	}
	if voter {
		o := s.order(ctx, model.OrderRemove, r.Name)
		s.cfg.Log.Warn("an operator removed a voter that never comes back", "voter", r.Name, "ordered_by", o.OrderedBy, "reason", o.Reason)
		s.cfg.Events.Add(s.cfg.Now(), r.Name+" was removed from the voters: an operator says that it never comes back"+o.Said())
		s.cfg.Vote.Owe(o)
	}
	s.cfg.Vote.Renew()
	return api.RemoveResponse{Name: r.Name, Changed: voter, Register: s.asked().register()}, nil
}

// stopInstead refuses to remove what is alive: it would be admitted again.
func stopInstead(name string) *api.Error {
	return refused("%s is alive, or was seconds ago: stop its daemon cleanly instead (SIGTERM), then it leaves the voters by itself; if it has just died, try again in 10 s", name)
}

// isLive says that the gossip has the member, leaving or not.
func isLive(c vote.Cluster, name string) bool {
	return slices.ContainsFunc(c.Members(), func(m cluster.Member) bool {
		return m.Name == name && m.State != cluster.MemberGone
	})
}

// isKnown says that the name is a peer of haproxy.cfg, or was in the gossip
// within the last minute.
func (s *Server) isKnown(c vote.Cluster, name string) bool {
	topo := s.cfg.Files.Topology()
	return topo != nil && slices.Contains(haproxycfg.PeerNames(haproxycfg.InitialPeers(topo)), name) ||
		slices.ContainsFunc(c.Members(), func(m cluster.Member) bool { return m.Name == name })
}

// waitRemoved waits until this member knows of it, so that its answer tells.
func waitRemoved(ctx context.Context, c vote.Cluster, name string) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		voters := c.Agreement().Voters
		if !slices.ContainsFunc(voters, func(v cluster.VoterInfo) bool { return v.Name == name }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return &api.Error{Code: api.CodeUnknown, Message: "this member lags behind the voters; see `haproxyctl register status`"}
		case <-t.C:
		}
	}
}
