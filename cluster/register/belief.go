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
		if !c.ours(env.scope) && env.cluster == c.Cluster || c.lead == 0 {
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
	c.askAll(c.observer.followed(c.Disk))
	return true
}

// follow takes an answer, for a member that does not vote.
func (c *Core) follow(w *word) {
	if v := c.view; v != nil && w.scope == v.scope && w.said.bare && w.said.record.Version == v.record.Version {
		w.said.record, w.said.bare = v.record, false
	}
	leader, before, h := c.leader(), c.view, c.hearing()
	for _, o := range h.spoken() {
		if o.said.bare {
			continue
		}
		switch believed, conflict := c.observer.believes(h, o, c.Name, c.silence()); {
		case believed && c.observer.adopt(h, o):
			c.fresh.at = 0
		case conflict:
			c.reportConflict("two clusters or generations are announced; following the first")
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
	v, h := c.view, c.hearing()
	if !voters.Has(v.conf, w.disk) {
		return
	}
	switch {
	case w.said.leader != 0 && w.said.leader != v.leader && h.most(v.conf, h.names(v.scope, w.said.leader)):
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
		v.creditMost(h, &c.fresh)
	}
}

// names says of a word that it names the leader of a generation.
func (h hearing) names(of scope, leader uint64) func(o *word) bool {
	return func(o *word) bool { return h.spoke(o) && o.scope == of && o.said.leader == leader }
}

// creditMost notes how fresh a majority of the voters is, where the leader does
// not say so: a single one of the others could pass off what is long outdated.
func (v *view) creditMost(h hearing, f *freshness) {
	for _, w := range h.spoken() {
		if w.touchedAge < never && h.most(v.conf, func(o *word) bool {
			return h.spoke(o) && o.scope == v.scope && o.said.index <= v.index && o.touched() >= w.touched()
		}) {
			f.credit(w.told, w.touchedAge)
		}
	}
}

// believes says whether what a voter announces is to be known here from now on, and
// whether it is in conflict with what is. Within what is followed: the leader says so,
// or a majority of the voters does. Something else: only when what is followed is
// silent, or there is nothing. self is this member's name, silence how long ago a
// majority was heard.
func (obs *observer) believes(h hearing, w *word, self string, silence time.Duration) (yes, conflict bool) {
	v := obs.view
	switch {
	case v == nil:
		return obs.outnumbers(h, w), false
	case obs.overrules(h, w):
		return true, false
	case w.scope == v.scope:
		return obs.follows(h, w, self, silence), false
	case w.cluster == v.cluster && w.later(v.scope) && silence >= silentFor:
		// Not a recovery that nobody has followed yet, while the majority of the
		// generation before it answers.
		return w.generation-v.generation < countLeap && h.supported(w), false
	case h.now-v.heardAt > viewFor:
		return obs.confirms(h, w), false
	}
	return false, w.cluster != v.cluster || w.generation == v.generation
}

// follows is believes for what comes after what is known, in the same generation.
func (obs *observer) follows(h hearing, w *word, self string, silence time.Duration) bool {
	v := obs.view
	if v.backers == 0 || w.said.index <= v.index || w.said.record.Version.Compare(v.record.Version) < 0 {
		return false
	}
	near := w.said.index-v.index < countLeap &&
		w.said.record.Epoch-v.record.Epoch < countLeap && w.said.record.Revision-v.record.Revision < countLeap
	led := near && w.disk == v.leader && voters.Has(v.conf, w.disk)
	// What leaps is not a lone voter's to say. Who has not heard of any majority for
	// so long takes it from one that works, whatever else goes on answering.
	lone := near && (v.onlyOther(w, self) || h.now-v.heardAt > viewFor || w.working() && silence >= viewFor)
	return led || h.most(v.conf, func(o *word) bool { return h.backs(w, o) }) ||
		silence >= silentFor && obs.confirms(h, w) && (h.backers(w) >= settled || lone)
}

// overrules says that more voters stand behind a word than behind what is known
// here: that was believed when there was no majority to ask, and rests on the
// word of one sender, which may have been a lie. What is higher than what they
// say may also be news of a moment ago, so it stays for as long as their words count.
func (obs *observer) overrules(h hearing, w *word) bool {
	v := obs.view
	if v.backers >= settled || h.backers(w) <= v.backers || !obs.confirms(h, w) {
		return false
	}
	lower := func(o *word) bool {
		return h.spoke(o) && o.scope == w.scope && (o.said.index < v.index || o.said.record.Version.Compare(v.record.Version) < 0)
	}
	return w.scope != v.scope || !lower(w) || h.now-v.since > wordFor && w.working() && h.most(w.said.conf, lower)
}

// onlyOther says that a word is of the only voter of what is known here that is not
// a former disk of this member: of two there is no other majority.
func (v *view) onlyOther(w *word, self string) bool {
	return voters.Has(v.conf, w.disk) && !slices.ContainsFunc(voters.Of(v.conf), func(id uint64) bool {
		return id != w.disk && v.names[id] != self
	})
}

// confirms says that a majority of the voters that a word announces says so, and
// that they are the majority of those that the gossip shows.
func (obs *observer) confirms(h hearing, w *word) bool { return h.supported(w) && obs.outnumbers(h, w) }

// outnumbers says that a majority of the voters that this member knows of says
// so, each asked itself: of those that the gossip shows, whatever they belong to,
// if it shows any, else of those that are announced. That is what there is for who
// has no configuration, or one of which nobody is left.
func (obs *observer) outnumbers(h hearing, w *word) bool {
	yes, all := 0, 0
	for _, m := range obs.members {
		if !m.Voter || m.Cluster == w.cluster && m.Generation < w.generation {
			continue
		}
		all++
		if h.backs(w, h.words[m.Disk]) {
			yes++
		}
	}
	return 2*yes > all || all == 0 && h.supported(w)
}

// adopt makes what a word announces what is known here. True says that it is not what
// comes after what was: how fresh that was means nothing for it.
func (obs *observer) adopt(h hearing, w *word) (anew bool) {
	next := &view{scope: w.scope, announcement: w.said, heardAt: h.now, since: h.now}
	if h.supported(w) {
		next.backers = h.backers(w)
	}
	v := obs.view
	obs.view = next
	if v != nil && w.scope == v.scope && v.backers > 0 && w.said.index >= v.index {
		// Who leads is a matter of its own: see heed.
		next.leader, next.backers = v.leader, max(v.backers, next.backers)
		return false
	}
	if !h.most(w.said.conf, h.names(w.scope, next.leader)) {
		next.leader = 0
	}
	return true
}
