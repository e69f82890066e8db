package writers

import (
	"maps"
	"slices"
	"time"
)

const (
	// Interval is the time between two readings of a node's counter: the prober's period.
	// A gap of more than three and a half of it is long: what happened within is not
	// guessed.
	Interval = 100 * time.Millisecond

	// pause is how long a writing node may be silent and still count as writing. It
	// is the judge's (e2e/lab, writerGap), or the two would not agree.
	pause = 250 * time.Millisecond
	// viewAge is how late a proxy's sessions may be seen: changes are published at
	// once, all else every 500 ms.
	viewAge = 500 * time.Millisecond
	// linger is how long after a proxy's last session to a node a run that ends
	// meanwhile still counts, and how long sessions may be unseen between two
	// sightings.
	linger = time.Second
	// delay is how long after a moment it is settled. It must leave room for linger, for a
	// late view and for a pause: it is at least linger, pause and twice Interval.
	delay = 1500 * time.Millisecond

	// keep is how long before the settled time readings and sessions matter.
	keep = linger + viewAge + pause + 5*Interval
	// mostSamples is how many readings of a node are kept at most: three times as many
	// as there should be, for readings closer than Interval.
	mostSamples = 3*int((keep+delay)/Interval) + 3
)

// Meter measures. Its methods must not be called at the same time. It keeps a few
// seconds of readings for each node.
type Meter struct {
	usual float64 // commits per second besides the clients', see New

	first   time.Time     // the first time that was given: all others are since then
	settled time.Duration // what was before it is counted
	nodes   map[string]*node

	// Reused by every call.
	intervals []interval
	runs      []run
	overlaps  []span
}

// node is what is known of one node.
type node struct {
	samples []sample
	gate    gate
}

// sample is one reading of a counter.
type sample struct {
	at time.Duration
	n  int64
}

// span is a time from one moment to another.
type span struct{ from, to time.Duration }

// New returns a Meter that has seen nothing. background is the number of commits per
// second that every node takes besides the clients', such as the commit canary's: about
// one for each member. They may all come at once, once a second.
func New(background int) *Meter {
	return &Meter{usual: float64(background), nodes: make(map[string]*node)}
}

// Sample takes a reading of a node's wsrep_replicated and when it was made, by a
// monotonic clock. A counter that is lower than before has begun at 0 again. A
// reading that is not newer than the last one is ignored.
func (m *Meter) Sample(name string, at time.Time, replicated int64) {
	t := m.since(at)
	n := m.node(name)
	if len(n.samples) > 0 && t <= n.samples[len(n.samples)-1].at {
		return
	}
	if len(n.samples) >= mostSamples {
		n.samples = slices.Delete(n.samples, 0, len(n.samples)-mostSamples+1)
	}
	n.samples = append(n.samples, sample{t, replicated})
}

// Sessions takes how many sessions a proxy has to each node, and when that was
// seen; nodes that are not named have none. A proxy from which nothing more comes
// is taken to keep its sessions: without its daemon an HAProxy goes on. One that
// is no member any more must be given a last time, with no sessions.
func (m *Meter) Sessions(at time.Time, proxy string, byNode map[string]int) {
	t := m.since(at)
	for name, sessions := range byNode {
		if sessions > 0 {
			m.node(name).gate.open(t, proxy)
		}
	}
	for name, n := range m.nodes {
		if byNode[name] <= 0 {
			n.gate.close(t, proxy)
		}
	}
}

// Advance returns the time with two writers that was settled since the last call.
// The moment that is settled is a second and a half before now. It may be called at any
// pace; readings and views that come later than that after their moment are lost.
func (m *Meter) Advance(now time.Time) time.Duration {
	slice := span{m.settled, m.since(now) - delay}
	if slice.to <= slice.from {
		return 0
	}
	m.runs = m.runs[:0]
	// In order: that of a map must not change a result.
	for _, name := range slices.Sorted(maps.Keys(m.nodes)) {
		n := m.nodes[name]
		first := len(m.runs)
		m.intervals = m.split(m.intervals[:0], n.samples)
		m.runs = m.appendRuns(m.runs, name, m.intervals)
		m.runs = n.gate.clip(m.runs, first)
	}
	m.overlaps = appendOverlaps(m.overlaps[:0], m.runs)
	total := covered(m.overlaps, slice)
	m.settled = slice.to
	m.forget(m.settled - keep)
	return total
}

// since is a time as the Meter counts it.
func (m *Meter) since(at time.Time) time.Duration {
	if m.first.IsZero() {
		m.first = at
	}
	return at.Sub(m.first)
}

func (m *Meter) node(name string) *node {
	n := m.nodes[name]
	if n == nil {
		n = &node{gate: gate{holders: make(map[string]bool)}}
		m.nodes[name] = n
	}
	return n
}

// forget drops what ended before a moment. Two readings before it stay: they begin
// the interval in which it lies, and the one before.
func (m *Meter) forget(before time.Duration) {
	for name, n := range m.nodes {
		old := 0
		for old < len(n.samples) && n.samples[old].at < before {
			old++
		}
		if old == len(n.samples) {
			n.samples = n.samples[:0]
		} else {
			n.samples = slices.Delete(n.samples, 0, max(0, old-2))
		}
		n.gate.forget(before)
		if len(n.samples) == 0 && len(n.gate.spans) == 0 {
			delete(m.nodes, name)
		}
	}
}
