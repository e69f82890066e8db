package register

import (
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"
)

// liveFor is how recently a voter must have answered the leader to count as
// alive when the configuration is changed.
const liveFor = 2 * time.Second

// planEvery is how often the leader looks at the configuration.
const planEvery = 200 * time.Millisecond

// membership is the leader's work on the configuration.
type membership struct {
	// since is when this disk was first expected to answer: the beginning of
	// the leadership or of its membership.
	since map[uint64]time.Duration
	// asked are the disks that ask to leave, with who waits for it.
	asked map[uint64]leaveWait
	// removals are the names that are to be removed, with who waits for it.
	removals map[string]removal
	planAt   time.Duration
	// planned says what is being done, or why nothing is.
	planned string
}

type leaveWait struct {
	waiter
	at time.Duration
}

// removal ends when no disk of the name is left in the configuration.
type removal struct {
	by []waiter
	at time.Duration
}

func (m *membership) begin(c *Core) {
	*m = membership{
		since: make(map[uint64]time.Duration), asked: make(map[uint64]leaveWait), removals: make(map[string]removal),
	}
	for _, id := range confIDs(c.log.conf) {
		m.since[id] = c.now
	}
}

// applyConfig applies a committed change of the configuration.
func (c *Core) applyConfig(e *pb.Entry) {
	cc := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		panic(err)
	}
	c.log.conf = c.node.ApplyConfChange(cc)
	var added map[uint64]string
	if len(cc.GetContext()) > 0 {
		d := decoder{b: cc.GetContext()}
		added = decodeNames(&d)
	}
	c.machine.configured(c.log.conf, added)
	if c.cfg.hooks.configured != nil {
		c.cfg.hooks.configured(c, e.GetIndex())
	}
	c.configChanged()
}

// configChanged follows a new configuration, applied or from a snapshot.
func (c *Core) configChanged() {
	c.counters.ConfigChanges++
	ids := confIDs(c.log.conf)
	for disk := range c.seen {
		if !slices.Contains(ids, disk) {
			delete(c.seen, disk)
		}
	}
	if c.leading {
		// Who is admitted once more gets the time to answer once more: else it is
		// given up at once, and admitted again, many times a second and for ever.
		maps.DeleteFunc(c.since, func(id uint64, _ time.Duration) bool { return !slices.Contains(ids, id) })
		for _, id := range ids {
			if _, ok := c.since[id]; !ok {
				c.since[id] = c.now
			}
		}
		for _, disk := range sortedKeys(c.asked) {
			if !slices.Contains(ids, disk) {
				c.reply(c.asked[disk].waiter, reply{verdict: verdictDone, record: c.machine.record})
				delete(c.asked, disk)
			}
		}
		c.endRemovals()
		c.planAt = 0
	}
	if len(ids) > 0 && !slices.Contains(ids, c.disk) {
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
	conf := c.log.conf
	switch {
	case !slices.Contains(confIDs(conf), w.from):
		// A removed disk is never added again, so this stays true.
		if c.log.applied.term == c.term && c.log.applied.index >= index && c.inTouch(c.timing.FreshFor) {
			c.reply(w, reply{verdict: verdictDone, record: c.machine.record})
		}
	case len(conf.GetVoters()) == 1 && conf.GetVoters()[0] == w.from && len(conf.GetVotersOutgoing()) == 0 && len(conf.GetLearners()) == 0:
		c.reply(w, reply{verdict: verdictLastVoter, record: c.machine.record})
	default:
		c.asked[w.from] = leaveWait{w, c.now}
		c.planAt = 0
	}
}

// plan changes the configuration by one step, if there is one to make.
func (c *Core) plan() {
	if !c.leading || c.now < c.planAt || c.log.applied.term != c.term {
		return
	}
	c.planAt = c.now + planEvery
	for _, disk := range sortedKeys(c.asked) {
		if c.now-c.asked[disk].at > 4*c.timing.Retry {
			delete(c.asked, disk)
		}
	}
	c.endRemovals()
	if len(c.log.conf.GetVotersOutgoing()) > 0 {
		c.planned = "finishing a change"
		return
	}
	p := planChange(c.planInput())
	if p.reason != c.planned {
		c.planned, c.out.Changed = p.reason, true
	}
	switch {
	case p.transfer != 0:
		c.node.TransferLeader(p.transfer)
		c.planAt = c.now + 5*c.timing.Heartbeat
	case len(p.changes) > 0:
		cc := &pb.ConfChangeV2{Changes: p.changes}
		if len(p.names) > 0 {
			var e encoder
			encodeNames(&e, p.names)
			cc.Context = e.b
		}
		// An earlier change that is not applied yet makes raft drop this one.
		if c.node.ProposeConfChange(cc) == nil {
			c.planAt = c.now + 3*c.timing.Heartbeat
		}
	}
}

func (c *Core) planInput() planInput {
	in := planInput{
		self: c.disk, voters: c.log.conf.GetVoters(), learners: c.log.conf.GetLearners(), names: c.machine.names,
		members: append(slices.Clone(c.members), c.Self()), silent: make(map[uint64]time.Duration),
		caughtUp: make(map[uint64]bool), max: c.cfg.MaxVoters, timing: c.timing,
	}
	for _, id := range confIDs(c.log.conf) {
		in.silent[id] = c.now - max(c.heard[id], c.since[id])
		if _, ok := c.heard[id]; !ok {
			// Never heard in this term: not alive, however young the term is.
			in.unheard = append(in.unheard, id)
		}
	}
	in.silent[c.disk] = 0
	commit := c.node.BasicStatus().GetCommit()
	c.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		in.caughtUp[id] = pr.State == tracker.StateReplicate && pr.Match+keptEntries >= commit
	})
	in.leaving, in.removing = sortedKeys(c.asked), sortedKeys(c.removals)
	return in
}
