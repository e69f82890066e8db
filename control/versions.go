package control

import (
	"context"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// versions follows which version all members read; only the vote loop writes it.
// votes.mu guards it.
type versions struct {
	common int
	since  time.Time // when common became what it is
}

// followVersions tells the cluster which formats may be written, and counts for
// how long all members have read what they read now.
func (d *Daemon) followVersions(s *started, ag *cluster.Agreement, rec *model.Record, now time.Time) {
	common := decide.Common(published.VoterNames(ag), published.Readers(s.cluster.Members()))
	v := &d.votes
	v.mu.Lock()
	if v.versions.common != common {
		v.versions = versions{common: common, since: now}
	}
	v.mu.Unlock()
	setLowest(s.cluster, rec)
}

// setLowest tells the cluster what the record allows.
func setLowest(c Agreement, rec *model.Record) {
	lowest := 1
	if rec != nil {
		lowest = max(rec.Lowest, 1)
	}
	c.SetLowest(uint8(lowest)) //nolint:gosec // at most model.Protocol, or it could not be decoded
}

// firstLowest is the lowest version of a first record: a later one only where all
// members read it.
func (d *Daemon) firstLowest() int {
	d.votes.mu.Lock()
	defer d.votes.mu.Unlock()
	if d.votes.versions.common <= 1 {
		return 0
	}
	return d.votes.versions.common
}

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
func (d *Daemon) lowerVersion(ctx context.Context, req api.LowerRequest) (any, error) {
	res := api.LowerResponse{Lowest: 1, DryRun: req.DryRun, Lost: []string{}}
	err := d.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
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
		o := d.order(ctx, "lower-version", "")
		d.log.Warn("an operator lowered the record's lowest version: older daemons may take part again", "from", res.From, "to", res.Lowest, "ordered_by", o.OrderedBy)
		d.events.Add(d.clock.now(), fmt.Sprintf("the lowest version was lowered from %d to %d by an operator", res.From, res.Lowest)+said(&o))
	}
	res.Register = d.asked().register()
	return res, nil
}

// raiseVersion is `register raise-version`: it takes lowerVersion's hold back. The
// lowest version then rises by itself, once every member reads a later one.
func (d *Daemon) raiseVersion(ctx context.Context, _ api.RaiseRequest) (any, error) {
	held := false
	err := d.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
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
		o := d.order(ctx, "raise-version", "")
		d.log.Warn("an operator lets the record's lowest version rise again", "ordered_by", o.OrderedBy)
		d.events.Add(d.clock.now(), "the lowest version may rise again by an operator's order"+said(&o))
	}
	return d.asked().register(), nil
}
