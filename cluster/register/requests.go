package register

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
)

// maxWaiting bounds the commands and reads that a leader works on at once.
const maxWaiting = 1024

// requests are the requests of this member's own users (local) and, on the
// leader, those that are being served.
type requests struct {
	local   map[uint64]*localRequest
	nextID  uint64
	readSeq uint64
	// waiters are who wants to know the outcome of a command, by its ID.
	waiters map[string][]waiter
	reads   []readWait
	// leavers answered by the end of the next reset.
	leavers []uint64
}

// localRequest is repeated until it is answered or cancelled.
type localRequest struct {
	request
	user   uint64
	sentAt time.Duration
	sentTo uint64
	// again says that it was sent once more because the leader asked for a stamp.
	again bool
}

// waiter is a request at its sender.
type waiter struct{ from, id uint64 }

// readWait is a read that waits for raft to confirm the leader (index 0) or
// for index to be applied.
type readWait struct {
	waiter
	ctx   uint64
	ready bool
	index uint64
	since time.Duration
}

func (r *requests) init(first uint64) {
	r.local, r.waiters = make(map[uint64]*localRequest), make(map[string][]waiter)
	r.nextID = first
}

// Propose asks for a command. The result comes under the caller's id, unless
// the request is cancelled.
func (c *Core) Propose(now time.Duration, id uint64, cmd Command) {
	c.now = now
	if err := cmd.Validate(); err != nil {
		c.result(Result{ID: id, Err: err})
		return
	}
	c.ask(id, request{op: opCommand, command: cmd})
}

// Read asks for a linearizable read.
func (c *Core) Read(now time.Duration, id uint64) {
	c.now = now
	c.ask(id, request{op: opRead})
}

// Leave asks to be taken out of the voters.
func (c *Core) Leave(now time.Duration, id uint64) {
	c.now = now
	if c.cluster == 0 || c.failed != nil {
		c.result(Result{ID: id})
		return
	}
	c.leaving = true
	c.out.Changed = true
	c.ask(id, request{op: opLeave})
}

// Cancel forgets a request. A command that was sent may still be applied.
func (c *Core) Cancel(now time.Duration, id uint64) {
	c.now = now
	for wire, r := range c.local {
		if r.user == id {
			delete(c.local, wire)
			if r.op == opLeave {
				c.leaving = false
				c.out.Changed = true
			}
		}
	}
}

func (c *Core) ask(user uint64, req request) {
	c.nextID++
	req.id = c.nextID
	r := &localRequest{request: req, user: user}
	c.local[r.id] = r
	c.attempt(r)
	c.pump()
}

func (c *Core) result(r Result) { c.out.Results = append(c.out.Results, r) }

// leader is where requests go now, 0 if unknown.
func (c *Core) leader() uint64 {
	if c.node != nil {
		return c.lead
	}
	if c.view != nil {
		return c.view.leader
	}
	return 0
}

func (c *Core) attempt(r *localRequest) {
	to := c.leader()
	if to == 0 {
		return
	}
	r.sentAt, r.sentTo = c.now, to
	if c.log != nil {
		r.index = c.log.applied.index
	}
	if to == c.disk {
		c.serve(c.disk, r.request)
	} else {
		c.send(to, kindRequest, r.encode())
	}
}

// sendRequests sends what was not sent yet or was not answered in time. moved
// says that the leader has changed.
func (c *Core) sendRequests(moved bool) {
	if len(c.local) == 0 {
		return
	}
	for _, id := range sortedKeys(c.local) {
		r, ok := c.local[id]
		if ok && (r.sentAt == 0 || moved && r.sentTo != c.leader() || c.now-r.sentAt >= c.timing.Retry) {
			r.again = false
			c.attempt(r)
		}
	}
}

// introduceTo answers a request that does not prove that it is of now: it may be
// an old one that is sent again. The answer carries a stamp, with which the
// sender, if it is there and still wants it, asks again.
func (c *Core) introduceTo(env *envelope, r request) {
	answer := reply{id: r.id, verdict: verdictElsewhere, leader: c.leader()}
	e := c.envelopeTo(env.from, kindReply, answer.encode())
	e.echo = env.stamp
	c.sendEnvelope(e)
}

// serve works on a request as the leader.
func (c *Core) serve(from uint64, r request) {
	w := waiter{from, r.id}
	if c.leading && c.doubt != nil {
		return
	}
	if !c.leading {
		c.reply(w, reply{verdict: verdictElsewhere, leader: c.leader()})
		return
	}
	switch r.op {
	case opCommand:
		c.serveCommand(w, r.command)
	case opRead:
		c.serveRead(w)
	case opLeave:
		c.serveLeave(w, r.index)
	case opRemove:
		c.serveRemove(w, r.name)
	}
}

func (c *Core) serveCommand(w waiter, cmd Command) {
	if o, ok := c.machine.lookup(cmd); ok {
		c.replyOutcome(w, o)
		return
	}
	if have, ok := c.waiters[cmd.ID]; ok {
		if !slices.Contains(have, w) {
			c.waiters[cmd.ID] = append(have, w)
		}
		return
	}
	if len(c.waiters) >= maxWaiting || cmd.Validate() != nil {
		return
	}
	// What this leader could not act on is nobody's to propose here: it would take
	// every voter of this version out of the vote.
	if c.cfg.Reads != nil && c.cfg.Reads(cmd.Value) != nil {
		return
	}
	c.waiters[cmd.ID] = []waiter{w}
	if err := c.node.Propose(encodeCommand(cmd)); err != nil {
		// Leadership is being handed over: the sender asks again.
		delete(c.waiters, cmd.ID)
	}
}

func (c *Core) serveRead(w waiter) {
	c.reads = slices.DeleteFunc(c.reads, func(r readWait) bool { return c.now-r.since > 5*time.Second })
	if len(c.reads) >= maxWaiting || slices.ContainsFunc(c.reads, func(r readWait) bool { return r.waiter == w }) {
		return
	}
	c.readSeq++
	c.reads = append(c.reads, readWait{waiter: w, ctx: c.readSeq, since: c.now})
	c.node.ReadIndex(binary.LittleEndian.AppendUint64(nil, c.readSeq))
}

// readReady notes that raft has confirmed the leader for a read.
func (c *Core) readReady(rs raft.ReadState) {
	if len(rs.RequestCtx) != 8 {
		return
	}
	ctx := binary.LittleEndian.Uint64(rs.RequestCtx)
	for i := range c.reads {
		if c.reads[i].ctx == ctx {
			c.reads[i].ready, c.reads[i].index = true, rs.Index
		}
	}
}

// serveReads answers the reads whose index was applied.
func (c *Core) serveReads() {
	c.reads = slices.DeleteFunc(c.reads, func(r readWait) bool {
		if !r.ready || r.index > c.log.applied.index {
			return false
		}
		c.reply(r.waiter, reply{verdict: verdictDone, record: c.machine.record})
		return true
	})
}

// commandDone answers those who wait for a command that was applied.
func (c *Core) commandDone(cmd Command, o outcome) {
	waiting := c.waiters[cmd.ID]
	delete(c.waiters, cmd.ID)
	for _, w := range waiting {
		c.replyOutcome(w, o)
	}
}

func (c *Core) replyOutcome(w waiter, o outcome) {
	v := verdictDone
	switch {
	case o.open:
		v = verdictOpen
	case o.refused:
		v = verdictRefused
	}
	c.reply(w, reply{verdict: v, record: o.record})
}

func (c *Core) reply(w waiter, r reply) {
	r.id = w.id
	if w.from == c.disk {
		c.taken(c.disk, r)
		return
	}
	c.send(w.from, kindReply, r.encode())
}

// replied takes the leader's answer to a request of this member: from the
// generation and the disk that was asked, which has proved itself.
func (c *Core) replied(env *envelope, r reply, p proof) {
	cluster, generation, origin := c.scope()
	l, ok := c.local[r.id]
	if !ok || env.cluster != cluster || env.generation != generation || env.origin != origin || !p.recent || l.sentTo != env.from {
		c.counters.DroppedOther++
		return
	}
	if r.verdict == verdictElsewhere && r.leader == env.from && !l.again {
		// It leads, and wanted to see a stamp of now first.
		l.again = true
		c.attempt(l)
		return
	}
	c.taken(env.from, r)
}

// taken acts on the answer to a request.
func (c *Core) taken(from uint64, r reply) {
	l, ok := c.local[r.id]
	if !ok {
		return
	}
	switch r.verdict {
	case verdictElsewhere:
		// The next tick asks whoever leads then.
		if c.node == nil && c.view != nil && c.view.leader == from && r.leader != from {
			c.askVotersNow()
		}
		return
	case verdictDone:
		if l.op == opLeave {
			c.wantReset("left the voters", false)
			return
		}
		delete(c.local, r.id)
		c.result(Result{ID: l.user, Record: r.record})
	case verdictRefused, verdictOpen:
		delete(c.local, r.id)
		c.result(Result{ID: l.user, Err: &RefusedError{
			Expect: l.command.Expect, Current: r.record, Open: r.verdict == verdictOpen,
		}})
	case verdictAlive:
		delete(c.local, r.id)
		c.result(Result{ID: l.user, Err: fmt.Errorf("%s: %w", l.name, ErrAlive)})
	case verdictLastVoter:
		delete(c.local, r.id)
		c.leaving = false
		c.result(Result{ID: l.user, Err: fmt.Errorf("%s: %w", c.name, ErrLastVoter)})
	}
}

// left answers the Leave that a reset has completed.
func (c *Core) left() {
	for _, user := range c.leavers {
		c.result(Result{ID: user})
	}
	c.leavers = nil
}

// dropWaiters forgets what was being served: this member leads no more.
// Whoever waits asks the next leader, with the same ids.
func (c *Core) dropWaiters() {
	for _, id := range sortedKeys(c.waiters) {
		for _, w := range c.waiters[id] {
			c.dropped(w)
		}
	}
	clear(c.waiters)
	for _, r := range c.reads {
		c.dropped(r.waiter)
	}
	c.reads = nil
}

func (c *Core) dropped(w waiter) {
	if w.from == c.disk {
		if l, ok := c.local[w.id]; ok {
			l.sentAt = 0
		}
		return
	}
	c.reply(w, reply{verdict: verdictElsewhere, leader: c.leader()})
}
