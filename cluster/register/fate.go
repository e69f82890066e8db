package register

import (
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// learn takes an announcement. What a member does with it needs more than one
// voter's word: fate says what a voter does, belief.go what the others do.
func (c *Core) learn(env *envelope, a announcement, p proof) {
	if !voters.Valid(a.conf) || env.cluster == 0 {
		return
	}
	if env.kind != kindAnswer || !p.recent {
		c.hint(env, &a)
		return
	}
	w := c.words.hearAnswer(env, a, p)
	if w == nil {
		return
	}
	if c.Cluster != 0 && c.failed == nil {
		c.decideFate()
		return
	}
	c.follow(w)
}

// decideFate lets a voter find out that it was removed or that its generation or
// cluster was left behind. Giving up its disk is always safe: for the others it
// is as if it had died. What is on it is kept aside all the same, and no single
// voter's word is enough.
func (c *Core) decideFate() {
	if c.Cluster == 0 || c.failed != nil || c.node == nil || c.reset != "" {
		return
	}
	if c.laterSince != 0 && c.now-c.laterAt > 2*abandonAfter {
		c.laterSince = 0
	}
	h := c.hearing()
	for _, w := range h.spoken() {
		switch {
		case !w.working():
		case c.ours(w.scope):
			c.decideRemoved(h, w)
			c.decideStranded(h, w)
		case w.cluster == c.Cluster:
			c.decideOtherGeneration(h, w)
		default:
			c.decideOtherCluster(h, w)
		}
		if c.reset != "" {
			return
		}
	}
}

// decideRemoved: the committed configuration at a later index lacks this disk. A
// majority of its own voters says so or, where too few of those are left and
// there has been no leader for a while, a majority of those that came after them:
// of more than one, since anybody can announce itself as all that is left. One alone
// must be the only other of this disk's own voters that has not got another disk.
func (c *Core) decideRemoved(h hearing, w *word) {
	lacks := func(o *word) bool {
		return h.spoke(o) && c.ours(o.scope) && o.said.index > c.Log.Applied.Index && !slices.Contains(voters.IDs(o.said.conf), c.Disk)
	}
	if c.following() || !lacks(w) {
		return
	}
	known := slices.Contains(voters.IDs(c.Log.Conf), c.Disk)
	if !known && c.now-max(c.joinedAt, c.started) <= abandonAfter {
		return
	}
	if h.most(c.Log.Conf, lacks) || c.leaderless() > abandonAfter && (h.several(w.said.conf, lacks) || c.onlyOneLeft(w.disk) && h.most(w.said.conf, lacks)) {
		c.abandon("removed from the voters", false)
	} else if c.leaderless() > 2*abandonAfter {
		c.reportConflict(fmt.Sprintf("%s says that this disk was removed from the voters, and too few are there to confirm it: "+
			"if that is true move the state file away to join as a new disk", c.nameOf(w.disk)))
	}
}

// decideStranded: a term never goes back. A voter that was led, while it had no
// leader, to one that leaps for the others is of no use to them: they hold such a
// term, and it cannot obey a leader of theirs. A majority says that it works
// there, so that this disk is one that has died.
func (c *Core) decideStranded(h hearing, w *word) {
	if c.following() || c.leaderless() <= abandonAfter {
		return
	}
	works := func(o *word) bool {
		return h.spoke(o) && c.ours(o.scope) && o.working() && o.said.leader == w.said.leader && o.saidTerm != 0 && o.saidTerm+leap < c.term
	}
	if w.said.leader != 0 && works(w) && h.most(c.Log.Conf, works) {
		c.abandon(fmt.Sprintf("in term %d, to which the others, who work in term %d, do not follow", c.term, w.saidTerm), true)
	}
}

// following says that there is a leader that this member obeys: who is suspended
// obeys none, and its raft, which stands still, would name the last one for ever.
func (c *Core) following() bool { return c.lead != 0 && c.doubt == nil }

// onlyOneLeft says that a disk is the only other one that is left of this one's own
// voters: the gossip shows the members of all the rest with other disks.
func (c *Core) onlyOneLeft(disk uint64) bool {
	return voters.Has(c.Log.Conf, disk) && !slices.ContainsFunc(voters.Of(c.Log.Conf), func(id uint64) bool {
		return id != disk && id != c.Disk && (c.here(id) || !c.observer.shows(c.Machine.Names[id]))
	})
}

func (c *Core) leaderless() time.Duration { return c.now - max(c.ledAt, c.started) }

// decideOtherGeneration: a recovery is an operator's word, and what it has made
// comes after all that is here, even where the old majority has come back.
func (c *Core) decideOtherGeneration(h hearing, w *word) {
	if !h.supported(w) || w.generation > c.Generation+countLeap {
		return
	}
	if w.later(c.own()) {
		why := fmt.Sprintf("recovery generation %d (%016x) is alive and later than this one, %d (%016x), which is given up",
			w.generation, w.origin, c.Generation, c.Origin)
		c.reportConflict(why)
		if c.laterSince == 0 || w.later(c.later) {
			c.later, c.laterSince = w.scope, c.now
		}
		if c.later == w.scope {
			c.laterAt = c.now
			if c.now-c.laterSince > abandonAfter && (c.unanswered() || c.othersFound(h, w)) {
				c.abandon(why, true)
				return
			}
		}
	}
	switch {
	case c.following():
	// Of two recoveries with the same number the one with a majority stays.
	case w.generation >= c.Generation && c.leaderless() > abandonAfter:
		c.abandon("left behind by a recovery", false)
	case c.Log.Applied.Index == 1 && c.lastIndex() == 1 && c.leaderless() > 2*abandonAfter:
		c.abandon(fmt.Sprintf("nobody has followed this recovery, the majority of generation %d (%016x) is alive",
			w.generation, w.origin), false)
	}
}

// othersFound says that a majority of this generation's voters has found the
// later one that w speaks of, each by asking it itself, as this one has. Decisions
// may be on their disks alone: while they answer, none of them is given up on the
// word of those alone who came later.
func (c *Core) othersFound(h hearing, w *word) bool {
	return h.withSelf(c.Log.Conf, func(o *word) bool { return h.spoke(o) && c.ours(o.scope) && !w.later(o.found) })
}

func (c *Core) decideOtherCluster(h hearing, w *word) {
	if !h.supported(w) || c.following() {
		return
	}
	if c.virgin() && c.leaderless() > abandonAfter {
		c.abandon("left over from a first start that never happened", false)
		return
	}
	c.reportConflict(fmt.Sprintf("the others form cluster %016x, the state file here belongs to cluster %016x: "+
		"move it away to join them", w.cluster, c.Cluster))
}
