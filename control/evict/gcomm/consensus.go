package gcomm

// consensus tells whether all that take part have said the same as this process (is_consensus).
func (p *proc) consensus() bool {
	if p.self.join == nil || !p.sameView(p.self.join) {
		return false
	}
	for _, k := range p.known {
		if k.operational && (k.join == nil || !p.consistent(k.join)) {
			return false
		}
	}
	return true
}

// consistent tells whether a JOIN or INSTALL says what this process would say.
func (p *proc) consistent(m *message) bool {
	own := p.self.join
	if own == nil || m.view == p.view.id && !p.sameView(m) {
		return false
	}
	return alike(m, own)
}

// sameView compares what the members of one view have of it, and who of them does not take part.
func (p *proc) sameView(m *message) bool {
	if m.complete != p.traffic.complete() || m.safe != p.traffic.safe() {
		return false
	}
	for i, member := range p.view.members {
		n := m.node(member)
		k := p.peer(member)
		if n == nil || k == nil || n.view != p.view.id || n.high != p.traffic.high[i] {
			return false
		}
		if n.operational != k.operational || n.leaving != (k.leave != nil && !k.operational) {
			return false
		}
	}
	return p.traffic.safe() == p.reachable()
}

// reachable is up to where the messages of the view can become safe: no further than those that do not take part in
// the next view have got.
func (p *proc) reachable() int {
	reach := most(p.traffic.high)
	for i, member := range p.view.members {
		here := p.traffic.high[i]
		if k := p.peer(member); k != nil && !k.operational && (k.leave == nil || k.suspected) {
			here = min(here, p.traffic.aru[i])
		}
		reach = min(reach, here)
	}
	return reach
}

// alike compares two JOINs: of one source all that it says of its view, else who takes part.
func alike(a, b *message) bool {
	if a.view == b.view && (a.complete != b.complete || a.safe != b.safe) {
		return false
	}
	same := a.from == b.from
	pick := func(m *message, n *nodeState) bool {
		if same {
			return n.view == m.view
		}
		return n.operational && !n.leaving
	}
	i, j := 0, 0
	for {
		for i < len(a.nodes) && !pick(a, &a.nodes[i]) {
			i++
		}
		for j < len(b.nodes) && !pick(b, &b.nodes[j]) {
			j++
		}
		if i == len(a.nodes) || j == len(b.nodes) {
			return i == len(a.nodes) && j == len(b.nodes)
		}
		if !a.nodes[i].same(b.nodes[j]) {
			return false
		}
		i++
		j++
	}
}
