package register

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// planEvery is how often the leader looks at the configuration.
const planEvery = 200 * time.Millisecond

// membership is the leader's work on the configuration.
type membership struct {
	// since is when this disk was first expected to answer: the beginning of
	// the leadership or of its membership.
	since map[uint64]time.Duration
	// asked are the disks that ask to leave, with who waits for it.
	asked map[uint64]wish
	// removals are the names that are to be removed, each until no disk of it is left
	// in the configuration, with who waits for it.
	removals map[string]wish
	planAt   time.Duration
	// planned says what is being done, or why nothing is.
	planned string
}

// wish is who waits for a change, and when one of them last asked for it.
type wish struct {
	by []waiter
	at time.Duration
}

// newMembership begins with the disks of the configuration.
func newMembership(ids []uint64, now time.Duration) membership {
	m := membership{since: make(map[uint64]time.Duration), asked: make(map[uint64]wish), removals: make(map[string]wish)}
	m.expect(ids, now)
	return m
}

// expect follows the disks of a new configuration. Who is admitted once more gets the
// time to answer once more: else it is given up at once, and admitted again, many
// times a second and for ever.
func (m *membership) expect(ids []uint64, now time.Duration) {
	maps.DeleteFunc(m.since, func(id uint64, _ time.Duration) bool { return !slices.Contains(ids, id) })
	for _, id := range ids {
		if _, ok := m.since[id]; !ok {
			m.since[id] = now
		}
	}
}

// left returns who waits to hear that it is out of a configuration, and forgets them.
func (m *membership) left(ids []uint64) (told []waiter) {
	for _, disk := range sortedKeys(m.asked) {
		if !slices.Contains(ids, disk) {
			told = append(told, m.asked[disk].by...)
			delete(m.asked, disk)
		}
	}
	return told
}

// leave notes that a disk asks to leave, remove that a name is to be removed. Both
// are looked at by the next plan, at once.
func (m *membership) leave(w waiter, now time.Duration) {
	m.asked[w.from] = wish{[]waiter{w}, now}
	m.planAt = 0
}

func (m *membership) remove(name string, w waiter, now time.Duration) {
	r := m.removals[name]
	if !slices.Contains(r.by, w) {
		r.by = append(r.by, w)
	}
	r.at = now
	m.removals[name] = r
	m.planAt = 0
}

// forgetLeavers forgets who does not ask to leave any more.
func (m *membership) forgetLeavers(now time.Duration) {
	maps.DeleteFunc(m.asked, func(_ uint64, l wish) bool { return now-l.at > 4*retryAfter })
}

// removed returns who waits for the removal of a name, and forgets them, if there is a
// verdict on it, not 0. It forgets those who ask no more, too, but for a name that is
// alive: that is said in any case.
func (m *membership) removed(name string, v verdict, now time.Duration) []waiter {
	r := m.removals[name]
	switch late := now-r.at > 4*retryAfter; {
	case v == 0 && !late:
		return nil
	case late && v != verdictAlive:
		r.by = nil
	}
	delete(m.removals, name)
	return r.by
}

// applyConfig applies a committed change of the configuration.
func (c *Core) applyConfig(e *pb.Entry) {
	cc := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		panic(err)
	}
	c.Log.Conf = c.node.ApplyConfChange(cc)
	var added map[uint64]string
	if len(cc.GetContext()) > 0 {
		_ = state.Unmarshal(cc.GetContext(), func(e *state.Codec) { e.Names(&added) })
	}
	c.Machine.Configured(c.Log.Conf, added)
	if c.cfg.hooks.configured != nil {
		c.cfg.hooks.configured(c, e.GetIndex())
	}
	c.configChanged()
}

// configChanged follows a new configuration, applied or from a snapshot.
func (c *Core) configChanged() {
	c.counters.ConfigChanges++
	ids := voters.IDs(c.Log.Conf)
	maps.DeleteFunc(c.Seen, func(disk, _ uint64) bool { return !slices.Contains(ids, disk) })
	if c.leading {
		c.membership.expect(ids, c.now)
		for _, w := range c.membership.left(ids) {
			c.reply(w, reply{verdict: verdictDone, record: c.Machine.Record})
		}
		c.endRemovals()
		c.membership.planAt = 0
	}
	if len(ids) > 0 && !slices.Contains(ids, c.Disk) {
		// A leaver keeps nothing: it has asked for it.
		if c.leaving {
			c.wantReset("left the voters", false)
		} else {
			c.abandon("removed from the voters", false)
		}
	}
}

// serveLeave takes a voter's wish to leave.
func (c *Core) serveLeave(w waiter, index uint64) {
	conf := c.Log.Conf
	switch {
	case !slices.Contains(voters.IDs(conf), w.from):
		// A removed disk is never added again, so this stays true.
		if c.Log.Applied.Term == c.term && c.Log.Applied.Index >= index && c.inTouch(FreshFor) {
			c.reply(w, reply{verdict: verdictDone, record: c.Machine.Record})
		}
	case len(conf.GetVoters()) == 1 && conf.GetVoters()[0] == w.from && len(conf.GetVotersOutgoing()) == 0 && len(conf.GetLearners()) == 0:
		c.reply(w, reply{verdict: verdictLastVoter, record: c.Machine.Record})
	default:
		c.membership.leave(w, c.now)
	}
}

// plan changes the configuration by one step, if there is one to make.
func (c *Core) plan() {
	if !c.leading || c.now < c.membership.planAt || c.Log.Applied.Term != c.term {
		return
	}
	c.membership.planAt = c.now + planEvery
	c.membership.forgetLeavers(c.now)
	c.endRemovals()
	if len(c.Log.Conf.GetVotersOutgoing()) > 0 {
		c.membership.planned = "finishing a change"
		return
	}
	p := voters.Next(c.planInput())
	if p.Reason != c.membership.planned {
		c.membership.planned, c.out.Changed = p.Reason, true
	}
	switch {
	case p.Transfer != 0:
		c.node.TransferLeader(p.Transfer)
		c.membership.planAt = c.now + 5*heartbeat
	case len(p.Changes) > 0:
		cc := &pb.ConfChangeV2{Changes: p.Changes}
		if len(p.Names) > 0 {
			cc.Context = state.Marshal(func(e *state.Codec) { e.Names(&p.Names) })
		}
		// An earlier change that is not applied yet makes raft drop this one.
		if c.node.ProposeConfChange(cc) == nil {
			c.membership.planAt = c.now + 3*heartbeat
		}
	}
}

func (c *Core) planInput() voters.Input {
	in := voters.Input{
		Self: c.Disk, Voters: c.Log.Conf.GetVoters(), Learners: c.Log.Conf.GetLearners(), Names: c.Machine.Names,
		Silent:   make(map[uint64]time.Duration),
		CaughtUp: make(map[uint64]bool), Max: c.cfg.MaxVoters,
		DeadAfter: cmp.Or(c.cfg.hooks.deadAfter, voters.DeadAfter), Patience: cmp.Or(c.cfg.hooks.patience, voters.LearnerPatience),
	}
	for _, m := range append(slices.Clone(c.members), c.Self()) {
		in.Members = append(in.Members, voters.Candidate{Name: m.Name, Disk: m.Disk, Empty: m.Empty(), Willing: m.Willing, Leaving: m.Leaving})
	}
	for _, id := range voters.IDs(c.Log.Conf) {
		in.Silent[id] = c.now - max(c.fresh.heard[id], c.membership.since[id])
		if _, ok := c.fresh.heard[id]; !ok {
			// Never heard in this term: not alive, however young the term is.
			in.Unheard = append(in.Unheard, id)
		}
	}
	in.Silent[c.Disk] = 0
	commit := c.node.BasicStatus().GetCommit()
	c.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		in.CaughtUp[id] = pr.State == tracker.StateReplicate && pr.Match+state.KeptEntries >= commit
	})
	in.Leaving, in.Removing = sortedKeys(c.membership.asked), sortedKeys(c.membership.removals)
	return in
}
