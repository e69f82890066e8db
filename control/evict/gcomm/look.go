package gcomm

import "slices"

// Observe reads the process of a node as somebody can whom no link keeps from it.
func (c *Cluster) Observe(node int) Observation {
	p := c.hosts[node].proc
	switch {
	case p == nil || p.life == dead:
		return Observation{}
	case p.hung:
		o := Observation{Answer: Silent, Group: Silent}
		if p.life == disconnected {
			o.Group = Refused
		}
		return o
	case p.life == disconnected:
		return Observation{Answer: Speaks, Status: Disconnected, ConfID: -1, EVS: Closed}
	}
	g := &p.gcs
	o := Observation{
		Group: Speaks, UUID: p.uuid, Status: g.status, ConfID: -1, Size: g.size, Weight: p.pc.clusterWeight(),
		EVS: p.state.String(), LocalState: g.local, Queue: g.queue, Paused: p.pausedByFlow(), Delivered: g.delivered,
	}
	if g.opened && !p.host.Arbitrator {
		o.Answer = Speaks
	}
	if g.status == Primary {
		o.ConfID = g.conf
	}
	for _, e := range p.evicted {
		o.Evicted = append(o.Evicted, e.uuid)
	}
	slices.Sort(o.Evicted)
	if g.busy {
		o.Applier = c.now - g.busySince
	}
	return o
}

// Component is a primary component that could commit, if it were asked.
type Component struct {
	// Members are nodes, in order.
	Members []int
	// Weight is the sum of their weights.
	Weight int
}

// Primaries returns the primary components of this moment: those of which no living member is elsewhere. A process that
// has not noticed yet that the others have gone on is none. More than one is a split brain.
func (c *Cluster) Primaries() []Component {
	var all []Component
	var seen []viewID
	for _, h := range c.hosts {
		p := h.proc
		if p == nil || p.life != alive || p.state == leaving || !p.pc.primary || p.gcs.view != p.pc.view || slices.Contains(seen, p.pc.view.id) {
			continue
		}
		seen = append(seen, p.pc.view.id)
		if one, ok := p.component(); ok {
			all = append(all, one)
		}
	}
	return all
}

func (p *proc) component() (Component, bool) {
	var one Component
	for _, m := range p.pc.view.members {
		if m.pc.view.id != p.pc.view.id || !m.pc.primary {
			return one, false
		}
		if i := p.pc.of(m); i != nil {
			one.Weight += i.weight
		}
		one.Members = append(one.Members, m.host.n)
	}
	slices.Sort(one.Members)
	return one, true
}

// Wrong returns what went wrong so far that may never: a second primary component that came from one, two that meet, a
// primary component that lacks an acknowledged commit, two members with different histories. Each with its time.
func (c *Cluster) Wrong() []string { return slices.Clone(c.record.found) }

// Acknowledged is how many commits clients were told of.
func (c *Cluster) Acknowledged() int { return c.record.acked.count() }

// Lists returns the nodes whose evict list is not empty.
func (c *Cluster) Lists() []int {
	var nodes []int
	for _, h := range c.hosts {
		if h.proc != nil && h.proc.life == alive && len(h.proc.evicted) > 0 {
			nodes = append(nodes, h.n)
		}
	}
	return nodes
}

// Same tells whether all nodes that are synced have the same commits.
func (c *Cluster) Same() bool {
	var first *proc
	for _, h := range c.hosts {
		p := h.proc
		if p == nil || p.life != alive || p.gcs.local != StateSynced || h.Arbitrator {
			continue
		}
		if first == nil {
			first = p
		} else if !p.gcs.history.equal(first.gcs.history) {
			return false
		}
	}
	return true
}

// Member tells whether a process is in a node's component, as mysql.wsrep_cluster_members says it there.
func (c *Cluster) Member(node int, uuid string) bool {
	p := c.hosts[node].proc
	if p == nil || p.life != alive || p.gcs.view == nil {
		return false
	}
	return slices.ContainsFunc(p.gcs.view.members, func(q *proc) bool { return q.uuid == uuid })
}

// Reaches tells whether what the process of a node sends gets to that of another at once, directly or through a third one,
// and both run.
func (c *Cluster) Reaches(from, to int) bool {
	p, q := c.hosts[from].proc, c.hosts[to].proc
	if p == nil || q == nil || p.life != alive || q.life != alive || p.hung || q.hung {
		return false
	}
	if c.conn(p, q) != nil {
		return !c.cut(p, q)
	}
	return !p.banned(q) && !p.listed(q) && c.relay(p, q) != nil
}

// Open tells whether the process of a node can send: it is in a view, and what is exchanged in a new one has been.
func (c *Cluster) Open(node int) bool {
	p := c.hosts[node].proc
	return p != nil && p.life == alive && p.open()
}
