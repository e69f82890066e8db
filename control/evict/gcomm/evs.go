package gcomm

import (
	"slices"
	"time"
)

type kind int

const (
	userMessage kind = iota
	gapMessage
	commitGap
	installGap
	joinMessage
	installMessage
	leaveMessage
)

// message is a datagram of EVS.
type message struct {
	kind kind
	from *proc
	fifo int
	view viewID // of the source
	// sent are all messages that the source has sent in order in its view; high and aru are its numbers.
	sent      []entry
	high, aru int
	// nodes and traffic are what a JOIN or INSTALL says of the others; complete and safe are its source's numbers.
	nodes          []nodeState
	traffic        traffic
	complete, safe int
	// next is the view that an INSTALL makes, or that a gap speaks of.
	next viewID
	// again is the serial number of an INSTALL, which its gaps repeat.
	again int
}

// nodeState is what a JOIN says of one process.
type nodeState struct {
	p                               *proc
	operational, suspected, evicted bool
	leaving                         bool
	view                            viewID
	high, aru                       int
}

// same compares all but the mark of eviction, which no comparison of Galera looks at.
func (n nodeState) same(m nodeState) bool {
	n.evicted = m.evicted
	return n == m
}

func (m *message) node(p *proc) *nodeState {
	for i := range m.nodes {
		if m.nodes[i].p == p {
			return &m.nodes[i]
		}
	}
	return nil
}

// old tells whether a message is from a view that this process has left behind (is_msg_from_previous_view).
func (p *proc) old(m *message) bool {
	return slices.Contains(p.previous, m.view) || p.view.has(m.from) && m.view.seq < p.view.id.seq
}

// handle takes one message.
func (p *proc) handle(m *message) {
	if p.isolatedUntil > p.c.now || p.listed(m.from) {
		return
	}
	k := p.peer(m.from)
	if k == nil {
		p.foreign(m)
		return
	}
	if !k.operational && k.leave == nil || k.fifo >= m.fifo {
		return
	}
	k.fifo = m.fifo
	membership := m.kind == joinMessage || m.kind == installMessage || m.kind == leaveMessage
	of := m.view
	if m.kind == commitGap || m.kind == installGap {
		of = m.next
	}
	if !membership && of != p.view.id && (p.install == nil || p.install.next != of) {
		return
	}
	switch m.kind {
	case userMessage:
		p.handleUser(m, k)
	case gapMessage:
		p.handleGap(m, k)
	case commitGap:
		p.handleCommitGap(m, k)
	case installGap:
		p.handleInstallGap(m, k)
	case joinMessage:
		p.handleJoin(m, k)
	case installMessage:
		p.handleInstall(m, k)
	case leaveMessage:
		p.handleLeave(m, k)
	}
}

// foreign takes a message of a process that was not known (handle_foreign): its group and this one are to merge.
func (p *proc) foreign(m *message) {
	if m.kind == leaveMessage || p.install != nil || p.state == leaving || p.old(m) {
		return
	}
	if p.state == joining && m.kind != joinMessage {
		return // seen on real Galera: a starting process is first heard by its JOIN, whatever the others send it before
	}
	k := p.know(m.from)
	k.fifo = m.fifo
	p.gather(false)
	p.arm(installTimer, p.timers.Install)
	if m.kind == joinMessage {
		k.join = m
	}
	p.sendJoin(true)
}

// check looks for processes that were silent for too long (check_inactive).
func (p *proc) check() {
	now := p.c.now
	if p.lastCheck+3*p.timers.Check < now {
		p.lastCheck = now // it was hung itself
		return
	}
	some, suspects := false, 0
	for _, k := range p.known {
		if k == p.self {
			k.heard = now
			continue
		}
		k.suspected, k.inactive = k.heard+p.timers.Suspect < now, k.heard+p.timers.Inactive < now
		if !k.suspected && !k.inactive {
			continue
		}
		if k.inactive {
			k.setInactive()
		}
		if k.suspected && k.operational {
			suspects++
			if k.join == nil {
				k.setInactive()
			}
		}
		some = true
	}
	if len(p.known) > 2 && suspects+1 == len(p.known) {
		p.aloneInactive()
	}
	if some && p.state == operational {
		p.gather(true)
	}
	p.lastCheck = now
	if p.isolatedUntil != 0 && p.isolatedUntil <= now {
		p.isolatedUntil = 0
	}
}

// aloneInactive gives up on everybody else.
func (p *proc) aloneInactive() {
	for _, k := range p.known {
		if k != p.self {
			k.setInactive()
		}
	}
}

func (k *peer) setInactive() {
	k.heard, k.join, k.operational = longAgo, nil, false
}

// gather begins a view change, or begins it anew (shift_to GATHER).
func (p *proc) gather(send bool) {
	for _, k := range p.known {
		k.committed, k.installed = false, false
	}
	p.install = nil
	before := p.state
	p.state = gather
	if send {
		p.sendJoin(false)
	}
	p.arm(checkTimer, p.timers.Check)
	if before == operational || before == joining {
		p.arm(retransTimer, p.timers.JoinRetrans)
		p.arm(installTimer, p.timers.Install)
	}
}

// retransmit repeats what the others may lack, or keeps the group alive.
func (p *proc) retransmit() {
	switch p.state {
	case joining:
		p.announce()
	case gather:
		if p.install == nil {
			p.sendJoin(true)
			return
		}
		if p.install.from == p && !p.allCommitted() {
			again := *p.install
			p.multicast(&again)
		}
		p.sendCommitGap()
	case installing:
		p.sendCommitGap()
		p.sendInstallGap()
	case operational:
		p.sendUser(nil)
	case leaving:
	}
}

// giveUp is what happens when the install timer expires (handle_install_timer).
func (p *proc) giveUp() {
	switch {
	case p.timeouts < p.timers.MaxInstalls:
		for _, k := range p.known {
			if k != p.self && (k.join == nil || !p.consistent(k.join)) {
				k.setInactive()
			}
		}
	case p.timeouts == p.timers.MaxInstalls:
		p.aloneInactive()
		p.isolatedUntil = p.c.now + p.timers.Suspect + p.timers.Inactive
	default:
		p.expelled() // it aborts
		return
	}
	if p.install != nil {
		for _, k := range p.known {
			if k != p.self && !k.committed {
				k.setInactive()
			}
		}
	}
	p.gather(true)
	if p.consensus() && p.represents() {
		p.sendInstall()
	}
	p.timeouts++
}

// represents tells whether this process has the smallest UUID of those that take part.
func (p *proc) represents() bool {
	for _, k := range p.known {
		if k.operational && !k.inactive {
			return k == p.self
		}
	}
	return false
}

// announce is a starting process that looks for a group (PC::connect).
func (p *proc) announce() {
	if len(p.known) <= 1 && p.c.now-p.lastCheck < announceFor {
		p.sendJoin(false)
		return
	}
	p.lastCheck = p.c.now
	p.gather(false)
	p.sendJoin(true)
}

// announceFor is pc.announce_timeout.
const announceFor = 3 * time.Second
