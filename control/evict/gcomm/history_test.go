package gcomm

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// history is a random course of events.
type history struct {
	t     *rapid.T
	c     *Cluster
	acted []string
	quiet bool // no more commits
}

func (h *history) note(format string, args ...any) {
	h.acted = append(h.acted, fmt.Sprintf("%v: ", h.c.Now())+fmt.Sprintf(format, args...))
}

// run lets time pass and looks after each event that there is at most one primary component and nothing went wrong.
func (h *history) run(d time.Duration) {
	until := h.c.Now() + d
	h.c.After(d, func() {})
	for h.c.Now() < until && h.c.Step() {
		h.judge()
	}
}

func (h *history) judge() {
	wrong := h.c.Wrong()
	if all := h.c.Primaries(); len(all) > 1 {
		wrong = append(wrong, fmt.Sprintf("%v: primary components %v", h.c.Now(), all))
	}
	if len(wrong) > 0 {
		h.t.Fatalf("%v\nafter %v", wrong, h.acted)
	}
}

// act does one thing to the cluster.
func (h *history) act() {
	c, t := h.c, h.t
	n := c.Nodes()
	node := rapid.IntRange(0, n-1).Draw(t, "node")
	switch what := rapid.IntRange(0, 11).Draw(t, "what"); what {
	case 0:
		h.note("kill %d", node)
		c.Kill(node)
	case 1, 2:
		h.note("start %d", node)
		c.Start(node, time.Duration(rapid.IntRange(50, 2000).Draw(t, "boot"))*time.Millisecond)
	case 3:
		h.note("hang %d", node)
		c.Hang(node)
	case 4:
		h.note("resume %d", node)
		c.Resume(node)
	case 5:
		groups := make([][]int, 3)
		for i := range n {
			g := rapid.IntRange(0, 2).Draw(t, "side")
			groups[g] = append(groups[g], i)
		}
		h.note("partition %v", groups)
		c.Partition(groups...)
	case 6, 7:
		h.note("heal")
		c.HealAll()
	case 8:
		to := rapid.IntRange(0, n-1).Draw(t, "to")
		if to != node {
			h.note("cut %d to %d", node, to)
			c.Link(node, to, false)
		}
	case 9:
		h.note("leave %d", node)
		c.Shutdown(node)
	case 10:
		h.note("throttle %d", node)
		c.Throttle(node, rapid.Bool().Draw(t, "on"))
	case 11:
		h.note("busy %d", node)
		c.Busy(node, rapid.Bool().Draw(t, "on"))
	}
}

// commits lets every node commit now and then.
func (h *history) commits() {
	if h.quiet {
		return
	}
	for n := range h.c.Nodes() {
		h.c.Commit(n, func(bool) {})
		h.c.Read(n, func(bool) {})
	}
	h.c.After(h.c.between(50*time.Millisecond, 400*time.Millisecond), h.commits)
}

func newHistory(t *rapid.T) *history {
	nodes := make([]Node, rapid.IntRange(2, 5).Draw(t, "nodes"))
	for i := range nodes {
		nodes[i].Weight = rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "weight")
		nodes[i].Arbitrator = i > 1 && rapid.IntRange(0, 4).Draw(t, "arbitrator") == 0
	}
	c := New(Config{Seed: rapid.Uint64().Draw(t, "seed"), Nodes: nodes, Slow: 0.02})
	h := &history{t: t, c: c}
	h.commits()
	return h
}

// end repairs everything and waits for what becomes of it.
func (h *history) end() {
	c := h.c
	c.HealAll()
	for n := range c.Nodes() {
		c.Resume(n)
		c.Throttle(n, false)
		c.Busy(n, false)
		c.Start(n, 300*time.Millisecond)
	}
	h.run(50 * time.Second)
	h.quiet = true
	h.run(5 * time.Second)
}

// Without evictions Galera's rules hold, whatever happens: never two primary components, nothing acknowledged is lost,
// and members have the same history.
func TestHistoriesWithoutEvictions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			h.run(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
			h.act()
		}
		h.end()
		if all := h.c.Primaries(); len(all) == 1 && len(all[0].Members) == h.c.Nodes() && !h.c.Same() {
			t.Fatalf("the nodes differ at the end, after %v", h.acted)
		}
	})
}

// As the product may evict: one node at a time, told where more than half of the weight is, and cleared when the view
// is there.
func TestHistoriesWithEvictionsByTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			h.run(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			if rapid.IntRange(0, 2).Draw(t, "evict") == 0 {
				h.evict()
			} else {
				h.act()
			}
		}
		h.end()
	})
}

// evict tells a member of a component that has more than half of the weight, as a god sees it: the nodes that are
// connected with it and run are the survivors.
func (h *history) evict() {
	c := h.c
	teller := rapid.IntRange(0, c.Nodes()-1).Draw(h.t, "teller")
	victim := rapid.IntRange(0, c.Nodes()-1).Draw(h.t, "victim")
	o, v := c.Observe(teller), c.hosts[victim].proc
	if teller == victim || v == nil || o.Answer != Speaks || o.Status != Primary || len(o.Evicted) > 0 {
		return
	}
	weight, total := 0, 0
	for _, m := range c.hosts[teller].proc.pc.view.members {
		w := c.hosts[teller].proc.pc.of(m).weight
		total += w
		there := m.life == alive && !m.hung && m != v && !c.cut(m, c.hosts[teller].proc) && !c.cut(c.hosts[teller].proc, m)
		if there && m.gcs.view == c.hosts[teller].proc.pc.view && len(m.evicted) == 0 {
			weight += w
		}
	}
	if 2*weight <= total {
		return
	}
	h.note("evict %d at %d", victim, teller)
	c.Evict(teller, v.uuid)
	h.clear()
}

// clear empties every list until all are empty.
func (h *history) clear() {
	h.c.After(300*time.Millisecond, func() {
		lists := h.c.Lists()
		for _, n := range lists {
			h.c.Clear(n)
		}
		if len(lists) > 0 {
			h.clear()
		}
	})
}
