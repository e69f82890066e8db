package writers

import (
	"math"
	"slices"
	"time"
)

// forever is the end of a span that has none yet.
const forever = time.Duration(math.MaxInt64)

// gate is when proxies had sessions to a node.
type gate struct {
	holders map[string]bool // proxies that have sessions
	spans   []span          // in order, the last one may be open
}

// open notes that a proxy has sessions. Brief sessions come and go between two
// sightings: a span that ended less than linger ago goes on.
func (g *gate) open(at time.Duration, proxy string) {
	if len(g.holders) == 0 {
		if last := len(g.spans) - 1; last >= 0 && at-g.spans[last].to <= linger {
			g.spans[last].to = forever
		} else {
			g.spans = append(g.spans, span{at, forever})
		}
	}
	g.holders[proxy] = true
}

// close notes that a proxy has no sessions.
func (g *gate) close(at time.Duration, proxy string) {
	if !g.holders[proxy] {
		return
	}
	delete(g.holders, proxy)
	if len(g.holders) == 0 {
		last := &g.spans[len(g.spans)-1]
		last.to = max(at, last.from)
	}
}

func (g *gate) forget(before time.Duration) {
	g.spans = slices.DeleteFunc(g.spans, func(s span) bool { return s.to < before })
}

// clip replaces runs[first:] by what of them belongs to sessions. A run that begins
// as sessions are seen, or ends as they end, is theirs as a whole. Otherwise
// somebody wrote before or writes on, and the sessions' edge is the run's: as
// uncertain as a look at the sessions.
func (g *gate) clip(runs []run, first int) []run {
	all := len(runs)
	for _, s := range g.spans {
		for _, r := range runs[first:all] {
			if r.from < s.from-viewAge {
				r.from, r.fromError = s.from, Interval
			}
			if s.to != forever && r.to > s.to+linger {
				r.to, r.toError = s.to, Interval
			}
			if r.from < r.to {
				runs = append(runs, r)
			}
		}
	}
	return slices.Delete(runs, first, all)
}
