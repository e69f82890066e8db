package admin

import (
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
)

// explain tells why the active is what it is, and what would happen.
func (a *answer) explain() api.Explanation {
	e := api.Explanation{Why: []string{}, Votes: []string{}, IfDown: []api.WhatIf{}}
	if why := a.unknown(); why != "" {
		e.Why = append(e.Why, why)
		return e
	}
	ag, in := &a.Agreement, a.Input()
	in.Review = false
	if rec := a.Record; rec != nil {
		last := rec.Last()
		e.Active, e.Epoch = rec.Active, ag.Record.Epoch
		e.Why = append(e.Why, fmt.Sprintf("epoch %d, by %s at %s: %s", last.Epoch, last.By, last.At.Format(time.RFC3339), last.Reason))
		e.Votes = append(e.Votes, decide.Votes(in, rec.Active)...)
		if hint := decide.DonorHint(in); hint != "" {
			e.Why = append(e.Why, hint)
		}
	}
	if !ag.Fresh {
		e.Why = append(e.Why, "no majority now, nothing would be decided: "+ag.Reason)
	}
	e.Why = append(e.Why, "now: "+decide.Decide(in).Reason)
	if a.Evict != "" {
		e.Why = append(e.Why, a.Evict)
	}
	if rec := a.Record; rec != nil && rec.Evict != nil {
		e.Why = append(e.Why, fmt.Sprintf("until every evict list is known to be empty after %s nobody else is evicted (%s; done by %s)", rec.Evict.Cause(), rec.Evict.Reason, rec.Evict.Owner))
	}
	for _, node := range in.Order {
		w := decide.IfDown(in, node)
		if !ag.Fresh {
			w.Moves, w.Active, w.Reason = false, "", "nothing is decided without a majority: HAProxy works natively"
		}
		stall, says := evict.Stall(a.EvictInput(in), node)
		w.StallMS, w.Stall = stall.Milliseconds(), says
		e.IfDown = append(e.IfDown, api.WhatIf(w))
	}
	return e
}
