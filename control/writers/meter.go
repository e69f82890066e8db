package writers

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// pause is how long a writing node may be silent and still count as writing. It
	// is the judge's (e2e/lab, writerGap), or the two would not agree.
	pause = 250 * time.Millisecond
	// viewAge is how late a proxy's sessions may be seen: changes are published at
	// once, all else every 500 ms.
	viewAge = 500 * time.Millisecond

	// DefaultInterval is the prober's period.
	DefaultInterval = 100 * time.Millisecond
	// DefaultLinger bridges the time between two sightings of brief sessions.
	DefaultLinger = time.Second
	// DefaultDelay is DefaultLinger and what views and readings need.
	DefaultDelay = 1500 * time.Millisecond
)

// Config says how a Meter judges. The zero value is valid.
type Config struct {
	// Interval is the time between two readings of a node's counter. Default
	// DefaultInterval. A gap of more than three and a half of it is long: what
	// happened within is not guessed.
	Interval time.Duration

	// Background is the number of commits per second that every node takes besides
	// the clients', such as the commit canary's: about one for each member.
	// Default 0. They may all come at once, once a second.
	Background float64

	// Linger is how long after a proxy's last session to a node a run that ends
	// meanwhile still counts, and how long sessions may be unseen between two
	// sightings. Default DefaultLinger.
	Linger time.Duration

	// Delay is how long after a moment it is settled. It must leave room for Linger,
	// for a late view and for a pause. Default DefaultDelay.
	Delay time.Duration
}

func (c Config) withDefaults() Config {
	for field, value := range map[*time.Duration]time.Duration{
		&c.Interval: DefaultInterval, &c.Linger: DefaultLinger, &c.Delay: DefaultDelay,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return c
}

// Validate names every field that cannot be used, in one error (errors.Join).
func (c Config) Validate() error {
	var errs []error
	if c.Interval < 0 || c.Linger < 0 {
		errs = append(errs, fmt.Errorf("writers: Interval %v and Linger %v must not be negative", c.Interval, c.Linger))
	}
	if !(c.Background >= 0 && c.Background <= 1000) {
		errs = append(errs, fmt.Errorf("writers: Background %v: it must be 0 to 1000 commits per second", c.Background))
	}
	if d := c.withDefaults(); d.Delay < d.Linger+pause+2*d.Interval {
		errs = append(errs, fmt.Errorf("writers: Delay %v must be at least Linger %v + %v + twice Interval %v",
			d.Delay, d.Linger, pause, d.Interval))
	}
	return errors.Join(errs...)
}

// Meter measures. Its methods must not be called at the same time. It keeps a few
// seconds of readings for each node.
type Meter struct {
	cfg     Config
	keep    time.Duration // how long before the settled time readings and sessions matter
	samples int           // how many readings of a node are kept at most

	first   time.Time     // the first time that was given: all others are since then
	settled time.Duration // what was before it is counted
	nodes   map[string]*node

	// Reused by every call.
	names     []string
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

// New returns a Meter that has seen nothing. Its error is that of [Config.Validate].
func New(cfg Config) (*Meter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	keep := cfg.Linger + viewAge + pause + 5*cfg.Interval
	return &Meter{
		cfg: cfg, keep: keep,
		// Three times as many as there should be, for readings closer than Interval.
		samples: 3*int((keep+cfg.Delay)/cfg.Interval) + 3,
		nodes:   make(map[string]*node),
	}, nil
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
	if len(n.samples) >= m.samples {
		n.samples = slices.Delete(n.samples, 0, len(n.samples)-m.samples+1)
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
			m.node(name).gate.open(t, proxy, m.cfg.Linger)
		}
	}
	for name, n := range m.nodes {
		if byNode[name] <= 0 {
			n.gate.close(t, proxy)
		}
	}
}

// Advance returns the time with two writers that was settled since the last call.
// The moment that is settled is Delay before now. It may be called at any pace;
// readings and views that come later than Delay after their moment are lost.
func (m *Meter) Advance(now time.Time) time.Duration {
	slice := span{m.settled, m.since(now) - m.cfg.Delay}
	if slice.to <= slice.from {
		return 0
	}
	m.runs = m.runs[:0]
	for _, name := range m.sorted() {
		n := m.nodes[name]
		first := len(m.runs)
		m.intervals = m.split(m.intervals[:0], n.samples)
		m.runs = m.appendRuns(m.runs, name, m.intervals)
		m.runs = n.gate.clip(m.runs, first, m.cfg)
	}
	m.overlaps = appendOverlaps(m.overlaps[:0], m.runs, m.cfg.Interval)
	total := covered(m.overlaps, slice)
	m.settled = slice.to
	m.forget(m.settled - m.keep)
	return total
}

// Now returns the nodes that write at this moment, in the order of their names: as
// far as that can be known before it is settled. It changes nothing.
func (m *Meter) Now(now time.Time) []string {
	if m.first.IsZero() {
		return nil
	}
	t := now.Sub(m.first)
	var writing []string
	for _, name := range m.sorted() {
		n := m.nodes[name]
		if !n.gate.openAt(t, m.cfg.Linger) {
			continue
		}
		m.intervals = m.split(m.intervals[:0], n.samples)
		for i := len(m.intervals) - 1; i >= 0; i-- {
			in := m.intervals[i]
			if t-in.to > pause+m.cfg.Interval {
				break
			}
			if in.active() {
				writing = append(writing, name)
				break
			}
		}
	}
	return writing
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
		n = &node{}
		m.nodes[name] = n
	}
	return n
}

// sorted returns the nodes' names: the order of a map must not change a result.
func (m *Meter) sorted() []string {
	m.names = m.names[:0]
	for name := range m.nodes {
		m.names = append(m.names, name)
	}
	slices.Sort(m.names)
	return m.names
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
		if len(n.samples) == 0 && n.gate.empty() {
			delete(m.nodes, name)
		}
	}
}
