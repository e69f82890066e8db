package register

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// founding is what a first start needs to know.
type founding struct {
	// named are all initial voters that are configured; cfg.Initial are those of
	// them that are to begin. initialHash tells apart what members mean by them.
	named       []string
	initialHash uint64
	// joined are the disks of the first configuration that have joined it.
	joined map[uint64]bool
}

// SetInitial replaces the initial voters. It matters only until this member
// knows a cluster.
func (c *Core) SetInitial(now time.Duration, names []string) {
	c.now = now
	if before := c.initialHash; c.setInitial(names) != before {
		c.out.Changed = true
	}
}

func (c *Core) setInitial(names []string) uint64 {
	c.named = slices.Compact(slices.Sorted(slices.Values(names)))
	// Of a larger set the first by name begin; the others follow.
	c.cfg.Initial = c.named[:min(len(c.named), c.cfg.MaxVoters)]
	c.initialHash = initialHash(c.cfg.Initial)
	if c.cfg.Expect > 0 {
		// Who counts on a number must mean the same whole list, and the same number.
		c.initialHash = initialHash(append(slices.Clone(c.named), fmt.Sprint(c.cfg.Expect)))
	}
	return c.initialHash
}

// initialHash tells apart sets of initial voters.
func initialHash(sorted []string) uint64 {
	h := fnv.New64a()
	for _, n := range sorted {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// tickFirstStart begins the cluster when every initial voter is alive, empty
// and means the same set, and this is the first of them. One disk makes at most
// one offer, because it writes the cluster down before it makes it; and only
// one member makes it, because all of them have the same list.
func (c *Core) tickFirstStart() {
	if c.viewIsVoid() {
		c.view = nil
	}
	if c.cluster != 0 || c.failed != nil || c.leaving || c.writing || c.view != nil {
		return
	}
	voters, why := c.firstVoters()
	if why != c.waiting {
		c.waiting, c.out.Changed = why, true
	}
	if why == "" && voters[0].Name == c.name {
		c.begin(voters)
	}
}

// viewIsVoid says that what this member follows is a first start that never
// happened: nothing was decided in it, and nobody who is seen belongs to it.
// Forgetting it is what a restart does, too.
func (c *Core) viewIsVoid() bool {
	v := c.view
	return v != nil && c.cluster == 0 && v.generation == 0 && v.index <= 1 && v.record.Version == Version{} && !c.inTouch(silentFor) &&
		!slices.ContainsFunc(c.members, func(m Member) bool { return m.Cluster == v.cluster })
}

// firstVoters returns the initial voters in order, or what is missing.
func (c *Core) firstVoters() ([]Member, string) {
	if len(c.cfg.Initial) == 0 {
		return nil, "no initial voters are configured"
	}
	live := append(slices.Clone(c.members), c.Self())
	for _, m := range live {
		if !m.Empty() {
			return nil, fmt.Sprintf("%s belongs to a cluster already; waiting to hear of its record or to be admitted", m.Name)
		}
	}
	if len(c.named) < c.cfg.Expect {
		return nil, fmt.Sprintf("first start: waits for %d initial voters, named are %d (%s)",
			c.cfg.Expect, len(c.named), strings.Join(c.named, ", "))
	}
	var voters []Member
	var missing, other []string
	for _, name := range c.cfg.Initial {
		var found []Member
		for _, m := range live {
			if m.Name == name {
				found = append(found, m)
			}
		}
		switch {
		case len(found) == 0:
			missing = append(missing, name)
		case len(found) > 1:
			return nil, fmt.Sprintf("%s is there %d times", name, len(found))
		case found[0].Initial != c.initialHash:
			other = append(other, name)
		default:
			voters = append(voters, found[0])
		}
	}
	agree, or := len(voters), ""
	if c.cfg.Expect > 0 {
		agree, other = c.agreeing(live)
		or = " (or another --bootstrap-expect)"
	}
	switch {
	case len(missing) > 0:
		return nil, "first start: waiting for " + strings.Join(missing, ", ")
	case len(other) > 0:
		return nil, "first start: other initial voters are configured on " + strings.Join(other, ", ") + or
	case agree < c.cfg.Expect:
		return nil, fmt.Sprintf("first start: waits for %d members with the same %d initial voters, %d are here", c.cfg.Expect, len(c.named), agree)
	}
	if !slices.Contains(c.cfg.Initial, c.name) {
		return nil, "first start: waiting for the initial voters"
	}
	return voters, ""
}

// agreeing counts the members that mean the same initial voters as this one, and
// names all that mean others, whether they are on this one's list or not: their
// list may be as long, and begin as well.
func (c *Core) agreeing(live []Member) (agree int, other []string) {
	for _, m := range live {
		switch {
		case !m.Willing:
		case m.Initial != c.initialHash:
			other = append(other, m.Name)
		case slices.Contains(c.named, m.Name):
			agree++
		}
	}
	slices.Sort(other)
	return agree, other
}

// unjoined are the voters of a first configuration of at least Expect members
// that are not known to have joined it: until all have, nobody campaigns. A
// disk joins once. So of two lists, both with more than half of all members,
// only one can begin, whatever the gossip showed to those who made the offers:
// they have a member in common. Who has seen more than the offer need not ask.
func (c *Core) unjoined() []uint64 {
	if c.cfg.Expect == 0 || c.generation != 0 || !c.virgin() || c.cfg.hooks.startUnjoined ||
		len(c.log.conf.GetVoters()) < min(c.cfg.Expect, c.cfg.MaxVoters) {
		return nil
	}
	return slices.DeleteFunc(confIDs(c.log.conf), func(id uint64) bool { return id == c.disk || c.joined[id] })
}

// deserted says that all the initial voters are seen, but too few of them with
// the disks of the configuration, which have never heard of a leader: a
// minority or, where all are needed, not all of them.
func (c *Core) deserted() bool {
	all := len(c.unjoined()) > 0
	here := map[uint64]bool{c.disk: true}
	elsewhere := map[string]bool{}
	for _, m := range c.members {
		if all && !m.Empty() && m.Cluster != c.cluster {
			elsewhere[m.Name] = true
			continue
		}
		here[m.Disk] = true
		elsewhere[m.Name] = elsewhere[m.Name] || m.Empty()
	}
	gone := false
	for id, name := range c.machine.names {
		if !here[id] && !elsewhere[name] {
			return false
		}
		gone = gone || !here[id]
	}
	if all {
		return gone
	}
	return !majorityOf(c.log.conf, func(id uint64) bool { return here[id] })
}
