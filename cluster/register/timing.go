package register

import (
	"errors"
	"fmt"
	"time"
)

// Timing holds every duration of the register. Zero values mean the default.
type Timing struct {
	// Heartbeat is how often the leader is heard. Default 100 ms.
	Heartbeat time.Duration
	// Election is how long the first voter in rank waits for a silent leader
	// before it campaigns. Default 400 ms.
	Election time.Duration
	// ElectionStep is added per rank, so that voters do not campaign at once.
	// Default 150 ms.
	ElectionStep time.Duration
	// Lease is how long after the leader was last heard a voter refuses to
	// vote for another. Default 300 ms. Must be below Election.
	Lease time.Duration
	// FreshFor is how long an answer of the majority counts as current.
	// Default 1.5 s.
	FreshFor time.Duration
	// DeadAfter is how long a voter must be silent before a live member takes
	// its place. Default 60 s.
	DeadAfter time.Duration
	// LearnerPatience is how long a member that is being admitted may be
	// silent before it is given up. Default 10 s.
	LearnerPatience time.Duration
	// Ask is how often a member that does not vote asks a voter. Default 500 ms.
	Ask time.Duration
	// Retry is how long a request waits for the leader's answer before it is
	// sent again. Default 300 ms.
	Retry time.Duration
	// Lazy is how long knowledge that nothing waits for (the commit index, what
	// others have promised) may stay unwritten. Default 1 s.
	Lazy time.Duration
	// Probe is how often a member that is out of the vote after a write error
	// tries whether writing works again. Default 10 s.
	Probe time.Duration
}

// withDefaults fills in the defaults.
func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Heartbeat, 100*time.Millisecond)
	def(&t.Election, 4*t.Heartbeat)
	def(&t.ElectionStep, 3*t.Heartbeat/2)
	def(&t.Lease, 3*t.Heartbeat)
	def(&t.FreshFor, 1500*time.Millisecond)
	def(&t.DeadAfter, time.Minute)
	def(&t.LearnerPatience, 10*time.Second)
	def(&t.Ask, 500*time.Millisecond)
	def(&t.Retry, 300*time.Millisecond)
	def(&t.Lazy, time.Second)
	def(&t.Probe, 10*time.Second)
	return t
}

// Validate returns every contradiction, with both values named.
func (t Timing) Validate() error {
	var errs []error
	d := t.withDefaults()
	for _, v := range []time.Duration{t.Heartbeat, t.Election, t.ElectionStep, t.Lease, t.FreshFor, t.DeadAfter,
		t.LearnerPatience, t.Ask, t.Retry, t.Lazy, t.Probe} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("register: a timing is negative: %s", v))
		}
	}
	if d.Lease >= d.Election {
		errs = append(errs, fmt.Errorf("register: Lease %s must be below Election %s", d.Lease, d.Election))
	}
	if d.Heartbeat*2 > d.Lease {
		errs = append(errs, fmt.Errorf("register: Lease %s must be at least two Heartbeats of %s", d.Lease, d.Heartbeat))
	}
	return errors.Join(errs...)
}
