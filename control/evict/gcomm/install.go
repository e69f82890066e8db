package gcomm

// sendInstall is the representative's: all agree on the next view.
func (p *proc) sendInstall() {
	for _, k := range p.known {
		if k.operational && k.join != nil {
			p.maxSeq = max(p.maxSeq, k.join.view.seq)
		}
	}
	m := p.makeJoin()
	install := *m
	install.kind = installMessage
	install.next = viewID{seq: p.maxSeq + p.attempt, by: p}
	p.attempt++
	p.c.count++
	install.again = int(p.c.count) //nolint:gosec // a count of events
	p.multicast(&install)
	p.handleInstall(&install, p.self)
}

// handleInstall takes the representative's word on the next view (handle_install).
func (p *proc) handleInstall(m *message, k *peer) {
	if p.state == operational || p.state == leaving || p.state == joining || !k.operational || p.old(m) {
		return
	}
	if p.install != nil {
		switch {
		case m.from != p.install.from:
			if own := m.node(p); own != nil && own.operational {
				p.gather(false) // two have made an INSTALL at once
			}
			return
		case m.next.seq <= p.install.next.seq:
			return
		}
		for _, o := range p.known {
			o.committed, o.installed = false, false
		}
		p.install = nil
	} else if k.installed {
		p.gather(false)
		return
	}
	if m.from != p {
		join := *m
		join.kind = joinMessage
		p.handleJoin(&join, k)
	}
	own := m.node(p)
	if own == nil || !own.operational || p.install != nil || p.life != alive {
		return
	}
	kept := p.known[:0:0]
	for _, o := range p.known {
		if m.node(o.p) != nil || p.view.has(o.p) {
			kept = append(kept, o)
		}
	}
	if len(kept) != len(p.known) {
		p.known = kept
		p.makeJoin()
	}
	if !p.consistent(m) {
		p.gather(true)
		return
	}
	k.heard = p.c.now
	p.install = m
	p.sendCommitGap()
}

func (p *proc) sendCommitGap() {
	m := &message{kind: commitGap, view: p.view.id, next: p.install.next, again: p.install.again}
	p.multicast(m)
	p.committed(p.self)
}

func (p *proc) sendInstallGap() {
	p.multicast(&message{kind: installGap, view: p.view.id, next: p.install.next})
	p.installed(p.self)
}

func (p *proc) handleCommitGap(m *message, k *peer) {
	switch {
	case p.state != gather || p.install == nil || p.install.next != m.next:
	case p.install.again == m.again:
		p.committed(k)
	case p.install.again < m.again:
		p.gather(true)
	}
}

// committed notes that one has the INSTALL, and goes on when all have it.
func (p *proc) committed(k *peer) {
	k.committed, k.heard = true, p.c.now
	if p.state == gather && p.allCommitted() {
		p.state = installing
		p.arm(checkTimer, p.timers.Check)
		p.arm(retransTimer, p.timers.JoinRetrans)
		p.sendInstallGap()
	}
}

func (p *proc) allCommitted() bool {
	return p.allOf(func(k *peer) bool { return k.committed })
}

func (p *proc) handleInstallGap(m *message, k *peer) {
	if p.state == installing && p.install != nil && p.install.next == m.next {
		p.installed(k)
	}
}

// installed notes that one is ready for the view, and enters it when all are.
func (p *proc) installed(k *peer) {
	k.installed, k.heard = true, p.c.now
	if p.state == installing && p.allOf(func(k *peer) bool { return k.installed }) {
		p.enter()
	}
}

// allOf tells whether all that take part and are of the INSTALL are so.
func (p *proc) allOf(so func(*peer) bool) bool {
	for _, k := range p.known {
		if p.install.node(k.p) != nil && k.operational && !so(k) {
			return false
		}
	}
	return true
}

// enter ends the old view and begins the new one (shift_to OPERATIONAL).
func (p *proc) enter() {
	m := p.install
	p.deliver()
	var staying, left, members []*proc
	for i := range m.nodes {
		n := &m.nodes[i]
		if n.operational {
			members = append(members, n.p)
		}
		if n.view == p.view.id && p.view.has(n.p) {
			switch {
			case n.operational:
				staying = append(staying, n.p)
			case n.leaving:
				left = append(left, n.p)
			}
		}
	}
	p.transView(staying, left)
	p.deliverRest()
	p.previous = append(p.previous, p.view.id)
	for _, v := range p.gathered {
		if v != m.next {
			p.previous = append(p.previous, v)
		}
	}
	if n := len(p.previous) - 64; n > 0 {
		p.previous = p.previous[n:] // view_forget_timeout is a day; so many views are enough
	}
	p.gathered = nil
	p.view = newView(m.next, members)
	p.traffic, p.cursor = newTraffic(len(members)), make([]int, len(members))
	p.install, p.attempt, p.timeouts = nil, 1, 0
	p.state = operational
	kept := p.known[:0:0]
	for _, k := range p.known {
		if p.view.has(k.p) {
			k.join, k.leave = nil, nil
			kept = append(kept, k)
		}
	}
	p.known = kept
	p.armed[installTimer]++
	p.arm(checkTimer, p.timers.Check)
	p.arm(retransTimer, p.timers.Retrans)
	p.regView()
}
