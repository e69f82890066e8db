package gcomm

import "time"

// linger is how long a process that leaves in order still answers.
const linger = 300 * time.Millisecond

// leave ends a process in order.
func (p *proc) leave() {
	if p.state == operational {
		p.sendUser(nil)
		i := p.view.index(p)
		p.multicast(&message{
			kind: leaveMessage, view: p.view.id, sent: p.traffic.sent[i], high: p.traffic.high[i], aru: p.traffic.aru[i],
		})
	}
	p.state = leaving
	p.gcs.fail(p)
	p.c.After(linger, func() {
		if p.life == alive {
			p.die()
			p.host.uuid = "" // gvwstate.dat goes with an orderly end
		}
	})
}

// handleLeave takes the word of a member that leaves in order: its weight is not missing (handle_leave).
func (p *proc) handleLeave(m *message, k *peer) {
	if m.view != p.view.id || p.state == leaving {
		return
	}
	k.leave, k.operational, k.join = m, false, nil
	if p.install == nil {
		i := p.view.index(m.from)
		p.traffic.high[i], p.traffic.sent[i] = max(p.traffic.high[i], m.high), m.sent
		p.traffic.aru[i] = max(p.traffic.aru[i], m.aru)
		p.answer()
		p.deliver()
	}
	p.gather(true)
	p.conclude()
}

// die ends a process at once.
func (p *proc) die() {
	p.life = dead
	p.gcs.release()
	p.pc.prim = false
	p.drop()
}
