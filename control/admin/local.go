package admin

import (
	"context"
	"slices"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// setLocal is the break-glass: this proxy alone, without a majority.
func (s *Server) setLocal(ctx context.Context, req *api.SetRequest) (any, error) {
	topo := s.cfg.Files.Topology()
	switch {
	case s.cfg.Vote.Cluster() == nil || topo == nil:
		return nil, s.unstarted()
	case s.cfg.Witness:
		return nil, refused("a witness has no proxy to force")
	case s.cfg.Observe:
		return nil, refused("this daemon only observes (--observe): it never writes")
	case !slices.Contains(haproxycfg.Order(topo), req.Node):
		return nil, refused("%s is not a node of this configuration", req.Node)
	}
	sit := s.cfg.Vote.Renew()
	switch {
	case sit.Agreement.Fresh:
		return nil, refused("there is a majority: ask it (haproxyctl active set %s)", req.Node)
	case sit.Unread != nil:
		return nil, sit.Unread
	}
	res := api.SetResponse{
		DryRun: req.DryRun, To: req.Node, Epoch: sit.Agreement.Record.Epoch, Drain: model.DrainImmediate, DrainWhy: "--local-only waits for nobody",
		Warnings: []string{"other proxies may write elsewhere: give the same order to each that you can reach; it ends when a majority returns"},
	}
	if sit.Record != nil {
		res.From = sit.Record.Active
	}
	if n := sit.Own.Node(req.Node); n.Verdict == model.Down {
		if !req.Force {
			return nil, refused("%s is down as seen from here (%s); --force sends this proxy there all the same", req.Node, n.Reason)
		}
		res.Warnings = append(res.Warnings, req.Node+" is down as seen from here: "+n.Reason)
	}
	if !req.DryRun {
		o := s.order(ctx, "set --local-only", req.Node)
		s.cfg.Log.Warn("an operator forced this proxy, without a majority", "node", req.Node, "ordered_by", o.OrderedBy, "reason", o.Reason)
		s.cfg.Events.Add(s.cfg.Now(), "an operator forced "+req.Node+" on this proxy alone, without a majority"+o.Said())
		s.cfg.Vote.Hear(mandate.Facts{Order: req.Node})
		s.cfg.Vote.Renew()
		s.cfg.Wake()
		res.Changed = true
	}
	res.Active = s.asked().active()
	return res, nil
}
