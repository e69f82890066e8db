package register

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// Status computes what is known at the time now, which may be later than the
// last input: a process that was stopped and goes on sees itself stale.
func (c *Core) Status(now time.Duration) Status {
	s := Status{
		Disk: c.Disk, FreshAge: -1, Leader: c.nameOf(c.leader()),
		Counters: c.counters, LastConflict: c.conflict, IsLeader: c.leading,
	}
	s.Record, s.Known = c.known()
	of := c.scope()
	s.Generation = of.generation
	if of.cluster != 0 {
		s.Cluster = fmt.Sprintf("%016x", of.cluster)
	}
	switch {
	case c.leading:
		s.Membership = c.membership.planned
	case c.Revivable():
		s.Membership = fmt.Sprintf("out of the vote: %v; tried again every %s, without a restart", c.failed, cmp.Or(c.cfg.hooks.probe, probeEvery))
	}
	switch {
	case c.failed != nil:
		s.State = StateStopped
	case c.Cluster != 0:
		s.State = StateVoter
		s.Voting = c.trusted() && c.node != nil && voters.Has(c.Log.Conf, c.Disk)
		s.Term, s.Index = c.term, c.Log.Applied.Index
	case c.view != nil:
		s.State, s.Index = StateFollower, c.view.index
	default:
		s.State = StateWaiting
	}
	c.statusVoters(&s, now)
	c.statusFresh(&s, now)
	return s
}

func (c *Core) statusVoters(s *Status, now time.Duration) {
	conf, names := c.knownConf()
	for _, id := range voters.IDs(conf) {
		v := VoterStatus{Name: names[id], Disk: id, Heard: -1, Learner: !voters.Has(conf, id)}
		v.Live = c.here(id)
		switch at, ok := c.fresh.heard[id]; {
		case id == c.Disk:
			v.Heard = 0
		case c.leading && ok:
			v.Heard = now - at
		case !c.leading && id == c.leader() && c.fresh.at > 0:
			v.Heard = now - c.fresh.at
		}
		s.Voters = append(s.Voters, v)
	}
	slices.SortFunc(s.Voters, func(a, b VoterStatus) int { return strings.Compare(a.Name, b.Name) })
}

func (c *Core) statusFresh(s *Status, now time.Duration) {
	if at := c.freshTime(now); at > 0 {
		s.FreshAge = now - at
	}
	if s.Fresh = s.Known && s.FreshAge >= 0 && s.FreshAge <= FreshFor; s.Fresh {
		s.Reason = "a majority of the voters stands behind this record"
		return
	}
	switch {
	case c.failed != nil && s.FreshAge < 0:
		s.Reason = "out of the vote: " + c.failed.Error()
	case !s.Known && c.waiting != "":
		s.Reason = c.waiting
	case !s.Known:
		s.Reason = "no record is known yet"
	case c.node != nil && c.doubt != nil:
		s.Reason = c.doubtText()
	case c.node != nil && !c.confirmed:
		s.Reason = "waiting for the other voters to confirm that this disk has forgotten nothing"
	case s.Leader == "" && c.node != nil && len(c.unjoined()) > 0:
		s.Reason = "first start: waiting for " + c.namesOf(c.unjoined()) + " to join the first record"
	case s.Leader == "":
		s.Reason = "no leader is known" + c.missing()
	case s.FreshAge < 0:
		s.Reason = "no answer of a majority yet" + c.missing()
	default:
		s.Reason = fmt.Sprintf("a majority of the voters was last heard %s ago, more than %s%s",
			s.FreshAge.Round(10*time.Millisecond), FreshFor, c.missing())
	}
}

// here says that a disk is this one's own, or in the gossip.
func (c *Core) here(disk uint64) bool {
	_, there := c.observer.named(disk)
	return there || disk == c.Disk
}

// missing says which voters are not here, if those that are here are no
// majority, and what to do if they never are again. "" for a majority.
func (c *Core) missing() string {
	conf, names := c.knownConf()
	if voters.Majority(conf, c.here) {
		return ""
	}
	var gone, lost []string
	for _, id := range voters.Of(conf) {
		switch name := names[id]; {
		case c.here(id):
		case name == c.Name || c.observer.shows(name):
			lost = append(lost, name)
		default:
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	slices.Sort(lost)
	text := ""
	if len(gone) > 0 {
		text += "; " + isAre(gone) + " not here"
	}
	if len(lost) > 0 {
		text += "; " + isAre(lost) + " here with new disks"
	}
	// Who is not here may come back with its disk.
	if !voters.Majority(conf, func(id uint64) bool { return !slices.Contains(lost, names[id]) }) {
		text += ", so the majority's disks are gone: haproxyctl register recover --voters NAME,... begins a new generation"
	}
	return text
}

func isAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}

// namesOf lists the names of disks for people.
func (c *Core) namesOf(disks []uint64) string {
	var names []string
	for _, id := range disks {
		names = append(names, c.nameOf(id))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
