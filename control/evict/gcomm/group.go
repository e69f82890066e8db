package gcomm

import (
	"slices"
	"time"
)

// write is a write set on its way.
type write struct {
	id     int
	origin *proc
	view   viewID
	done   func(ok bool) // nil once it was told
}

// end tells the client what became of its commit, once.
func (w *write) end(ok bool) {
	if done := w.done; done != nil {
		w.done = nil
		done(ok)
	}
}

// groupState is what the replication layer tells the others of a new view.
type groupState struct {
	p       *proc
	conf    int64
	behind  bool
	history commits
}

// base is what a new component begins with: what those have that come from a primary component and are not behind, else
// the most that anybody has who is not. Nobody may be there who has data.
func (m *componentInstall) base() (base commits, data bool) {
	for _, from := range []bool{true, false} {
		for i, s := range m.gcs {
			if s.behind || from && !m.nodes[i].prim {
				continue
			}
			if !data || s.history.count() > base.count() {
				base, data = s.history, true
			}
		}
		if data {
			break
		}
	}
	return base, data
}

// group is the replication layer of a process (gcs), with the database above it: its place in the cluster, what it has
// committed, and what keeps it.
type group struct {
	view    *view // the component that it has exchanged states for
	status  string
	conf    int64 // of the last primary component
	size    int
	local   int
	behind  bool    // it lacks what its component has, until its state transfer is over
	opened  bool    // its database is up, so that its SQL port speaks
	history commits // what this node has committed
	joined  commits // what came while its state was transferred
	open    []*write
	donor   *proc

	delivered int // write sets

	busySince time.Duration // its applier is at one thing since then
	busy      bool
	queue     int
	stalled   []func() // what waits for the applier
	throttles bool     // its queue is beyond the limit of flow control
	paused    []func() // what waits for flow control
}

// exchange bounds the time of the state exchange of the replication layer, read on real Galera: 4 to 7 ms after the
// group layer.
const exchangeLow, exchangeHigh = 2 * time.Millisecond, 6 * time.Millisecond

func (g *group) state(p *proc) groupState {
	return groupState{p: p, conf: g.conf, behind: g.behind, history: slices.Clone(g.history)}
}

// lose is a non-primary view. Nothing that is under way is committed.
func (g *group) lose(p *proc, size int) {
	g.status, g.size, g.local, g.view = NonPrimary, size, 0, nil
	g.fail(p)
	p.flush()
}

// fail ends what waits with an error.
func (g *group) fail(p *proc) {
	open, stalled, paused := g.open, g.stalled, g.paused
	g.open, g.stalled, g.paused = nil, nil, nil
	for _, w := range open {
		w.end(false)
	}
	if p.life != alive {
		for _, fn := range stalled {
			fn()
		}
	} else {
		g.stalled = stalled
	}
	for _, fn := range paused {
		fn()
	}
}

// form is a primary component: who lacks something takes it from a donor (GALERA.md, "A node that comes back").
func (g *group) form(p *proc, m *componentInstall) {
	conf := int64(0)
	for _, s := range m.gcs {
		conf = max(conf, s.conf)
	}
	base, data := m.base()
	v := p.view
	p.c.record.formed(p, v, m.parent, base, data)
	mine := data && !g.behind && g.history.equal(base)
	for i, s := range m.gcs {
		if s.p == p && m.nodes[i].prim && !s.behind && !mine {
			p.c.record.wrong(p, "two members of one primary component have different histories")
		}
	}
	if p.host.Arbitrator && data {
		g.history, mine = slices.Clone(base), true // it knows how far the group is, and has no data
	}
	g.joined = nil
	switch {
	case !mine:
		g.local = StateJoiner
	case g.local != StateDonor:
		g.local = StateSynced
	}
	g.behind = !mine
	p.later(p.c.between(exchangeLow, exchangeHigh), func() {
		if p.pc.view != v || !p.pc.prim {
			return
		}
		g.status, g.conf, g.size, g.view = Primary, conf+1, len(v.members), v
		switch {
		case g.local == StateJoiner:
			p.transfer()
		case !g.opened:
			p.later(p.host.Opening, func() { g.opened = true })
		}
		p.flush()
		g.wake()
	})
}

// transfer brings a joiner the state of a synced member.
func (p *proc) transfer() {
	g := &p.gcs
	v := p.pc.view
	g.release()
	for _, q := range v.members {
		if q != p && q.life == alive && q.gcs.local == StateSynced && !q.host.Arbitrator {
			g.donor = q
			break
		}
	}
	took := p.c.between(20*time.Millisecond, max(20*time.Millisecond, p.host.Transfer))
	if !g.opened {
		took += p.host.Opening
	}
	if d := g.donor; d != nil && took > time.Second {
		d.gcs.local = StateDonor
	}
	p.later(took, func() {
		d := g.donor
		g.release()
		switch {
		case !p.pc.prim || g.local != StateJoiner:
		case d == nil || d.life != alive || !d.pc.prim || p.hung || d.hung || p.pc.view.id != d.pc.view.id:
			p.transfer()
		default:
			g.history = slices.Clone(d.gcs.history).with(g.joined)
			g.local, g.behind, g.joined, g.opened = StateSynced, false, nil, true
		}
	})
}

// release ends a transfer, done or not: its donor goes on.
func (g *group) release() {
	if d := g.donor; d != nil && d.gcs.local == StateDonor {
		d.gcs.local = StateSynced
	}
	g.donor = nil
}

// take takes a delivered write set: applied in a primary component, dropped outside.
func (g *group) take(p *proc, w *write, prim bool) {
	if w.origin == p {
		g.open = slices.DeleteFunc(g.open, func(o *write) bool { return o == w })
	}
	if !prim {
		if w.origin == p {
			w.end(false)
		}
		return
	}
	g.delivered++
	if g.local == StateJoiner {
		g.joined.add(w.id)
	} else {
		g.history.add(w.id)
	}
	ack := func() {
		if w.origin == p && p.life == alive {
			p.c.record.acknowledge(w)
			w.end(true)
		}
	}
	if g.busy {
		g.queue++
		g.stalled = append(g.stalled, ack)
		return
	}
	ack()
}

// commit begins a commit on a node.
func (p *proc) commit(done func(ok bool)) {
	g := &p.gcs
	switch {
	case p.life != alive || g.view == nil || g.local < StateDonor || p.host.Arbitrator:
		done(false)
	case p.pausedByFlow():
		g.paused = append(g.paused, func() { p.commit(done) })
	case !p.open():
		p.waiting = append(p.waiting, func() { p.commit(done) })
	default:
		w := &write{id: p.c.record.next(), origin: p, view: p.view.id, done: done}
		g.open = append(g.open, w)
		p.sendUser(w)
	}
}

// open tells whether the node can send: it is in a view, and that view's exchanges are over.
func (p *proc) open() bool {
	return p.state == operational && p.pc.state == pcPrimary && p.gcs.view == p.pc.view
}

// pausedByFlow tells whether a member of the component throttles all.
func (p *proc) pausedByFlow() bool {
	if !p.pc.prim {
		return false
	}
	for _, q := range p.pc.view.members {
		if q.gcs.throttles && q.life == alive {
			return true
		}
	}
	return false
}

func (g *group) wake() {
	paused := g.paused
	g.paused = nil
	for _, fn := range paused {
		fn()
	}
}
