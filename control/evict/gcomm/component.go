package gcomm

import "slices"

// pcState is the state of the primary component layer (pc_proto).
type pcState int

const (
	pcClosed pcState = iota
	pcTrans
	pcExchange
	pcInstalling
	pcPrimary
	pcNonPrimary
)

// instance is what the layer knows of one process.
type instance struct {
	p       *proc
	prim    bool   // it comes from a primary component
	last    viewID // its last primary component
	seq     int    // write sets delivered there
	weight  int
	unknown bool // whether it has formed a primary component is not known
	evicted bool
}

// stateMessage is what a member tells the others of a new view, and installMessage's counterpart of this layer.
type stateMessage struct {
	from  *proc
	nodes []instance
	gcs   groupState
}

type componentInstall struct {
	nodes  []instance // of each member, as it said of itself
	gcs    []groupState
	parent viewID
}

// weightMessage changes a member's weight.
type weightMessage struct {
	p      *proc
	weight int
}

// component is the primary component layer of a process.
type component struct {
	state   pcState
	prim    bool
	view    *view // the last that was delivered; of a primary component if primary
	primary bool
	trans   []*proc // who goes on together, in pcTrans
	known   []*instance
	states  []*stateMessage
	parent  viewID
}

func (c *component) begin(p *proc) {
	c.view = newView(viewID{}, nil)
	c.known = []*instance{{p: p, weight: p.host.Weight}}
}

func (c *component) of(p *proc) *instance {
	for _, i := range c.known {
		if i.p == p {
			return i
		}
	}
	return nil
}

// weight sums the weights of those of a list that were in the last primary component.
func (c *component) weight(list []*proc) int {
	sum := 0
	for _, p := range list {
		if i := c.of(p); i != nil && c.view.has(p) {
			sum += i.weight
		}
	}
	return sum
}

// quorum is more than half of the last component's weight, those that left in order being no loss. An evicted member is
// missing at its weight like any other: the set of those that left does not have it (have_quorum).
func (c *component) quorum(staying, left []*proc, of []*proc) bool {
	total := 0
	for _, p := range of {
		if i := c.of(p); i != nil {
			total += i.weight
		}
	}
	return 2*c.weight(staying)+c.weight(left) > total
}

// transView is what becomes of the component when some of its members go on together (handle_trans).
func (p *proc) transView(staying, left []*proc) {
	c := &p.pc
	if c.state != pcClosed && !c.quorum(staying, left, c.view.members) {
		p.loseQuorum(staying)
	}
	c.trans = staying
	c.state = pcTrans
}

// loseQuorum delivers a non-primary view (mark_non_prim).
func (p *proc) loseQuorum(members []*proc) {
	c := &p.pc
	for _, i := range c.known {
		for _, m := range members {
			if i.p == m {
				i.prim = false
			}
		}
	}
	c.prim, c.primary = false, false
	c.view = newView(p.view.id, members)
	p.gcs.lose(p, len(members))
}

// regView exchanges states with the members of the new view (handle_reg).
func (p *proc) regView() {
	c := &p.pc
	c.state, c.states = pcExchange, nil
	m := &stateMessage{from: p, gcs: p.gcs.state(p)}
	for _, i := range c.known {
		if p.view.has(i.p) {
			i.seq = c.of(p).seq
		}
		if p.listed(i.p) {
			i.evicted = true
		}
		m.nodes = append(m.nodes, *i)
	}
	p.sendUser(m)
}

// take takes a delivered message.
func (c *component) take(p *proc, e entry) {
	switch m := e.payload.(type) {
	case *stateMessage:
		if c.state == pcExchange {
			p.takeState(m)
		}
	case *componentInstall:
		switch c.state {
		case pcTrans:
			p.transInstall(m)
		case pcInstalling, pcNonPrimary:
			p.becomePrimary(m)
		}
	case *weightMessage:
		if i := c.of(m.p); i != nil {
			i.weight = m.weight
		}
		p.transWeight()
	case *write:
		if c.prim {
			c.of(p).seq++
		}
		p.gcs.take(p, m, c.prim)
	}
}

// takeState takes a member's state; when all are there, the view is primary or not (handle_state).
func (p *proc) takeState(m *stateMessage) {
	c := &p.pc
	self := c.of(p)
	var theirs *instance
	for i := range m.nodes {
		if m.nodes[i].p == m.from {
			theirs = &m.nodes[i]
		}
	}
	if c.prim && theirs.prim && theirs.last != self.last {
		// Two primary components meet: the younger one gives way, by aborting.
		p.c.record.met(p, m.from)
		if self.last.compare(theirs.last) > 0 {
			p.expelled()
		}
		return
	}
	c.states = append(c.states, m)
	if len(c.states) < len(p.view.members) {
		return
	}
	for _, s := range c.states {
		for i := range s.nodes {
			n := s.nodes[i]
			mine := c.of(n.p)
			if mine == nil {
				c.known = append(c.known, &n)
				continue
			}
			if n.p == s.from {
				mine.weight = n.weight
			}
			if !c.prim && n.unknown && mine != self {
				mine.unknown = true
			}
		}
	}
	if !p.isPrimary() {
		c.state = pcNonPrimary
		p.loseQuorum(p.view.members)
		return
	}
	c.state = pcInstalling
	if p.view.members[0] == p {
		install := &componentInstall{parent: c.parent}
		for _, s := range c.states {
			for _, n := range s.nodes {
				if n.p == s.from {
					install.nodes = append(install.nodes, n)
				}
			}
			install.gcs = append(install.gcs, s.gcs)
		}
		p.sendUser(install)
	}
}

// isPrimary tells whether the view is a primary component: one of its members comes from one, or all are there that
// were in the last one and are not evicted. That is the trap of GALERA.md 9: who evicts all that are missing is
// complete (is_prim).
func (p *proc) isPrimary() bool {
	c := &p.pc
	for _, s := range c.states {
		for _, n := range s.nodes {
			if n.p == s.from && n.prim {
				c.parent = n.last
				return true
			}
		}
	}
	for _, i := range c.known {
		if i.unknown && !p.view.has(i.p) {
			return false
		}
	}
	var last viewID
	for _, s := range c.states {
		for _, n := range s.nodes {
			if !n.last.none() && n.last.compare(last) > 0 {
				last = n.last
			}
		}
	}
	if last.none() {
		return false
	}
	var were, evicted []*proc
	for _, s := range c.states {
		for _, n := range s.nodes {
			if n.last == last {
				were = append(were, n.p)
			}
			if n.evicted {
				evicted = append(evicted, n.p)
			}
		}
	}
	for _, w := range were {
		if !p.view.has(w) && newView(last, evicted).index(w) < 0 {
			return false
		}
	}
	c.parent = last
	return true
}

// becomePrimary makes the view a primary component (handle_install).
func (p *proc) becomePrimary(m *componentInstall) {
	seq := -1
	for _, n := range m.nodes {
		if n.prim {
			seq = max(seq, n.seq)
		}
	}
	if seq < 0 {
		for _, n := range m.nodes {
			seq = max(seq, n.seq)
		}
	}
	p.primary(p.view, seq)
	p.gcs.form(p, m)
}

// primary is a new primary component as the layer sees it.
func (p *proc) primary(v *view, seq int) {
	c := &p.pc
	c.state, c.prim, c.primary = pcPrimary, true, true
	c.view = v
	kept := c.known[:0:0]
	for _, i := range c.known {
		if v.has(i.p) {
			i.prim, i.last, i.seq, i.unknown = true, v.id, seq, false
			kept = append(kept, i)
		}
	}
	c.known = kept
	p.forgetAbsent(v)
}

// transInstall is a component's INSTALL that comes when its view has ended already: others may have made it primary or
// not, which is not known (handle_trans_install).
func (p *proc) transInstall(m *componentInstall) {
	c := &p.pc
	var members []*proc
	for _, n := range m.nodes {
		members = append(members, n.p)
	}
	was := c.view
	c.view = newView(p.view.id, members)
	ok := c.quorum(c.trans, nil, members)
	c.view = was
	if ok && c.primary {
		return
	}
	p.loseQuorum(c.trans)
	for _, i := range c.known {
		in := false
		for _, t := range c.trans {
			in = in || t == i.p
		}
		for _, n := range m.nodes {
			if n.p == i.p && !in {
				i.unknown = true
			}
		}
	}
}

// transWeight is a change of weight that comes when its view has ended and parted: whether the others have got it is not
// known, so that nobody stays primary (handle_trans_install).
func (p *proc) transWeight() {
	c := &p.pc
	if c.state != pcTrans || !c.primary {
		return
	}
	parted := false
	for _, i := range c.known {
		if c.view.has(i.p) && !slices.Contains(c.trans, i.p) {
			i.unknown, parted = true, true
		}
	}
	if parted {
		p.loseQuorum(c.trans)
	}
}

// clusterWeight is wsrep_cluster_weight.
func (c *component) clusterWeight() int {
	sum := 0
	if c.primary {
		for _, i := range c.known {
			if i.last == c.view.id {
				sum += i.weight
			}
		}
	}
	return sum
}
