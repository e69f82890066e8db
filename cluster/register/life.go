package register

import "fmt"

// closeLog takes raft away: this member makes no more promises on this log. A
// write that is under way ends without consequences.
func (c *Core) closeLog() {
	c.node, c.lead, c.leading = nil, 0, false
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

// fail takes the member out of the vote for good. What it knew was committed
// stays known, and it goes on following.
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

// startWrite asks for the whole state to be written and then for f.
func (c *Core) startWrite(aside string, f func()) {
	c.writeSeq++
	c.lazyAt = 0
	c.counters.Writes++
	c.out.Write = &Write{Seq: c.writeSeq, Body: c.image.encode(), Aside: aside}
	promises := c.promises
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
		c.lazyAt = c.now + c.timing.Lazy
	}
}

// resetDisk gives up this disk: a fresh id, empty, and a new life as somebody to admit.
func (c *Core) resetDisk() {
	reason, lost := c.reset, c.resetLost
	for _, id := range sortedKeys(c.local) {
		if l := c.local[id]; l.op == opLeave {
			// Whoever has no disk in the configuration has left.
			c.leavers = append(c.leavers, l.user)
			delete(c.local, id)
		}
	}
	c.reset, c.resetLost = "", false
	c.observeOwn()
	c.dropWaiters()
	c.closeLog()
	c.confirmed = false
	c.image = image{name: c.name, disk: c.newID(), seen: make(map[uint64]uint64)}
	c.durable = 0
	clear(c.confirmedBy)
	aside := ""
	if lost {
		aside = reason
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

// switchTo makes im this member's state, durably, and opens it. The disk keeps
// its id and its count of promises.
func (c *Core) switchTo(cluster, generation, origin uint64, log *logStore, m machine) {
	c.dropWaiters()
	c.closeLog()
	c.cluster, c.generation, c.origin = cluster, generation, origin
	c.log, c.machine = log, m
	c.promises++
	c.newerConf, c.newerIndex = nil, 0
	// Nothing was promised in this generation before: nothing can be forgotten.
	c.confirmed = true
	c.view, c.ledAt = nil, c.now
	c.out.Changed = true
	c.startWrite("", c.openLog)
}
