package gcomm

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// seeds is how many histories a fact is looked at in.
const seeds = 30

// took plays a script with every seed and returns what it has measured under a name, sorted by seeds.
func took(t *testing.T, script, name string) []time.Duration {
	t.Helper()
	var all []time.Duration
	for _, s := range Scripts() {
		if s.Name != script {
			continue
		}
		for seed := range uint64(seeds) {
			got, err := Play(s, NewSubject(seed))
			if err != nil {
				t.Fatal(err)
			}
			v, ok := got.Took[name]
			if !ok {
				t.Fatalf("%s measures no %q: %v", script, name, got.Took)
			}
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no script %q", script)
	}
	return all
}

// The times of GALERA.md, with the tolerance of what was seen in a few rounds: each fact by its number.
func TestTimes(t *testing.T) {
	for _, tc := range []struct {
		fact, script, name string
		low, high          time.Duration
		most               bool // at least four of five seeds, not all
	}{
		{"1: the floor at the defaults, also for a node that nobody writes to", "crash", "gap R", 5400 * ms, 6700 * ms, false},
		{"3: told the representative", "crash, evicted at the representative", "gap R", 100 * ms, 110 * ms, true},
		{"3: told another", "crash, evicted at another", "gap R", 190 * ms, 380 * ms, true},
		{"3: told both", "crash, evicted at both", "gap R", 100 * ms, 380 * ms, true},
		{"3: without the period", "crash, evicted without the period", "gap R", 1000 * ms, 1200 * ms, false},
		{"4: a list left over, the next eviction", "a list left over, then another eviction", "gap R", 5 * time.Second, 5500 * ms, false},
		{"4: a list left over, the rejoin", "a list left over, then the rejoin", "back", 5 * time.Second, 12 * time.Second, true},
		{"4: a cleared list, the rejoin", "crash, evicted, cleared, restarted", "back", time.Second, 6500 * ms, true},
		{"4: told too late, no view change", "told after the view", "gap R", 0, 50 * ms, false},
		{"6: a hung node", "hang, evicted, cleared, resumed", "gap R", 500 * ms, 520 * ms, true},
		{"6: it comes back", "hang, evicted, cleared, resumed", "back", 2 * time.Second, 8 * time.Second, true},
		{"7: a node cut off", "cut, evicted, cleared, healed", "gap R", 500 * ms, 520 * ms, true},
		{"7: it comes back", "cut, evicted, cleared, healed", "back", 3 * time.Second, 8 * time.Second, true},
		{"9: a second of two", "two nodes, one evicted at once", "gap R", 100 * ms, 400 * ms, false},
		{"one link cut, until the third relays", "one link cut, the third node relays", "gap R", 3 * time.Second, 4500 * ms, false},
		{"reads: idle", "read, all well", "idle", 0, 10 * ms, false},
		{"reads: asked before", "read, all well", "asked", 0, ms, false},
		{"reads: dead, asked before", "read, one killed", "asked before", 0, ms, false},
		{"reads: dead, not asked before", "read, one killed", "not asked before", 4500 * ms, 6700 * ms, false},
		{"reads: dead under load", "read, one killed under load", "read O", 4500 * ms, 6700 * ms, false},
		{"reads: they end with the view", "read, one killed and evicted", "read O", 200 * ms, 220 * ms, false},
	} {
		t.Run(tc.fact, func(t *testing.T) {
			all := took(t, tc.script, tc.name)
			in := 0
			for _, d := range all {
				if d >= tc.low && d <= tc.high {
					in++
				}
			}
			if in < len(all)*4/5 || !tc.most && in < len(all) {
				t.Errorf("%d of %d between %v and %v: %v", in, len(all), tc.low, tc.high, all)
			}
		})
	}
}

// A node that leaves in order is no loss of quorum, down to the last one; two of three that crash at once are.
func TestOrderlyEndIsNoLoss(t *testing.T) {
	c := lab(10, 3)
	c.Shutdown(1)
	c.Run(2 * time.Second)
	c.Shutdown(2)
	c.Run(2 * time.Second)
	if o := c.Observe(0); o.Status != Primary || o.Size != 1 || !c.Dead(1) || !c.Dead(2) {
		t.Errorf("the last one is %+v", o)
	}
	c = lab(11, 3)
	c.Kill(1)
	c.Kill(2)
	c.Run(15 * time.Second)
	if o := c.Observe(0); o.Status != NonPrimary || o.ConfID != -1 || o.Weight != 0 {
		t.Errorf("one of three is %+v", o)
	}
}

// lab is a cluster of one vote each, a while after its beginning.
func lab(seed uint64, nodes int) *Cluster {
	c := New(Config{Seed: seed, Nodes: make([]Node, nodes)})
	c.Run(time.Second + c.between(0, time.Second))
	return c
}

func read(c *Cluster, node int) (ended func() bool) {
	done := false
	c.Read(node, func(ok bool) { done = ok })
	return func() bool { return done }
}

func commit(c *Cluster, node int) (acknowledged func() bool) {
	done := false
	c.Commit(node, func(ok bool) { done = ok })
	return func() bool { return done }
}

// 5: the UUID is the process's. One that restarts after a crash has the same with an incarnation one higher in the
// fourth group, so that the eviction of the dead one does not hit it; a node that comes back by itself keeps its own.
func TestUUIDs(t *testing.T) {
	c := lab(1, 3)
	first := c.Observe(2).UUID
	c.Kill(2)
	c.Run(10 * time.Second)
	c.Start(2, time.Second)
	c.Run(10 * time.Second)
	second := c.Observe(2).UUID
	a, b := strings.Split(first, "-"), strings.Split(second, "-")
	var line, next int
	if _, err := fmt.Sscanf(a[3]+" "+b[3], "%x %x", &line, &next); err != nil {
		t.Fatal(err)
	}
	if next != line+1 || a[0] != b[0] || a[4] != b[4] {
		t.Errorf("restarted: %s, before %s", second, first)
	}
	evictAt(t, c, 0, 2)
	if got := c.Observe(2).UUID; got != second {
		t.Errorf("an eviction changed a UUID: %s", got)
	}
	c.Shutdown(1)
	c.Run(time.Second)
	old := c.procs[1].uuid
	c.Start(1, time.Second)
	c.Run(20 * time.Second)
	if got := c.Observe(1).UUID; got == "" || got[:8] == old[:8] {
		t.Errorf("after an orderly end it has a new UUID: %s, before %s", got, old)
	}
}

// A dead UUID on the list does not keep its successor out.
func TestSuccessorIsNotEvicted(t *testing.T) {
	c := lab(2, 3)
	dead := c.Observe(2).UUID
	c.Kill(2)
	evictAt(t, c, 0, 2)
	c.Run(2 * time.Second)
	c.Start(2, time.Second)
	c.Run(15 * time.Second)
	if o := c.Observe(2); o.Status != Primary || o.Size != 3 || o.UUID == dead {
		t.Errorf("the successor is %+v", o)
	}
}

// 6: a node that hung and learns that it is evicted is Disconnected until it is restarted; then it comes back.
func TestEvictedNodeNeedsRestart(t *testing.T) {
	c := lab(3, 3)
	c.Hang(2)
	c.Run(500 * time.Millisecond)
	evictAt(t, c, 0, 2)
	c.Run(time.Second)
	c.Resume(2)
	c.Run(5 * time.Second)
	if o := c.Observe(2); o.Status != Disconnected || o.Answer != Speaks || o.Group != Refused || o.UUID != "" {
		t.Fatalf("evicted, and it is %+v", o)
	}
	c.Clear(0)
	c.Clear(1)
	c.Run(20 * time.Second)
	if o := c.Observe(2); o.Status != Disconnected {
		t.Fatalf("cleared, and it is %+v", o)
	}
	c.Shutdown(2)
	c.Start(2, time.Second)
	c.Run(15 * time.Second)
	if o := c.Observe(2); o.Status != Primary || o.LocalState != StateSynced {
		t.Errorf("restarted, and it is %+v", o)
	}
}

// 8: a live node that is evicted costs the survivors seconds, not milliseconds, but nothing that was acknowledged.
func TestLiveNodeEvicted(t *testing.T) {
	var most time.Duration
	for _, d := range took(t, "a live node evicted", "gap R") {
		most = max(most, d)
		if d < 500*time.Millisecond {
			t.Errorf("only %v", d)
		}
	}
	if most < 2*time.Second {
		t.Errorf("at most %v", most)
	}
}

// 4: a list is cleared on one node alone, and a JOIN of another teaches it again in the next view change.
func TestLateJoinTeachesAgain(t *testing.T) {
	again := 0
	for seed := range uint64(seeds) {
		c := lab(seed, 4)
		victim := c.Observe(3).UUID
		c.Kill(3)
		evictAt(t, c, 0, 3)
		c.Run(3 * time.Second)
		c.Clear(0)
		c.Clear(1)
		if got := c.Lists(); len(got) != 1 || got[0] != 2 {
			t.Fatalf("seed %d: lists left on %v", seed, got)
		}
		c.Start(3, 500*time.Millisecond)
		c.Run(20 * time.Second)
		for n := range 2 {
			if strings.Contains(fmt.Sprint(c.Observe(n).Evicted), victim) {
				again++
			}
		}
	}
	if again == 0 {
		t.Error("no list came back")
	}
}

// 13: what wsrep_evs_state shows, and that a statement outside of OPERATIONAL adds to the list only.
func TestStatementOutsideOfOperational(t *testing.T) {
	c := lab(5, 3)
	c.Isolate(2, true)
	for c.Observe(0).EVS == Operational {
		c.Run(time.Millisecond)
	}
	if o := c.Observe(0); o.EVS != Gather || o.Status != Primary {
		t.Fatalf("%+v", o)
	}
	sent := c.hosts[0].proc.lastJoin
	c.Evict(0, c.Observe(1).UUID)
	if c.hosts[0].proc.lastJoin != sent || len(c.Observe(0).Evicted) != 1 {
		t.Error("a statement in GATHER did more than to add to the list")
	}
	c.Clear(0)
	c.Evict(0, "11111111-2222-3333-4444-555555555555")
	if o := c.Observe(0); len(o.Evicted) != 1 {
		t.Errorf("one that nobody knows: %+v", o)
	}
}
