package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

const ms = time.Millisecond

// epoch is when every history begins by the daemons' clocks.
var epoch = time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC)

// way is what becomes of what a daemon sends to a port of a node.
type way int

const (
	open    way = iota
	refuse      // a firewall answers with a reset
	swallow     // nothing comes back
)

func (w way) String() string { return [...]string{"open", "refuse", "swallow"}[w] }

type port int

const (
	sqlPort port = iota
	groupPort
)

// world is one history: databases, daemons, the links between them, and what was seen to go wrong.
type world struct {
	rng     *rand.Rand
	c       *gcomm.Cluster
	mode    string // of --evict
	mutant  *mutant
	nodes   []*node
	daemons []*daemon
	reg     register
	apart   [][]bool // daemon, daemon: nothing passes
	// The shares of statements that take long or whose answers are lost.
	slowStatements, lostAnswers float64
	hooks                       hooks
	silent                      bool // nobody writes any more
	spikes                      bool // a message between databases may take more than 50 ms

	script []string // what was done to it, and what came of it
	judge  judge
}

// node is one database as the history sees it.
type node struct {
	n      int
	name   string
	sql    netip.AddrPort
	period string // its file's evs.join_retrans_period
	weight int
	paused int64 // wsrep_flow_control_paused_ns
	writes latencies
}

// latencies are wsrep_evs_repl_latency: the mean of how long a node's messages take.
type latencies struct {
	sum time.Duration
	n   int
}

func (l *latencies) add(d time.Duration) {
	if l.n == 256 { // Galera measures over a minute
		*l = latencies{}
	}
	l.sum, l.n = l.sum+d, l.n+1
}

func (l *latencies) mean() time.Duration { return l.sum / time.Duration(max(l.n, 1)) }

// hooks are the faults that come right after a statement took effect.
type hooks struct {
	resume bool // the victim goes on
	crash  bool // the daemon that has told ends
	leader bool // another daemon leads
}

// drawn is what a history's cluster is.
type drawn struct {
	nodes, voters int
	weights       []int
	periods       []string
	slow          float64
	late          time.Duration
	transfer      time.Duration
}

func newWorld(seed uint64, rng *rand.Rand, d *drawn, m *mutant) *world {
	cfg := gcomm.Config{Seed: seed, Slow: d.slow, Late: d.late}
	w := &world{rng: rng, mutant: m, spikes: d.late > 50*ms, judge: newJudge(d.nodes, d.voters)}
	for i := range d.nodes {
		t := gcomm.DefaultTimers
		t.JoinRetrans = group.Period(d.periods[i])
		cfg.Nodes = append(cfg.Nodes, gcomm.Node{Weight: d.weights[i], Timers: t, Transfer: d.transfer})
		ip := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) //nolint:gosec // a handful
		w.nodes = append(w.nodes, &node{
			n: i, name: fmt.Sprintf("pxc-%d", i), sql: netip.AddrPortFrom(ip, 3306), period: d.periods[i],
			weight: d.weights[i],
		})
	}
	w.c = gcomm.New(cfg)
	for i := range d.voters {
		w.apart = append(w.apart, make([]bool, d.voters))
		w.daemons = append(w.daemons, newDaemon(w, i))
	}
	w.found(d.voters)
	for _, d := range w.daemons {
		d.start()
	}
	w.every(20*ms, w.watch)
	w.every(100*ms, w.heartbeat)
	return w
}

func (w *world) now() time.Time { return epoch.Add(w.c.Now()) }

func (w *world) note(format string, args ...any) {
	w.script = append(w.script, fmt.Sprintf("%9.4f  ", w.c.Now().Seconds())+fmt.Sprintf(format, args...))
}

// every calls f again and again.
func (w *world) every(d time.Duration, f func()) {
	w.c.After(d, func() {
		f()
		w.every(d, f)
	})
}

func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func (w *world) node(name string) *node {
	return w.nodes[slices.IndexFunc(w.nodes, func(n *node) bool { return n.name == name })]
}

// kill ends a process. Its kernel closes what was open.
func (w *world) kill(n int) {
	if w.c.Dead(n) {
		return
	}
	w.c.Kill(n)
	for _, d := range w.daemons {
		d.after(w.between(ms/10, 2*ms), d.probes[n].closed)
	}
}

// put sets a daemon's way to a port of a node.
func (w *world) put(d, n int, to port, is way) {
	p := w.daemons[d].probes[n]
	before := p.shut()
	p.way[to] = is
	if p.shut() != before {
		p.shutSince = w.c.Now()
	}
}

// write keeps commits going on a node, as an application does; reads are its causal ones.
func (w *world) write(n int, pause time.Duration, reads bool) {
	if w.silent {
		return
	}
	began := w.c.Now()
	again := func() { w.c.After(w.between(pause/2, pause), func() { w.write(n, pause, reads) }) }
	if o := w.c.Observe(n); o.Answer != gcomm.Speaks || o.Status != gcomm.Primary {
		w.c.After(200*ms, func() { w.write(n, pause, reads) }) // a client that tries again
		return
	}
	uuid, ended := w.c.Observe(n).UUID, false
	w.c.Commit(n, func(ok bool) {
		if ended = true; ok {
			w.nodes[n].writes.add(w.c.Now() - began)
		}
		again()
	})
	if reads {
		w.c.Read(n, func(bool) {})
	}
	w.ifGone(n, uuid, func() bool { return ended }, again)
}

// ifGone calls f if the process of a node ends before something does.
func (w *world) ifGone(n int, uuid string, ended func() bool, f func()) {
	w.c.After(250*ms, func() {
		switch {
		case ended():
		case w.c.Observe(n).Answer == gcomm.Refused || w.c.Observe(n).UUID != uuid && w.c.Observe(n).Answer == gcomm.Speaks:
			f()
		default:
			w.ifGone(n, uuid, ended, f)
		}
	})
}
