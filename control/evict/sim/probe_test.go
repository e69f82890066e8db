package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// The times of control/galera that are not exported.
const (
	deadline      = galera.DefaultDeadline
	failures      = 2
	confirmPause  = 50 * ms
	confirmWithin = 150 * ms
	patience      = 5
	slice         = 200 * ms
	knockEvery    = time.Minute
	suspectEvery  = 50 * ms
	// optionsEvery is a minute there: here it is often enough to fall into an eviction.
	optionsEvery = 3 * time.Second
)

// probe stands for what control/galera's node, knocker and witness do for one node: it asks, and hands what came of it to the
// pure code.
type probe struct {
	galera.NodeStatus
	d         *daemon
	n         *node
	way       [2]way
	shutSince time.Duration // when shut changed last
	delay     time.Duration // each way

	session  string // the process that the open connection leads to
	resting  bool   // between two attempts, so that an end of the connection is noticed
	unasked  bool
	waits    int // the wait that counts
	askAgain time.Time

	suspected time.Time

	knocks    int
	knockedAt time.Time
	knocked   group.Process

	witness witness
}

// reply is what came of a question.
type reply int

const (
	nothing reply = iota // yet, and after the deadline: never
	answered
	refused
	lost // the open connection ended
)

// reach is what a port says at this moment to what arrives there.
func (p *probe) reach(to port, session string) (reply, gcomm.Observation) {
	o := p.d.w.c.Observe(p.n.n)
	says := o.Answer
	if to == groupPort {
		says = o.Group
	}
	switch {
	case p.way[to] == swallow:
		return nothing, o
	case p.way[to] == refuse, says == gcomm.Refused, session != "" && says == gcomm.Speaks && o.UUID != "" && o.UUID != session:
		if session != "" {
			return lost, o
		}
		return refused, o
	case says == gcomm.Silent:
		return nothing, o
	}
	return answered, o
}

// shut tells whether the daemon is let to neither port.
func (p *probe) shut() bool { return p.way[sqlPort] != open && p.way[groupPort] != open }

func (p *probe) travel() time.Duration { return p.delay + p.d.w.between(ms/10, ms/2) }

// ask sends a question, over the connection to a process or a new one, and calls done once. The deadline counts
// time in which the daemon runs, as control/galera/conn does.
func (p *probe) ask(to port, session string, within time.Duration, slow func(), done func(reply, gcomm.Observation)) {
	d, life := p.d, p.d.life
	passed := time.Duration(0)
	var poll func()
	poll = func() {
		r, o := p.reach(to, session)
		switch {
		case d.life != life:
		case r != nothing && p.delay == 0 && !d.stopped: // what the way back takes went into the way there
			done(r, o)
		case r != nothing, passed >= within:
			d.w.c.After(p.delay, func() { d.run(life, func() { done(r, o) }) })
		default:
			const step = 25 * ms
			if !d.stopped {
				if passed += step; slow != nil && passed%slice == 0 {
					slow()
				}
			}
			d.w.c.After(step, poll)
		}
	}
	d.w.c.After(p.travel(), poll)
}

// attempt is one reading, on the connection that is there or on a new one.
func (p *probe) attempt(within time.Duration, patient bool) {
	p.waits, p.resting = p.waits+1, false
	session := p.session
	if patient && session == "" {
		within = patience * deadline
	}
	p.ask(sqlPort, session, within, func() { p.see(p.Sight.Slow()) }, func(r reply, o gcomm.Observation) { p.conclude(session, r, o) })
}

func (p *probe) conclude(session string, r reply, o gcomm.Observation) {
	now := p.d.w.now()
	is := galera.Outcome{Kind: galera.KindDown}
	sight := p.Sight
	switch r {
	case answered:
		p.session = o.UUID
		p.Reading = p.reading(&o)
		is = galera.Judge(p.Reading, "")
		p.askOptions(now)
		sight = sight.Read(o.UUID, p.n.sql)
	case refused:
		is.Class, sight = galera.ClassRefused, sight.Tried(p.n.sql, group.Refused)
	case lost:
		is.Class, sight = galera.ClassLost, sight.Lost()
	case nothing:
		is.Class, sight = galera.ClassTimeout, sight.Tried(p.n.sql, group.Silent)
	}
	if r != answered {
		p.session = ""
	}
	before := p.Verdict
	p.State, p.At = galera.Next(p.State, is, failures), now
	p.see(sight.Listens(p.Options.Port(sight.SQL)))
	if p.Verdict != before {
		p.d.wake()
	}
	p.wait(is)
}

// wait is control/galera's nextPace.
func (p *probe) wait(last galera.Outcome) {
	hangs := last.Class == galera.ClassTimeout
	next, within := p.d.interval, deadline
	if last.Kind == galera.KindDown && p.Verdict != galera.Down {
		next, within = confirmPause, confirmWithin
		if hangs {
			next = 0
		}
	}
	p.resting = p.session != "" && !p.unasked
	p.unasked = false
	n := p.waits
	p.d.after(next, func() {
		if p.waits == n {
			p.attempt(within, last.Kind == galera.KindDown && hangs && p.Verdict == galera.Down)
		}
	})
}

// closed is the end of the open connection, as the daemon notices it between two attempts.
func (p *probe) closed() {
	if p.resting && p.way[sqlPort] == open {
		p.unasked = true
		p.attempt(deadline, false)
	}
}

func (p *probe) reading(o *gcomm.Observation) galera.Reading {
	n := int64(o.Delivered)
	return galera.Reading{
		ClusterStatus: o.Status, LocalState: o.LocalState, Ready: o.Status == gcomm.Primary && o.LocalState >= gcomm.StateDonor,
		LastCommitted: n - int64(o.Queue), Received: n, ReceivedBytes: 300 * n, Gcomm: o.UUID, ConfID: o.ConfID, Size: int64(o.Size),
		Weight: int64(o.Weight), EvsState: o.EVS, Evicted: strings.Join(o.Evicted, ","), Latency: p.n.writes.mean(),
	}
}

// askOptions is control/galera's node.askOptions.
func (p *probe) askOptions(now time.Time) {
	if now.Before(p.askAgain) {
		return
	}
	p.askAgain = now.Add(optionsEvery)
	t := p.d.w.c.Timers(p.n.n)
	var a group.Assembler
	a.Piece(fmt.Appendf(nil, "evs.auto_evict = 0; evs.inactive_check_period = %s; evs.join_retrans_period = %s; evs.suspect_timeout = %s; "+
		"gmcast.listen_addr = tcp://0.0.0.0:4567; pc.weight = %d; ", periodText(t.Check), periodText(t.JoinRetrans), periodText(t.Suspect), p.n.weight))
	p.Options, _ = a.Options()
	p.OptionsAt, p.OptionsListed = now, p.Evicted != ""
}

func periodText(d time.Duration) string { return fmt.Sprintf("PT%gS", d.Seconds()) }

// see takes a new sight of the process: control/galera's publish and suspect.
func (p *probe) see(s group.Sight) {
	before := p.Sight
	p.Sight = s
	switch {
	case !s.Suspect():
		p.suspected, p.Acquitted = time.Time{}, ""
	case p.suspected.IsZero():
		p.suspected = p.d.w.now()
		p.knock()
		for _, o := range p.d.probes {
			if o != p {
				o.watch()
			}
		}
	}
	if s.Group != before.Group {
		p.knock()
	}
	if s.End() != before.End() {
		p.d.wake()
	}
}

// knock is a turn of control/galera's knocker.
func (p *probe) knock() {
	p.knocks++
	n := p.knocks
	again := func(d time.Duration) {
		p.d.after(d, func() {
			if p.knocks == n {
				p.knock()
			}
		})
	}
	at, suspect, is := p.Sight.Group, p.Sight.Suspect(), group.Process{UUID: p.Sight.UUID, Group: p.Sight.Group}
	if !at.IsValid() || is.UUID == "" || suspect && !p.Sight.Greeted {
		return
	}
	if !suspect && p.knocked == is {
		if left := knockEvery - p.d.w.now().Sub(p.knockedAt); left > 0 {
			again(left)
			return
		}
	}
	p.knockedAt, p.knocked = p.d.w.now(), is
	p.ask(groupPort, "", deadline, nil, func(r reply, o gcomm.Observation) {
		says := map[reply]group.Answer{nothing: group.Silent, answered: group.Spoke, refused: group.Refused}[r]
		p.see(p.Sight.Knocked(at, says, o.UUID))
		if p.knocks != n {
			return // woken meanwhile: that turn goes on
		}
		if p.Sight.Suspect() {
			again(suspectEvery)
		} else {
			again(knockEvery)
		}
	})
}

// groupOf is control/vote's.
func (p *probe) groupOf() *model.Group {
	s := &p.Sight
	if s.UUID == "" {
		return nil
	}
	g := &model.Group{
		UUID: s.UUID, Weight: p.Options.Weight, ConfID: p.ConfID, Size: p.Size, Total: p.Reading.Weight,
		Evicted: p.Evicted != "", AutoEvict: p.Options.AutoEvict,
		SuspectMS: p.Options.Suspect.Milliseconds(), CheckMS: p.Options.Check.Milliseconds(),
		OptionsAt: p.OptionsAt, OptionsListed: p.OptionsListed,
		RetransMS: p.Options.Retrans.Milliseconds(), Retrans: p.Options.RetransText,
		Lacks: p.Lacks, Met: s.Greeted, Speaks: s.Speaks(), Hangs: p.hangs(), Late: p.Wait.Late,
	}
	if p.Evicted != "" {
		g.List = strings.Split(p.Evicted, ",")
	}
	if p.EvsState != gcomm.Operational {
		g.State = p.EvsState
	}
	if p.Acquitted != s.UUID {
		g.End = string(s.End())
	}
	return g
}

// hangs is where mutants have other evidence.
func (p *probe) hangs() bool {
	if f := p.d.w.mutant.hangs; f != nil {
		return f(p)
	}
	return p.Wait.Hangs()
}
