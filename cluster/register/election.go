package register

import (
	"cmp"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// electionTicks is raft's election timeout in ticks. Only a leader is ticked,
// once per heartbeat: so it is the time after which a leader that did not hear
// its majority steps down, between one and two times 5 x 100 ms. The other uses
// that raft has for it, campaigns and the lease of followers, are ours: its own
// campaign timeout comes from a generator that cannot be seeded.
const electionTicks = 5

// election is this member's view of who leads, and its campaign clock.
type election struct {
	// lead is the leader's disk, 0 if unknown; leading says that it is this one.
	lead    uint64
	leading bool
	term    uint64
	// leadHeard is when a message of lead was last handled here.
	leadHeard time.Duration
	// lastLead is the leader before: the others campaign in the order of their
	// rank among the rest.
	lastLead uint64
	// campaignAt is when this voter will campaign if nothing happens.
	campaignAt time.Duration
	lastTick   time.Duration
	vote       uint64
	// jitter keeps two voters with the same patience, which started together,
	// from campaigning against each other for ever.
	jitter time.Duration
}

func (e *election) reset(c *Core) {
	*e = election{campaignAt: c.now + patienceFirst}
	st := c.node.BasicStatus()
	e.term, e.vote = st.GetTerm(), st.GetVote()
	c.drawJitter()
	e.campaignAt = c.now + c.patience()
}

// drawJitter draws up to a tenth of a step, 15 ms.
func (c *Core) drawJitter() {
	c.jitter = time.Duration(c.cfg.Random() % uint64(patienceStep/10+1))
}

// patience is how long this voter waits before it campaigns.
func (c *Core) patience() time.Duration {
	return patienceFirst + time.Duration(c.rank())*patienceStep + c.jitter
}

// rank is the position of this voter among those that can be elected now, in the order
// of their names; one that cannot be comes after them all.
func (c *Core) rank() int {
	conf, names := c.Log.Conf, c.Machine.Names
	last := c.Disk == c.lastLead || !voters.Has(conf, c.Disk)
	n := 0
	for _, id := range voters.IDs(conf) {
		before := cmp.Or(cmp.Compare(names[id], names[c.Disk]), cmp.Compare(id, c.Disk)) < 0
		if voters.Has(conf, id) && id != c.lastLead && (before || last) {
			n++
		}
	}
	return n
}

// observeElection notices what raft has decided about leadership.
func (c *Core) observeElection() {
	if c.node == nil {
		return
	}
	st := c.node.BasicStatus()
	if st.GetTerm() != c.term || st.GetVote() != c.vote {
		// Somebody campaigns: leave them the time to finish.
		c.term, c.vote = st.GetTerm(), st.GetVote()
		c.campaignAt = max(c.campaignAt, c.now+c.patience())
	}
	lead, leading := st.Lead, st.RaftState == raft.StateLeader
	if lead == c.lead && leading == c.leading {
		return
	}
	if c.leading && !leading {
		c.dropWaiters()
		c.fresh.newTerm()
	}
	if lead != 0 {
		if lead != c.lastLead {
			c.counters.LeaderChanges++
		}
		c.lastLead, c.leadHeard = lead, c.now
		c.campaignAt = c.now + c.patience()
	}
	if leading && !c.leading {
		c.lastTick = c.now
		c.fresh.newTerm()
		c.membership = newMembership(voters.IDs(c.Log.Conf), c.now)
	}
	c.lead, c.leading = lead, leading
	c.out.Changed = true
	c.sendRequests(true)
}

// Tick tells the time; at least every heartbeat, better twice as often.
func (c *Core) Tick(now time.Duration) {
	c.now = now
	if c.node != nil {
		c.guard(c.tickRaft)
	}
	c.pump()
	c.tickLife()
	if c.leading && c.doubt == nil {
		c.guard(c.plan)
	}
	c.pump()
	if c.lazyAt != 0 && c.now >= c.lazyAt && !c.writing && (c.confirmed || c.doubt != nil) && c.failed == nil {
		c.startWrite("", func() {})
	}
}

func (c *Core) tickRaft() {
	if c.doubt != nil {
		return
	}
	if c.leading {
		// One tick however late: a process that was stopped learns from the
		// answers, not from its clock, whether it still leads.
		if c.now-c.lastTick >= heartbeat {
			c.lastTick = max(c.lastTick+heartbeat, c.now-heartbeat/2)
			c.node.Tick()
		}
		return
	}
	if !c.confirmed {
		return
	}
	if c.lead != 0 && c.now-c.leadHeard >= lease {
		// From here on this voter may vote for another; should the leader be
		// heard again it is followed again.
		if err := c.node.ForgetLeader(); err != nil {
			panic(err)
		}
	}
	if c.now >= c.campaignAt && voters.Has(c.Log.Conf, c.Disk) && len(c.unjoined()) == 0 {
		c.drawJitter()
		c.campaignAt = c.now + c.patience() - patienceFirst + lease
		c.counters.Campaigns++
		if err := c.node.Campaign(); err != nil {
			panic(err)
		}
	}
}

// leaderMessages are those that only the leader of a term sends.
func fromLeader(t pb.MessageType) bool {
	return t == pb.MsgApp || t == pb.MsgHeartbeat || t == pb.MsgSnap
}

// stepRaft hands a raft message of this generation to raft, if it may be.
func (c *Core) stepRaft(m *pb.Message, env *envelope, p proof) bool {
	return c.admit(m, env, p) && c.takeRaft(m, env)
}

// takeRaft hands a message to raft that is believed.
func (c *Core) takeRaft(m *pb.Message, env *envelope) bool {
	if m.GetType() == pb.MsgHeartbeat && m.GetCommit() > c.lastIndex() && m.GetTerm() >= c.term {
		// A leader sends no commit index beyond what this disk has confirmed.
		c.suspect(env.from, "it has confirmed entries that it no longer has")
		return false
	}
	if m.GetType() == pb.MsgApp && c.contradicts(m) {
		return false
	}
	if m.GetType() == pb.MsgSnap && c.writing {
		// raft takes over the configuration of a snapshot at once. What the
		// write under way holds back may be older changes of the configuration,
		// and they must not be applied on top. The leader sends it again.
		return false
	}
	if m.GetType() == pb.MsgAppResp && !m.GetReject() && m.GetTerm() == c.term && m.GetIndex() > c.lastIndex() {
		return false
	}
	c.guard(func() {
		// The only errors are a response from a disk that is not in the
		// configuration, and a proposal; neither matters here.
		_ = c.node.Step(m)
	})
	c.observeElection()
	if c.failed == nil && m.GetTerm() == c.term && fromLeader(m.GetType()) && c.lead == env.from {
		c.leadHeard = c.now
		c.campaignAt = c.now + c.patience()
	}
	return c.failed == nil
}

// contradicts says that entries are others than those that are committed here,
// about which raft would panic.
func (c *Core) contradicts(m *pb.Message) bool {
	commit := c.node.BasicStatus().GetCommit()
	for _, e := range m.GetEntries() {
		if e.GetIndex() > commit {
			break
		}
		if t, err := c.Log.Term(e.GetIndex()); err == nil && t != e.GetTerm() {
			return true
		}
	}
	return false
}

func (c *Core) lastIndex() uint64 { return c.Log.Last().Index }
