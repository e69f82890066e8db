package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// The times of control/vote and of cluster.
const (
	voteInterval = 250 * ms
	publishEvery = 500 * ms
	freshFor     = 1500 * ms
	foundEvery   = 10 * time.Second
)

// daemon stands for control/vote's loop: it probes, shares its view, decides where it leads, and carries out.
type daemon struct {
	w        *world
	n        int
	name     string
	interval time.Duration // of its probes
	delay    time.Duration // of what it sends to the others

	life    int // how many times it has started; odd while it runs
	stopped bool
	gone    bool     // it has ended for good
	late    []func() // what was due while it was stopped

	probes []*probe
	own    *model.View
	told   *model.View
	toldAt time.Duration
	heard  []heardView
	turns  int // the turn that counts

	rec       *model.Record // committed, as far as it knows
	version   int
	term      int // in which it believes to lead, 0 if not
	freshAt   time.Duration
	proposing bool

	periods   evict.Periods
	debt      *model.Eviction
	debtSince time.Duration
	executing *execution
	why       string
	foundAt   time.Duration // when it last ordered a left entry to be taken off
}

type heardView struct {
	view *model.View
	at   time.Duration
}

func newDaemon(w *world, n int) *daemon {
	return &daemon{w: w, n: n, name: fmt.Sprintf("px%d", n), interval: 100 * ms}
}

func (d *daemon) runs() bool { return d.life%2 == 1 }

func (d *daemon) works() bool { return d.runs() && !d.stopped }

// start begins a daemon's life: it knows the record, which is on its disk, and nothing of the databases. The ways to them
// are not its own and stay.
func (d *daemon) start() {
	if d.runs() {
		return
	}
	d.life++
	d.stopped, d.late, d.own, d.told, d.proposing, d.term, d.executing, d.foundAt, d.periods = false, nil, nil, nil, false, 0, nil, 0, evict.Periods{}
	d.heard = make([]heardView, len(d.w.apart))
	before := d.probes
	d.probes = nil
	for i, n := range d.w.nodes {
		p := &probe{d: d, n: n}
		p.Options.Weight = -1
		if before != nil {
			p.way, p.delay = before[i].way, before[i].delay
		}
		d.probes = append(d.probes, p)
		d.after(d.w.between(0, d.interval), func() { p.attempt(deadline, false) })
	}
	d.freshAt = d.w.c.Now()
	d.wake()
}

// crash ends it at once.
func (d *daemon) crash() {
	if d.runs() {
		d.life++
		d.executing = nil
	}
}

// stop is SIGSTOP: what is due waits for resume.
func (d *daemon) stop() { d.stopped = d.runs() }

func (d *daemon) resume() {
	if !d.stopped {
		return
	}
	d.stopped = false
	late := d.late
	d.late = nil
	for _, f := range late {
		f()
	}
}

// after calls f in this life of the daemon.
func (d *daemon) after(t time.Duration, f func()) {
	life := d.life
	d.w.c.After(t, func() { d.run(life, f) })
}

func (d *daemon) run(life int, f func()) {
	switch {
	case d.life != life:
	case d.stopped:
		d.late = append(d.late, func() { d.run(life, f) })
	default:
		f()
	}
}

// wake makes the loop turn at once.
func (d *daemon) wake() { d.turnIn(d.w.between(ms/20, ms)) }

func (d *daemon) turnIn(t time.Duration) {
	d.turns++
	n := d.turns
	d.after(t, func() {
		if d.turns == n {
			d.turnIn(voteInterval)
			d.turn()
		}
	})
}

// turn is one of control/vote's loop.
func (d *daemon) turn() {
	d.look()
	d.share()
	in := d.input()
	d.carryOut(in)
	switch {
	case d.w.c.Now()-d.freshAt > freshFor || d.proposing:
	case d.term == 0:
		d.payEviction()
	default:
		if rec := d.withEviction(in); rec != nil {
			d.propose(rec)
			return
		}
		d.payEviction()
	}
}

// look makes this daemon's own view.
func (d *daemon) look() {
	v := &model.View{}
	for _, p := range d.probes {
		n := model.NodeView{Name: p.n.name, Verdict: model.Verdict(p.Verdict.String()), Eligible: p.Eligible, Group: p.groupOf()}
		v.Nodes = append(v.Nodes, n)
	}
	d.periods.Note(v, d.rec, d.w.now())
	d.own = v
	d.w.judge.saw(d)
}

// share tells the others, at once what is new and else calmly.
func (d *daemon) share() {
	now := d.w.c.Now()
	if d.told != nil && now-d.toldAt < publishEvery && slices.EqualFunc(d.told.Nodes, d.own.Nodes, sameWord) {
		return
	}
	d.told, d.toldAt = d.own, now
	view := d.own
	for _, o := range d.w.daemons {
		if o == d || d.w.apart[d.n][o.n] || d.w.chance(0.01) {
			continue
		}
		o.after(d.delay+o.delay+d.w.between(ms/5, 3*ms), func() {
			if d.w.apart[d.n][o.n] {
				return
			}
			news := o.heard[d.n].view == nil || !slices.EqualFunc(o.heard[d.n].view.Nodes, view.Nodes, sameWord)
			o.heard[d.n] = heardView{view, o.w.c.Now()}
			if news {
				o.wake()
			}
		})
	}
}

// sameWord is what control/vote's significantPart compares.
func sameWord(a, b model.NodeView) bool {
	if a.Name != b.Name || a.Verdict != b.Verdict || (a.Group == nil) != (b.Group == nil) {
		return false
	}
	if a.Group == b.Group {
		return true
	}
	x, y := a.Group, b.Group
	return x.UUID == y.UUID && x.ConfID == y.ConfID && x.Size == y.Size && x.Total == y.Total && x.Weight == y.Weight && x.State == y.State &&
		x.Evicted == y.Evicted && x.Retrans == y.Retrans && x.Met == y.Met && x.End == y.End && x.Speaks == y.Speaks && x.Hangs == y.Hangs
}

// input is what the decision is a function of: published.Situation's Input.
func (d *daemon) input() *decide.Input {
	in := &decide.Input{Now: d.w.now(), By: d.name, Record: d.rec, Silence: map[string]time.Duration{}}
	for _, o := range d.w.daemons {
		in.Voters = append(in.Voters, o.name)
		if o == d {
			in.Voices = append(in.Voices, decide.Voice{Member: d.name, View: d.own})
			continue
		}
		h := d.heard[o.n]
		age := d.w.c.Now() - h.at
		in.Silence[o.name] = age
		if h.view != nil && published.Counts(true, true, age) {
			in.Voices = append(in.Voices, decide.Voice{Member: o.name, View: h.view})
		}
	}
	return in
}

// withEviction is control/vote's: the record that this leader proposes, nil to keep the present one.
func (d *daemon) withEviction(in *decide.Input) *model.Record {
	is := d.w.mutant.decide(&evict.Input{Input: in, Mode: d.w.mode})
	if is.Order == nil {
		if is.Why != d.why {
			if d.why = is.Why; is.Why != "" {
				d.w.note("%s: %s", d.name, is.Why)
			}
		}
		return nil
	}
	if is.Order.Found {
		if d.foundAt > 0 && d.w.c.Now()-d.foundAt < foundEvery || d.w.mutant.keepsEntries {
			return nil
		}
		d.foundAt = d.w.c.Now()
	}
	d.w.judge.decided(d, is.Order)
	return d.rec.WithEviction(*is.Order)
}

// carryOut is control/vote's.
func (d *daemon) carryOut(in *decide.Input) {
	var order *model.Eviction
	if d.rec != nil {
		order = d.rec.Evict
	}
	if !d.debt.Same(order) {
		d.debt, d.debtSince = order, d.w.c.Now()
	}
	if x := d.executing; x != nil && !x.order.Same(order) {
		d.executing = nil
	}
	if order == nil || d.executing != nil || !d.executes(in, order) {
		return
	}
	d.executing = newExecution(d, order)
}

func (d *daemon) executes(in *decide.Input, order *model.Eviction) bool {
	if order.Owner == d.name {
		return true
	}
	fresh := d.w.c.Now()-d.freshAt <= freshFor && !d.w.mutant.onlyOwner
	return d.term > 0 && fresh && (in.Voice(order.Owner) == nil || in.Silence[order.Owner] >= evict.OwnerSilent)
}

// endedProcess is control/vote's.
func (d *daemon) endedProcess(s model.Survivor) bool {
	g := d.own.Node(s.Node).Group
	return g != nil && (g.UUID != s.UUID || g.End == model.EndGone)
}

func (d *daemon) payEviction() {
	if x := d.executing; x != nil && x.paid && x.order.Same(d.rec.Evict) {
		d.propose(d.rec.Paid())
	}
}
