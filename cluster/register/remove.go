package register

import (
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// Remove asks to take a member that never comes back out of the voters. It is
// done, too, when no voter has that name. ErrAlive when it is alive.
func (c *Core) Remove(now time.Duration, id uint64, name string) {
	c.now = now
	c.ask(id, request{op: opRemove, name: name})
}

// endRemovals answers the removals that are done, or that are not to be.
func (c *Core) endRemovals() {
	for _, name := range sortedKeys(c.membership.removals) {
		v := c.judgeRemoval(name)
		for _, w := range c.membership.removed(name, v, c.now) {
			c.reply(w, reply{verdict: v, record: c.Machine.Record})
		}
	}
}

// judgeRemoval is the verdict on a removal, 0 for none yet. It is an operator's word
// that a member never comes back; whoever is alive would be admitted again at once.
func (c *Core) judgeRemoval(name string) verdict {
	switch disks := c.disksOf(name); {
	case len(disks) > 0 && c.isAlive(name, disks):
		return verdictAlive
	// An answer of now, not of a leader that was deposed meanwhile.
	case len(disks) > 0 || c.Log.Applied.Term != c.term || !c.inTouch(FreshFor):
		return 0
	}
	return verdictDone
}

// disksOf are the disks of a name in the configuration: two while a new one
// takes the place of a lost one.
func (c *Core) disksOf(name string) []uint64 {
	return slices.DeleteFunc(voters.IDs(c.Log.Conf), func(id uint64) bool { return c.Machine.Names[id] != name })
}

// isAlive says that a name is in the gossip, with whatever disk, or that one of
// its disks answers.
func (c *Core) isAlive(name string, disks []uint64) bool {
	return name == c.Name || c.observer.shows(name) || slices.ContainsFunc(disks, func(id uint64) bool {
		at, heard := c.fresh.heard[id]
		return heard && c.now-at < voters.LiveFor
	})
}
