package steer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clock"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// Proxy is the loop that looks at one HAProxy and puts it right.
type Proxy struct {
	cfg     Config
	files   *haproxycfg.Files
	memory  *memory
	traffic traffic
	astray  astray

	client    HAProxy
	socket    string
	proc      process
	began     time.Time // when proc was started, by this process's monotonic clock
	restarted time.Time // when the process was seen to be another one
	compared  time.Time
	differs   string    // what the running HAProxy says against the file
	moved     string    // the same, of servers' addresses: nothing is stopped by it
	rightRuns int       // consecutive looks with nothing to do
	due       time.Time // when this turn was to start
	late      time.Time // this process stood still until then
	busy      int       // consecutive turns that wrote
	rewriting atomic.Bool
	lastGood  time.Time // last look that saw something
	silent    time.Time // since when HAProxy has not answered, zero while it does
	lastFull  time.Time // last full look, and what it saw
	lastInfo  runtimeapi.Info
	lastStats []runtimeapi.ServerStat
	addresses map[netip.AddrPort]string
	pace      pace // of corrections of the native tables
	sweep     sweep
	fence     fence
	hold      hold
	undo      *undo
	progress  drain.Progress
	outcomes  outcomes // of the loop
	rewritten cluster.Version

	mu     sync.Mutex // guards what follows
	last   *published.Look
	beacon beacon
	turned time.Time // when the last turn ended
}

// New reads what an earlier daemon has left in the data directory, and does nothing yet.
func New(cfg Config) *Proxy {
	undo := newUndo(filepath.Join(cfg.DataDir, "haproxy-changes.json"), cfg.Log)
	return &Proxy{
		cfg: cfg, files: cfg.Files, undo: undo, hold: hold{undo: undo},
		memory: newMemory(filepath.Join(cfg.DataDir, "haproxy-seen.json"), cfg.Log),
		beacon: beacon{after: beaconAfter, within: published.LookWithin},
		pace:   pace{urgent: 2 * time.Second, calm: nativePace},
	}
}

// Run turns until ctx is done, sooner when it is woken.
func (p *Proxy) Run(ctx context.Context, wake <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			p.farewell(context.WithoutCancel(ctx))
			return nil
		case <-wake:
		case <-timer.C:
		}
		next := p.Turn(ctx)
		if next == lookInterval {
			next = clock.OnGrid(p.cfg.Now(), next)
		}
		p.mu.Lock()
		p.turned = p.cfg.Now()
		p.due = p.turned.Add(next)
		p.mu.Unlock()
		timer.Reset(next)
	}
}

// farewell takes back, on a clean stop, what only a running daemon may keep up: a
// hold, a fence, and that connections are kept. Everything else stays as it is.
func (p *Proxy) farewell(ctx context.Context) {
	if p.client == nil || p.files.Topo == nil || p.cfg.Observe {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p.progress.End()
	layout := &p.files.Layout
	if layout.Steer != nil && layout.Steer.KeepKey != "" {
		if err := p.client.ClearTable(ctx, layout.Steer.Table, layout.Steer.KeepKey); err != nil {
			p.cfg.Log.Warn("connections are kept on the active until HAProxy notices that this daemon is gone", "error", err)
		}
	}
	for p.hold.busy() && ctx.Err() == nil {
		p.hold.began = time.Time{}
		snap, err := p.client.Snapshot(ctx, p.files.Query)
		if err == nil {
			t := turn{client: p.client, layout: layout}
			t.obs, _ = observe(p.files, &snap)
			err = p.hold.restore(ctx, &t)
		}
		if err != nil {
			p.cfg.Log.Warn("a hold is left for the next start to end", "error", err)
			break
		}
	}
	if p.fence.why != "" && layout.Steer != nil && layout.Steer.FenceKey != "" {
		if err := p.client.ClearTable(ctx, layout.Steer.Table, layout.Steer.FenceKey); err != nil {
			p.cfg.Log.Warn("the fence is left: it ends when HAProxy notices that this daemon is gone", "error", err)
		}
	}
}

// Look returns the last look. Before the first it says only what is not known of an
// earlier daemon's changes.
func (p *Proxy) Look() *published.Look {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		return &published.Look{Lost: p.undo.unread()}
	}
	return p.last
}

// BeaconOn is the answer of /beacon at this moment.
func (p *Proxy) BeaconOn() bool {
	want, now := p.cfg.Wanted(), p.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.beacon.answer(now, want.StillMayWrite(now))
}

// TurnedWithin tells whether the loop ended a turn within d.
func (p *Proxy) TurnedWithin(d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.turned.IsZero() && p.cfg.Now().Sub(p.turned) < d
}

// Turn looks once, puts right what it may, and returns when to look again.
func (p *Proxy) Turn(ctx context.Context) time.Duration {
	now := p.cfg.Now()
	if late := now.Sub(p.due); !p.due.IsZero() && late > 2*lookInterval {
		// The process was stopped: others may have moved. Nothing is written
		// until the majority was heard again, as a round trip that began now.
		p.late = now
		if late > published.LookWithin {
			p.cfg.Events.Add(now, fmt.Sprintf("this daemon stood still for %v: it waits for the leader's word", late.Round(time.Millisecond)))
			p.cfg.Paused()
		}
	}
	p.cfg.Metrics.Turns.Inc()

	if err := p.files.Refresh(now); err != nil && p.files.Topo == nil {
		return p.fail(now, err.Error(), err, 10*lookInterval)
	}
	if err := p.connect(); err != nil {
		p.silent = time.Time{} // nobody was asked
		return p.fail(now, err.Error(), err, 10*lookInterval)
	}
	t, again := p.see(ctx, now, !p.verified(now) || p.hold.busy() || now.Sub(p.lastFull) >= fullEvery)
	if t != nil && !p.weigh(ctx, t) {
		if t, again = p.see(ctx, now, true); t != nil {
			p.weigh(ctx, t)
		}
	}
	if t == nil {
		return again
	}
	return p.settle(ctx, t)
}

// verified tells whether this HAProxy does what was agreed, as the last looks saw.
func (p *Proxy) verified(now time.Time) bool {
	return p.rightRuns >= verifyRuns && now.Sub(p.restarted) >= watchFor
}

// see takes one look. Where it saw nothing it returns no turn, but when to look again.
func (p *Proxy) see(ctx context.Context, now time.Time, full bool) (*turn, time.Duration) {
	q := p.files.Query
	q.Info, q.Stats = full, full
	sctx, cancel := context.WithTimeout(ctx, time.Second)
	snap, err := p.client.Snapshot(sctx, q)
	cancel()
	if err != nil {
		p.cfg.Metrics.RuntimeErrors.Inc()
		var no *runtimeapi.CommandError
		if errors.As(err, &no) {
			p.silent = time.Time{} // that is an answer
			// A table of the file that does not run: say the difference.
			if snap, e := p.client.Snapshot(ctx, runtimeapi.SnapshotQuery{Info: true, Servers: true}); e == nil {
				p.sameProcess(p.cfg.Now(), snap.Info)
				p.compared = time.Time{}
				if p.compare(ctx, now, snap); p.differs != "" {
					return nil, p.fail(now, p.differs, err, 10*lookInterval)
				}
			}
		} else if p.silent.IsZero() {
			p.silent = now
		}
		return nil, p.fail(now, fmt.Sprintf("HAProxy's admin socket %s: %s", p.socket, because(err)), err, p.again(now))
	}
	p.silent = time.Time{}
	p.cfg.Metrics.LookSeconds.Observe(snap.Took.Seconds())
	if full {
		p.sameProcess(p.cfg.Now(), snap.Info) // not now: the uptime is of this moment
		p.compare(ctx, now, snap)
		p.lastFull, p.lastInfo, p.lastStats = now, snap.Info, snap.Stats
	} else {
		snap.Info, snap.Stats = p.lastInfo, p.lastStats
		snap.Info.Uptime += now.Sub(p.lastFull)
	}
	return &turn{now: now, full: full, snap: &snap, layout: &p.files.Layout, client: p.client}, 0
}

// significant tells whether the others should hear of this look at once.
func significant(a, b *published.Look) bool {
	if a.Reachable != b.Reachable || a.Steering != b.Steering || a.Effective != b.Effective ||
		a.Want.Version != b.Want.Version || a.Result.Converged != b.Result.Converged ||
		a.Native != b.Native || a.Problem != b.Problem || a.Fenced != b.Fenced ||
		(a.Result.Elsewhere == 0) != (b.Result.Elsewhere == 0) || len(a.Astray) != len(b.Astray) || a.Moved != b.Moved || drain.MovesOn(a.Move, b.Move) || len(a.Nodes) != len(b.Nodes) || len(a.WentDown) != len(b.WentDown) {
		return true
	}
	for name, n := range a.Nodes {
		if b.Nodes[name].State != n.State || b.Nodes[name].Refused != n.Refused {
			return true
		}
	}
	return false
}

// fail stores a look that saw nothing, and returns when to try again. err is the problem with
// all that is for the log.
func (p *Proxy) fail(now time.Time, problem string, err error, again time.Duration) time.Duration {
	want := p.cfg.Hear()
	l := &published.Look{At: now, Problem: problem, Silent: p.silent, Native: true, Want: want, Lost: p.undo.unread()}
	p.memory.tell(l)
	if p.files.Topo != nil {
		l.Layout = p.files.LayoutName()
	}
	p.mu.Lock()
	prev := p.last
	// The beacon stays on for as long as the last verification counts: a HAProxy
	// that is back by then is steered from the first write on, and neither stores
	// nor teaches the others what it does before that.
	p.beacon.note(now, want.MayWrite, false, false)
	p.last = l
	p.mu.Unlock()
	if prev == nil || prev.Problem != problem {
		p.cfg.Log.Warn("cannot look at HAProxy", "problem", problem, "error", err)
		p.cfg.Events.Add(now, problem)
		p.cfg.Notify()
	}
	return again
}

// again is the time until the next look after one that failed: close at first,
// because a HAProxy that restarts serves its first clients before anybody has
// written to it, and calm where asking costs a timeout each time.
func (p *Proxy) again(now time.Time) time.Duration {
	if p.cfg.Now().Sub(now) < closeInterval && now.Sub(p.lastGood) < watchFor {
		return closeInterval
	}
	return 2 * lookInterval
}
