package sim

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
)

// The times of control/galera's suspect.go and witness.go.
const (
	suspectFor   = 15 * time.Second
	acquitAfter  = 1100 * ms
	readAgain    = 50 * ms
	lookAgain    = 20 * ms
	readPatience = 20 * time.Second
)

// witness stands for control/galera's witness of one node.
type witness struct {
	turn        int // the watch that counts, 0 for none
	turns       int
	read, looks string // the processes that its two sessions lead to
	before      *lookedAt
}

type lookedAt struct {
	paused           int64
	count, committed int64
}

// asks is control/galera's Prober.asks.
func (p *probe) asks() bool {
	for _, o := range p.d.probes {
		if o != p && !o.suspected.IsZero() && p.d.w.now().Sub(o.suspected) < suspectFor {
			return !p.Sight.Suspect()
		}
	}
	return false
}

// watch asks causal reads, and looks what the node is late with, until that is no longer wanted.
func (p *probe) watch() {
	if p.witness.turn != 0 || !p.asks() {
		return
	}
	p.witness.turns++
	p.witness = witness{turn: p.witness.turns, turns: p.witness.turns}
	turn := p.witness.turn
	var check func()
	check = func() {
		if p.asks() {
			p.d.after(suspectEvery, check)
			return
		}
		p.witness.turn = 0
		p.publish(galera.Wait{})
	}
	p.d.after(suspectEvery, check)
	p.causal(turn)
	p.look(turn)
}

func (p *probe) watching(turn int) bool { return p.witness.turn == turn }

func (p *probe) publish(w galera.Wait) {
	before := p.hangs()
	p.Wait = w
	p.Wait.Usual = 0
	for _, o := range p.d.probes {
		p.Wait.Usual = max(p.Wait.Usual, o.Latency)
	}
	if p.hangs() != before {
		p.d.wake()
	}
}

// causal asks one causal read after another.
func (p *probe) causal(turn int) {
	again := func() {
		p.d.after(readAgain, func() {
			if p.watching(turn) {
				p.causal(turn)
			}
		})
	}
	failed := func() {
		if p.watching(turn) {
			p.witness.read = ""
			p.publish(galera.Wait{Late: "cannot be asked"})
			again()
		}
	}
	if p.witness.read == "" {
		p.ask(sqlPort, "", deadline, nil, func(r reply, o gcomm.Observation) {
			if r != answered {
				failed()
				return
			}
			if p.watching(turn) {
				p.witness.read = o.UUID
				p.causal(turn)
			}
		})
		return
	}
	began := p.d.w.now()
	p.publish(p.Wait.Began(began))
	session, ended, done := p.witness.read, false, false
	come := func(r reply, ok bool) {
		if done || !p.watching(turn) {
			return
		}
		done = true
		if r != answered || !ok {
			p.publish(p.Wait.Returned())
			failed()
			return
		}
		p.acquit(began)
		p.publish(p.Wait.Returned())
		again()
	}
	p.ask(sqlPort, session, readPatience, nil, func(r reply, _ gcomm.Observation) {
		if r != answered {
			come(r, false)
			return
		}
		life := p.d.life
		p.d.w.c.Read(p.n.n, func(ok bool) {
			if ended = true; p.d.life == life {
				p.ask(sqlPort, session, readPatience, nil, func(r reply, _ gcomm.Observation) { come(r, ok) })
			}
		})
		p.d.w.ifGone(p.n.n, session, func() bool { return ended || done || p.d.life != life || !p.watching(turn) }, func() { p.d.run(life, func() { come(lost, false) }) })
	})
}

// acquit is control/galera's Prober.acquit.
func (p *probe) acquit(began time.Time) {
	if p.d.w.mutant.noAcquittal {
		return
	}
	for _, o := range p.d.probes {
		if o != p && !o.suspected.IsZero() && began.Sub(o.suspected) > acquitAfter && o.Acquitted != o.Sight.UUID {
			o.Acquitted = o.Sight.UUID
			p.d.wake()
		}
	}
}

// look asks what the node is late with, again and again.
func (p *probe) look(turn int) {
	at := p.d.w.now()
	p.ask(sqlPort, p.witness.looks, deadline, nil, func(r reply, o gcomm.Observation) {
		if !p.watching(turn) {
			return
		}
		if r != answered {
			p.witness.looks, p.witness.before = "", nil
			p.publish(galera.Wait{Late: "cannot be asked"})
		} else {
			p.witness.looks = o.UUID
			p.looked(at, &o)
		}
		p.d.after(lookAgain, func() {
			if p.watching(turn) {
				p.look(turn)
			}
		})
	})
}

// idleSeen is how often an applier that is at work seems idle: between two events of a transaction.
const idleSeen = 0.02

func (p *probe) looked(at time.Time, o *gcomm.Observation) {
	if o.Paused {
		p.n.paused = p.d.w.now().UnixNano()
	}
	r := p.reading(o)
	l := &lookedAt{paused: p.n.paused, count: r.Received, committed: r.LastCommitted}
	before := p.witness.before
	p.witness.before = l
	late := ""
	switch {
	case p.d.w.mutant.busyBelieved:
	case o.Status != gcomm.Primary:
		late = "not in the primary component"
	case o.LocalState != gcomm.StateSynced:
		late = "not synced"
	case o.Queue != 0:
		late = "write sets wait to be applied"
	case o.Applier > 0 && !p.d.w.chance(idleSeen):
		late = "an applier is at work"
	case before == nil:
		late = "only just looked at"
	case l.paused != before.paused:
		late = "flow control holds it back"
	case l.count != before.count || l.committed != before.committed:
		late = "the group delivers"
	}
	p.publish(p.Wait.Looked(at, late))
}
