package gcomm

import (
	"testing"
	"time"
)

// A machine that is suspended with all its processes: each skips its first check after that, so that nobody is suspected
// for the others' silence of which it was a part.
func TestAllHangTogether(t *testing.T) {
	c := lab(1, 3)
	for n := range 3 {
		c.Hang(n)
	}
	c.Run(20 * time.Second)
	for n := range 3 {
		c.Resume(n)
	}
	done := commit(c, 0)
	c.Run(10 * time.Second)
	for n := range 3 {
		if o := c.Observe(n); o.ConfID != 1 || o.Status != Primary || o.Size != 3 {
			t.Errorf("node %d: %+v", n, o)
		}
	}
	if !done() {
		t.Error("no commit")
	}
}

// A node that hung and was evicted meanwhile finds in its sockets that it was given up, and is non-Primary at once; or
// it has lost that with its connections, and holds itself for a member until it suspects the others. Both were seen.
func TestResumedNodeLearnsAtOnceOrLater(t *testing.T) {
	soon, late := 0, 0
	for seed := range uint64(seeds) {
		c := lab(seed, 3)
		c.Hang(2)
		c.Run(500 * time.Millisecond)
		evictAt(t, c, 0, 2)
		c.Run(50 * time.Millisecond)
		c.Clear(0)
		c.Clear(1)
		c.Run(time.Second)
		c.Resume(2)
		c.Run(1500 * time.Millisecond)
		if c.Observe(2).Status == NonPrimary {
			soon++
		} else {
			late++
		}
		if all := c.Primaries(); len(all) != 1 || len(all[0].Members) != 2 {
			t.Errorf("seed %d: %v", seed, all)
		}
	}
	if soon < 3 || late < 3 {
		t.Errorf("%d at once, %d later", soon, late)
	}
}

// Who has formed a primary view without a node refuses its connections for half of time_wait.
func TestAbsentNodeIsRefusedForAWhile(t *testing.T) {
	c := lab(2, 3)
	c.Isolate(2, true)
	c.Run(100 * time.Millisecond)
	evictAt(t, c, 0, 2)
	for c.Observe(0).Weight != 2 {
		c.Run(time.Millisecond)
	}
	c.Clear(0)
	c.Clear(1)
	c.HealAll()
	c.Run(2300 * time.Millisecond)
	if c.conn(c.hosts[0].proc, c.hosts[2].proc) != nil {
		t.Error("it is connected before 2.5 s have passed")
	}
	c.Run(2200 * time.Millisecond)
	if c.conn(c.hosts[0].proc, c.hosts[2].proc) == nil {
		t.Error("it is not connected after 4.5 s")
	}
}

// A member of which it is not known whether it has formed a primary component keeps the others from making one again,
// evicted or not.
func TestUnknownStateForbidsAnotherPrimary(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		c := lab(3, 3)
		c.Isolate(0, true)
		c.hosts[0].proc.pc.of(c.hosts[1].proc).unknown = unknown
		evictAt(t, c, 0, 1, 2)
		c.Run(3 * time.Second)
		if got := c.Observe(0).Status == Primary; got == unknown {
			t.Errorf("unknown %t: primary %t", unknown, got)
		}
	}
}
