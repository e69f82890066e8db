package register

import (
	"errors"
	"fmt"
	"time"
)

// simClient issues one operation after the other.
type simClient struct {
	s    *sim
	id   int
	seen Version
	op   *simOp
	stop bool
}

func (s *sim) addClients(n int) {
	for i := range n {
		c := &simClient{s: s, id: i}
		s.clients = append(s.clients, c)
		s.at(s.between(0, 500*time.Millisecond), c.next)
	}
}

// next begins another operation while the budget lasts.
func (c *simClient) next() {
	s := c.s
	if int(s.opCount) >= s.opt.ops || c.stop {
		c.stop = true
		return
	}
	h := s.someHost()
	if h == nil {
		s.at(50*time.Millisecond, c.next)
		return
	}
	s.opCount++
	op := &simOp{client: c.id, read: s.rng.Float64() < 0.3, call: s.now}
	if r, ok := h.core.known(); ok && (s.rng.Intn(3) == 0 || c.seen.Recovery < r.Recovery) {
		c.seen = r.Version
	}
	if !op.read {
		op.cmd = Command{
			ID: fmt.Sprintf("c%d-%d", c.id, s.opCount), Expect: c.seen, NewEpoch: s.rng.Intn(2) == 0,
			Value: []byte(fmt.Sprintf("value %d", s.opCount)),
		}
	}
	s.hist.ops = append(s.hist.ops, op)
	c.op = op
	c.try(h)
}

func (s *sim) someHost() *simHost {
	for range 10 {
		if h := s.hosts[s.rng.Intn(len(s.hosts))]; !h.down && !h.paused {
			return h
		}
	}
	return nil
}

// try hands the operation to a host; without an answer it is given up or,
// with the same ID, tried elsewhere.
func (c *simClient) try(h *simHost) {
	s, op := c.s, c.op
	s.nextReq++
	id := s.nextReq
	op.attempt, op.host, op.life = id, h, h.life
	s.requests[id] = op
	h.do(h.life, func() {
		if op.read {
			h.core.Read(h.clock(), id)
		} else {
			h.core.Propose(h.clock(), id, op.cmd)
		}
	})
	s.at(s.between(800*time.Millisecond, 2500*time.Millisecond), func() {
		if op.done || op.attempt != id {
			return
		}
		delete(s.requests, id)
		h.do(op.life, func() { h.core.Cancel(h.clock(), id) })
		if o := s.someHost(); o != nil && s.rng.Intn(3) > 0 && s.now-op.call < 6*time.Second {
			c.try(o)
			return
		}
		c.op = nil
		c.next()
	})
}

// result takes a core's answer.
func (s *sim) result(h *simHost, r Result) {
	if s.answered != nil {
		s.answered(r)
		return
	}
	op, ok := s.requests[r.ID]
	if !ok {
		return
	}
	delete(s.requests, r.ID)
	var refused *RefusedError
	switch {
	case r.Err == nil:
		op.out = opOutput{version: r.Record.Version, id: r.Record.CommandID}
	case errors.As(r.Err, &refused):
		op.out = opOutput{version: refused.Current.Version, id: refused.Current.CommandID, refused: true}
		op.open = refused.Open
		s.refused++
	default:
		s.fail("%s answers %v", h.name, r.Err)
		return
	}
	op.done, op.ret = true, s.now
	s.hist.acknowledged(s.now, op)
	if op.scope = h.scope(); h.answers != nil {
		op.scope = *h.answers
	}
	if op.client < 0 {
		return
	}
	c := s.clients[op.client]
	c.seen = op.out.version
	c.op = nil
	s.at(s.between(0, 40*time.Millisecond), c.next)
}
