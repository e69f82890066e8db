package gcomm

import (
	"slices"
	"time"
)

// nodeList is what this process says of all that it knows (populate_node_list).
func (p *proc) nodeList() []nodeState {
	list := make([]nodeState, 0, len(p.known)+len(p.evicted))
	for _, k := range p.known {
		n := nodeState{p: k.p, operational: k.operational, suspected: k.suspected}
		at := p.view.index(k.p)
		mine := func() {
			n.evicted = p.listed(k.p)
			n.view = p.view.id
			if at >= 0 {
				n.high, n.aru = p.traffic.high[at], p.traffic.aru[at]
			}
		}
		switch {
		case k == p.self:
			n.operational, n.suspected = true, false
			mine()
		case k.join != nil && k.join.view == p.view.id && at >= 0:
			mine()
		case k.join != nil:
			n.evicted, n.view = p.listed(k.p), k.join.view
			if own := k.join.node(k.p); own != nil {
				n.high, n.aru = own.high, own.aru
			}
		case k.leave != nil:
			mine()
			n.leaving = true
		case at >= 0:
			mine()
		default:
			// Of one that is known, but no member and without a JOIN, the mark of eviction is not told: the source gives it as
			// another argument. That is why a list left over makes the next view change wait for the suspicion of it.
		}
		list = append(list, n)
	}
	for _, e := range p.evicted {
		if e.p != nil && p.peer(e.p) == nil {
			list = append(list, nodeState{p: e.p, evicted: true})
		}
	}
	slices.SortFunc(list, func(a, b nodeState) int { return byUUID(a.p, b.p) })
	return list
}

// makeJoin makes the JOIN of this moment and keeps it as this process's own.
func (p *proc) makeJoin() *message {
	m := &message{
		kind: joinMessage, from: p, view: p.view.id, nodes: p.nodeList(), traffic: p.traffic.snapshot(),
		complete: p.traffic.complete(), safe: p.traffic.safe(),
	}
	p.self.join = m
	return m
}

func (p *proc) sendJoin(handle bool) {
	m := p.makeJoin()
	p.multicast(m)
	p.lastJoin = p.c.now
	if handle {
		p.handleJoin(m, p.self)
	}
}

// joinAtMost is how often a JOIN is sent that answers another one.
const joinAtMost = 100 * time.Millisecond

// handleJoin takes a JOIN: who takes part in the next view, and what each has of the last one (handle_join).
func (p *proc) handleJoin(m *message, k *peer) {
	if p.state == leaving || p.old(m) || !p.reopen(m, k) {
		return
	}
	if p.view.has(m.from) && m.view.seq > p.view.id.seq {
		k.setInactive() // it has formed a view without this process
		return
	}
	p.learn(m)
	if own := m.node(p); own != nil {
		if own.operational {
			k.heard = p.c.now
		} else {
			k.setInactive() // each gives up on the other
		}
	}
	k.join = m
	if m.from != p && m.view == p.view.id {
		p.catchUp(m)
	}
	if m.from != p {
		p.checkSuspects(m)
		p.crossCheck(m)
		p.checkUnseen()
		p.checkStrangers()
	}
	p.eliminateAsymmetry()
	p.conclude()
}

// reopen decides what a JOIN means for a view change that is on its way, and whether it counts.
func (p *proc) reopen(m *message, k *peer) bool {
	switch {
	case p.install != nil && p.install.from == m.from:
		if m.view == p.install.next {
			// The representative has the new view already: this process follows, and begins anew from there.
			if p.state != installing {
				return false
			}
			for _, n := range p.install.nodes {
				if n.operational {
					p.peer(n.p).installed = true
				}
			}
			k.heard = p.c.now
			p.enter()
		}
		p.gather(false)
	case p.install != nil && p.consistent(p.install):
		return false
	case p.install != nil || p.state != gather:
		p.gather(false)
	}
	return true
}

// learn adds unknown processes, and evicts whom the JOIN evicts: that is how one process teaches the others, and how a
// late JOIN teaches again what was cleared.
func (p *proc) learn(m *message) {
	for i := range m.nodes {
		n := &m.nodes[i]
		if !n.view.none() && !slices.Contains(p.gathered, n.view) {
			p.gathered = append(p.gathered, n.view)
		}
		known := p.peer(n.p)
		if known == nil {
			known = p.know(n.p)
		}
		if n.p != p && n.evicted {
			known.setInactive()
			p.list(n.p)
		}
	}
}

// catchUp takes over what the other one has of the last view.
func (p *proc) catchUp(m *message) {
	for i := range p.view.members {
		if len(m.traffic.sent[i]) > len(p.traffic.sent[i]) && p.view.members[i] != p {
			p.traffic.sent[i] = m.traffic.sent[i]
		}
		if p.view.members[i] != p {
			p.traffic.high[i] = max(p.traffic.high[i], m.traffic.high[i])
		}
		p.traffic.aru[i] = max(p.traffic.aru[i], m.traffic.aru[i])
	}
	p.answer()
}

// checkSuspects gives up on whom more than half of the view's members suspect (check_suspects).
func (p *proc) checkSuspects(m *message) {
	for i := range m.nodes {
		n := &m.nodes[i]
		if !n.suspected || n.view != p.view.id || n.p == p {
			continue
		}
		count := 0
		for _, j := range p.known {
			if j.join == nil || j.p == n.p || !p.view.has(j.p) {
				continue
			}
			if s := j.join.node(n.p); s != nil && s.suspected {
				count++
			}
		}
		if k := p.peer(n.p); k.operational && count > len(p.view.members)/2 {
			k.setInactive()
		}
	}
}

// crossCheck gives up on a suspect that the other one has given up on (cross_check_inactives).
func (p *proc) crossCheck(m *message) {
	for i := range m.nodes {
		n := &m.nodes[i]
		if n.operational || n.p == p || n.view != p.view.id {
			continue
		}
		if k := p.peer(n.p); k != nil && k.suspected {
			k.setInactive()
		}
	}
}

// checkUnseen gives up on a stranger without a JOIN that everybody who has a word on it calls inactive (check_unseen).
func (p *proc) checkUnseen() {
	for _, k := range p.known {
		if k == p.self || p.view.has(k.p) || k.join != nil || !k.operational {
			continue
		}
		count, inactive := 0, 0
		for _, j := range p.known {
			if j.join == nil || j == p.self {
				continue
			}
			for i := range j.join.nodes {
				n := &j.join.nodes[i]
				if o := p.peer(n.p); o == nil || n.operational && o.join == nil {
					return // not all JOINs are there yet
				}
			}
			if n := j.join.node(k.p); n != nil && !n.view.none() {
				count++
				if !n.operational {
					inactive++
				}
			}
		}
		if count > 0 && count == inactive {
			k.setInactive()
		}
	}
}

// checkStrangers gives up on whom all JOINs suspect without knowing a view of it (check_nil_view_id).
func (p *proc) checkStrangers() {
	joins := 0
	for _, k := range p.known {
		if k.join != nil {
			joins++
		}
	}
	for _, k := range p.known {
		count := 0
		for _, j := range p.known {
			if j.join == nil {
				continue
			}
			if n := j.join.node(k.p); n != nil && n.view.none() && n.suspected {
				count++
			}
		}
		if count == joins && k.operational && k != p.self {
			k.setInactive()
		}
	}
}

// eliminateAsymmetry gives up, late in a view change, on whom one of those that take part has given up on.
func (p *proc) eliminateAsymmetry() {
	if p.timers.Install-p.timers.Suspect < p.due[installTimer]-p.c.now {
		return
	}
	var joins []*message
	for _, k := range p.known {
		switch {
		case k.join != nil:
			if own := k.join.node(p); k.operational && own != nil && own.operational {
				joins = append(joins, k.join)
			}
		case k.operational && k != p.self:
			k.setInactive()
		}
	}
	for _, j := range joins {
		for i := range j.nodes {
			if k := p.peer(j.nodes[i].p); !j.nodes[i].operational && k != nil && k.operational && k != p.self {
				k.setInactive()
			}
		}
	}
}

// conclude tells the others what has changed, and installs a view where all agree.
func (p *proc) conclude() {
	own := p.self.join
	if own == nil || own.complete != p.traffic.complete() || own.safe != p.traffic.safe() ||
		!slices.EqualFunc(own.nodes, p.nodeList(), nodeState.same) {
		m := p.makeJoin()
		if !p.consensus() && p.c.now-p.lastJoin >= joinAtMost {
			p.multicast(m)
			p.lastJoin = p.c.now
		}
	}
	if p.consensus() && p.represents() {
		p.sendInstall()
	}
}
