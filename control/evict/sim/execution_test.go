package sim

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// The times and the period of control/evict/execute.
const (
	fastTurn   = 5 * ms
	fastFor    = 2 * time.Second
	slowTurn   = 100 * ms
	lookWithin = time.Second
	tellWithin = 3 * time.Second
	short      = 100 * ms
)

// execution stands for control/evict/execute: what is to be done when is evict.Progress's word.
type execution struct {
	d              *daemon
	order          *model.Eviction
	p              *evict.Progress
	began, learned time.Duration
	links          []*link
	paid           bool

	cleared bool // for a mutant
}

// link are the two sessions with a survivor.
type link struct {
	model.Survivor
	probe *probe // the way there
	looks string // the process that the session leads to
	under int    // statements under way
}

func newExecution(d *daemon, order *model.Eviction) *execution {
	x := &execution{d: d, order: order, p: evict.Begin(order), began: d.w.c.Now(), learned: d.debtSince}
	for _, s := range order.Survivors {
		x.links = append(x.links, &link{Survivor: s, probe: d.probes[d.w.node(s.Node).n]})
	}
	d.w.note("%s carries out the eviction of %s", d.name, order.Node)
	d.w.judge.doing[order.At] = append(d.w.judge.doing[order.At], d.name)
	x.turn()
	return x
}

// turn asks every survivor at once, and does what is to be done when all have answered.
func (x *execution) turn() {
	seen := make([]evict.Seen, len(x.links))
	left := len(x.links)
	come := func() {
		if left--; left == 0 && x.d.executing == x {
			x.act(seen)
		}
	}
	for i, l := range x.links {
		if x.d.endedProcess(l.Survivor) {
			seen[i].Ended = true
			x.d.after(0, come)
			continue
		}
		seen[i].Busy = l.under > 0
		l.probe.ask(sqlPort, l.looks, lookWithin, nil, func(r reply, o gcomm.Observation) {
			l.looks = ""
			switch {
			case r != answered:
			case o.UUID != l.UUID:
				seen[i] = evict.Seen{Ended: true}
			default:
				l.looks = o.UUID
				s := &seen[i]
				s.Answered, s.Primary, s.ConfID = true, o.Status == gcomm.Primary, o.ConfID
				s.Operational, s.Listed = o.EVS == gcomm.Operational, len(o.Evicted) > 0
			}
			come()
		})
	}
}

func (x *execution) act(seen []evict.Seen) {
	age := x.d.w.c.Now() - x.learned
	a := x.d.w.mutant.act(x, age, seen)
	for _, i := range a.Prepare {
		x.call(x.links[i], "prepare", clearing(short))
	}
	if a.Tell >= 0 {
		x.call(x.links[a.Tell], "evict", x.evicting)
	}
	for _, i := range a.Clear {
		period := group.Period(x.links[i].Retrans)
		if x.d.w.mutant.keepsPeriod {
			period = short
		}
		x.call(x.links[i], "clear", clearing(period))
	}
	if a.Paid {
		x.paid = true
		x.d.w.note("%s: every list is empty after the eviction of %s", x.d.name, x.order.Node)
		x.d.wake()
		return
	}
	pause := fastTurn
	if x.d.w.c.Now()-x.began > fastFor {
		pause = slowTurn
	}
	x.d.after(pause, func() {
		if x.d.executing == x {
			x.turn()
		}
	})
}

// next is what is to be done, by the product's own word.
func (x *execution) next(age time.Duration, seen []evict.Seen) evict.Action {
	return x.p.Next(age, seen, x.lives())
}

// lives is control/vote's.
func (x *execution) lives() bool {
	n := x.d.own.Node(x.order.Node)
	return n.Group != nil && n.Group.UUID == x.order.UUID && (n.Verdict == model.Healthy || n.Group.Speaks)
}

// A procedure compares at its begin, and returns its outcome and what it sets then, nil for nothing.
type procedure func(w *world, l *link) (outcome string, set func())

// call runs a procedure beside the turns. The statement goes its way whatever becomes of the daemon: it may take long on the server,
// wait in the socket of a process that hangs, and its answer may be lost.
func (x *execution) call(l *link, what string, does procedure) {
	w, d, life := x.d.w, x.d, x.d.life
	if l.under > 0 {
		w.finding(overlap, "%s on %s by %s", what, l.Node, d.name)
	}
	l.under++
	ended := false
	end := func(said string) {
		if ended {
			return
		}
		ended = true
		w.note("%s: %s on %s: %s", d.name, what, l.Node, said)
		d.run(life, func() { l.under-- })
	}
	w.c.After(tellWithin, func() { end("no answer in time") })
	began := w.c.Now()
	// at calls f when the server gets to it, and not where the process is another by then.
	var at func(way bool, f func())
	at = func(way bool, f func()) {
		switch r, o := l.probe.reach(sqlPort, l.UUID); {
		case !way && o.UUID == l.UUID, r == answered:
			f()
		case r == lost, !way && w.c.Dead(l.probe.n.n):
			end("the connection is lost")
		case way && l.probe.way[sqlPort] == swallow && w.c.Now()-began > tellWithin: // the client has given up, and it never got there
		default:
			w.c.After(10*ms, func() { at(way, f) })
		}
	}
	w.c.After(l.probe.travel(), func() {
		at(true, func() {
			outcome, set := does(w, l)
			took := w.between(ms/10, ms)
			if w.chance(w.slowStatements) {
				took = w.between(ms, 300*ms)
			}
			w.c.After(took, func() {
				at(false, func() {
					if set != nil {
						set()
					}
					if w.chance(w.lostAnswers) {
						w.note("the answer to %s on %s is lost: %s", what, l.Node, outcome)
						return
					}
					w.c.After(l.probe.travel(), func() { at(true, func() { end(outcome) }) })
				})
			})
		})
	})
}

// evicting refuses as control/galera/grants has it.
func (x *execution) evicting(w *world, l *link) (string, func()) {
	n := l.probe.n.n
	o := w.c.Observe(n)
	for _, c := range []struct {
		ok   bool
		says string
	}{
		{o.Status == gcomm.Primary, grants.OutcomeNotPrimary},
		{o.ConfID == x.order.ConfID, grants.OutcomeOtherConfID},
		{o.EVS == gcomm.Operational, grants.OutcomeNotOperational},
		{o.UUID != x.order.UUID, grants.OutcomeOwnUUID},
		{w.c.Member(n, x.order.UUID), grants.OutcomeNotAMember},
		{o.Size >= 3, grants.OutcomeWrongSize},
		{len(o.Evicted) == 0, grants.OutcomeListNotEmpty},
	} {
		if !c.ok {
			return c.says, nil
		}
	}
	return grants.OutcomeEvicted, func() {
		w.judge.evicts(w, x, n)
		w.c.SetTimers(n, func(t *gcomm.Timers) { t.JoinRetrans = short })
		w.c.Evict(n, x.order.UUID)
		w.aftermath(x)
	}
}

func clearing(period time.Duration) procedure {
	return func(w *world, l *link) (string, func()) {
		return grants.OutcomeCleared, func() {
			w.c.SetTimers(l.probe.n.n, func(t *gcomm.Timers) { t.JoinRetrans = period })
			w.c.Clear(l.probe.n.n)
		}
	}
}
