package gcomm

import (
	"testing"
	"time"
)

// A minute of three nodes with 30 commits a second, a crash, an eviction and a rejoin.
func BenchmarkMinute(b *testing.B) {
	for i := range b.N {
		c := New(Config{Seed: uint64(i), Nodes: make([]Node, 3)})
		var again func()
		again = func() {
			for n := range 3 {
				c.Commit(n, func(bool) {})
			}
			c.After(100*time.Millisecond, again)
		}
		again()
		c.Run(10 * time.Second)
		victim := c.Observe(2).UUID
		c.Kill(2)
		c.Evict(0, victim)
		c.Run(2 * time.Second)
		c.Clear(0)
		c.Clear(1)
		c.Start(2, time.Second)
		c.Run(48 * time.Second)
		if o := c.Observe(2); o.Size != 3 {
			b.Fatalf("%+v", o)
		}
	}
}
