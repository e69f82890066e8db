package register

import (
	"errors"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// errWrite is the failure from which a member can come back: see Revive.
var errWrite = errors.New("the state file cannot be written")

// errUnreadable is the failure that a newer version of the daemon ends.
var errUnreadable = errors.New("the log holds a command that this version cannot read, upgrade this daemon")

// closeLog takes raft away: this member makes no more promises on this log. A
// write that is under way ends without consequences.
func (c *Core) closeLog() {
	c.node, c.lead, c.leading = nil, 0, false
	c.doubt, c.accepted = nil, leadership{}
	clear(c.claims)
	clear(c.hearsay)
	if c.writing {
		c.after = func() {}
	}
}

// guard runs f, which calls raft. raft panics on a state that cannot be; such
// a voter must not go on voting.
func (c *Core) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.fail(fmt.Errorf("raft gave up: %v", p))
		}
	}()
	f()
}

// fail takes the member out of the vote. What it knew was committed stays
// known, and it goes on following.
func (c *Core) fail(err error) {
	if c.failed != nil {
		return
	}
	c.observeOwn()
	c.failed, c.writing = err, false
	c.dropWaiters()
	c.closeLog()
	c.out.Changed = true
}

// Revivable says that this member is out of the vote because of a write that
// failed, so that [Core.Revive] may bring it back once writing works.
func (c *Core) Revivable() bool { return errors.Is(c.failed, errWrite) }

// Revive does for a member that is out of the vote what a restart does: it
// returns a core that begins with what the state file holds now, body and lost
// being what they are in [CoreConfig]. The body must have been written again
// since: what is only in a cache after a failed write could be gone after the
// next power failure. What was learnt as a follower stays known, and requests go on.
func (c *Core) Revive(now time.Duration, body []byte, lost string) (*Core, error) {
	cfg := c.cfg
	cfg.Body, cfg.Lost = body, lost
	n, err := NewCore(cfg, now)
	if err != nil {
		return nil, err
	}
	n.members = c.members
	for disk, k := range c.contacts.disks {
		if k.name != "" {
			n.contacts.disks[disk] = contact{name: k.name}
		}
	}
	n.leaving, n.conflict = c.leaving, c.conflict
	counters := c.counters
	counters.Writes += n.counters.Writes
	counters.LostDisks += n.counters.LostDisks
	n.counters = counters
	n.requests = c.requests
	for _, l := range n.requests.local {
		l.sentAt = 0
	}
	// Never behind what was known here: within the disk's own generation the
	// log catches up with it; one that was left behind is of no use any more.
	switch v := c.view; {
	case v == nil:
	case n.Cluster == 0 || v.scope == n.own():
		n.view = v
	case v.cluster == n.Cluster && v.later(n.own()):
		n.view = v
		n.wantReset("left behind by a recovery", true)
	}
	if n.Cluster == 0 {
		n.requests.leave()
		n.left()
	}
	n.out.Changed = true
	n.pump()
	return n, nil
}

// startWrite asks for the whole state to be written and then for f.
func (c *Core) startWrite(aside string, f func()) {
	c.writeSeq++
	c.lazyAt = 0
	c.counters.Writes++
	c.out.Write = &Write{Seq: c.writeSeq, Body: c.Image.Encode(), Aside: aside}
	promises := c.Promises
	done := func() { c.durable = max(c.durable, promises); f() }
	if c.cfg.hooks.answerBeforeFsync {
		done()
		return
	}
	c.writing, c.after = true, done
}

// lazily notes that the state file should be written some time.
func (c *Core) lazily() {
	if c.lazyAt == 0 {
		c.lazyAt = c.now + lazyFor
	}
}

// resetDisk gives up this disk: a fresh id, empty, and a new life as somebody to admit.
func (c *Core) resetDisk() {
	reason, lost, keep := c.reset, c.resetLost, c.resetKeep
	c.requests.leave()
	c.reset, c.resetLost, c.resetKeep = "", false, false
	c.observeOwn()
	c.dropWaiters()
	c.closeLog()
	c.confirmed, c.laterSince = false, 0
	clear(c.founding.joined)
	c.Image = state.Image{Name: c.Name, Disk: c.newID(), Seen: make(map[uint64]uint64)}
	c.durable = 0
	clear(c.confirmedBy)
	aside := ""
	if lost || keep {
		aside = reason
	}
	if lost {
		c.counters.LostDisks++
	}
	c.out.Changed = true
	c.startWrite(aside, func() { c.left() })
}

// wantReset remembers to give up this disk as soon as no write is under way.
func (c *Core) wantReset(reason string, lost bool) {
	if c.reset == "" {
		c.reset, c.resetLost = reason, lost
	}
}

// abandon gives up a disk that the others have left behind. What is on it is
// kept aside: it may be the last copy.
func (c *Core) abandon(reason string, lost bool) {
	c.wantReset(reason, lost)
	c.resetKeep = true
}

// switchTo makes im this member's state, durably, and opens it. The disk keeps
// its id and its count of promises.
func (c *Core) switchTo(to scope, log *state.Log, m state.Machine) {
	c.dropWaiters()
	c.closeLog()
	c.Cluster, c.Generation, c.Origin = to.cluster, to.generation, to.origin
	c.Log, c.Machine = log, m
	c.Promises++
	clear(c.founding.joined)
	// Nothing was promised in this generation before: nothing can be forgotten,
	// and what is known of the others' promises was of the one before.
	c.confirmed = true
	clear(c.Seen)
	c.ledAt, c.laterSince = c.now, 0
	if v := c.view; v == nil || len(log.Conf.GetVoters()) > 0 || v.scope != to {
		c.view, c.fresh.at = nil, 0
	}
	c.out.Changed = true
	c.startWrite("", c.openLog)
}
