package register

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
)

// opRead asks for a linearizable read. Only the clients of the simulation do: what
// they read is checked against what was decided, so that raft's word on who leads
// is tried beside its log. The product reads what Status says.
const opRead op = 2

// simReads serves the reads of one member's lives.
type simReads struct {
	seq     uint64
	waiting []readWait
}

// readWait is a read that waits for raft to confirm the leader (not ready) or for
// index to be applied.
type readWait struct {
	waiter
	ctx   uint64
	ready bool
	index uint64
	since time.Duration
}

// withReads lets a core serve reads.
func withReads(h hooks) hooks {
	r := &simReads{}
	h.serve, h.advanced, h.deposed = r.serve, r.advanced, r.deposed
	return h
}

// Read asks for a linearizable read.
func (c *Core) Read(now time.Duration, id uint64) {
	c.now = now
	c.ask(id, request{op: opRead})
}

// Read returns the record as the majority knows it: no older than any answer
// given anywhere before the call.
func (n *Node) Read(ctx context.Context) (Record, error) {
	return n.ask(ctx, func(id uint64) { n.core.Read(n.now(), id) })
}

func (s *simReads) serve(c *Core, w waiter) {
	s.waiting = slices.DeleteFunc(s.waiting, func(r readWait) bool { return c.now-r.since > 5*time.Second })
	if len(s.waiting) >= maxWaiting || slices.ContainsFunc(s.waiting, func(r readWait) bool { return r.waiter == w }) {
		return
	}
	s.seq++
	s.waiting = append(s.waiting, readWait{waiter: w, ctx: s.seq, since: c.now})
	c.node.ReadIndex(binary.LittleEndian.AppendUint64(nil, s.seq))
}

// advanced notes the reads for which raft has confirmed the leader, and answers
// those whose index was applied.
func (s *simReads) advanced(c *Core, states []raft.ReadState) {
	for _, rs := range states {
		if len(rs.RequestCtx) != 8 {
			continue
		}
		for i := range s.waiting {
			if s.waiting[i].ctx == binary.LittleEndian.Uint64(rs.RequestCtx) {
				s.waiting[i].ready, s.waiting[i].index = true, rs.Index
			}
		}
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(r readWait) bool {
		if !r.ready || r.index > c.Log.Applied.Index {
			return false
		}
		c.reply(r.waiter, reply{verdict: verdictDone, record: c.Machine.Record})
		return true
	})
}

func (s *simReads) deposed(c *Core) {
	for _, r := range s.waiting {
		c.dropped(r.waiter)
	}
	s.waiting = nil
}
