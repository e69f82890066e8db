package gcomm

import (
	"slices"
	"time"
)

// found makes a process a synced member of the first component.
func (p *proc) found(v *view) {
	p.view = v
	p.known = nil
	for _, q := range v.members {
		k := p.know(q)
		if q == p {
			p.self = k
		}
	}
	p.traffic, p.cursor = newTraffic(len(v.members)), make([]int, len(v.members))
	p.state = operational
	p.pc.known = nil
	for _, q := range v.members {
		p.pc.known = append(p.pc.known, &instance{p: q, weight: q.host.Weight})
	}
	p.primary(v, 0)
	p.gcs = group{view: v, status: Primary, conf: 1, size: len(v.members), local: StateSynced, opened: true}
	p.arm(checkTimer, p.c.between(0, p.timers.Check))
	p.arm(retransTimer, p.c.between(0, p.timers.Retrans))
}

// Kill ends the process of a node at once, as SIGKILL does.
func (c *Cluster) Kill(node int) {
	if p := c.hosts[node].proc; p != nil && p.life != dead {
		p.die()
	}
}

// Shutdown ends the process of a node in order: it leaves the group first.
func (c *Cluster) Shutdown(node int) {
	p := c.hosts[node].proc
	if p == nil || p.hung || p.life == dead {
		return
	}
	if p.life == disconnected {
		p.die()
		return
	}
	p.leave()
}

// Hang stops the process of a node, as SIGSTOP does: what is sent to it waits.
func (c *Cluster) Hang(node int) {
	if p := c.hosts[node].proc; p != nil && p.life != dead {
		p.hung = true
	}
}

// Resume lets a stopped process go on: its timers first, then what has waited in its sockets.
func (c *Cluster) Resume(node int) {
	p := c.hosts[node].proc
	if p == nil || !p.hung {
		return
	}
	p.hung = false
	for _, h := range c.hosts {
		if q := h.proc; q != nil && q != p && c.conn(p, q) == nil {
			p.retryLater(q) // it notices only now
		}
	}
	late, inbox := p.late, p.inbox
	p.late, p.inbox = nil, nil
	for _, fn := range late {
		if p.life == alive {
			fn()
		}
	}
	// Of a connection that was closed meanwhile it reads what had come before, or nothing but the reset: both were seen.
	lost := map[*proc]bool{}
	for _, m := range inbox {
		if _, drawn := lost[m.from]; !drawn {
			lost[m.from] = c.conn(p, m.from) == nil && c.rng.IntN(2) == 0
		}
		if !lost[m.from] {
			c.After(0, func() { p.receive(m) })
		}
	}
}

// connecting bounds the time that a new process takes for its first connections.
const connecting = 40 * time.Millisecond

// Start starts a new process on a node whose last one is dead. It looks for a group after boot.
func (c *Cluster) Start(node int, boot time.Duration) {
	h := c.hosts[node]
	if h.proc != nil && h.proc.life != dead {
		return
	}
	c.After(boot, func() {
		if h.proc != nil && h.proc.life != dead {
			return
		}
		p := c.newProc(h)
		p.arm(retransTimer, 0)
		for other := range c.hosts { // it announces itself before its connections are there, which come one by one
			at := c.between(time.Millisecond, connecting)
			p.retry[other] = c.now + at
			p.later(at, p.tend)
		}
	})
}

// Dead tells whether no process runs on a node.
func (c *Cluster) Dead(node int) bool {
	p := c.hosts[node].proc
	return p == nil || p.life == dead
}

// Evict is evs.evict=UUID, told to one node. It begins a view change only where the node is OPERATIONAL and the UUID
// that of a member; else the list has one more entry. It returns false where nobody answers.
func (c *Cluster) Evict(node int, uuid string) bool {
	p := c.hosts[node].proc
	if p == nil || p.life != alive || p.hung {
		return false
	}
	for _, q := range c.procs {
		if q.uuid == uuid {
			p.list(q)
			if p.state == operational && p.view.has(q) {
				p.gather(true)
			}
			return true
		}
	}
	if !slices.ContainsFunc(p.evicted, func(e eviction) bool { return e.uuid == uuid }) {
		p.evicted = append(p.evicted, eviction{uuid: uuid})
	}
	return true
}

// Clear is evs.evict= (empty), told to one node: its whole list is emptied, and nobody else's.
func (c *Cluster) Clear(node int) bool {
	p := c.hosts[node].proc
	if p == nil || p.life != alive || p.hung {
		return false
	}
	p.evicted = nil
	return true
}

// SetTimers changes the timers of the process on a node.
func (c *Cluster) SetTimers(node int, change func(*Timers)) bool {
	p := c.hosts[node].proc
	if p == nil || p.life != alive || p.hung {
		return false
	}
	before := p.timers
	change(&p.timers)
	p.timers.Check = before.Check // EPERM at run time
	if p.timers.Retrans != before.Retrans || p.timers.JoinRetrans != before.JoinRetrans {
		p.arm(retransTimer, p.period())
	}
	if p.timers.Suspect != before.Suspect || p.timers.Inactive != before.Inactive {
		p.arm(checkTimer, p.timers.Check)
	}
	return true
}

// Timers returns the timers of the process on a node, those of its file where none runs.
func (c *Cluster) Timers(node int) Timers {
	if p := c.hosts[node].proc; p != nil && p.life == alive {
		return p.timers
	}
	return c.hosts[node].Timers
}

// SetWeight is pc.weight: it is told to the group as a message.
func (c *Cluster) SetWeight(node, weight int) bool {
	p := c.hosts[node].proc
	if p == nil || p.life != alive || p.hung || !p.open() {
		return false
	}
	p.host.Weight = weight
	p.sendUser(&weightMessage{p: p, weight: weight})
	return true
}

// Commit begins a commit on a node. done is called once, unless the node hangs from then on until it dies: with true when the commit is
// acknowledged, with false when it is refused or its fate is unknown.
func (c *Cluster) Commit(node int, done func(ok bool)) {
	p := c.hosts[node].proc
	if p == nil || p.life != alive {
		done(false)
		return
	}
	if p.hung {
		p.late = append(p.late, func() { p.commit(done) })
		return
	}
	p.commit(done)
}

// Read begins a causal read on a node. done is called when it ends, with false for an error. It waits for the group,
// and then for the applier of this node.
func (c *Cluster) Read(node int, done func(ok bool)) {
	p := c.hosts[node].proc
	if p == nil || p.life != alive || p.gcs.view == nil || p.host.Arbitrator {
		done(false)
		return
	}
	begin := func() {
		p.read(func(ok bool) {
			if ok && p.gcs.busy {
				p.gcs.stalled = append(p.gcs.stalled, func() { done(p.life == alive) })
				return
			}
			done(ok)
		})
	}
	if p.hung {
		p.late = append(p.late, begin)
		return
	}
	begin()
}

// Busy keeps the applier of a node at one thing, DDL or a long transaction, or lets it go on: causal reads and commits
// of the node wait, while its group is well.
func (c *Cluster) Busy(node int, on bool) {
	p := c.hosts[node].proc
	if p == nil || p.life != alive || on == p.gcs.busy {
		return
	}
	g := &p.gcs
	g.busy, g.busySince = on, c.now
	if !on {
		stalled := g.stalled
		g.stalled, g.queue = nil, 0
		for _, fn := range stalled {
			fn()
		}
	}
}

// Throttle lets a node be so far behind that flow control stops the commits of its whole component, or ends that.
func (c *Cluster) Throttle(node int, on bool) {
	p := c.hosts[node].proc
	if p == nil || p.life != alive {
		return
	}
	p.gcs.throttles = on
	if !on {
		for _, h := range c.hosts {
			if h.proc != nil && h.proc.life == alive {
				h.proc.gcs.wake()
			}
		}
	}
}
