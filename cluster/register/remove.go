package register

import (
	"slices"
	"time"
)

// Remove asks to take a member that never comes back out of the voters. It is
// done, too, when no voter has that name. ErrAlive when it is alive.
func (c *Core) Remove(now time.Duration, id uint64, name string) {
	c.now = now
	c.ask(id, request{op: opRemove, name: name})
}

// serveRemove takes an operator's word that a member never comes back. Whoever
// is alive is not removed: it would be admitted again at once.
func (c *Core) serveRemove(w waiter, name string) {
	r := c.removals[name]
	if !slices.Contains(r.by, w) {
		r.by = append(r.by, w)
	}
	r.at = c.now
	c.removals[name] = r
	c.endRemovals()
	c.planAt = 0
}

// endRemovals answers the removals that are done, or that are not to be.
func (c *Core) endRemovals() {
	for _, name := range sortedKeys(c.removals) {
		r := c.removals[name]
		verdict := verdictDone
		switch disks := c.disksOf(name); {
		case len(disks) > 0 && c.isAlive(name, disks):
			verdict = verdictAlive
		case c.now-r.at > 4*c.timing.Retry:
			delete(c.removals, name) // nobody asks any more
			continue
		// An answer of now, not of a leader that was deposed meanwhile.
		case len(disks) > 0 || c.log.applied.term != c.term || !c.inTouch(c.timing.FreshFor):
			continue
		}
		delete(c.removals, name)
		for _, w := range r.by {
			c.reply(w, reply{verdict: verdict, record: c.machine.record})
		}
	}
}

// disksOf are the disks of a name in the configuration: two while a new one
// takes the place of a lost one.
func (c *Core) disksOf(name string) []uint64 {
	return slices.DeleteFunc(confIDs(c.log.conf), func(id uint64) bool { return c.machine.names[id] != name })
}

// isAlive says that a name is in the gossip, with whatever disk, or that one of
// its disks answers.
func (c *Core) isAlive(name string, disks []uint64) bool {
	if name == c.name || slices.ContainsFunc(c.members, func(m Member) bool { return m.Name == name }) {
		return true
	}
	return slices.ContainsFunc(disks, func(id uint64) bool {
		at, heard := c.heard[id]
		return heard && c.now-at < liveFor
	})
}
