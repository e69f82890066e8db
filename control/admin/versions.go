package admin

import (
	"context"
	"fmt"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// versionNotes are sentences on versions, for `register status`.
func (a *answer) versionNotes() []string {
	if a.Record == nil {
		return nil
	}
	out := decide.Unread(a.Record, published.Readers(a.Members))
	if _, why := a.Raise(); why != "" {
		out = append(out, why)
	}
	return out
}

// trustWarnings are what keeps the gossip from being as safe as it can be: nothing
// is wrong with the agreement, and somebody should see to it.
func (a *answer) trustWarnings() []string {
	var out []string
	sec := a.Security
	if len(sec.Plain) > 0 {
		out = append(out, "these still send to this daemon without encryption: "+join(sec.Plain))
	}
	_, why := a.Raise()
	switch {
	case !sec.Keyed || sec.ReplayProtected:
	case why != "":
		out = append(out, "packets that were recorded and are sent again later are not refused yet")
	default:
		out = append(out, fmt.Sprintf("packets that were recorded and are sent again later are not refused with --gossip-encrypt %s", sec.Mode))
	}
	if why != "" {
		out = append(out, why)
	}
	return out
}

// lowerVersion is `register lower-version`: older builds may take part again.
func (s *Server) lowerVersion(ctx context.Context, req api.LowerRequest) (any, error) {
	res := api.LowerResponse{Lowest: 1, DryRun: req.DryRun, Lost: []string{}}
	err := s.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
		rec := sit.Record
		next, lost := decide.Lower(rec)
		res.From, res.Lost, res.Changed = max(rec.Lowest, 1), append([]string{}, lost...), next != nil && !req.DryRun
		if req.DryRun {
			return nil, false, nil
		}
		return next, false, nil
	})
	if err != nil {
		return nil, err
	}
	if res.Changed {
		o := s.order(ctx, "lower-version", "")
		s.cfg.Log.Warn("an operator lowered the record's lowest version: older daemons may take part again", "from", res.From, "to", res.Lowest, "ordered_by", o.OrderedBy)
		s.cfg.Events.Add(s.cfg.Now(), fmt.Sprintf("the lowest version was lowered from %d to %d by an operator", res.From, res.Lowest)+o.Said())
	}
	res.Register = s.asked().register()
	return res, nil
}

// raiseVersion is `register raise-version`: it takes lowerVersion's hold back. The
// lowest version then rises by itself, once every member reads a later one.
func (s *Server) raiseVersion(ctx context.Context, _ struct{}) (any, error) {
	held := false
	err := s.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
		rec := sit.Record
		if held = rec.LowestHeld; !held {
			return nil, false, nil
		}
		next := rec.Clone()
		next.LowestHeld = false
		return next, false, nil
	})
	if err != nil {
		return nil, err
	}
	if held {
		o := s.order(ctx, "raise-version", "")
		s.cfg.Log.Warn("an operator lets the record's lowest version rise again", "ordered_by", o.OrderedBy)
		s.cfg.Events.Add(s.cfg.Now(), "the lowest version may rise again by an operator's order"+o.Said())
	}
	return s.asked().register(), nil
}
