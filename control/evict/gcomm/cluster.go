package gcomm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Config is a cluster to begin with. The zero value of a field is its default.
type Config struct {
	// Seed makes the history: the same seed and the same calls give the same history.
	Seed uint64
	// Nodes are the hosts. All are one primary component at the beginning.
	Nodes []Node
	// Slow is the share of messages that take Late instead of 0.1 to 1 ms. Default 0.
	Slow float64
	// Late bounds the latency of a slow message. Default 50 ms.
	Late time.Duration
}

// Node is one host of a Config.
type Node struct {
	// Weight is pc.weight. Default 1; use Arbitrator with it for garbd.
	Weight int
	// Arbitrator is a member without a database: it takes no commit and no read.
	Arbitrator bool
	// Timers are the node's. Default DefaultTimers.
	Timers Timers
	// Transfer bounds the time of a state transfer to the node. Default 300 ms.
	Transfer time.Duration
	// Opening is how long a new process takes from its first primary component until its database speaks. Default 1 s.
	Opening time.Duration
}

// Timers are the provider options of one process.
type Timers struct {
	Suspect         time.Duration // evs.suspect_timeout
	Inactive        time.Duration // evs.inactive_timeout
	Check           time.Duration // evs.inactive_check_period, which no running process changes
	Retrans         time.Duration // evs.keepalive_period
	JoinRetrans     time.Duration // evs.join_retrans_period
	CausalKeepalive time.Duration // evs.causal_keepalive_period
	Install         time.Duration // evs.install_timeout
	MaxInstalls     int           // evs.max_install_timeouts
	Peer            time.Duration // gmcast.peer_timeout
	TimeWait        time.Duration // gmcast.time_wait
}

// DefaultTimers are Galera's defaults, read from 26.4.23.
var DefaultTimers = Timers{
	Suspect: 5 * time.Second, Inactive: 15 * time.Second, Check: 500 * time.Millisecond, Retrans: time.Second,
	JoinRetrans: time.Second, CausalKeepalive: time.Second, Install: 7500 * time.Millisecond, MaxInstalls: 3,
	Peer: 3 * time.Second, TimeWait: 5 * time.Second,
}

// Cluster is a group of processes on hosts, with the network between them. It is not safe for concurrent use.
type Cluster struct {
	now    time.Duration
	rng    *rand.Rand
	events events
	count  uint64
	slow   float64
	late   time.Duration
	hosts  []*host
	conns  map[[2]int]*conn // by host numbers, the smaller first
	procs  []*proc          // all that ever were
	words  wording
	record record
}

// host is a place for processes, one at a time.
type host struct {
	Node
	n    int
	proc *proc
	cut  []bool // per target host: nothing arrives there
	uuid string // that the next process derives its own from, "" for a new one
	line int    // incarnation of it
}

// wording is where UUIDs come from.
type wording struct{ made int }

// New makes a cluster in which all nodes are one primary component, synced, at time 0.
func New(c Config) *Cluster {
	cl := &Cluster{
		rng: rand.New(rand.NewPCG(c.Seed, 0x9e3779b97f4a7c15)), conns: map[[2]int]*conn{}, slow: c.Slow, late: c.Late,
		record: newRecord(),
	}
	if cl.late == 0 {
		cl.late = 50 * time.Millisecond
	}
	for i, n := range c.Nodes {
		if n.Weight == 0 {
			n.Weight = 1
		}
		if n.Timers == (Timers{}) {
			n.Timers = DefaultTimers
		}
		if n.Transfer == 0 {
			n.Transfer = 300 * time.Millisecond
		}
		if n.Opening == 0 {
			n.Opening = time.Second
		}
		cl.hosts = append(cl.hosts, &host{Node: n, n: i, cut: make([]bool, len(c.Nodes))})
	}
	all := make([]*proc, 0, len(cl.hosts))
	for _, h := range cl.hosts {
		all = append(all, cl.newProc(h))
	}
	slices.SortFunc(all, byUUID)
	for i, a := range cl.hosts {
		for _, b := range cl.hosts[i+1:] {
			cl.connect(a.proc, b.proc)
		}
	}
	v := newView(viewID{seq: 1, by: all[0]}, all)
	cl.record.begin(v)
	for _, p := range all {
		p.found(v)
	}
	return cl
}

// Now is the virtual time.
func (c *Cluster) Now() time.Duration { return c.now }

// Rand is the cluster's chance, for callers whose histories shall follow from the same seed.
func (c *Cluster) Rand() *rand.Rand { return c.rng }

// Nodes is the number of hosts.
func (c *Cluster) Nodes() int { return len(c.hosts) }

// After calls fn when d has passed.
func (c *Cluster) After(d time.Duration, fn func()) { c.at(c.now+d, fn) }

func (c *Cluster) at(t time.Duration, fn func()) {
	c.count++
	c.events.push(event{at: t, n: c.count, do: fn})
}

// Step does the next event and returns false if none is left.
func (c *Cluster) Step() bool {
	if len(c.events) == 0 {
		return false
	}
	e := c.events.pop()
	c.now = e.at
	e.do()
	return true
}

// Run lets time pass: every event of the interval happens.
func (c *Cluster) Run(d time.Duration) {
	until := c.now + d
	for len(c.events) > 0 && c.events[0].at <= until {
		c.Step()
	}
	c.now = until
}

// between draws a duration.
func (c *Cluster) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.rng.Int64N(int64(high-low)+1))
}

// nextUUID makes the UUID of a host's next process: a new one, or the last one with an incarnation one higher in the
// fourth group (GALERA.md 5).
func (c *Cluster) nextUUID(h *host) string {
	if h.uuid == "" {
		c.words.made++
		h.uuid = fmt.Sprintf("%08x-ecea-11f1-%%04x-%012x", 0x35000000+c.words.made<<16+c.rng.IntN(1<<16), c.rng.Int64N(1<<48))
		h.line = 0xa000 + c.rng.IntN(0x1000)
	}
	h.line++
	return fmt.Sprintf(h.uuid, h.line)
}

// event is something that happens at a time; n orders those of one instant.
type event struct {
	at time.Duration
	n  uint64
	do func()
}

// events is a heap, the next event first. It is container/heap's without the boxes, which were a sixth of all time.
type events []event

func (e events) less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}

func (e *events) push(x event) {
	*e = append(*e, x)
	h := *e
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.less(i, up) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (e *events) pop() event {
	h := *e
	last := len(h) - 1
	next := h[0]
	h[0], h[last] = h[last], event{}
	h = h[:last]
	*e = h
	for i := 0; ; {
		low := 2*i + 1
		if low >= last {
			return next
		}
		if low+1 < last && h.less(low+1, low) {
			low++
		}
		if !h.less(low, i) {
			return next
		}
		h[i], h[low] = h[low], h[i]
		i = low
	}
}
