package register

import (
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// hint takes an announcement that nobody has proved: it may be news, so the
// voters are asked. An announcement that is an old one or an invented one costs
// a question, and nothing else.
func (c *Core) hint(env *envelope, a *announcement) {
	if c.Cluster != 0 && c.failed == nil {
		if !c.same(env) && env.cluster == c.Cluster || c.lead == 0 {
			c.challenge(env.from)
		}
		return
	}
	v := c.view
	switch {
	case v == nil:
		c.askVotersNow()
		c.challenge(env.from)
	case env.scope != v.scope:
		c.challenge(env.from)
	case a.record.Version.Compare(v.record.Version) > 0 || a.index > v.index || a.leader != 0 && a.leader != v.leader:
		if a.leader == v.leader && c.challenge(v.leader) {
			return
		}
		c.hinted = !c.askVotersNow()
	}
}

// askVotersNow asks every voter that is followed at once, unless it has just done so.
func (c *Core) askVotersNow() bool {
	if !c.due(&c.votersAskedAt, challengeEvery) {
		return false
	}
	c.askTurn++
	c.askAll(c.followed())
	return true
}

// followed are the voters that this member knows of.
func (c *Core) followed() []uint64 {
	var ids []uint64
	if c.view != nil {
		for _, id := range voters.IDs(c.view.conf) {
			if voters.Has(c.view.conf, id) {
				ids = append(ids, id)
			}
		}
	}
	for _, m := range c.members {
		if m.Voter && (c.view == nil || m.Cluster != c.view.cluster || m.Generation != c.view.generation || !slices.Contains(ids, m.Disk)) {
			ids = append(ids, m.Disk)
		}
	}
	ids = slices.DeleteFunc(ids, func(id uint64) bool { return id == c.Disk })
	slices.Sort(ids)
	return slices.Compact(ids)
}

// follow takes an answer, for a member that does not vote.
func (c *Core) follow(w *word) {
	if v := c.view; v != nil && w.scope == v.scope && w.said.bare && w.said.record.Version == v.record.Version {
		w.said.record, w.said.bare = v.record, false
	}
	leader := c.leader()
	before := c.view
	for _, id := range sortedKeys(c.words) {
		if o := c.words[id]; c.spoke(o) && !o.said.bare && c.believes(o) {
			c.adopt(o)
		}
	}
	v := c.view
	if v == nil {
		c.askVotersNow()
		return
	}
	if w.scope == v.scope {
		c.heed(w)
	}
	if before == nil || v.record.Version != before.record.Version || leader != v.leader {
		c.out.Changed = true
		if leader != v.leader {
			c.sendRequests(true)
		}
	}
}

// heed takes from a voter's answer, which changed nothing or was believed, how
// fresh it is, and asks the others where it says something that they must confirm.
func (c *Core) heed(w *word) {
	v := c.view
	if !voters.Has(v.conf, w.disk) {
		return
	}
	names := func(o *word) bool { return c.spoke(o) && o.scope == v.scope && o.said.leader == w.said.leader }
	switch {
	case w.said.leader != 0 && w.said.leader != v.leader && c.most(v.conf, names):
		v.leader = w.said.leader
	case w.said.leader != 0 && w.said.leader != v.leader || w.said.index > v.index:
		c.askVotersNow()
	}
	// With a later version at no later index it says what cannot be.
	if w.said.index > v.index || w.said.record.Version.Compare(v.record.Version) > 0 {
		return
	}
	v.heardAt = c.now
	switch {
	case v.backers == 0:
	case w.disk == v.leader:
		c.fresh.credit(w.told, w.touchedAge)
	default:
		c.creditMost()
	}
}

// creditMost notes how fresh a majority of the voters is, where the leader does
// not say so: a single one of the others could pass off what is long outdated.
func (c *Core) creditMost() {
	for _, id := range sortedKeys(c.words) {
		w := c.words[id]
		if w.touchedAge < never && c.most(c.view.conf, func(o *word) bool {
			return c.spoke(o) && o.scope == c.view.scope && o.said.index <= c.view.index && o.touched() >= w.touched()
		}) {
			c.fresh.credit(w.told, w.touchedAge)
		}
	}
}

// touched is when a voter was in touch with its majority, as it says.
func (w *word) touched() time.Duration {
	if w.touchedAge > uint64(w.told/time.Microsecond) {
		return 0
	}
	return w.told - time.Duration(w.touchedAge)*time.Microsecond
}

// believes says whether what a voter announces is to be known here from now on.
// Within what is followed: the leader says so, or a majority of the voters does.
// Something else: only when what is followed is silent, or there is nothing.
func (c *Core) believes(w *word) bool {
	v := c.view
	switch {
	case v == nil:
		return c.outnumbers(w)
	case c.overrules(w):
		return true
	case w.scope == v.scope:
		if v.backers == 0 || w.said.index <= v.index || w.said.record.Version.Compare(v.record.Version) < 0 {
			return false
		}
		near := w.said.index-v.index < countLeap &&
			w.said.record.Epoch-v.record.Epoch < countLeap && w.said.record.Revision-v.record.Revision < countLeap
		led := near && w.disk == v.leader && voters.Has(v.conf, w.disk)
		// What leaps is not a lone voter's to say. Who has not heard of any majority for
		// so long takes it from one that works, whatever else goes on answering.
		lone := near && (c.onlyOther(w) || c.now-v.heardAt > viewFor || c.working(w) && !c.inTouch(viewFor))
		return led || c.most(v.conf, func(o *word) bool { return c.spoke(o) && w.confirmedBy(o) }) ||
			!c.inTouch(silentFor) && c.confirms(w) && (c.backers(w) >= settled || lone)
	case w.cluster == v.cluster && w.later(v.scope) && !c.inTouch(silentFor):
		// Not a recovery that nobody has followed yet, while the majority of the
		// generation before it answers.
		return w.generation-v.generation < countLeap && c.supported(w)
	case c.now-v.heardAt > viewFor:
		return c.confirms(w)
	}
	if w.cluster != v.cluster || w.generation == v.generation {
		c.reportConflict("two clusters or generations are announced; following the first")
	}
	return false
}

// overrules says that more voters stand behind a word than behind what is known
// here: that was believed when there was no majority to ask, and rests on the
// word of one sender, which may have been a lie. What is higher than what they
// say may also be news of a moment ago, so it stays for as long as their words count.
func (c *Core) overrules(w *word) bool {
	v := c.view
	if v.backers >= settled || c.backers(w) <= v.backers || !c.confirms(w) {
		return false
	}
	lower := func(o *word) bool {
		return c.spoke(o) && o.scope == w.scope && (o.said.index < v.index || o.said.record.Version.Compare(v.record.Version) < 0)
	}
	return w.scope != v.scope || !lower(w) || c.now-v.since > wordFor && c.working(w) && c.most(w.said.conf, lower)
}

// onlyOther says that a word is of the only voter of what is known here that is not
// a former disk of this member: of two there is no other majority.
func (c *Core) onlyOther(w *word) bool {
	return voters.Has(c.view.conf, w.disk) && !slices.ContainsFunc(voters.IDs(c.view.conf), func(id uint64) bool {
		return id != w.disk && voters.Has(c.view.conf, id) && c.view.names[id] != c.Name
	})
}

// confirms says that a majority of the voters that a word announces says so, and
// that they are the majority of those that the gossip shows.
func (c *Core) confirms(w *word) bool { return c.supported(w) && c.outnumbers(w) }

// backers counts the voters that a word announces which say the same.
func (c *Core) backers(w *word) int {
	return c.count(w.said.conf, func(o *word) bool { return c.spoke(o) && w.confirmedBy(o) })
}

// outnumbers says that a majority of the voters that this member knows of says
// so, each asked itself: of those that the gossip shows, whatever they belong to,
// if it shows any, else of those that are announced. That is what there is for who
// has no configuration, or one of which nobody is left.
func (c *Core) outnumbers(w *word) bool {
	says := func(o *word) bool { return c.spoke(o) && w.confirmedBy(o) }
	yes, all := 0, 0
	for _, m := range c.members {
		if !m.Voter || m.Cluster == w.cluster && m.Generation < w.generation {
			continue
		}
		all++
		if o := c.words[m.Disk]; says(o) {
			yes++
		}
	}
	return 2*yes > all || all == 0 && c.most(w.said.conf, says)
}

// adopt makes what a word announces what is known here.
func (c *Core) adopt(w *word) {
	next := &view{scope: w.scope, announcement: w.said, heardAt: c.now, since: c.now}
	if c.supported(w) {
		next.backers = c.backers(w)
	}
	if v := c.view; v != nil && w.scope == v.scope && v.backers > 0 && w.said.index >= v.index {
		// Who leads is a matter of its own: see heed.
		next.leader, next.backers = v.leader, max(v.backers, next.backers)
	} else {
		c.fresh.at = 0
		names := func(o *word) bool { return c.spoke(o) && o.scope == w.scope && o.said.leader == next.leader }
		if !c.most(w.said.conf, names) {
			next.leader = 0
		}
	}
	c.view = next
}
