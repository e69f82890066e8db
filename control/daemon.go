package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

// Daemon is one haproxyd.
type Daemon struct {
	cfg  Config
	log  *slog.Logger
	m    *metrics
	deps Deps

	// clock is time.Now; what it gives is compared with itself only.
	clock  clock
	files  *haproxycfg.Files
	proxy  *proxy // nil for a witness
	events *journal.Journal
	wakeV  chan struct{} // wakes the vote loop
	wakeP  chan struct{} // wakes the proxy loop

	// started holds what exists only once haproxy.cfg could be read.
	started   atomic.Pointer[started]
	votes     votes
	decoded   decoded
	uuid      atomic.Pointer[string] // the record's Galera state UUID
	born      time.Time              // when this daemon was made
	mandate   mandated
	autoMoves autoMoves
	calm      untroubled
	owed      owed
	moves     moveLog
	applied   applied
	sessions  sessionLooks
	ending    ending

	// situation is what the vote loop knew and decided last, nil before there is a cluster.
	situation atomic.Pointer[published.Situation]

	mu   sync.Mutex // guards http
	http net.Addr
}

type started struct {
	cluster Agreement
	prober  Prober
}

// Runner is a part that runs until its context is done.
type Runner interface {
	Run(ctx context.Context) error
}

// Cluster is an Agreement that has to be run.
type Cluster interface {
	Agreement
	Runner
}

// RunningProber is a Prober that has to be run.
type RunningProber interface {
	Prober
	Runner
}

// Deps makes the parts that do I/O. They are made late: haproxy.cfg names the
// first voters, the nodes and the socket.
type Deps struct {
	// Cluster joins the membership. The initial voters are those of the
	// topology's peers section.
	Cluster func(t *configs.Topology) (Cluster, error)
	// Prober probes the nodes; nil where no probe user is configured.
	Prober func(t *configs.Topology, expectUUID func() string) (RunningProber, error)
	// HAProxy makes a client for an admin socket.
	HAProxy func(socket string) (HAProxy, error)
	// Inspector makes the look at a node's sessions; nil where no probe user is
	// configured.
	Inspector func(node galera.Target) (Inspector, error)
	// Pods tells which database pods are about to end; nil outside Kubernetes.
	Pods Pods
}

// New returns a daemon that does nothing yet.
func New(cfg Config, deps Deps) (*Daemon, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Cluster == nil || deps.HAProxy == nil && !cfg.Witness {
		return nil, errors.New("control: Deps.Cluster and Deps.HAProxy are needed")
	}
	cfg = cfg.withDefaults()
	d := &Daemon{
		cfg: cfg, log: cfg.Logger, m: newMetrics(cfg.Registerer), deps: deps,
		events: journal.New(200), clock: time.Now, born: time.Now(),
		wakeV: make(chan struct{}, 1),
		wakeP: make(chan struct{}, 1),
	}
	d.mandate.rules = mandate.New(mandate.Policy{Name: cfg.Name, Observe: cfg.Observe, FenceAfter: cfg.Policy.FenceAfter}, d.born)
	d.mandate.last.Store(&mandate.Want{Why: "not started yet"})
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(figures{d.asked}); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	d.files = &haproxycfg.Files{
		Paths: cfg.Files, Local: cfg.Name, Log: cfg.Logger, MayRewrite: cfg.RewriteConfig && !cfg.Observe, Changed: d.topologyChanged,
	}
	if !cfg.Witness {
		undo := newUndo(filepath.Join(cfg.DataDir, "haproxy-changes.json"), cfg.Logger)
		d.proxy = &proxy{
			undo: undo, hold: hold{undo: undo}, inspect: d.inspectorOf,
			cfg: cfg, log: cfg.Logger, now: time.Now, dial: deps.HAProxy, m: d.m, wanted: d.wanted,
			hear:   func() mandate.Want { _, want := d.hear(mandate.Facts{}); return want },
			events: d.events, notify: func() { nudge.Send(d.wakeV) }, pause: func() { d.paused(d.clock.now()) }, files: d.files,
			memory: newMemory(filepath.Join(cfg.DataDir, "haproxy-seen.json"), cfg.Logger),
			beacon: beacon{after: beaconAfter, within: verifiedWithin},
			pace:   pace{urgent: 2 * time.Second, calm: nativePace},
		}
	}
	return d, nil
}

// Run serves and turns until ctx is done. A haproxy.cfg that cannot be used is
// no reason to end: the daemon says so and tries again, so that it can be
// started before, and survive, a broken file.
func (d *Daemon) Run(ctx context.Context) error {
	httpL, err := serving.Listen(ctx, d.cfg.HTTPBind)
	if err != nil {
		return fmt.Errorf("http-bind %s: %w", d.cfg.HTTPBind, err)
	}
	adminL, err := listenAdmin(d.cfg.AdminSocket)
	if err != nil {
		for _, l := range httpL {
			_ = l.Close()
		}
		return err
	}
	d.mu.Lock()
	d.http = httpL[0].Addr()
	d.mu.Unlock()

	g, gctx := errgroup.WithContext(ctx)
	public := d.publicHandler()
	for _, l := range httpL {
		g.Go(func() error { return serve(gctx, l, public, serving.Options{Log: d.log}) })
	}
	g.Go(func() error { return serve(gctx, adminL, d.adminHandler(), adminBounds(d.log)) })
	g.Go(func() error { return d.start(gctx, g) })
	return g.Wait()
}

// Reread has everything that is read from files read again now instead of at the
// loops' own pace; what cannot be used then leaves what is in force, as always. The
// gossip keys are looked at every two seconds, a password at each login and a service
// account at each request, so that nothing is to be done for those.
func (d *Daemon) Reread() {
	d.log.Info("rereading the files")
	d.files.Reread()
	nudge.Send(d.wakeP)
	nudge.Send(d.wakeV)
}

// start waits for a usable haproxy.cfg, then starts the rest.
func (d *Daemon) start(ctx context.Context, g *errgroup.Group) error {
	topo := d.firstTopology(ctx)
	if topo == nil {
		return nil // stopped before haproxy.cfg could be used
	}
	c, err := d.deps.Cluster(topo)
	if err != nil {
		return err
	}
	d.writeHint("")
	// What the disk knows holds from the first packet on.
	ag := c.Agreement()
	if rec, err := d.record(&ag); err == nil {
		setLowest(c, rec)
	}
	s := &started{cluster: c}
	g.Go(func() error { return c.Run(ctx) })
	if d.deps.Prober != nil {
		p, err := d.deps.Prober(topo, d.stateUUID)
		if err != nil {
			return err
		}
		s.prober = p
		g.Go(func() error { return p.Run(ctx) })
	}
	d.started.Store(s)
	d.renew(s)
	if d.deps.Pods != nil {
		g.Go(func() error { return d.deps.Pods.Run(ctx) })
	}
	g.Go(func() error { return d.voteLoop(ctx, s) })
	if s.prober != nil {
		g.Go(func() error { return d.measure(ctx, s) })
	}
	if d.deps.Inspector != nil {
		g.Go(func() error { return d.sessions.run(ctx, d) })
	}
	if d.proxy != nil {
		g.Go(func() error { return d.proxy.run(ctx, d.wakeP) })
	}
	return nil
}

// firstTopology waits for a haproxy.cfg that can be used; nil when ctx is done.
func (d *Daemon) firstTopology(ctx context.Context) *configs.Topology {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	last := ""
	for {
		err := d.files.Refresh(d.clock.now())
		if err == nil {
			return d.files.Topology()
		}
		if err.Error() != last {
			last = err.Error()
			d.events.Add(d.clock.now(), last)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// topologyChanged tells the probe which nodes there are now, and the cluster who
// is to begin if nothing has begun yet.
func (d *Daemon) topologyChanged(t *configs.Topology) {
	s := d.started.Load()
	if s == nil {
		return
	}
	// --initial-voters is there because the file names the local peer alone.
	if names := haproxycfg.PeerNames(haproxycfg.InitialPeers(t)); len(names) > 0 && len(d.cfg.InitialVoters) == 0 {
		s.cluster.SetInitialVoters(names)
	}
	if s.prober != nil {
		s.prober.SetNodes(haproxycfg.Targets(t))
	}
}

// record returns what is agreed, decoded; it must not be changed.
func (d *Daemon) record(ag *cluster.Agreement) (*model.Record, error) {
	if !ag.Known || len(ag.Record.Value) == 0 {
		return nil, nil
	}
	return d.decoded.record(&ag.Record)
}

// stateUUID is the record's Galera state UUID, for the probe.
func (d *Daemon) stateUUID() string {
	if uuid := d.uuid.Load(); uuid != nil {
		return *uuid
	}
	return ""
}
