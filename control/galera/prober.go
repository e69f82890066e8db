package galera

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
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
	// StuckSince is when that began, zero if it did not.
	StuckSince time.Time
	// StuckAlone: the node is stuck and another one of its history went on meanwhile,
	// so it is the node and moving helps. That is this member's own view: it is
	// what a member should vote with.
	StuckAlone bool
	// Commits: the canary has committed on the node within 2 Interval + Deadline and does
	// not hang now. False says nothing if there is no canary, or if this process was
	// stopped.
	Commits bool
	// CanaryAt is when the canary last committed; zero if it never did.
	CanaryAt time.Time
	// Lacks says why the canary cannot commit, and the statements that would help. A
	// node is not stuck then, but unknown.
	Lacks string
}

// record is a status and what goes into it.
type record struct {
	NodeStatus
	track track
	hang  hang
	proof time.Time // see othersCommit
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

	mu      sync.Mutex // guards what follows
	running bool
	records []*record // in the order of the nodes
	status  map[Target]*record
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
		status:  make(map[Target]*record),
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
	named := make(map[string]bool, len(targets))
	status := make(map[Target]*record, len(targets))
	p.records = p.records[:0:0]
	for _, t := range targets {
		if err := t.validate(); err != nil || named[t.Name] {
			p.cfg.Logger.Warn("a node is not probed: its name must be its own and its address HOST:PORT", "node", t.Name, "address", t.Address)
			continue
		}
		named[t.Name] = true
		if status[t] = p.status[t]; status[t] == nil {
			status[t] = &record{NodeStatus: NodeStatus{Node: t.Name, State: Start()}}
		}
		p.records = append(p.records, status[t])
	}
	p.status = status
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
	if !p.begin() {
		return ErrRunning
	}
	defer p.end()
	var probes sync.WaitGroup
	defer probes.Wait()
	stop := make(map[Target]context.CancelFunc)
	defer func() {
		for _, cancel := range stop {
			cancel()
		}
	}()
	for {
		wanted := p.targets()
		for t, cancel := range stop {
			if wanted[t] == nil {
				cancel()
				delete(stop, t)
			}
		}
		for t := range wanted {
			if stop[t] != nil {
				continue
			}
			nctx, cancel := context.WithCancel(ctx)
			stop[t] = cancel
			probes.Go(func() { p.probe(nctx, t) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.renew:
		}
	}
}

// probe probes one node until ctx is done.
func (p *Prober) probe(ctx context.Context, t Target) {
	log := p.cfg.Logger.With("node", t.Name, "address", t.Address)
	d, err := p.dialer(t.Address)
	if err != nil {
		log.Error("a node cannot be probed", "error", err)
		return
	}
	n := &node{
		target: t, cfg: &p.cfg, dialer: d, log: log, state: Start(), grid: p.grid,
		metrics: p.metrics.of(t.Name),
		publish: func(change func(*record)) { p.publish(t, change) },
	}
	n.metrics.verdict(Unknown)
	var commits sync.WaitGroup
	if p.cfg.Canary != nil {
		commits.Go(func() { p.commit(ctx, n) })
	}
	n.run(ctx)
	commits.Wait()
	p.forget(t)
}

// commit runs the canary beside a node's probe until ctx is done.
func (p *Prober) commit(ctx context.Context, n *node) {
	d, err := p.dialer(n.target.Address) // of its own: a dialer has a memory
	if err != nil {
		return // the probe says so
	}
	c := &canary{
		target: n.target, cfg: p.cfg.Canary, probe: &p.cfg, dialer: d,
		grid: gridStart(p.grid, p.cfg.Canary.Interval), log: n.log, metrics: n.metrics, publish: n.publish,
		verdict: func() Verdict { return p.verdict(n.target) },
	}
	c.run(ctx)
}

// verdict is what the probe says of a node now.
func (p *Prober) verdict(t Target) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.status[t]; s != nil {
		return s.Verdict
	}
	return Unknown
}

func (p *Prober) publish(t Target, change func(*record)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status[t]
	if s == nil {
		return // no longer wanted
	}
	before := s.State
	change(s)
	if s.Verdict != before.Verdict || s.Eligible != before.Eligible || s.Avoid != before.Avoid ||
		s.OtherCluster != before.OtherCluster || s.Class != before.Class {
		nudge.Send(p.changed)
	}
	p.assess()
}

// assess renews what depends on the time and on the other nodes, and tells whoever
// waits if that changed whether a node is stuck.
func (p *Prober) assess() {
	if !assess(p.records, time.Now(), p.cfg.gap(), p.cfg.Canary) {
		return
	}
	for _, r := range p.records {
		p.metrics.stuckNow(r.Node, r.Stuck != "")
	}
	nudge.Send(p.changed)
}

func (p *Prober) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.running
	p.running = true
	return !was
}

// end lets go of the verdicts: nothing keeps them true any more.
func (p *Prober) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
	for _, s := range p.status {
		s.State = Start()
	}
}

func (p *Prober) targets() map[Target]*record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.status)
}

// forget drops the metrics of a node, unless its name goes on at another address.
func (p *Prober) forget(t Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := range p.status {
		if other.Name == t.Name {
			return
		}
	}
	p.metrics.forget(t.Name)
}
