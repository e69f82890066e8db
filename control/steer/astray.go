package steer

import (
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

const (
	// astrayAfter is how long everything must have been as agreed before connections are
	// judged: who came before that may be at any of its `retries` still, which HAProxy
	// counts as a session each, a second apart.
	astrayAfter = 2 * time.Second
	// astrayFor is for how long a connection that went astray is told of.
	astrayFor = 15 * time.Minute
)

// astray judges by what connections do, not by what the tables say: HAProxy counts the
// sessions of each server (stot), and while every key leads to the active none but the
// active's may grow. Whatever else chooses a server, which the model of routes may
// not know (a `use-server`, a rule with a condition), shows there.
//
// Health checks are not counted by HAProxy, and the daemon's placeholder of a hold goes to
// the node that is to be the active, during a move, when nothing is judged. A node that has
// just died is up for HAProxy until its checks have failed, and who finds it dead is sent
// elsewhere with reason (`option redispatch`): what grew is told when the checks have had the
// time to say so, and have not.
type astray struct {
	of     process
	epoch  model.Epoch
	active string
	// right is since when everything is as agreed, zero while it is not.
	right time.Time
	// downs is how often the checks had called the active down by then.
	downs int64
	// totals are those of the last look that was judged, nil before the first.
	totals map[serverName]int64
	// pending is what has grown and is not told yet.
	pending map[serverName]pending
	found   []found
	// news are those of the last look that were not told before.
	news []model.Astray
}

type pending struct {
	n     int64
	since time.Time
}

type serverName struct{ backend, server string }

type found struct {
	model.Astray
	last time.Time // when the number last grew
}

// note takes a full look: asAgreed says that every key leads to the active, that nothing
// is being moved and nobody fenced; downAfter is how long HAProxy's checks may take to call
// the active down.
func (a *astray) note(now time.Time, proc process, want *mandate.Want, asAgreed bool, downAfter time.Duration, sticky func(backend string) bool, stats []runtimeapi.ServerStat) {
	if a.of != proc || a.epoch != want.Epoch() || a.active != want.Active {
		*a = astray{of: proc, epoch: want.Epoch(), active: want.Active}
	}
	a.news = nil
	a.found = slices.DeleteFunc(a.found, func(f found) bool { return now.Sub(f.last) >= astrayFor })
	totals := map[serverName]int64{}
	downs := int64(0)
	for i := range stats {
		s := &stats[i]
		switch {
		case !sticky(s.Backend):
		case s.Server == want.Active:
			downs += s.CheckDowns
		default:
			totals[serverName{s.Backend, s.Server}] = s.TotalSessions
		}
	}
	switch {
	case !asAgreed:
		a.right, a.totals, a.pending = time.Time{}, nil, nil
	case a.right.IsZero() || downs != a.downs:
		// Where the active was down for a moment HAProxy was right to send them elsewhere.
		a.right, a.downs, a.totals, a.pending = now, downs, nil, nil
	case now.Sub(a.right) >= astrayAfter:
		a.compare(now, totals)
		a.judge(now, downAfter)
	}
}

// compare takes what has grown since the look before.
func (a *astray) compare(now time.Time, totals map[serverName]int64) {
	for name, total := range totals {
		if before, known := a.totals[name]; known && total > before {
			p := a.pending[name]
			if p.n += total - before; p.since.IsZero() {
				p.since = now
			}
			if a.pending == nil {
				a.pending = map[serverName]pending{}
			}
			a.pending[name] = p
		}
	}
	a.totals = totals
}

// judge finds those astray whose reason the checks have not told by now.
func (a *astray) judge(now time.Time, downAfter time.Duration) {
	for name, p := range a.pending {
		if now.Sub(p.since) < downAfter {
			continue
		}
		delete(a.pending, name)
		i := slices.IndexFunc(a.found, func(f found) bool { return f.Backend == name.backend && f.Server == name.server })
		if i < 0 {
			i = len(a.found)
			a.found = append(a.found, found{Astray: model.Astray{Backend: name.backend, Server: name.server, Since: p.since.UTC().Truncate(time.Second)}})
		}
		a.found[i].Connections += p.n
		a.found[i].last = now
		if a.found[i].Connections == p.n {
			a.news = append(a.news, a.found[i].Astray)
		}
	}
}

// told is what was found, and last not long ago.
func (a *astray) told() []model.Astray {
	var out []model.Astray
	for i := range a.found {
		out = append(out, a.found[i].Astray)
	}
	return out
}
