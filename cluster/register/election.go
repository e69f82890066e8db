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

// newElection begins with the term and the vote of a disk.
func newElection(st raft.BasicStatus) election {
	return election{term: st.GetTerm(), vote: st.GetVote()}
}

// drawJitter takes up to a tenth of a step, 15 ms, from a random number.
func (e *election) drawJitter(random uint64) {
	e.jitter = time.Duration(random % uint64(patienceStep/10+1))
}

// wait is how long a voter of this rank waits before it campaigns.
func (e *election) wait(rank int) time.Duration {
	return patienceFirst + time.Duration(rank)*patienceStep + e.jitter
}

// rank is the position of a voter among those that can be elected now, in the order
// of their names; one that cannot be comes after them all.
func (e *election) rank(self uint64, conf *pb.ConfState, names map[uint64]string) int {
	last := self == e.lastLead || !voters.Has(conf, self)
	n := 0
	for _, id := range voters.Of(conf) {
		before := cmp.Or(cmp.Compare(names[id], names[self]), cmp.Compare(id, self)) < 0
		if id != e.lastLead && (before || last) {
			n++
		}
	}
	return n
}

// noteTerm follows raft's term and vote. True says that somebody campaigns.
func (e *election) noteTerm(term, vote uint64) (changed bool) {
	changed = term != e.term || vote != e.vote
	e.term, e.vote = term, vote
	return changed
}

// heard notes that the leader was, and follows it if it is another one. True says that.
func (e *election) heard(lead uint64, now time.Duration) (another bool) {
	another = lead != e.lastLead
	e.lastLead, e.leadHeard = lead, now
	return another
}

// tick says that a leader's raft is to be ticked, once however late: a process that was
// stopped learns from the answers, not from its clock, whether it still leads.
func (e *election) tick(now time.Duration) bool {
	if now-e.lastTick < heartbeat {
		return false
	}
	e.lastTick = max(e.lastTick+heartbeat, now-heartbeat/2)
	return true
}

// silent says that the lease of the leader that was followed is over.
func (e *election) silent(now time.Duration) bool { return e.lead != 0 && now-e.leadHeard >= lease }

// patience is how long this voter waits before it campaigns.
func (c *Core) patience() time.Duration {
	return c.election.wait(c.election.rank(c.Disk, c.Log.Conf, c.Machine.Names))
}

// postpone makes this voter wait for all of that again.
func (c *Core) postpone() { c.campaignAt = c.now + c.patience() }

// observeElection notices what raft has decided about leadership.
func (c *Core) observeElection() {
	if c.node == nil {
		return
	}
	st := c.node.BasicStatus()
	if c.election.noteTerm(st.GetTerm(), st.GetVote()) {
		// Somebody campaigns: leave them the time to finish.
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
		if c.election.heard(lead, c.now) {
			c.counters.LeaderChanges++
		}
		c.postpone()
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
		if c.election.tick(c.now) {
			c.node.Tick()
		}
		return
	}
	if !c.confirmed {
		return
	}
	if c.election.silent(c.now) {
		// From here on this voter may vote for another; should the leader be
		// heard again it is followed again.
		if err := c.node.ForgetLeader(); err != nil {
			panic(err)
		}
	}
	if c.now >= c.campaignAt && voters.Has(c.Log.Conf, c.Disk) && len(c.unjoined()) == 0 {
		c.election.drawJitter(c.cfg.Random())
		c.campaignAt = c.now + c.patience() - patienceFirst + lease
		c.counters.Campaigns++
		if err := c.node.Campaign(); err != nil {
			panic(err)
		}
	}
}

// fromLeader says that a message is one that only the leader of a term sends.
func fromLeader(t pb.MessageType) bool {
	return t == pb.MsgApp || t == pb.MsgHeartbeat || t == pb.MsgSnap
}

// takeRaft hands a raft message of this generation to raft, which was admitted.
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
		c.election.heard(env.from, c.now)
		c.postpone()
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
