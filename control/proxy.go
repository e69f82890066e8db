package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// verifyRuns is how many looks in a row with nothing to do end a verification
// : a connection that matched before a write
// stores its server after it, within milliseconds.
const verifyRuns = 4

// proxy is the loop that looks at one HAProxy and puts it right.
type proxy struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	dial   func(socket string) (HAProxy, error)
	hear   func() mandate.Want // takes a step of the mandate: this loop's alone, and its drainer's
	wanted func() mandate.Want // what the last step wanted, for everybody
	m      *metrics
	events *journal.Journal
	notify func() // wakes the vote loop
	pause  func() // this process did not run for a while: closes the gate

	files   *haproxycfg.Files
	memory  *memory
	traffic traffic

	client    HAProxy
	socket    string
	proc      process
	began     time.Time // when proc was started, by this process's monotonic clock
	restarted time.Time // when the process was seen to be another one
	compared  time.Time
	differs   string    // what the running HAProxy says against the file
	rightRuns int       // consecutive looks with nothing to do
	due       time.Time // when this turn was to start
	late      time.Time // this process stood still until then
	busy      int       // consecutive turns that wrote
	rewriting atomic.Bool
	lastGood  time.Time // last look that saw something
	lastFull  time.Time // last full look, and what it saw
	lastInfo  runtimeapi.Info
	lastStats []runtimeapi.ServerStat
	pace      pace // of corrections of the native tables
	sweep     sweep
	fence     fence
	hold      hold
	undo      *undo
	progress  drain.Progress
	// inspect makes the drainer's look at a node; nil without a probe user.
	inspect   func(node string) (Inspector, error)
	rewritten cluster.Version

	mu     sync.Mutex // guards what follows
	last   *published.Look
	beacon beacon
	turned time.Time // when the last turn ended
}

// run turns until ctx is done.
func (p *proxy) run(ctx context.Context, wake <-chan struct{}) error {
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
		next := p.turn(ctx)
		if next == lookInterval {
			next = onGrid(p.now(), next)
		}
		p.mu.Lock()
		p.turned = p.now()
		p.due = p.turned.Add(next)
		p.mu.Unlock()
		timer.Reset(next)
	}
}

// farewell takes back, on a clean stop, what only a running daemon may keep up: a
// hold, a fence, and that connections are kept. Everything else stays as it is.
func (p *proxy) farewell(ctx context.Context) {
	if p.client == nil || p.files.Topo == nil || p.cfg.Observe {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p.progress.End()
	layout := &p.files.Layout
	if layout.Steer != nil && layout.Steer.KeepKey != "" {
		if err := p.client.ClearTable(ctx, layout.Steer.Table, layout.Steer.KeepKey); err != nil {
			p.log.Warn("connections are kept on the active until HAProxy notices that this daemon is gone", "error", err)
		}
	}
	for p.hold.busy() && ctx.Err() == nil {
		p.hold.began = time.Time{}
		snap, err := p.client.Snapshot(ctx, p.files.Query)
		if err == nil {
			obs, _ := observe(p.files, &snap)
			err = p.hold.restore(ctx, p.client, layout, &obs)
		}
		if err != nil {
			p.log.Warn("a hold is left for the next start to end", "error", err)
			break
		}
	}
	if p.fence.why != "" && layout.Steer != nil && layout.Steer.FenceKey != "" {
		if err := p.client.ClearTable(ctx, layout.Steer.Table, layout.Steer.FenceKey); err != nil {
			p.log.Warn("the fence is left: it ends when HAProxy notices that this daemon is gone", "error", err)
		}
	}
}

// onGrid is the time until the next full interval of the clock, where the probe
// looks too: this process mostly sleeps, and each waking costs more than what
// it then does. It is between a half and one and a half intervals, whatever is done
// to that clock.
func onGrid(now time.Time, interval time.Duration) time.Duration {
	d := interval - time.Duration(now.UnixNano())%interval
	if d < interval/2 {
		d += interval
	}
	return d
}

// latest returns the last look, nil before the first.
func (p *proxy) latest() *published.Look {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// beaconOn is the answer of /beacon at this moment.
func (p *proxy) beaconOn() bool {
	want, now := p.wanted(), p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.beacon.answer(now, want.StillMayWrite(now))
}

// turnedWithin tells whether the loop ended a turn within d.
func (p *proxy) turnedWithin(d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.turned.IsZero() && p.now().Sub(p.turned) < d
}

// turn looks once, puts right what it may, and returns when to look again.
func (p *proxy) turn(ctx context.Context) time.Duration {
	now := p.now()
	if late := now.Sub(p.due); !p.due.IsZero() && late > 2*lookInterval {
		// The process was stopped: others may have moved. Nothing is written
		// until the majority was heard again, as a round trip that began now.
		p.late = now
		if late > verifiedWithin {
			p.events.Add(now, fmt.Sprintf("this daemon stood still for %v: it waits for the leader's word", late.Round(time.Millisecond)))
			p.pause()
		}
	}
	p.m.turns.WithLabelValues("proxy").Inc()

	if err := p.files.Refresh(now); err != nil && p.files.Topo == nil {
		return p.fail(now, err.Error(), 10*lookInterval)
	}
	if err := p.connect(); err != nil {
		return p.fail(now, err.Error(), 10*lookInterval)
	}
	return p.look(ctx, now, !p.settled(now) || p.hold.busy() || now.Sub(p.lastFull) >= fullEvery)
}

// settled tells whether this HAProxy does what was agreed, as the last looks saw.
func (p *proxy) settled(now time.Time) bool {
	return p.rightRuns >= verifyRuns && now.Sub(p.restarted) >= watchFor
}

// look takes one look. One that is not full costs HAProxy less than half: it
// leaves out the statistics and the process, and whatever it would have
// something done about is looked at again in full first, because a number in a
// table means another server in another process's configuration.
func (p *proxy) look(ctx context.Context, now time.Time, full bool) time.Duration {
	q := p.files.Query
	q.Info, q.Stats = full, full
	sctx, cancel := context.WithTimeout(ctx, time.Second)
	snap, err := p.client.Snapshot(sctx, q)
	cancel()
	if err != nil {
		p.m.runtimeErrors.Inc()
		var no *runtimeapi.CommandError
		if errors.As(err, &no) {
			// A table of the file that does not run: say the difference.
			if snap, e := p.client.Snapshot(ctx, runtimeapi.SnapshotQuery{Info: true, Servers: true}); e == nil {
				p.sameProcess(p.now(), snap.Info)
				p.compared = time.Time{}
				if p.compare(ctx, now, snap); p.differs != "" {
					return p.fail(now, p.differs, 10*lookInterval)
				}
			}
		}
		return p.fail(now, fmt.Sprintf("HAProxy's socket %s: %v", p.socket, err), p.again(now))
	}
	p.m.lookSeconds.Observe(snap.Took.Seconds())
	if full {
		p.sameProcess(p.now(), snap.Info) // not now: the uptime is of this moment
		p.compare(ctx, now, snap)
		p.lastFull, p.lastInfo, p.lastStats = now, snap.Info, snap.Stats
	} else {
		snap.Info, snap.Stats = p.lastInfo, p.lastStats
		snap.Info.Uptime += now.Sub(p.lastFull)
	}
	return p.settle(ctx, now, &snap, full)
}

// significant tells whether the others should hear of this look at once.
func significant(a, b *published.Look) bool {
	if a.Reachable != b.Reachable || a.Steering != b.Steering || a.Effective != b.Effective ||
		a.Want.Version != b.Want.Version || a.Result.Converged != b.Result.Converged ||
		a.Native != b.Native || a.Problem != b.Problem || a.Fenced != b.Fenced ||
		(a.Result.Elsewhere == 0) != (b.Result.Elsewhere == 0) || drain.MovesOn(a.Move, b.Move) || len(a.Nodes) != len(b.Nodes) || len(a.WentDown) != len(b.WentDown) {
		return true
	}
	for name, n := range a.Nodes {
		if b.Nodes[name].State != n.State || b.Nodes[name].Refused != n.Refused {
			return true
		}
	}
	return false
}

// fail stores a look that saw nothing, and returns when to try again.
func (p *proxy) fail(now time.Time, problem string, again time.Duration) time.Duration {
	want := p.hear()
	l := &published.Look{At: now, Problem: problem, Native: true, Want: want, WentDown: p.memory.wentDown(), Lost: p.undo.unread()}
	if p.files.Topo != nil {
		l.Layout = p.files.LayoutName()
	}
	p.mu.Lock()
	prev := p.last
	// The beacon stays on for as long as the last verification counts: a HAProxy
	// that is back by then is steered from the first write on, and neither stores
	// nor teaches the others what it does before that.
	p.beacon.step(now, want.MayWrite, false, false)
	p.last = l
	p.mu.Unlock()
	if prev == nil || prev.Problem != problem {
		p.log.Warn("cannot look at HAProxy", "problem", problem)
		p.events.Add(now, problem)
		p.notify()
	}
	return again
}

// again is the time until the next look after one that failed: close at first,
// because a HAProxy that restarts serves its first clients before anybody has
// written to it, and calm where asking costs a timeout each time.
func (p *proxy) again(now time.Time) time.Duration {
	if p.now().Sub(now) < closeInterval && now.Sub(p.lastGood) < watchFor {
		return closeInterval
	}
	return 2 * lookInterval
}
