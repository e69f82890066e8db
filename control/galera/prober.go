package galera

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

// ErrRunning says that Run was called a second time.
var ErrRunning = errors.New("galera: the prober is running already")

// NodeStatus is what is known of one node.
type NodeStatus struct {
	Node string
	// State is the verdict and what goes with it.
	State
	// Reading is the last good one: while the node does not answer it is old.
	Reading
	// At is when the last attempt ended that said something; a status is as fresh as
	// that. Attempts during which this process was not running do not count. It has
	// a monotonic part: compare it with time.Since. Zero before the first attempt.
	At time.Time
	// FlowPaused: flow control held the node's commits back for most of the time between
	// the last two readings. That is so on all nodes of a cluster at once.
	FlowPaused bool

	// Stuck is a sentence if the node's own commits hang, "" if nothing is known of
	// that. Only a healthy node is ever stuck. On its own it is no reason to leave
	// the node: when the cluster is paused, all are stuck.
	Stuck string
	// StuckAlone: the node is stuck and another one of its history went on meanwhile,
	// so it is the node and moving helps. That is this member's own view: it is
	// what a member should vote with.
	StuckAlone bool
	// CanaryAt is when the canary last committed; zero if it never did.
	CanaryAt time.Time

	// Options are what the node's group layer was told; none are known where Weight is -1.
	Options group.Options
	// OptionsAt is when they were read, OptionsListed that the evict list was not empty then.
	OptionsAt     time.Time
	OptionsListed bool
	// Lacks is what the account lacks there for an eviction, "" for nothing, and where nobody asked; LacksLast the same for one of
	// which a single node is left.
	Lacks, LacksLast string
	// Sight is what was last seen of the node's process, and Wait of its causal reads while another node's process is
	// suspected of having ended.
	Sight group.Sight
	Wait  Wait
	// Acquitted is the UUID of a process that looks as if it had ended and lives, as causal reads of other nodes have shown.
	Acquitted string
	// Stall is how long the group has waited for the node's process since that began to look as if it had ended, which is about
	// how long nobody could commit: until a causal read came back that had shown it. 0 while that is not known.
	Stall time.Duration
}

// record is a status and what goes into it.
type record struct {
	NodeStatus
	target Target
	track  track
	hang   hang
	proof  time.Time // see othersCommit
	intake Intake
	// suspected is since when the process has looked as if it had ended, zero if it does not.
	suspected time.Time
	// knock and witness wake the node's goroutines of that name.
	knock, witness chan struct{}
}

// Prober probes the nodes. Its methods may be called from any goroutine.
type Prober struct {
	cfg     Config
	metrics *metrics
	grid    time.Time
	changed chan struct{}
	renew   chan struct{}
	// dialer makes a node's dialer; tests give their own names to addresses.
	dialer func(address string) (*conn.Dialer, error)
	// arbitrators are in the order in which they were given.
	arbitrators []*arbitrator

	running atomic.Bool

	mu      sync.Mutex // guards what follows
	records []*record  // in the order of the nodes
}

// New returns a prober that begins with Run. Its error is that of
// [Config.Validate] or of registering the metrics; without a user it wraps
// [conn.ErrNoUser].
func New(cfg Config) (*Prober, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	p := &Prober{
		cfg: cfg, metrics: m, grid: gridStart(time.Now(), cfg.Interval),
		changed: make(chan struct{}, 1),
		renew:   make(chan struct{}, 1),
		dialer:  func(address string) (*conn.Dialer, error) { return conn.NewDialer(address, nil) },
	}
	for _, address := range cfg.Arbitrators {
		p.arbitrators = append(p.arbitrators, &arbitrator{address: address, wake: make(chan struct{}, 1)})
	}
	p.SetNodes(cfg.Nodes)
	return p, nil
}

// SetNodes replaces the nodes. One that stays, with the same name and address,
// keeps its connection and its verdict. Targets that are not valid are logged and
// left out, and so is a name's second target.
func (p *Prober) SetNodes(targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.records
	p.records = nil
	for _, t := range targets {
		if t.validate() != nil || slices.ContainsFunc(p.records, func(r *record) bool { return r.Node == t.Name }) {
			p.cfg.Logger.Warn("a node is not probed: its name must be its own and its address HOST:PORT", "node", t.Name, "address", t.Address)
			continue
		}
		r := &record{
			NodeStatus: NodeStatus{Node: t.Name, State: Start(), Options: group.Options{Weight: -1}}, target: t,
			knock: make(chan struct{}, 1), witness: make(chan struct{}, 1),
		}
		if i := slices.IndexFunc(before, func(r *record) bool { return r.target == t }); i >= 0 {
			r = before[i]
		}
		p.records = append(p.records, r)
	}
	nudge.Send(p.renew)
	nudge.Send(p.changed)
}

// Status returns what is known of every node, in the order in which they were
// given.
func (p *Prober) Status() []NodeStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.assess()
	all := make([]NodeStatus, len(p.records))
	for i, r := range p.records {
		all[i] = r.NodeStatus
	}
	return all
}

// Changed receives a value when a node's verdict, whether it may be chosen, or
// whether it is stuck has changed, at once. Several changes may be one value.
func (p *Prober) Changed() <-chan struct{} { return p.changed }

// Run probes until ctx is done. It returns ErrRunning if it runs already, and nil
// otherwise, with every connection closed.
func (p *Prober) Run(ctx context.Context) error {
	if p.running.Swap(true) {
		return ErrRunning
	}
	defer p.end()
	var probes sync.WaitGroup
	defer probes.Wait()
	probes.Go(func() { p.watchArbitrators(ctx) })
	stop := make(map[*record]context.CancelFunc)
	defer func() {
		for _, cancel := range stop {
			cancel()
		}
	}()
	for {
		wanted := p.wanted()
		for r, cancel := range stop {
			if !slices.Contains(wanted, r) {
				cancel()
				delete(stop, r)
			}
		}
		for _, r := range wanted {
			if stop[r] != nil {
				continue
			}
			nctx, cancel := context.WithCancel(ctx)
			stop[r] = cancel
			probes.Go(func() { p.probe(nctx, r) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.renew:
		}
	}
}

// probe probes one node until ctx is done.
func (p *Prober) probe(ctx context.Context, r *record) {
	log := p.cfg.Logger.With("node", r.Node, "address", r.target.Address)
	d, err := p.dialer(r.target.Address)
	if err != nil {
		log.Error("a node cannot be probed", "error", err)
		return
	}
	n := &node{
		cfg: &p.cfg, dialer: d, log: log, state: Start(), grid: p.grid,
		metrics: p.metrics.of(r.Node),
		publish: func(change func(*record)) { p.publish(r, change) },
	}
	n.metrics.verdict(Unknown)
	var commits sync.WaitGroup
	k := &knocker{deadline: p.cfg.Deadline, wake: r.knock, publish: n.publish, status: func() NodeStatus { return p.status(r) }}
	commits.Go(func() { k.run(ctx) })
	if p.cfg.Witness {
		own := *d // a dialer has a memory
		w := &witness{cfg: &p.cfg, dialer: &own, log: log, wake: r.witness, publish: n.publish, wanted: func() bool { return p.asks(r) },
			came: func(began time.Time) { p.came(r, began) }}
		commits.Go(func() { w.run(ctx) })
	}
	if p.cfg.Canary != nil {
		own := *d
		c := &canary{
			node: r.Node, cfg: p.cfg.Canary, probe: &p.cfg, dialer: &own,
			grid: gridStart(p.grid, p.cfg.Canary.Interval), log: log, metrics: n.metrics, publish: n.publish,
			verdict: func() Verdict { return p.verdict(r) },
		}
		commits.Go(func() { c.run(ctx) })
	}
	n.run(ctx)
	commits.Wait()
	p.forget(r.Node)
}

// status is what is known of a node now.
func (p *Prober) status(r *record) NodeStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.NodeStatus
}

// Open makes a session of the caller's own on a node, with what is to be run first. ctx ends it.
func (p *Prober) Open(ctx context.Context, node, setup string) (*conn.Session, error) {
	p.mu.Lock()
	i := slices.IndexFunc(p.records, func(r *record) bool { return r.Node == node })
	if i < 0 {
		p.mu.Unlock()
		return nil, fmt.Errorf("%s is no node of haproxy.cfg", node)
	}
	address := p.records[i].target.Address
	p.mu.Unlock()
	d, err := p.dialer(address)
	if err != nil {
		return nil, err
	}
	return p.cfg.open(ctx, d, setup)
}

// verdict is what the probe says of a node now.
func (p *Prober) verdict(r *record) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.Verdict
}

func (p *Prober) publish(r *record, change func(*record)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := r.NodeStatus
	change(r)
	r.Wait.Usual = 0
	for _, o := range p.records {
		r.Wait.Usual = max(r.Wait.Usual, o.Latency)
	}
	now := time.Now()
	if r.Verdict != before.Verdict || r.Eligible != before.Eligible || r.Avoid != before.Avoid ||
		r.OtherCluster != before.OtherCluster || r.Class != before.Class ||
		r.Sight.End() != before.Sight.End() || r.Wait.Hangs() != before.Wait.Hangs() {
		nudge.Send(p.changed)
	}
	p.suspect(r, before.Sight, now)
	p.assess()
}

// assess renews what depends on the time and on the other nodes, and tells whoever
// waits if that changed whether a node is stuck.
func (p *Prober) assess() {
	if !assess(p.records, time.Now(), p.cfg.gap(), p.cfg.Canary) {
		return
	}
	for _, r := range p.records {
		p.metrics.stuck.WithLabelValues(r.Node).Set(one(r.Stuck != ""))
	}
	nudge.Send(p.changed)
}

// end lets go of the verdicts: nothing keeps them true any more.
func (p *Prober) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		r.State = Start()
	}
	p.running.Store(false)
}

func (p *Prober) wanted() []*record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.records // SetNodes makes another
}

// forget drops the metrics of a node, unless its name goes on, at another address.
func (p *Prober) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.records, func(r *record) bool { return r.Node == node }) {
		p.metrics.forget(node)
	}
}
