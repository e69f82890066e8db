package register

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// founding is what a first start needs to know, and whether it may be made.
type founding struct {
	// self is this member's name, expect Config.BootstrapExpect, most the largest
	// number of voters.
	self         string
	expect, most int
	// named are all initial voters that are configured, initial those of them that
	// are to begin. hash tells apart what members mean by them.
	named, initial []string
	hash           uint64
	// joined are the disks of the first configuration that have joined it.
	joined map[uint64]bool
}

// name replaces the initial voters, and reports whether that changes what is meant.
func (f *founding) name(names []string) (changed bool) {
	before := f.hash
	f.named = slices.Compact(slices.Sorted(slices.Values(names)))
	// Of a larger set the first by name begin; the others follow.
	f.initial = f.named[:min(len(f.named), f.most)]
	f.hash = initialHash(f.initial)
	if f.expect > 0 {
		// Who counts on a number must mean the same whole list, and the same number.
		f.hash = initialHash(append(slices.Clone(f.named), fmt.Sprint(f.expect)))
	}
	return f.hash != before
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

// voters returns the initial voters in order, or what is missing. live are all
// members, this one among them.
func (f *founding) voters(live []Member) ([]Member, string) {
	if len(f.initial) == 0 {
		return nil, "no initial voters are configured"
	}
	if i := slices.IndexFunc(live, func(m Member) bool { return !m.Empty() }); i >= 0 {
		return nil, fmt.Sprintf("%s belongs to a cluster already; waiting to hear of its record or to be admitted", live[i].Name)
	}
	if len(f.named) < f.expect {
		return nil, fmt.Sprintf("first start: waits for %d initial voters, named are %d (%s)",
			f.expect, len(f.named), strings.Join(f.named, ", "))
	}
	var first []Member
	var missing, other []string
	for _, name := range f.initial {
		found := slices.DeleteFunc(slices.Clone(live), func(m Member) bool { return m.Name != name })
		switch {
		case len(found) == 0:
			missing = append(missing, name)
		case len(found) > 1:
			return nil, fmt.Sprintf("%s is there %d times", name, len(found))
		case found[0].Initial != f.hash:
			other = append(other, name)
		default:
			first = append(first, found[0])
		}
	}
	agree, or := len(first), ""
	if f.expect > 0 {
		agree, other = f.agreeing(live)
		or = " (or another --bootstrap-expect)"
	}
	switch {
	case len(missing) > 0:
		return nil, "first start: waiting for " + strings.Join(missing, ", ")
	case len(other) > 0:
		return nil, "first start: other initial voters are configured on " + strings.Join(other, ", ") + or
	case agree < f.expect:
		return nil, fmt.Sprintf("first start: waits for %d members with the same %d initial voters, %d are here", f.expect, len(f.named), agree)
	}
	if !slices.Contains(f.initial, f.self) {
		return nil, "first start: waiting for the initial voters"
	}
	return first, ""
}

// agreeing counts the members that mean the same initial voters as this one, and
// names all that mean others, whether they are on this one's list or not: their
// list may be as long, and begin as well.
func (f *founding) agreeing(live []Member) (agree int, other []string) {
	for _, m := range live {
		switch {
		case !m.Willing:
		case m.Initial != f.hash:
			other = append(other, m.Name)
		case slices.Contains(f.named, m.Name):
			agree++
		}
	}
	slices.Sort(other)
	return agree, other
}

// unjoined are the voters of a first configuration of at least expect members
// that are not known to have joined it: until all have, nobody campaigns. A
// disk joins once. So of two lists, both with more than half of all members,
// only one can begin, whatever the gossip showed to those who made the offers:
// they have a member in common.
func (f *founding) unjoined(conf *pb.ConfState, self uint64) []uint64 {
	if f.expect == 0 || len(conf.GetVoters()) < min(f.expect, f.most) {
		return nil
	}
	return slices.DeleteFunc(voters.IDs(conf), func(id uint64) bool { return id == self || f.joined[id] })
}

// deserted says that all the initial voters are seen, but too few of them with
// the disks of the configuration, which have never heard of a leader: a
// minority or, where all are needed, not all of them.
func deserted(im *state.Image, members []Member, all bool) bool {
	here := map[uint64]bool{im.Disk: true}
	elsewhere := map[string]bool{}
	for _, m := range members {
		if all && !m.Empty() && m.Cluster != im.Cluster {
			elsewhere[m.Name] = true
			continue
		}
		here[m.Disk] = true
		elsewhere[m.Name] = elsewhere[m.Name] || m.Empty()
	}
	gone := false
	for id, name := range im.Machine.Names {
		if !here[id] && !elsewhere[name] {
			return false
		}
		gone = gone || !here[id]
	}
	if all {
		return gone
	}
	return !voters.Majority(im.Log.Conf, func(id uint64) bool { return here[id] })
}

// SetInitial replaces the initial voters. It matters only until this member
// knows a cluster.
func (c *Core) SetInitial(now time.Duration, names []string) {
	c.now = now
	if c.founding.name(names) {
		c.out.Changed = true
	}
}

// tickFirstStart begins the cluster when every initial voter is alive, empty
// and means the same set, and this is the first of them. One disk makes at most
// one offer, because it writes the cluster down before it makes it; and only
// one member makes it, because all of them have the same list.
func (c *Core) tickFirstStart() {
	if c.viewIsVoid() {
		c.view = nil
	}
	if c.Cluster != 0 || c.failed != nil || c.leaving || c.writing || c.view != nil {
		return
	}
	first, why := c.founding.voters(append(slices.Clone(c.members), c.Self()))
	if why != c.waiting {
		c.waiting, c.out.Changed = why, true
	}
	if why == "" && first[0].Name == c.Name {
		c.begin(first)
	}
}

// viewIsVoid says that what this member follows is a first start that never
// happened: nothing was decided in it, and nobody who is seen belongs to it.
// Forgetting it is what a restart does, too.
func (c *Core) viewIsVoid() bool {
	v := c.view
	return v != nil && c.Cluster == 0 && v.generation == 0 && v.index <= 1 && v.record.Version == Version{} && !c.inTouch(silentFor) &&
		!slices.ContainsFunc(c.members, func(m Member) bool { return m.Cluster == v.cluster })
}

// unjoined are the voters of this disk's configuration that have not joined a first
// start. Who has seen more than the offer need not ask.
func (c *Core) unjoined() []uint64 {
	if c.Generation != 0 || !c.virgin() || c.cfg.hooks.startUnjoined {
		return nil
	}
	return c.founding.unjoined(c.Log.Conf, c.Disk)
}
