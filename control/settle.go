package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/step"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// settle compares one look with the agreement, carries out the plan, and stores
// the look.
func (p *proxy) settle(ctx context.Context, now time.Time, snap *runtimeapi.Snapshot, full bool) time.Duration {
	topo := p.files
	l := &published.Look{
		At: now, Reachable: true, Version: snap.Info.Version, Pid: snap.Info.Pid,
		Uptime: snap.Info.Uptime, Layout: topo.LayoutName(), Problem: p.differs, Lost: p.undo.unread(),
	}
	obs, nodes := observe(topo, snap)
	p.traffic.look(now, p.proc, nodes)
	l.Nodes = nodes
	l.Steered = topo.BeaconUp(snap)

	want := p.hear()
	if p.progress.Begins(want) {
		step.At(ctx, "agreed")
	}
	if !full && want.Version != p.pace.version {
		return p.look(ctx, now, true) // a new decision: see all of it
	}
	if p.differs != "" && want.MayWrite {
		want.MayWrite, want.Why = false, p.differs
	}
	l.Want = want
	p.memory.look(p.proc, nodes)
	if want.MayWrite && want.Local == "" {
		p.memory.steered()
		defer p.memory.save() // a disk's time is not the failover's
	}
	l.Native = !want.MayWrite || want.Local != ""
	l.WentDown = p.memory.wentDown()

	held, problem := false, ""
	// A hold is ended also where the file differs: want.mayWrite is false then. It waits
	// for a look that shows that no connection is kept: one that is kept when it comes into
	// a queue never leaves it.
	if full && !p.cfg.Observe && (p.differs == "" && !topo.Layout.Kept(&obs) || p.differs != "" && p.hold.busy()) {
		var err error
		p.hold.differs, p.hold.handsOver = p.differs != "", topo.HandsOver(l.Version)
		stands := func() bool { return p.stands(now, want) }
		if held, err = p.hold.turn(ctx, now, stands, p.client, &topo.Layout, want, &obs); err != nil {
			problem = err.Error()
			p.log.Warn("hold", "error", err)
			p.events.Add(now, problem)
		}
	}
	p.compareWith(now, l, want, &obs)
	if !full && (len(l.Result.Actions) > 0 || want.Known && !(l.Result.Converged && l.Result.NativeRight) && l.Fenced == "" || want.Move != nil) {
		return p.look(ctx, now, true)
	}
	p.lastGood = now

	did := p.act(ctx, now, l, want, held)
	p.readers(ctx, now, want, snap)
	seen := drain.Seen{Want: want, Converged: l.Result.Converged && l.Result.Usable, Held: held, Problem: problem}
	if want.Move != nil {
		seen.Left = sessionsOn(&topo.Layout, &obs, want.Move.From)
	}
	p.progress.Look(now, &seen, func() (context.CancelFunc, error) { return p.startDrainer(ctx, want) })
	l.Move = p.progress.Report()
	l.CanHold, l.CanWait = canHold(&topo.Layout) && topo.HoldReverts(l.Version), canWait(&topo.Layout)
	p.store(now, l, want)
	if want.MayWrite && want.Local == "" && !want.WantsHold() && l.Result.Converged && l.Result.NativeRight &&
		p.rewritten != want.Version && p.rewriting.CompareAndSwap(false, true) {
		p.rewritten = want.Version
		go func() {
			defer p.rewriting.Store(false)
			p.files.Rewrite(ctx, want.Active, p.events)
		}()
	}
	return p.next(now, did, want, l)
}

// compareWith holds the look against what is wanted, and plans.
func (p *proxy) compareWith(now time.Time, l *published.Look, want mandate.Want, obs *plan.Observed) {
	layout := &p.files.Layout
	in := plan.Input{
		Layout: *layout, Observed: *obs, Active: want.Active, Steered: l.Steered, MayClose: want.MayWrite,
		Draining: want.Draining(),
	}
	state := everywhere(layout, obs, want.Active, l.Nodes[want.Active].State)
	in.LetGo, in.Fence = stay(&p.cfg, &want, l.Nodes, layout, keptNow{
		state: state, kept: layout.Kept(obs), steered: l.Steered, holding: p.hold.busy(), downFor: p.fence.noteDown(now, want.Active, state),
	})
	p.fence.waits = in.LetGo == "" && in.Fence == "" && state == model.ServerDown
	if in.Fence == "" && want.KeepFence && !p.cfg.Observe && in.FenceUp() {
		in.Fence = "no majority, and this proxy was fenced already"
	}
	if !want.Known && in.Fence == "" {
		l.Effective = plan.EffectiveAll(&in)
		l.Result.Actions = append(plan.LetGo(&in), plan.LiftFence(&in)...)
		return
	}
	if in.Keep = in.LetGo == "" && in.Fence == ""; in.LetGo == "" {
		in.LetGo = in.Fence
	}
	// While HAProxy does not see the beacon it is the native tables that route.
	unsteered := layout.Steer != nil && !l.Steered
	in.NativeDue = unsteered || p.pace.version != want.Version || p.pace.due(now)
	l.Result = plan.Make(&in)
	if in.Fence == "" && p.fence.why != "" && want.MayWrite && !want.Frozen && l.Result.Effective != want.Active {
		// A fence is lifted last: the tables may be older than the decision.
		in.Fence = "its tables do not lead to " + want.Active + " yet"
		in.Keep, in.LetGo = false, in.Fence
		l.Result = plan.Make(&in)
	}
	l.Effective = l.Result.Effective
	if in.Fence != "" {
		l.Fenced, l.Effective = in.Fence, ""
	}
}

// act carries out what may be done of the plan, and returns how much was done.
func (p *proxy) act(ctx context.Context, now time.Time, l *published.Look, want mandate.Want, held bool) int {
	backends := p.files.Layout.Backends
	if before := p.fence.why; before != l.Fenced && (before == "" || l.Fenced == "") {
		text := cmp.Or(l.Fenced, "the cause of the fence is gone")
		p.log.Warn("fence", "up", l.Fenced != "", "reason", text)
		p.events.Add(now, fmt.Sprintf("fenced: %t (%s)", l.Fenced != "", text))
	}
	fencing := p.fence.actions(now, l.Fenced, backends, &l.Result)
	switch {
	case p.cfg.Observe || p.differs != "":
		return 0
	case !want.MayWrite:
		l.Result.Actions = append(fenceOnly(l.Result.Actions, &p.files.Layout, l.Fenced != ""), fencing...)
		return p.carryOut(ctx, now, want, l, func() bool { return p.fenceStands(want) })
	case want.WantsHold() && !held && want.MoveAge < want.Move.Bound():
		// Not a single connection goes to the new node before all would wait there.
		stays := func(a plan.Action) bool { return !letsGo(&a, &p.files.Layout) }
		l.Result.Actions, l.Result.PrivateRight = slices.DeleteFunc(l.Result.Actions, stays), false
		p.carryOut(ctx, now, want, l, func() bool { return p.stands(now, want) })
		return 1
	}
	if m := want.Move; m != nil && m.Phase == model.PhaseClose && closesAny(l.Result.Actions, m.From) {
		step.At(ctx, "closing")
	}
	l.Result.Actions = append(l.Result.Actions, fencing...)
	if l.Fenced == "" && want.Draining() == "" {
		l.Result.Actions = append(l.Result.Actions, p.sweep.actions(now, want, backends, &l.Result)...)
	}
	p.pace.look(now, want.Version, l.Result.NativeRight)
	return p.carryOut(ctx, now, want, l, func() bool { return p.stands(now, want) })
}

// store publishes the look and advances the beacon.
func (p *proxy) store(now time.Time, l *published.Look, want mandate.Want) {
	p.mu.Lock()
	prev := p.last
	p.beacon.step(now, want.MayWrite, l.Result.PrivateRight, l.Result.NativeRight)
	l.Beacon = p.beacon.on && p.files.Layout.Steer != nil
	if p.files.Layout.Steer != nil {
		// A beacon that HAProxy does not see steers nothing.
		l.Steering = l.Beacon && l.Steered
		if l.Beacon && !l.Steered && l.Problem == "" {
			l.Problem = "the beacon is on and HAProxy does not see it (yet): its server for the beacon is down"
		}
	} else {
		l.Steering = want.MayWrite && l.Result.Converged && l.Result.NativeRight
	}
	p.last = l
	p.mu.Unlock()
	if prev == nil || significant(prev, l) {
		p.notify()
	}
}

// startDrainer begins to close the old node's sessions between transactions.
func (p *proxy) startDrainer(ctx context.Context, want mandate.Want) (context.CancelFunc, error) {
	inspector, err := p.inspect(want.Move.From)
	if err != nil {
		return nil, fmt.Errorf("cannot look at the sessions of %s: %w", want.Move.From, err)
	}
	backends := map[string]bool{}
	for _, b := range p.files.Layout.Backends {
		backends[b.Name] = true
	}
	d := &drain.Drainer{
		Epoch: want.Epoch(), From: want.Move.From, Backends: backends, Proxied: p.files.Proxied(), HAProxy: p.client, Inspector: inspector,
		Progress: &p.progress, Log: p.log,
		May: func() bool {
			again := p.hear()
			return again.MayWrite && again.Heard(p.now()) && again.Epoch() == want.Epoch() && again.Draining() == want.Move.From
		},
	}
	dctx, cancel := context.WithCancel(ctx)
	go d.Run(dctx)
	return cancel, nil
}

// next is the time until the next look: at once after a move, close while it
// is being verified (four looks with nothing to do) and while a new HAProxy
// process settles, else calm.
func (p *proxy) next(now time.Time, did int, want mandate.Want, l *published.Look) time.Duration {
	if did > 0 {
		p.rightRuns = 0
		if p.busy++; !l.Result.Converged && p.busy <= 10 {
			return time.Millisecond
		}
		return closeInterval // a duel is no reason to spin
	}
	p.busy = 0
	if want.MayWrite && l.Result.PrivateRight && l.Result.NativeRight && l.Result.Converged {
		p.rightRuns++
	} else {
		p.rightRuns = 0
	}
	watch := now.Sub(p.restarted) < watchFor
	if want.MayWrite && (p.rightRuns < verifyRuns && l.Result.Usable || watch || want.Move != nil || p.hold.busy() || p.fence.waits) {
		return closeInterval
	}
	return lookInterval
}
