package writers

import (
	"fmt"
	"testing"
	"time"
)

// feed gives a meter a time in which three nodes write and their sessions come and go.
func feed(m *Meter, begin time.Time, length time.Duration, advance bool) {
	for t := time.Duration(0); t < length; t += 50 * time.Millisecond {
		for n := range 3 {
			name := fmt.Sprint("db", n)
			m.Sample(name, begin.Add(t), int64(t/time.Millisecond))
			m.Sessions(begin.Add(t), name, map[string]int{name: int(t/(3*time.Second)) % 2})
		}
		if advance {
			m.Advance(begin.Add(t))
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	begin := time.Unix(1000, 0)
	for _, advance := range []bool{true, false} {
		m := New(0)
		feed(m, begin, 10*time.Minute, advance)
		for name, n := range m.nodes {
			if len(n.samples) > mostSamples || cap(n.samples) > 4*mostSamples {
				t.Errorf("advance %v: %d readings of %s, room for %d; at most %d", advance, len(n.samples), name, cap(n.samples), mostSamples)
			}
			if len(n.gate.spans) > 3 && advance {
				t.Errorf("%d spans of sessions", len(n.gate.spans))
			}
		}
		for name := range m.nodes {
			m.Sessions(begin.Add(10*time.Minute), name, nil)
		}
		m.Advance(begin.Add(time.Hour))
		if len(m.nodes) != 0 {
			t.Errorf("advance %v: %d nodes are remembered an hour later", advance, len(m.nodes))
		}
	}
}

func BenchmarkAdvance(b *testing.B) {
	m := New(0)
	now := time.Unix(1000, 0)
	feed(m, now, 5*time.Second, true)
	now = now.Add(5 * time.Second)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(1) // a nanosecond: the same readings each time
		m.Advance(now)
	}
}
