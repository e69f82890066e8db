package vote

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// mandated is the mandate behind its lock.
type mandated struct {
	mu    sync.Mutex // guards rules, and keeps their steps in the order of what was read for them
	rules mandate.Mandate
	last  atomic.Pointer[mandate.Want] // what the last step wanted
}

// Wanted is what the last step wanted of this proxy: for /beacon, and for each situation.
func (v *Loop) Wanted() mandate.Want { return *v.mandate.last.Load() }

// Hear reads the agreement and takes a step with it, and with what news says beside
// it. Only the two loops call it, the proxy loop and its drainer also right before each
// command to HAProxy; and who takes an operator's order for this proxy alone.
func (v *Loop) Hear(news mandate.Facts) (mandate.Facts, mandate.Want) {
	s := v.joined.Load()
	if s == nil {
		return news, v.Wanted()
	}
	v.mandate.mu.Lock()
	facts, want, events := v.stepLocked(s, news)
	v.mandate.mu.Unlock()
	for _, e := range events {
		v.report(e)
	}
	return facts, want
}

// stepLocked is Hear under the mandate's lock.
func (v *Loop) stepLocked(s *joined, f mandate.Facts) (mandate.Facts, mandate.Want, []mandate.Event) {
	now := v.cfg.Now() // before the reading: a stop of this process in between makes its word older, not newer
	f.Agreement = s.cluster.Agreement()
	f.Record, f.Unread = v.record(&f.Agreement)
	f.Voters = published.VoterNames(&f.Agreement)
	f.Voices = v.others(s)
	if s.prober != nil {
		f.Probes = s.prober.Status()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.own != nil {
		f.Voices = append(f.Voices, decide.Voice{Member: v.cfg.Name, View: v.own})
	}
	f.ReviewedTerm = v.reviewedTerm
	want, events := v.mandate.rules.Step(now, &f)
	for _, e := range events {
		if e.Kind == mandate.Closed {
			v.forgetLocked() // no step in between opens the gate again on that word
		}
	}
	v.mandate.last.Store(&want)
	return f, want, events
}

// report says what a step has changed.
func (v *Loop) report(e mandate.Event) {
	switch e.Kind {
	case mandate.Closed:
		if v.cfg.Look != nil {
			v.cfg.Log.Info("waiting for the leader's word before enforcing the record again")
		}
	case mandate.Dropped:
		v.cfg.Log.Warn("a majority is back: the order for this proxy alone is dropped", "node", e.Node)
		v.cfg.Events.Add(v.cfg.Now(), "a majority is back: the order for "+e.Node+" on this proxy alone is dropped")
		v.cfg.Wake()
	}
}

// Paused says that this process did not run for a while. Its gate closes, and a
// leader's word on what the HAProxies did is no longer true: they may have moved
// by themselves meanwhile, even if it finds itself leading in the same term.
func (v *Loop) Paused(now time.Time) {
	v.mu.Lock()
	v.forgetLocked()
	v.viewsFrom = now.Add(reviewWait)
	v.mu.Unlock()
	v.Hear(mandate.Facts{Paused: true})
}
