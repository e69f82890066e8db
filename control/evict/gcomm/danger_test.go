package gcomm

import (
	"testing"
	"time"
)

// evictAt tells a node to evict others, as the prototype does.
func evictAt(t *testing.T, c *Cluster, node int, victims ...int) {
	t.Helper()
	c.SetTimers(node, func(t *Timers) { t.JoinRetrans = 100 * time.Millisecond })
	for _, v := range victims {
		if !c.Evict(node, c.hosts[v].proc.uuid) {
			t.Fatalf("node %d does not answer", node)
		}
	}
}

// The model is able to show what must never happen: a live minority that evicts every missing member makes itself
// primary beside the majority, takes commits, and those of one side are lost when the two meet (GALERA.md 9).
func TestMinorityThatEvictsAllMissingIsASecondPrimary(t *testing.T) {
	for _, tc := range []struct {
		name    string
		weights []int
		groups  [][]int // the first evicts all that are not in it
	}{
		{"one of three", []int{1, 1, 1}, [][]int{{0}, {1, 2}}},
		{"two of five", []int{1, 1, 1, 1, 1}, [][]int{{3, 1}, {0, 2, 4}}},
		{"two light ones against a heavy one", []int{1, 1, 3}, [][]int{{0, 1}, {2}}},
		{"two nodes cut in two", []int{1, 1}, [][]int{{0}, {1}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(20) {
				nodes := make([]Node, len(tc.weights))
				for i, w := range tc.weights {
					nodes[i].Weight = w
				}
				c := New(Config{Seed: seed, Nodes: nodes})
				c.Run(time.Second)
				c.Partition(tc.groups...)
				c.Run(100 * time.Millisecond)
				evictAt(t, c, tc.groups[0][0], tc.groups[1]...)
				if len(tc.groups) == 2 && tc.name == "two nodes cut in two" {
					evictAt(t, c, tc.groups[1][0], tc.groups[0]...) // nothing keeps the other side from the same
				}
				c.Run(15 * time.Second)
				if all := c.Primaries(); len(all) != 2 {
					t.Fatalf("seed %d: primary components %v, expected two", seed, all)
				}
				acked := 0
				for _, g := range tc.groups {
					c.Commit(g[0], func(ok bool) {
						if ok {
							acked++
						}
					})
				}
				c.Run(time.Second)
				if acked != 2 {
					t.Errorf("seed %d: %d of the two components commit", seed, acked)
				}
				if len(c.Wrong()) == 0 {
					t.Errorf("seed %d: nobody has noticed", seed)
				}
				for n := range nodes {
					c.Clear(n)
				}
				c.HealAll()
				before := len(c.Wrong())
				c.Run(40 * time.Second)
				if len(c.Wrong()) == before {
					t.Errorf("seed %d: the two have met, and nothing was lost: %v", seed, c.Wrong())
				}
			}
		})
	}
}

// The same partitions without an eviction, or with the majority evicting: one primary component.
func TestPartitionsWithoutTheTrap(t *testing.T) {
	for seed := range uint64(20) {
		for _, evict := range []bool{false, true} {
			c := New(Config{Seed: seed, Nodes: make([]Node, 5)})
			c.Run(time.Second)
			c.Partition([]int{3, 1}, []int{0, 2, 4})
			c.Run(100 * time.Millisecond)
			if evict {
				evictAt(t, c, 0, 1, 3)
			}
			c.Run(15 * time.Second)
			if all := c.Primaries(); len(all) != 1 || len(all[0].Members) != 3 || len(c.Wrong()) > 0 {
				t.Fatalf("seed %d: %v, %v", seed, all, c.Wrong())
			}
		}
	}
}

// Survivors that are split after an eviction are safe: the evicted member counts as partitioned, at its full weight.
func TestEvictedCountsAsPartitioned(t *testing.T) {
	for seed := range uint64(20) {
		c := New(Config{Seed: seed, Nodes: make([]Node, 3)})
		c.Run(time.Second)
		c.Partition([]int{0}, []int{1}, []int{2})
		evictAt(t, c, 0, 2)
		c.Run(20 * time.Second)
		if all := c.Primaries(); len(all) != 0 {
			t.Fatalf("seed %d: %v, expected no primary component: one of three has evicted one of two missing", seed, all)
		}
	}
}
