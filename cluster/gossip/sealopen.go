package gossip

import (
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// receivePackets opens what comes in.
func (s *seal) receivePackets() {
	for {
		select {
		case <-s.done:
			return
		case p := <-s.inner.PacketCh():
			if p == nil || !s.open(p) {
				continue
			}
			select {
			case s.packets <- p:
			case <-s.done:
				return
			}
		}
	}
}

// open reports whether a packet is for memberlist, and leaves it what it is to read.
func (s *seal) open(p *memberlist.Packet) bool {
	if len(p.Buf) == 0 || p.Buf[0] != sealMagic {
		if s.refusesOld() {
			s.metrics.drop(ReasonOld)
			return false
		}
		return true
	}
	f, _, err := openFrame(p.Buf, *s.keys.Load())
	if err != nil {
		s.metrics.drop(reasonOf(err))
		return false
	}
	now := time.Now()
	switch f.kind {
	case sealHello:
		s.answer(f, now)
	case sealAnswer:
		s.answered(f, now)
	case sealStale:
		s.stale(f, now)
	case sealData:
		if !s.accept(f, p.From, now) {
			return false
		}
		p.Buf = f.payload
		from, ok := p.From.(*net.UDPAddr)
		return !ok || s.guard == nil || s.guard.opened(p.Buf, from.AddrPort(), now)
	default:
		s.metrics.drop(ReasonGarbage)
	}
	return false
}

// answer tells a process our token. A question may be an old one, played again:
// its answer, which is shorter than it, then goes to a process that does not wait
// for it. One that was asked of another address is nobody's here: else what was
// meant for that one could be brought here.
func (s *seal) answer(f frame, now time.Time) {
	s.mu.Lock()
	if f.to != s.own || f.from == "" || f.from == s.own {
		s.mu.Unlock()
		s.metrics.drop(ReasonStale)
		return
	}
	out := [][]byte{frame{kind: sealAnswer, nonce: f.nonce, token: s.inbox.current(now)}.encode(s.primary())}
	if p := s.peers[f.from]; p != nil && p.token != 0 && p.token != f.token {
		// It has started again or changed its token, or it is an old question:
		// asking tells.
		out = append(out, s.askLocked(p, now)...)
	}
	s.mu.Unlock()
	if _, err := s.write(out, f.from); err != nil {
		s.log.Debug("cannot answer", "address", f.from, "error", err)
	}
}

// answered takes a peer's token and sends what waited for it.
func (s *seal) answered(f frame, now time.Time) {
	s.mu.Lock()
	p := s.asking[f.nonce]
	if p == nil || f.token == 0 {
		s.mu.Unlock()
		s.metrics.drop(ReasonStale)
		return
	}
	delete(s.asking, p.nonce)
	p.nonce, p.learned = 0, p.asked
	if p.token != f.token {
		delete(s.sessions, p.session)
		p.token, p.session, p.counter = f.token, token(), 0
		s.sessions[p.session] = p
	}
	s.dropLocked(p, now)
	var out [][]byte
	for _, b := range p.waiting {
		out = append(out, s.packLocked(p, b))
	}
	s.waiting -= len(p.waiting)
	p.waiting = nil
	s.mu.Unlock()
	if _, err := s.write(out, p.address); err != nil {
		s.log.Debug("cannot send what waited", "address", p.address, "error", err)
	}
}

// stale asks a peer again that does not know our packets. That may be an old
// word: until it answers, nothing changes.
func (s *seal) stale(f frame, now time.Time) {
	s.mu.Lock()
	var out [][]byte
	address := ""
	if p := s.sessions[f.session]; p != nil {
		address, out = p.address, s.askLocked(p, now)
	}
	s.mu.Unlock()
	if _, err := s.write(out, address); err != nil {
		s.log.Debug("cannot ask", "address", address, "error", err)
	}
}

// accept judges a packet, and tells its sender when it has to ask again.
func (s *seal) accept(f frame, from net.Addr, now time.Time) bool {
	s.mu.Lock()
	reason, ask := s.inbox.take(now, f.token, f.session, f.counter)
	s.mu.Unlock()
	if ask {
		notice := frame{kind: sealStale, session: f.session}.encode(s.primary())
		if _, err := s.write([][]byte{notice}, from.String()); err != nil {
			s.log.Debug("cannot tell a sender to ask again", "address", from, "error", err)
		}
	}
	if reason != "" {
		s.metrics.drop(reason)
	}
	return reason == ""
}
