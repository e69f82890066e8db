package gcomm

import "time"

// conn is the TCP connection between the processes of two hosts.
type conn struct {
	ends  [2]*proc
	quiet time.Duration // since when one side hears nothing, 0 for not
	held  []func()      // what waits in a sender's buffer for a cut to heal
	last  [2]time.Duration
}

const (
	// reconnectAfter is when a process tries again to reach one that it has lost (gmcast's handle_failed).
	reconnectAfter = time.Second
	// tendEvery is how often it looks.
	tendEvery = 500 * time.Millisecond
)

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

func (c *Cluster) conn(a, b *proc) *conn {
	k := c.conns[pair(a.host.n, b.host.n)]
	if k == nil || k.ends[0] != a && k.ends[1] != a || k.ends[0] != b && k.ends[1] != b {
		return nil
	}
	return k
}

func (c *Cluster) connect(a, b *proc) {
	c.conns[pair(a.host.n, b.host.n)] = &conn{ends: [2]*proc{a, b}}
}

func (c *Cluster) disconnect(a, b *proc) {
	if c.conn(a, b) != nil {
		delete(c.conns, pair(a.host.n, b.host.n))
		a.retryLater(b)
		b.retryLater(a)
	}
}

func (p *proc) retryLater(q *proc) { p.retry[q.host.n] = p.c.now + reconnectAfter }

func (c *Cluster) cut(a, b *proc) bool { return a.host.cut[b.host.n] }

// latency is a message's time on its way.
func (c *Cluster) latency() time.Duration {
	if c.slow > 0 && c.rng.Float64() < c.slow {
		return c.between(time.Millisecond, c.late)
	}
	// Most messages are alike: with a wide spread an answer would overtake what it answers, at a third, more often than it does.
	if c.rng.IntN(5) > 0 {
		return c.between(100*time.Microsecond, 250*time.Microsecond)
	}
	return c.between(100*time.Microsecond, time.Millisecond)
}

// multicast sends a message to every process that p has a way to, members of its view or not.
func (p *proc) multicast(m *message) {
	if p.isolatedUntil > p.c.now {
		return
	}
	p.fifo++
	m.from, m.fifo = p, p.fifo
	for _, h := range p.c.hosts {
		if q := h.proc; q != nil && q != p && q.life == alive {
			p.send(q, m)
		}
	}
}

// send sends over the connection, or through a third process that has both (relaying), which a process asks for when
// it misses a peer that it has not itself put out.
func (p *proc) send(q *proc, m *message) {
	c := p.c
	if k := c.conn(p, q); k != nil {
		side := 0
		if k.ends[0] == q {
			side = 1
		}
		arrive := func() { q.receive(m) }
		if c.cut(p, q) {
			k.held = append(k.held, func() {
				if !c.cut(p, q) {
					arrive()
				}
			})
			return
		}
		t := max(c.now+c.latency(), k.last[side]+1)
		k.last[side] = t
		c.at(t, arrive)
		return
	}
	if p.banned(q) || p.listed(q) {
		return
	}
	if c.relay(p, q) != nil {
		c.After(c.latency()+c.latency(), func() { q.receive(m) })
	}
}

// relay is a process that has connections to both, nil without one.
func (c *Cluster) relay(p, q *proc) *proc {
	for _, h := range c.hosts {
		r := h.proc
		if r == nil || r == p || r == q || r.life != alive || r.hung || r.listed(p) || c.cut(p, r) || c.cut(r, q) {
			continue
		}
		if c.conn(p, r) != nil && c.conn(r, q) != nil {
			return r
		}
	}
	return nil
}

// receive takes a message from the network; that of a stopped process waits in its sockets.
func (p *proc) receive(m *message) {
	switch {
	case p.life != alive:
	case p.hung:
		p.inbox = append(p.inbox, m)
	default:
		p.handle(m)
	}
}

// tend looks after the connections of a process: those that are silent for too long are closed, missing ones made.
func (p *proc) tend() {
	c := p.c
	for _, h := range c.hosts {
		q := h.proc
		if q == nil || q == p || q.life != alive {
			continue
		}
		if k := c.conn(p, q); k != nil {
			p.judge(k, q)
			continue
		}
		if p.retry[h.n] > c.now || p.banned(q) || p.listed(q) {
			continue
		}
		p.retryLater(q)
		if q.hung || c.cut(p, q) || c.cut(q, p) {
			continue
		}
		if q.listed(p) {
			// The acceptor says "evicted", which is the end of this process's group layer (gmcast_proto's handle_failed).
			p.expelled()
			return
		}
		if !q.banned(p) {
			c.connect(p, q)
		}
	}
}

func (p *proc) judge(k *conn, q *proc) {
	c := p.c
	switch {
	case !q.hung && !c.cut(q, p):
		k.quiet = 0
	case k.quiet == 0:
		k.quiet = c.now
	case c.now-k.quiet >= p.timers.Peer:
		c.disconnect(p, q)
	}
}

// ban refuses a process for a while.
type ban struct {
	p     *proc
	until time.Duration
}

func (p *proc) banned(q *proc) bool {
	for _, b := range p.bans {
		if b.p == q && b.until > p.c.now {
			return true
		}
	}
	return false
}

// forget closes the connection to a process and refuses it for a while (gmcast_forget).
func (p *proc) forget(q *proc, d time.Duration) {
	p.c.disconnect(p, q)
	p.bans = append(p.bans, ban{q, p.c.now + d})
}

// forgetAbsent forgets who is not in a new primary view, for half of time_wait (handle_stable_view).
func (p *proc) forgetAbsent(v *view) {
	keep := p.bans[:0]
	for _, b := range p.bans {
		if b.until > p.c.now {
			keep = append(keep, b)
		}
	}
	p.bans = keep
	for _, h := range p.c.hosts {
		if q := h.proc; q != nil && q != p && !v.has(q) && p.c.conn(p, q) != nil {
			p.forget(q, p.timers.TimeWait/2)
		}
	}
}

// Link cuts or heals one direction between two hosts. What was sent while it was cut arrives soon after it heals, if
// nobody closed the connection meanwhile.
func (c *Cluster) Link(from, to int, up bool) {
	c.hosts[from].cut[to] = !up
	k := c.conns[pair(from, to)]
	if !up || k == nil {
		return
	}
	held := k.held
	k.held = nil
	delay := c.between(time.Millisecond, 400*time.Millisecond)
	for _, arrive := range held {
		c.After(delay, func() {
			if c.conns[pair(from, to)] == k {
				arrive()
			}
		})
	}
	for side := range k.last {
		k.last[side] = max(k.last[side], c.now+delay)
	}
}

// Isolate cuts or heals every link of a host, both ways.
func (c *Cluster) Isolate(node int, cut bool) {
	for other := range c.hosts {
		if other != node {
			c.Link(node, other, !cut)
			c.Link(other, node, !cut)
		}
	}
}

// Partition cuts every link between hosts of different groups and heals every other. A host that no group names is
// alone.
func (c *Cluster) Partition(groups ...[]int) {
	group := make([]int, len(c.hosts))
	for g, members := range groups {
		for _, n := range members {
			group[n] = g + 1
		}
	}
	for a := range c.hosts {
		for b := range c.hosts {
			if a != b {
				c.Link(a, b, group[a] == group[b] && group[a] != 0)
			}
		}
	}
}

// HealAll makes every link carry again.
func (c *Cluster) HealAll() {
	for a := range c.hosts {
		for b := range c.hosts {
			if a != b {
				c.Link(a, b, true)
			}
		}
	}
}
