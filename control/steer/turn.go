package steer

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

// turn is one turn of the loop: what was seen, what is wanted, and what comes of it.
type turn struct {
	now time.Time
	// full: all was read, not the tables and the servers' states alone.
	full   bool
	snap   *runtimeapi.Snapshot
	layout *plan.Layout
	client HAProxy
	obs    plan.Observed
	want   mandate.Want
	look   *published.Look
	// stands is asked before every command: whether want is still what is agreed.
	stands func() bool
	// held: new connections wait; problem is why they do not where they should.
	held    bool
	problem string
}

// weigh compares what was seen with the agreement, and plans. It returns false where more
// must be seen first: a look that is not full costs HAProxy less than half, and whatever it
// would have something done about is looked at again in full, because a number in a
// table means another server in another process's configuration.
func (p *Proxy) weigh(ctx context.Context, t *turn) (enough bool) {
	obs, nodes := observe(p.files, t.snap)
	p.traffic.note(t.now, p.proc, nodes)
	t.obs = obs
	l := &published.Look{
		At: t.now, Reachable: true, Version: t.snap.Info.Version, Pid: t.snap.Info.Pid, Uptime: t.snap.Info.Uptime,
		Layout: p.files.LayoutName(), Problem: p.differs, Moved: p.moved, Lost: p.undo.unread(), Nodes: nodes, Steered: p.files.BeaconUp(t.snap),
	}
	if t.full {
		p.addresses = addresses(t.snap.Servers)
	}
	l.Addresses = p.addresses
	t.look = l

	t.want = p.cfg.Hear()
	if p.progress.Begins(t.want) {
		step.At(ctx, "agreed")
	}
	if !t.full && t.want.Version != p.pace.version {
		return false // a new decision: see all of it
	}
	if p.differs != "" && t.want.MayWrite {
		t.want.MayWrite, t.want.Why = false, p.differs
	}
	t.stands = func() bool { return p.stands(t.now, t.want) }
	l.Want, l.Native = t.want, !t.enforced()
	p.memory.note(p.proc, nodes)
	if t.enforced() {
		p.memory.steered(t.now)
	}
	p.memory.tell(l)

	// A hold is ended also where the file differs: MayWrite is false then. It waits
	// for a look that shows that no connection is kept: one that is kept when it comes into
	// a queue never leaves it.
	if t.full && !p.cfg.Observe && (p.differs == "" && !t.layout.Kept(&t.obs) || p.differs != "" && p.hold.busy()) {
		var err error
		p.hold.differs, p.hold.handsOver = p.differs != "", p.files.HandsOver(l.Version)
		if t.held, err = p.hold.turn(ctx, t); err != nil {
			t.problem = unheld(err)
			p.cfg.Log.Warn("hold", "error", err)
			p.cfg.Events.Add(t.now, t.problem)
		}
	}
	p.compareWith(t)
	right := l.Result.Converged && l.Result.NativeRight
	return t.full || len(l.Result.Actions) == 0 && (!t.want.Known || right || l.Fenced != "") && t.want.Move == nil
}

// enforced tells whether what a majority wants may be written.
func (t *turn) enforced() bool { return t.want.MayWrite && t.want.Local == "" }

// settle carries out the plan, stores the look, and returns when to look again.
func (p *Proxy) settle(ctx context.Context, t *turn) time.Duration {
	l, want := t.look, t.want
	p.lastGood = t.now
	if t.enforced() {
		defer p.memory.save() // a disk's time is not the failover's
	}
	did := p.act(ctx, t)
	p.readers(ctx, t)
	from := want.Left
	if want.Move != nil {
		from = want.Move.From
	}
	seen := drain.Seen{
		Want: want, Left: sessionsOn(t.layout, &t.obs, from), Total: l.Nodes[want.Active].Total,
		Converged: l.Result.Converged && l.Result.Usable, Held: t.held, Problem: t.problem,
	}
	p.progress.Note(t.now, &seen, func() (context.CancelFunc, error) { return p.startDrainer(ctx, want) })
	l.Move = p.progress.Report()
	for outcome, n := range p.outcomes.add(l.Move) {
		p.cfg.Metrics.Sessions.WithLabelValues(outcome).Add(float64(n))
	}
	p.judge(t)
	l.CanHold, l.CanWait = canHold(t.layout) && p.files.HoldReverts(l.Version), canWait(t.layout)
	p.store(t)
	if t.enforced() && !want.WantsHold() && l.Result.Converged && l.Result.NativeRight &&
		p.rewritten != want.Version && p.rewriting.CompareAndSwap(false, true) {
		p.rewritten = want.Version
		go func() {
			defer p.rewriting.Store(false)
			p.files.Rewrite(ctx, want.Active, p.cfg.Events)
		}()
	}
	return p.next(t, did)
}

// judge tells what connections did besides what they should.
func (p *Proxy) judge(t *turn) {
	l, want := t.look, &t.want
	if t.full {
		asAgreed := want.Known && want.Move == nil && !p.hold.busy() && p.differs == "" && l.Fenced == "" && l.Result.Converged && l.Result.Usable
		sticky := func(backend string) bool { return t.obs.Servers[backend] != nil }
		// Where somebody writes the entries back again and again, the moments between are not to
		// be waited for.
		duel := t.enforced() && want.Move == nil && !p.pace.wrong.IsZero() && t.now.Sub(p.pace.wrong) >= p.pace.urgent
		p.astray.note(t.now, p.proc, want, asAgreed || duel, p.files.Topo.DownAfter(want.Active), sticky, t.snap.Stats)
	}
	l.Astray = p.astray.told()
	for i := range l.Astray {
		l.Astray[i].Line = p.files.Topo.Passes(l.Astray[i].Backend)
	}
	for ; len(p.astray.news) > 0; p.astray.news = p.astray.news[1:] {
		x := p.astray.news[0]
		x.Line = p.files.Topo.Passes(x.Backend)
		text := x.Words(want.Active)
		p.cfg.Log.Warn("connections go astray", "problem", text)
		p.cfg.Events.Add(t.now, text)
	}
}

// compareWith holds the look against what is wanted, and plans.
func (p *Proxy) compareWith(t *turn) {
	l, want, layout := t.look, &t.want, t.layout
	in := plan.Input{
		Layout: *layout, Observed: t.obs, Active: want.Active, Steered: l.Steered, MayClose: want.MayWrite,
		Draining: want.Draining(),
	}
	state := everywhere(layout, &t.obs, want.Active, l.Nodes[want.Active].State)
	in.LetGo, in.Fence = stay(&p.cfg, want, l.Nodes, layout, keptNow{
		state: state, kept: layout.Kept(&t.obs), steered: l.Steered, holding: p.hold.busy(), downFor: p.fence.noteDown(t.now, want.Active, state),
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
	in.NativeDue = unsteered || p.pace.version != want.Version || p.pace.due(t.now)
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
func (p *Proxy) act(ctx context.Context, t *turn) int {
	l, want, backends := t.look, &t.want, t.layout.Backends
	if before := p.fence.why; before != l.Fenced && (before == "" || l.Fenced == "") {
		text := cmp.Or(l.Fenced, "the cause of the fence is gone")
		p.cfg.Log.Warn("fence", "up", l.Fenced != "", "reason", text)
		told := "the fence is lifted: "
		if l.Fenced != "" {
			told = "fenced, this proxy serves nobody: "
		}
		p.cfg.Events.Add(t.now, told+text)
	}
	fencing := p.fence.actions(t.now, l.Fenced, backends, &l.Result)
	switch {
	case p.cfg.Observe || p.differs != "":
		return 0
	case !want.MayWrite:
		l.Result.Actions = append(fenceOnly(l.Result.Actions, t.layout, l.Fenced != ""), fencing...)
		return p.carryOut(ctx, t, func() bool { return p.fenceStands(t.want) })
	case want.WantsHold() && !t.held && want.MoveAge < want.Move.Bound():
		// Not a single connection goes to the new node before all would wait there.
		stays := func(a plan.Action) bool { return !letsGo(&a, t.layout) }
		l.Result.Actions, l.Result.PrivateRight = slices.DeleteFunc(l.Result.Actions, stays), false
		p.carryOut(ctx, t, t.stands)
		return 1
	}
	if m := want.Move; m != nil && m.Phase == model.PhaseClose && closesAny(l.Result.Actions, m.From) {
		step.At(ctx, "closing")
	}
	l.Result.Actions = append(l.Result.Actions, fencing...)
	if l.Fenced == "" && want.Draining() == "" {
		l.Result.Actions = append(l.Result.Actions, p.sweep.actions(t.now, t.want, backends, &l.Result)...)
	}
	p.pace.note(t.now, want.Version, l.Result.NativeRight)
	return p.carryOut(ctx, t, t.stands)
}

// store publishes the look and advances the beacon.
func (p *Proxy) store(t *turn) {
	l, want := t.look, &t.want
	p.mu.Lock()
	prev := p.last
	p.beacon.note(t.now, want.MayWrite, l.Result.PrivateRight, l.Result.NativeRight)
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
		p.cfg.Notify()
	}
}

// startDrainer begins to close the old node's sessions between transactions.
func (p *Proxy) startDrainer(ctx context.Context, want mandate.Want) (context.CancelFunc, error) {
	inspector, err := p.cfg.Inspect(want.Move.From)
	if err != nil {
		return nil, fmt.Errorf("cannot look at the sessions of %s: %w", want.Move.From, err)
	}
	backends := map[string]bool{}
	for _, b := range p.files.Layout.Backends {
		backends[b.Name] = true
	}
	d := &drain.Drainer{
		Epoch: want.Epoch(), From: want.Move.From, Backends: backends, Proxied: p.files.Proxied(), HAProxy: p.client, Inspector: inspector,
		Progress: &p.progress, Log: p.cfg.Log,
		May: func() bool {
			again := p.cfg.Hear()
			return again.MayWrite && again.Heard(p.cfg.Now()) && again.Epoch() == want.Epoch() && again.Draining() == want.Move.From
		},
	}
	dctx, cancel := context.WithCancel(ctx)
	go d.Run(dctx)
	return cancel, nil
}

// next is the time until the next look: at once after a move, close while it
// is being verified (four looks with nothing to do) and while a new HAProxy
// process settles, else calm.
func (p *Proxy) next(t *turn, did int) time.Duration {
	l, want := t.look, &t.want
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
	watch := t.now.Sub(p.restarted) < watchFor
	if want.MayWrite && (p.rightRuns < verifyRuns && l.Result.Usable || watch || want.Move != nil || p.hold.busy() || p.fence.waits) {
		return closeInterval
	}
	return lookInterval
}
