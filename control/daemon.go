package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/admin"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/notify"
	"github.com/haproxy-peers/haproxy-peers/control/page"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/scrape"
	"github.com/haproxy-peers/haproxy-peers/control/steer"
	"github.com/haproxy-peers/haproxy-peers/control/vote"
)

// Daemon is one haproxyd: the two loops, and what stands between them and the world.
type Daemon struct {
	cfg    Config
	deps   Deps
	files  *haproxycfg.Files
	events *journal.Journal

	vote  *vote.Loop
	steer *steer.Proxy // nil for a witness
	admin *admin.Server
	looks *drain.Inspectors
	wake  chan struct{} // wakes the proxy loop
	told  *prometheus.CounterVec
}

// Runner is a part that runs until its context is done.
type Runner interface {
	Run(ctx context.Context) error
}

// Cluster is a vote.Cluster that has to be run.
type Cluster interface {
	vote.Cluster
	Runner
}

// Prober is a vote.Prober that has to be run.
type Prober interface {
	vote.Prober
	Runner
}

// Pods are vote.Pods that have to be run.
type Pods interface {
	vote.Pods
	Runner
}

// Deps makes the parts that do I/O. They are made late: haproxy.cfg names the
// first voters, the nodes and the socket.
type Deps struct {
	// Cluster joins the membership. The initial voters are those of the
	// topology's peers section.
	Cluster func(t *configs.Topology) (Cluster, error)
	// Prober probes the nodes; nil where no probe user is configured.
	Prober func(t *configs.Topology, expectUUID func() string) (Prober, error)
	// HAProxy makes a client for an admin socket.
	HAProxy func(socket string) (steer.HAProxy, error)
	// Inspector makes the look at a node's sessions; nil where no probe user is
	// configured.
	Inspector func(node galera.Target) (drain.NodeInspector, error)
	// Pods tells which database pods are about to end; nil outside Kubernetes.
	Pods Pods
	// Now is time.Now, where it is nil too. What it gives is compared with itself only.
	Now func() time.Time
}

// New returns a daemon that does nothing yet.
func New(cfg Config, deps Deps) (*Daemon, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Cluster == nil || deps.HAProxy == nil && !cfg.Witness {
		return nil, errors.New("control: Deps.Cluster and Deps.HAProxy are needed")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	cfg = cfg.withDefaults()
	d := &Daemon{cfg: cfg, deps: deps, events: journal.New(200), wake: make(chan struct{}, 1)}
	d.files = &haproxycfg.Files{
		Paths: cfg.Files, Reading: configs.Reading{LocalPeer: cfg.Name, Backends: cfg.Backends}, Log: cfg.Logger, MayRewrite: cfg.RewriteConfig && !cfg.Observe, Changed: d.topologyChanged,
	}
	d.looks = &drain.Inspectors{Dial: deps.Inspector, Nodes: d.files.Targets, Looked: func() { d.vote.Wake() }}
	m := newMetrics(cfg.Registerer)
	d.told = m.told
	wake := func() { nudge.Send(d.wake) }
	votes := vote.Config{
		Name: cfg.Name, Observe: cfg.Observe, Canary: cfg.Canary, Policy: cfg.Policy, Evict: cfg.Evict, EvictLast: cfg.EvictLast, Files: d.files, Inspectors: d.looks,
		Wake: wake, UUID: d.writeHint, Now: deps.Now, Events: d.events, Log: cfg.Logger, Metrics: m.vote,
	}
	if deps.Pods != nil {
		votes.Pods = deps.Pods
	}
	if !cfg.Witness {
		d.steer = steer.New(steer.Config{
			Observe: cfg.Observe, OnBlind: cfg.OnBlind, Readers: cfg.Readers, DataDir: cfg.DataDir, Files: d.files,
			Dial:    deps.HAProxy,
			Inspect: func(node string) (drain.Inspector, error) { return d.looks.Of(node) },
			Hear:    func() mandate.Want { _, want := d.vote.Hear(mandate.Facts{}); return want },
			Wanted:  func() mandate.Want { return d.vote.Wanted() },
			Notify:  func() { d.vote.Wake() },
			Paused:  func() { d.vote.Paused(deps.Now()) },
			Now:     deps.Now, Events: d.events, Log: cfg.Logger, Metrics: m.steer,
		})
		votes.Look = d.steer.Look
	}
	d.vote = vote.New(votes)
	d.admin = admin.New(admin.Config{
		Name: cfg.Name, Version: cfg.Version, DataDir: cfg.DataDir, Socket: cfg.AdminSocket, HTTPBind: cfg.HTTPBind, AdminBind: cfg.AdminBind, AdminCerts: cfg.AdminCerts,
		Observe: cfg.Observe, Witness: cfg.Witness, InitialVoters: cfg.InitialVoters, Warnings: cfg.Warnings, Gatherer: cfg.Gatherer,
		Moment: d.moment, Beacon: d.beacon, Turning: d.turning, Vote: d.vote, Wake: wake, Files: d.files, InTransaction: d.looks.InTransaction,
		Now: deps.Now, Events: d.events, Log: cfg.Logger,
	})
	if cfg.Registerer != nil {
		if err := registerLate(cfg.Registerer, cfg.Version, d.moment, func() time.Duration { return d.vote.TwoWriters() }); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return d, nil
}

// page is what people look at.
func (d *Daemon) page() *page.Page {
	return page.New(page.Config{Bind: d.cfg.UIBind, Overview: d.admin.Overview, API: d.admin.Reading(), Now: d.deps.Now, Log: d.cfg.Logger})
}

// moment is what questions are answered from.
func (d *Daemon) moment() published.Moment {
	m := published.Moment{Situation: d.vote.Situation(), Look: &published.Look{}}
	if d.steer != nil {
		m.Look = d.steer.Look()
	}
	return m
}

// beacon is the answer of /beacon at this moment.
func (d *Daemon) beacon() bool { return d.steer != nil && d.steer.BeaconOn() }

// healthyWithin is how long a loop may take for a turn before /healthz says no.
// A turn is bounded by the Runtime API's deadlines, a second each.
const healthyWithin = 3 * time.Second

// turning is /healthz: it never depends on the database, nor on HAProxy, and
// a daemon that waits for a usable haproxy.cfg is healthy.
func (d *Daemon) turning() bool {
	return d.vote.Cluster() == nil || d.vote.TurnedWithin(healthyWithin) && (d.steer == nil || d.steer.TurnedWithin(healthyWithin))
}

// Run serves and turns until ctx is done. A haproxy.cfg that cannot be used is
// no reason to end: the daemon says so and tries again, so that it can be
// started before, and survive, a broken file.
func (d *Daemon) Run(ctx context.Context) error {
	if err := d.admin.Listen(ctx); err != nil {
		return err
	}
	var metrics *scrape.Server
	if c := d.cfg.Scrape; c.Bind != "" {
		c.Gatherer, c.Log = d.cfg.Gatherer, d.cfg.Logger
		metrics = scrape.New(c)
		if err := metrics.Listen(ctx); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.admin.Run(gctx) })
	if d.cfg.UIBind != UIOff {
		g.Go(func() error { return d.page().Run(gctx) })
	}
	if metrics != nil {
		g.Go(func() error { return metrics.Run(gctx) })
	}
	g.Go(func() error { return d.start(gctx, g) })
	return g.Wait()
}

// Reread has everything that is read from files read again now instead of at the
// loops' own pace; what cannot be used then leaves what is in force, as always. The
// gossip keys are looked at every two seconds, a password at each login and a service
// account at each request, so that nothing is to be done for those.
func (d *Daemon) Reread() {
	d.cfg.Logger.Info("rereading the files")
	d.files.Reread()
	nudge.Send(d.wake)
	d.vote.Wake()
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
	runs := []Runner{c, d.vote}
	var prober vote.Prober
	if d.deps.Prober != nil {
		p, err := d.deps.Prober(topo, d.vote.StateUUID)
		if err != nil {
			return err
		}
		prober, runs = p, append(runs, p)
	}
	d.vote.Join(c, prober)
	if d.deps.Pods != nil {
		runs = append(runs, d.deps.Pods)
	}
	if d.deps.Inspector != nil {
		runs = append(runs, d.looks)
	}
	if len(d.cfg.Receivers) > 0 {
		runs = append(runs, d.watcher())
	}
	for _, r := range runs {
		g.Go(func() error { return r.Run(ctx) })
	}
	if d.steer != nil {
		g.Go(func() error { return d.steer.Run(ctx, d.wake) })
	}
	return nil
}

// watcher tells programs outside of what happens.
func (d *Daemon) watcher() Runner {
	return notify.New(notify.Config{
		Member: d.cfg.Name, Born: d.deps.Now(), Look: d.vote.Situation, Status: d.admin.Status, TwoWriters: d.vote.TwoWriters,
		Receivers: d.cfg.Receivers, Count: func(receiver, result string) { d.told.WithLabelValues(receiver, result).Inc() }, Log: d.cfg.Logger,
	})
}

// firstTopology waits for a haproxy.cfg that can be used; nil when ctx is done.
func (d *Daemon) firstTopology(ctx context.Context) *configs.Topology {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	last := ""
	for {
		now := d.deps.Now()
		err := d.files.Refresh(now)
		if err == nil {
			return d.files.Topology()
		}
		if err.Error() != last {
			last = err.Error()
			d.events.Add(now, last)
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
	c := d.vote.Cluster()
	if c == nil {
		return
	}
	// --initial-voters is there because the file names the local peer alone.
	if names := haproxycfg.PeerNames(haproxycfg.InitialPeers(t)); len(names) > 0 && len(d.cfg.InitialVoters) == 0 {
		c.SetInitialVoters(names)
	}
	d.vote.TopologyChanged(t)
}
