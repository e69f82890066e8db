package galera

import (
	"context"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

const (
	// knockEvery is the time between two looks at the group port of a node that is well, and suspectEvery while it looks as
	// if it had ended.
	knockEvery   = time.Minute
	suspectEvery = 50 * time.Millisecond
	// suspectFor is how long the others are asked after a process began to look as if it had ended. Galera has made a new
	// view by then: 11.4 s was the longest stall seen.
	suspectFor = 15 * time.Second
	// acquitAfter is how long after a process began to look as if it had ended a causal read must have begun that acquits it:
	// more than evs.causal_keepalive_period, for whose time a read says nothing if another one went before.
	acquitAfter = 1100 * time.Millisecond
)

// suspect notes since when a node's process looks as if it had ended, and wakes who looks closer. The prober's lock is held.
func (p *Prober) suspect(r *record, before group.Sight, now time.Time) {
	switch {
	case !r.Sight.Suspect():
		r.suspected, r.Acquitted = time.Time{}, ""
	case r.suspected.IsZero():
		r.suspected, r.Stall = now, 0
		nudge.Send(r.knock)
		for _, o := range p.records {
			if o != r {
				nudge.Send(o.witness)
			}
		}
		for _, a := range p.arbitrators {
			nudge.Send(a.wake)
		}
	}
	if r.Sight.Group != before.Group {
		nudge.Send(r.knock)
	}
}

// isSuspected tells whether the process looks as if it had ended, and has not done so for long.
func (r *record) isSuspected() bool {
	return !r.suspected.IsZero() && time.Since(r.suspected) < suspectFor
}

// asks tells whether causal reads are to be asked of a node: while another one is suspected.
func (p *Prober) asks(r *record) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.records {
		if o != r && o.isSuspected() {
			return !r.Sight.Suspect()
		}
	}
	return false
}

// came takes a causal read of a node that began then and has come back. Every member answered after it began, so a
// process that looked as if it had ended long before lives: what a later read waits for is another member. A process that has ended
// is not acquitted before a view is made without it. And where it has shown that the group waited, that is over.
func (p *Prober) came(r *record, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.records {
		if o == r || o.suspected.IsZero() {
			continue
		}
		if r.Wait.Hangs() && o.Stall == 0 {
			o.Stall = time.Since(o.suspected)
			p.metrics.stall.WithLabelValues(o.Node).Observe(o.Stall.Seconds())
			nudge.Send(p.changed)
		}
		if began.Sub(o.suspected) > acquitAfter && o.Acquitted != o.Sight.UUID {
			o.Acquitted = o.Sight.UUID
			nudge.Send(p.changed)
		}
	}
}

// knocker looks at the group port of one node: now and then while the node is well, so that it is known where its process
// listens, and again and again while it looks as if it had ended.
type knocker struct {
	deadline time.Duration
	wake     chan struct{}
	publish  func(func(*record))
	status   func() NodeStatus

	at      time.Time // of the last attempt
	process group.Process
}

func (k *knocker) run(ctx context.Context) {
	for {
		wait := k.turn(ctx)
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-time.After(wait):
		}
	}
}

// turn knocks if it is time, and returns the time until the next turn.
func (k *knocker) turn(ctx context.Context) time.Duration {
	s := k.status()
	port, suspect := s.Sight.Group, s.Sight.Suspect()
	switch {
	case !port.IsValid() || s.Sight.UUID == "":
		return knockEvery
	case suspect && !s.Sight.Greeted:
		return knockEvery // nothing that it says now counts
	case !suspect && (k.process == group.Process{UUID: s.Sight.UUID, Group: port}):
		if left := knockEvery - time.Since(k.at); left > 0 {
			return left
		}
	}
	k.at, k.process = time.Now(), group.Process{UUID: s.Sight.UUID, Group: port}
	a, uuid := group.Knock(ctx, port.String(), s.Options.TLS, k.deadline)
	k.publish(func(r *record) { r.Sight = r.Sight.Knocked(port, a, uuid) })
	if k.status().Sight.Suspect() {
		return suspectEvery
	}
	return knockEvery
}
