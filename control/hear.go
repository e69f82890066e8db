package control

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
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

// wanted is what the last step wanted of this proxy: for /beacon, and for each situation.
func (d *Daemon) wanted() mandate.Want { return *d.mandate.last.Load() }

// hear reads the agreement and takes a step with it, and with what news says beside
// it. Only the two loops call it, the proxy loop and its drainer also right before each
// command to HAProxy; and who takes an operator's order for this proxy alone.
func (d *Daemon) hear(news mandate.Facts) (mandate.Facts, mandate.Want) {
	s := d.started.Load()
	if s == nil {
		return news, d.wanted()
	}
	d.mandate.mu.Lock()
	facts, want, events := d.stepLocked(s, news)
	d.mandate.mu.Unlock()
	for _, e := range events {
		d.report(e)
	}
	return facts, want
}

// stepLocked is hear under the mandate's lock.
func (d *Daemon) stepLocked(s *started, f mandate.Facts) (mandate.Facts, mandate.Want, []mandate.Event) {
	now := d.clock.now() // before the reading: a stop of this process in between makes its word older, not newer
	f.Agreement = s.cluster.Agreement()
	f.Record, f.Unread = d.record(&f.Agreement)
	f.Voters = published.VoterNames(&f.Agreement)
	f.Voices = d.others(s)
	if s.prober != nil {
		f.Probes = s.prober.Status()
	}
	d.votes.mu.Lock()
	defer d.votes.mu.Unlock()
	if d.votes.own != nil {
		f.Voices = append(f.Voices, decide.Voice{Member: d.cfg.Name, View: d.votes.own})
	}
	f.ReviewedTerm = d.votes.reviewedTerm
	want, events := d.mandate.rules.Step(now, &f)
	for _, e := range events {
		if e.Kind == mandate.Closed {
			d.votes.forgetLocked() // no step in between opens the gate again on that word
		}
	}
	d.mandate.last.Store(&want)
	return f, want, events
}

// report says what a step has changed.
func (d *Daemon) report(e mandate.Event) {
	switch e.Kind {
	case mandate.Closed:
		if d.proxy != nil {
			d.log.Info("waiting for the leader's word before enforcing the record again")
		}
	case mandate.Dropped:
		d.log.Warn("a majority is back: the order for this proxy alone is dropped", "node", e.Node)
		d.events.Add(d.clock.now(), "a majority is back: the order for "+e.Node+" on this proxy alone is dropped")
		nudge.Send(d.wakeP)
	}
}

// paused says that this process did not run for a while. Its gate closes, and a
// leader's word on what the HAProxies did is no longer true: they may have moved
// by themselves meanwhile, even if it finds itself leading in the same term.
func (d *Daemon) paused(now time.Time) {
	d.votes.mu.Lock()
	d.votes.forgetLocked()
	d.votes.settled = now.Add(reviewWait)
	d.votes.mu.Unlock()
	d.hear(mandate.Facts{Paused: true})
}
