package register

import (
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// leadership is what this member knows of who leads, beside what raft does.
type leadership struct{ leader, term uint64 }

// maxClaims bounds those that are kept: one for each voter of the largest
// configuration, and its successor.
const maxClaims = 16

// claim says that somebody says that it leads a term, whom this member has not
// voted for. It is believed when a majority of the voters, each asked itself, names
// that leader. What it said until then is lost: the one who leads says it again at
// its next heartbeat, and another one may have said it in its name before it led.
type claim struct {
	leadership
	since   time.Duration
	askedAt time.Duration
}

// raises says that raft would adopt the term of a message.
func raises(m *pb.Message) bool {
	return m.GetType() != pb.MsgPreVote && (m.GetType() != pb.MsgPreVoteResp || m.GetReject())
}

// admit says whether a raft message may be handed to raft: its sender has proved
// itself, is somebody whose message of this kind matters, and its term is one
// that may be adopted. What is not admitted is as if the network had lost it.
func (c *Core) admit(m *pb.Message, env *envelope, p proof) bool {
	if c.node == nil || !c.trusted() {
		return false
	}
	asks := m.GetType() == pb.MsgVote || m.GetType() == pb.MsgPreVote
	// Voters that have not spoken for hours must elect at once: for a vote it is
	// enough who asks. An old request is of an old term, or asks for what was given.
	if !p.proven || !p.recent && !asks {
		c.challenge(env.from)
		return false
	}
	c.words.hearTerm(m)
	own := c.node.BasicStatus().GetTerm()
	if fromLeader(m.GetType()) {
		return m.GetTerm() < own || c.leads(m, env)
	}
	if m.GetType() == pb.MsgTimeoutNow {
		return m.GetTerm() == own && c.lead == env.from && c.now-p.at <= silentFor
	}
	// A disk that is not in this one's configuration may have been made a voter since,
	// and this vote may be the one that it needs.
	if asks && !slices.Contains(voters.IDs(c.authority()), env.from) && !c.orphaned() {
		return false
	}
	if m.GetTerm() > own && raises(m) && !c.termMayBe(m.GetTerm(), own) && !c.repeatsTerm(env.from, m.GetTerm()) {
		c.challengeAll(voters.IDs(c.authority()))
		return false
	}
	return true
}

// orphaned says that there has been no leader for a while.
func (c *Core) orphaned() bool { return c.lead == 0 && c.leaderless() > silentFor }

// leads says that the sender of m leads its term, as far as this member can know:
// it has given it its vote in that term, which is written down, or a majority
// of the voters names it.
func (c *Core) leads(m *pb.Message, env *envelope) bool {
	of := leadership{env.from, m.GetTerm()}
	st := c.node.BasicStatus()
	if of == c.accepted || st.GetTerm() == of.term && st.GetVote() == of.leader {
		c.accept(of)
		return c.notTooFar(m)
	}
	cl := c.claims[env.from]
	if cl == nil || cl.term != of.term {
		if len(c.claims) >= maxClaims {
			clear(c.claims)
		}
		cl = &claim{leadership: of, since: c.now.Truncate(time.Microsecond)}
		c.claims[env.from] = cl
	}
	if c.due(&cl.askedAt, heartbeat) {
		c.askAll(voters.IDs(c.authority()))
	}
	return false
}

// judgeClaims accepts the leader that a majority names.
func (c *Core) judgeClaims() {
	if len(c.claims) == 0 || c.node == nil || !c.trusted() {
		return
	}
	h, own := c.hearing(), c.node.BasicStatus().GetTerm()
	for _, id := range sortedKeys(c.claims) {
		cl := c.claims[id]
		names := func(w *word) bool {
			// A daemon that does not tell its term may name the leader of another:
			// then the term must be one that may be.
			term := w.saidTerm == cl.term || w.saidTerm == 0 && (c.termMayBe(cl.term, own) || c.repeatsTerm(w.disk, cl.term))
			return w.told >= cl.since && c.ours(w.scope) && w.said.leader == cl.leader && term
		}
		switch {
		case cl.term < own || c.now-cl.since > silentFor:
			delete(c.claims, id)
		case c.mostOrLater(h, names):
			delete(c.claims, id)
			c.accept(cl.leadership)
			return
		}
	}
}

// notTooFar holds a snapshot that leaps: an index or a version far beyond what
// this member knows, until a majority says that it is there.
func (c *Core) notTooFar(m *pb.Message) bool {
	if m.GetType() != pb.MsgSnap {
		return true
	}
	index := m.GetSnapshot().GetMetadata().GetIndex()
	mach, err := state.DecodeMachine(m.GetSnapshot().GetData())
	if err != nil || mach.Record.Recovery != c.Generation && !c.cfg.hooks.obeyGeneration {
		c.counters.DroppedGarbage++
		return false
	}
	v, own := mach.Record.Version, c.Machine.Record.Version
	if index <= c.lastIndex()+countLeap && v.Epoch <= own.Epoch+countLeap && v.Revision <= own.Revision+countLeap {
		return true
	}
	h := c.hearing()
	if h.most(c.authority(), func(w *word) bool {
		return c.ours(w.scope) && h.spoke(w) && w.said.index+countLeap >= index && w.said.record.Epoch+countLeap >= v.Epoch &&
			w.said.record.Revision+countLeap >= v.Revision
	}) {
		return true
	}
	c.challengeAll(voters.IDs(c.authority()))
	return false
}

// mostOrLater says that yes holds for a majority of this member's configuration
// or of a later one that is announced: of its own too few may be left. Who hears
// a leader of its own needs no other configuration, and whoever has some disks can
// announce one: so only after there has been none for a while.
func (c *Core) mostOrLater(h hearing, yes func(w *word) bool) bool {
	if h.most(c.authority(), yes) {
		return true
	}
	return c.Log != nil && c.orphaned() &&
		slices.ContainsFunc(c.laterConfs(h), func(conf *pb.ConfState) bool { return h.several(conf, yes) })
}

// laterConfs are the configurations of this generation that others announce and that
// come after what is applied here.
func (c *Core) laterConfs(h hearing) (confs []*pb.ConfState) {
	for _, w := range h.spoken() {
		if c.ours(w.scope) && w.said.index > c.Log.Applied.Index {
			confs = append(confs, w.said.conf)
		}
	}
	return confs
}

func (c *Core) accept(of leadership) {
	if c.accepted == of {
		return
	}
	c.accepted = of
	if c.Log.Hard.GetTerm() == of.term && c.Log.Hard.GetVote() == 0 {
		c.Log.Hard = c.pinned(c.Log.Hard)
		c.lazily()
	}
}

// pinned is the hard state as it is written down: the leader that was accepted
// in a term counts as this disk's vote in it. It never gives another one
// anyway; and after a start it knows whom it followed without asking anybody.
func (c *Core) pinned(hs *pb.HardState) *pb.HardState {
	if hs.GetVote() != 0 || c.accepted.leader == 0 || c.accepted.term != hs.GetTerm() || c.accepted.leader == c.Disk {
		return hs
	}
	hs = proto.Clone(hs).(*pb.HardState)
	hs.Vote = new(c.accepted.leader)
	return hs
}
