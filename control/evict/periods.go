package evict

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Periods are evs.join_retrans_period of each process as it was read while no eviction was under way: what is read during one may be
// what the eviction has set, and would be put back for good by the next.
type Periods struct {
	of map[string]period
	// disturbed is when an eviction was last under way.
	disturbed time.Time
}

type period struct {
	text string
	ms   int64
}

// Note puts the periods that count into a view.
func (p *Periods) Note(view *model.View, rec *model.Record, now time.Time) {
	if rec != nil && rec.Evict != nil {
		p.disturbed = now
	}
	of := map[string]period{}
	for i := range view.Nodes {
		g := view.Nodes[i].Group
		if g == nil {
			continue
		}
		known, ok := p.of[g.UUID]
		// Beside an entry only what is better than nothing is taken: a member that is cut off does not know of an eviction.
		if g.OptionsAt.After(p.disturbed) && (!ok || !g.OptionsListed) {
			known, ok = period{g.Retrans, g.RetransMS}, true
		}
		if g.Retrans, g.RetransMS = known.text, known.ms; ok {
			of[g.UUID] = known
		}
	}
	p.of = of
}
