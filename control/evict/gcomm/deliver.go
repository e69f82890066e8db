package gcomm

// sendUser sends a message that is delivered in order, or a keepalive (nil).
func (p *proc) sendUser(payload any) {
	i := p.view.index(p)
	p.traffic.high[i]++
	if payload != nil {
		p.traffic.sent[i] = append(p.traffic.sent[i], entry{seq: p.traffic.high[i], from: p, payload: payload})
	}
	p.spread(i)
	p.deliver()
}

// spread tells the members this process's numbers, with all that it has sent: what one of them missed comes so, which
// stands for the retransmissions of EVS.
func (p *proc) spread(i int) {
	p.traffic.aru[i] = p.traffic.complete()
	p.multicast(&message{
		kind: userMessage, view: p.view.id, sent: p.traffic.sent[i], high: p.traffic.high[i], aru: p.traffic.aru[i],
	})
}

// answer completes this process's own numbers up to the highest one, or says what it has now.
func (p *proc) answer() {
	i := p.view.index(p)
	if p.state != leaving && p.traffic.high[i] < most(p.traffic.high) {
		p.traffic.high[i] = most(p.traffic.high)
		p.spread(i)
		return
	}
	if have := p.traffic.complete(); have != p.traffic.aru[i] {
		p.traffic.aru[i] = have
		p.multicast(&message{kind: gapMessage, view: p.view.id, high: p.traffic.high[i], aru: have})
	}
}

// handleUser takes a member's message (handle_user).
func (p *proc) handleUser(m *message, k *peer) {
	if m.view != p.view.id {
		p.follow(m, k)
		if m.view != p.view.id {
			return
		}
	}
	if p.install != nil {
		return // all agree already on what there was
	}
	i := p.view.index(m.from)
	complete, safe := p.traffic.complete(), p.traffic.safe()
	if m.high > p.traffic.high[i] {
		p.traffic.high[i], p.traffic.sent[i] = m.high, m.sent
		k.heard = p.c.now
	}
	p.traffic.aru[i] = max(p.traffic.aru[i], m.aru)
	p.answer()
	p.deliver()
	p.tellGathering(complete, safe)
}

// handleGap takes a member's numbers (handle_gap).
func (p *proc) handleGap(m *message, k *peer) {
	if p.install != nil || m.view != p.view.id {
		return
	}
	i := p.view.index(m.from)
	complete, safe := p.traffic.complete(), p.traffic.safe()
	if m.aru > p.traffic.aru[i] {
		p.traffic.aru[i] = m.aru
		k.heard = p.c.now
	}
	p.answer()
	p.deliver()
	p.tellGathering(complete, safe)
}

// tellGathering sends a JOIN where a message has changed what it says.
func (p *proc) tellGathering(complete, safe int) {
	changed := complete != p.traffic.complete() || safe != p.traffic.safe()
	if p.state == gather && changed && p.reachable() == p.traffic.complete() && !p.consensus() {
		p.sendJoin(true)
	}
}

// follow enters the view that is being installed, because another member is there already.
func (p *proc) follow(m *message, k *peer) {
	if p.old(m) || !k.operational || k.installed || p.install == nil || m.view != p.install.next {
		return
	}
	if p.state != gather && p.state != installing {
		return
	}
	p.state = installing
	for _, o := range p.known {
		if n := p.install.node(o.p); n != nil && n.operational {
			o.committed, o.installed = true, true
		}
	}
	p.enter()
}

// deliver hands up what is safe, and ends the causal reads that waited for it.
func (p *proc) deliver() {
	if p.delivering {
		return
	}
	p.delivering = true
	for p.deliverUpTo(p.traffic.safe()) {
	}
	p.delivering = false
	p.endReads(p.traffic.safe())
}

// deliverRest hands up, at the end of a view, all else that those have who go on together.
func (p *proc) deliverRest() {
	p.delivering = true
	p.deliverUpTo(most(p.traffic.high))
	p.delivering = false
	p.endReads(most(p.traffic.high))
}

// deliverUpTo hands up the messages to that number, by number and then by member, and returns whether there was one.
func (p *proc) deliverUpTo(limit int) bool {
	v, some := p.view, false
	for p.view == v {
		next := -1
		for i, sent := range p.traffic.sent {
			if c := p.cursor[i]; c < len(sent) && sent[c].seq <= limit {
				if next < 0 || sent[c].seq < p.traffic.sent[next][p.cursor[next]].seq {
					next = i
				}
			}
		}
		if next < 0 {
			break
		}
		e := p.traffic.sent[next][p.cursor[next]]
		p.cursor[next]++
		some = true
		p.pc.take(p, e)
		if p.life != alive {
			break
		}
	}
	return some
}

// causal is a causal read that waits for the group.
type causal struct {
	seq int
	end func(ok bool)
}

// read asks whether the group lives (handle_down with O_LOCAL_CAUSAL): it sends a message only when it has sent none for
// evs.causal_keepalive_period, and ends at once when that is fresh and nothing else is on its way.
func (p *proc) read(end func(ok bool)) {
	if !p.open() {
		p.waiting = append(p.waiting, func() { p.readAgain(end) })
		return
	}
	i, period := p.view.index(p), p.timers.CausalKeepalive
	fresh := p.lastKeepalive+period > p.c.now && period > 0
	if fresh && len(p.reads) == 0 && p.traffic.high[i] == p.traffic.safe() {
		end(true)
		return
	}
	seq := p.traffic.complete()
	if !fresh {
		p.sendUser(nil)
		seq = p.traffic.high[i]
		p.lastKeepalive = p.c.now
	}
	p.reads = append(p.reads, &causal{seq: seq, end: end})
	if len(p.view.members) == 1 {
		p.endReads(p.traffic.safe())
	}
}

func (p *proc) readAgain(end func(ok bool)) {
	if p.life != alive || p.gcs.view == nil {
		end(false)
		return
	}
	p.read(end)
}

func (p *proc) endReads(safe int) {
	for len(p.reads) > 0 && p.reads[0].seq <= safe {
		r := p.reads[0]
		p.reads = p.reads[1:]
		r.end(true)
	}
}
