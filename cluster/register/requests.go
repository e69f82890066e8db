package register

import (
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// maxWaiting bounds the commands that a leader works on at once.
const maxWaiting = 1024

// requests are the requests of this member's own users, each until it is answered
// or cancelled.
type requests struct {
	// local are the requests by the id that they have on the wire.
	local  map[uint64]*localRequest
	nextID uint64
	// leavers are users who have left; they are told when the empty disk is written.
	leavers []uint64
}

// localRequest is repeated until it is answered or cancelled.
type localRequest struct {
	request
	user uint64
	// sentAt is when it was last sent, 0 for never, sentTo to which disk.
	sentAt time.Duration
	sentTo uint64
	// again says that it was sent once more because the leader asked for a stamp.
	again bool
}

// waiter is a request at its sender.
type waiter struct{ from, id uint64 }

// waiters are, on the leader, who wants to know the outcome of a command, by its ID.
type waiters map[string][]waiter

// add takes a request of a user.
func (r *requests) add(user uint64, req request) *localRequest {
	r.nextID++
	req.id = r.nextID
	l := &localRequest{request: req, user: user}
	r.local[l.id] = l
	return l
}

// cancel forgets the requests of a user; left says that leaving was one.
func (r *requests) cancel(user uint64) (left bool) {
	for id, l := range r.local {
		if l.user == user {
			delete(r.local, id)
			left = left || l.op == opLeave
		}
	}
	return left
}

// leave notes that whoever has no disk in the configuration has left.
func (r *requests) leave() {
	for _, id := range sortedKeys(r.local) {
		if l := r.local[id]; l.op == opLeave {
			r.leavers = append(r.leavers, l.user)
			delete(r.local, id)
		}
	}
}

// due says that a request is to be sent now: it was not sent yet, or not answered in
// time, or, where the leader has moved, went to another one.
func (l *localRequest) due(now time.Duration, leader uint64, moved bool) bool {
	return l.sentAt == 0 || moved && l.sentTo != leader || now-l.sentAt >= retryAfter
}

// outcome is what the answer to a request of a member says to its user.
func (l *localRequest) outcome(r reply, member string) Result {
	switch r.verdict {
	case verdictRefused, verdictOpen:
		return Result{ID: l.user, Err: &RefusedError{Expect: l.command.Expect, Current: r.record, Open: r.verdict == verdictOpen}}
	case verdictAlive:
		return Result{ID: l.user, Err: fmt.Errorf("%s: %w", l.name, ErrAlive)}
	case verdictLastVoter:
		return Result{ID: l.user, Err: fmt.Errorf("%s: %w", member, ErrLastVoter)}
	}
	return Result{ID: l.user, Record: r.record}
}

// join adds who wants to know the outcome of a command that is under way already;
// false if it is not.
func (ws waiters) join(id string, w waiter) bool {
	have, ok := ws[id]
	if ok && !slices.Contains(have, w) {
		ws[id] = append(have, w)
	}
	return ok
}

// take returns who waits for a command, and forgets them.
func (ws waiters) take(id string) []waiter {
	have := ws[id]
	delete(ws, id)
	return have
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

// Leave asks to be taken out of the voters.
func (c *Core) Leave(now time.Duration, id uint64) {
	c.now = now
	if c.Cluster == 0 || c.failed != nil {
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
	if c.requests.cancel(id) {
		c.leaving = false
		c.out.Changed = true
	}
}

func (c *Core) ask(user uint64, req request) {
	c.attempt(c.requests.add(user, req))
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
	if c.Log != nil {
		r.index = c.Log.Applied.Index
	}
	if to == c.Disk {
		c.serve(c.Disk, r.request)
	} else {
		c.send(to, kindRequest, r.encode())
	}
}

// sendRequests sends what was not sent yet or was not answered in time. moved
// says that the leader has changed.
func (c *Core) sendRequests(moved bool) {
	for _, id := range sortedKeys(c.requests.local) {
		if r, ok := c.requests.local[id]; ok && r.due(c.now, c.leader(), moved) {
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
	c.sendBack(env, kindReply, answer.encode())
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
	case opLeave:
		c.serveLeave(w, r.index)
	case opRemove:
		c.membership.remove(r.name, w, c.now)
		c.endRemovals()
	default:
		if c.cfg.hooks.serve != nil {
			c.cfg.hooks.serve(c, w)
		}
	}
}

func (c *Core) serveCommand(w waiter, cmd Command) {
	if o, ok := c.Machine.Lookup(cmd); ok {
		c.replyOutcome(w, o)
		return
	}
	if c.waiters.join(cmd.ID, w) {
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
	if err := c.node.Propose(cmd.Encode()); err != nil {
		// Leadership is being handed over: the sender asks again.
		delete(c.waiters, cmd.ID)
	}
}

func (c *Core) replyOutcome(w waiter, o state.Outcome) {
	v := verdictDone
	switch {
	case o.Open:
		v = verdictOpen
	case o.Refused:
		v = verdictRefused
	}
	c.reply(w, reply{verdict: v, record: o.Record})
}

func (c *Core) reply(w waiter, r reply) {
	r.id = w.id
	if w.from == c.Disk {
		c.taken(c.Disk, r)
		return
	}
	c.send(w.from, kindReply, r.encode())
}

// replied takes the leader's answer to a request of this member: from the
// generation and the disk that was asked, which has proved itself.
func (c *Core) replied(env *envelope, r reply, p proof) {
	l, ok := c.requests.local[r.id]
	if !ok || env.scope != c.scope() || !p.recent || l.sentTo != env.from {
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
	l, ok := c.requests.local[r.id]
	if !ok {
		return
	}
	switch {
	case r.verdict == verdictElsewhere:
		// The next tick asks whoever leads then.
		if c.node == nil && c.view != nil && c.view.leader == from && r.leader != from {
			c.askVotersNow()
		}
	case r.verdict == verdictDone && l.op == opLeave:
		c.wantReset("left the voters", false)
	default:
		delete(c.requests.local, r.id)
		c.leaving = c.leaving && r.verdict != verdictLastVoter
		c.result(l.outcome(r, c.Name))
	}
}

// left answers the Leave that a reset has completed.
func (c *Core) left() {
	for _, user := range c.requests.leavers {
		c.result(Result{ID: user})
	}
	c.requests.leavers = nil
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
	if c.cfg.hooks.deposed != nil {
		c.cfg.hooks.deposed(c)
	}
}

func (c *Core) dropped(w waiter) {
	if w.from == c.Disk {
		if l, ok := c.requests.local[w.id]; ok {
			l.sentAt = 0
		}
		return
	}
	c.reply(w, reply{verdict: verdictElsewhere, leader: c.leader()})
}
