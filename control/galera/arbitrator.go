package galera

import (
	"context"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

// arbitrator is a member of Galera's group without a database (garbd). It counts in a quorum, and nothing can be asked of it: that
// it speaks on its group port is all that shows that it lives.
type arbitrator struct {
	address string
	wake    chan struct{}
	// spoke is when the last look at its port began, zero unless it spoke then. The prober's lock guards it.
	spoke time.Time
}

// watchArbitrators looks at the arbitrators' group ports: now and then, and again and again while a node looks as if it had ended.
func (p *Prober) watchArbitrators(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, a := range p.arbitrators {
		all.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				answer, _ := group.Knock(ctx, a.address, p.encrypted(), p.cfg.Deadline)
				if answer != group.Spoke {
					began = time.Time{}
				}
				select {
				case <-ctx.Done():
				case <-a.wake:
				case <-time.After(p.heardArbitrator(a, began)):
				}
			}
		})
	}
}

// heardArbitrator takes a look at an arbitrator, and returns the time until the next.
func (p *Prober) heardArbitrator(a *arbitrator, spoke time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.spoke.IsZero() != spoke.IsZero() {
		nudge.Send(p.changed)
	}
	a.spoke = spoke
	if p.suspectedSince().IsZero() {
		return knockEvery
	}
	return suspectEvery
}

// Arbitrators are the addresses of those that speak: where a node looks as if it had ended, since then.
func (p *Prober) Arbitrators() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.suspectedSince()
	var all []string
	for _, a := range p.arbitrators {
		if !a.spoke.IsZero() && !a.spoke.Before(since) {
			all = append(all, a.address)
		}
	}
	return all
}

// suspectedSince is when the last process began to look as if it had ended that has not done so for long, zero for none. The lock is
// held.
func (p *Prober) suspectedSince() (last time.Time) {
	for _, r := range p.records {
		if r.isSuspected() && r.suspected.After(last) {
			last = r.suspected
		}
	}
	return last
}

// encrypted tells whether the group speaks TLS: socket.ssl is the same on all members.
func (p *Prober) encrypted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		if r.Options.TLS {
			return true
		}
	}
	return false
}
