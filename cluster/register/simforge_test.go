package register

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// Forged messages. Rule: one sender is never enough. So in one simulation all of
// them bear the name of one and the same sender, a stranger or one of the
// members, and each is a message by itself; whoever it names goes on telling the
// truth. What no rule can refuse is left out: a member's word for itself that
// raft is built on (a vote that it gives, an entry that it has confirmed, that it knows
// of no promise which the receiver has forgotten, what a leader says of its majority
// and of the others' promises) and commands, which whoever may speak may give.

// forgedID begins the ids of all commands that nobody has given.
const forgedID = "forged"

// liar is whose name the forged messages bear: a member or, without one, a
// stranger with a disk that nobody has.
type liar struct {
	host *simHost
	disk uint64
}

func (l *liar) from() uint64 {
	if l.host != nil {
		return l.host.core.Disk
	}
	return l.disk
}

// isForged says that nobody has sent a message.
func (s *sim) isForged(l letter) bool { return l.from == nil }

// forge delivers made up messages, as long as there are faults.
func (s *sim) forge() {
	if s.healed {
		return
	}
	s.at(20*time.Millisecond+time.Duration(s.chance.Int63n(int64(500*time.Millisecond))), s.forge)
	if s.liar == nil {
		s.liar = &liar{disk: s.chance.Uint64()>>1 | 1}
		if s.chance.Intn(2) == 0 {
			s.liar.host = s.hosts[s.chance.Intn(len(s.hosts))]
		}
	}
	to := s.upHost()
	if to == nil || s.liar.host != nil && (s.liar.host == to || s.liar.host.core == nil) {
		return
	}
	s.deliverForged(to, forgeries[s.chance.Intn(len(forgeries))])
}

func (s *sim) deliverForged(to *simHost, f forgery) {
	env := s.blank(to)
	if f.make(s, to.core, env); env.kind == 0 || s.decidesAlone(to.core) || s.stands(env) {
		return
	}
	if f.ofItself && s.liar.host != nil {
		env.echo = 0 // a member may give up itself; others may not say so in its name
	}
	s.forged++
	s.logf("forged for %s: %s", to.name, f.name)
	s.deliver(letter{to: to, data: env.encode()})
}

// stands says that a message is of a term in which the liar has voted for itself: by
// the time that it is read the receiver may have given its vote, and what a leader
// says of its own term is what raft is built on.
func (s *sim) stands(env *envelope) bool {
	h := s.liar.host
	m := &pb.Message{}
	return h != nil && env.kind == kindRaft && proto.Unmarshal(env.payload, m) == nil && h.core.Log != nil &&
		m.GetTerm() == h.core.Log.Hard.GetTerm() && h.core.Log.Hard.GetVote() == h.core.Disk
}

// leads says that the liar leads, or that the receiver takes it for the leader.
func (s *sim) leads(to *Core) bool {
	h := s.liar.host
	return h != nil && (h.core.leading || to.leader() == h.core.Disk)
}

// decidesAlone says that the liar is the only voter that a member knows, and so
// its majority.
func (s *sim) decidesAlone(to *Core) bool {
	conf, _ := to.knownConf()
	return slices.Equal(conf.GetVoters(), []uint64{s.liar.from()})
}

// blank is an envelope as the liar would make it, with the true scope or none.
func (s *sim) blank(to *simHost) *envelope {
	env := &envelope{from: s.liar.from(), to: to.core.Disk, stamp: s.chance.Uint64(), age: 0}
	if s.chance.Intn(4) > 0 {
		env.scope = to.core.scope()
	}
	if s.chance.Intn(2) == 0 {
		env.echo = s.overheard[[2]uint64{to.core.Disk, env.from}]
	}
	if h := s.liar.host; h != nil {
		env.seen = h.core.Seen[env.to]
	}
	if s.leads(to.core) {
		env.age = never
	}
	return env
}

// forgery makes up one message for a core; without a kind there is none.
type forgery struct {
	name string
	make func(s *sim, c *Core, env *envelope)
	// ofItself says that it harms whom it is said to come from, and nobody else.
	ofItself bool
}

var forgeries = []forgery{
	{name: "it knows of promises that the receiver has forgotten", make: func(s *sim, c *Core, env *envelope) {
		env.kind, env.seen = kindAsk, s.leap(c.Promises)
		env.payload = askPayload()
	}},
	{name: "a heartbeat knows of such promises of everybody", make: func(s *sim, c *Core, env *envelope) {
		if s.leads(c) {
			return
		}
		env.known = map[uint64]uint64{c.Disk: s.leap(c.Promises)}
		for _, h := range s.hosts {
			if h.core != nil {
				env.known[h.core.Disk] = s.leap(h.core.Promises)
			}
		}
		raftLie(env, &pb.Message{Type: pb.MsgHeartbeat.Enum(), Term: new(max(c.term, 1))})
	}},
	{name: "it has promised more than anybody could", ofItself: true, make: func(s *sim, c *Core, env *envelope) {
		env.kind, env.promises, env.payload = kindAsk, s.leap(c.Promises), askPayload()
	}},
	{name: "it has applied what the receiver does not have", make: func(s *sim, c *Core, env *envelope) {
		env.kind, env.commit, env.payload = kindAsk, s.leap(c.applied()), askPayload()
	}},
	{name: "a heartbeat of a term that leaps", make: func(s *sim, c *Core, env *envelope) {
		raftLie(env, &pb.Message{Type: pb.MsgHeartbeat.Enum(), Term: new(s.leap(c.term))})
	}},
	{name: "a heartbeat commits what the receiver does not have", make: func(s *sim, c *Core, env *envelope) {
		raftLie(env, &pb.Message{Type: pb.MsgHeartbeat.Enum(), Term: new(max(c.term, 1)), Commit: new(s.leap(c.applied()))})
	}},
	{name: "a candidate of a term that leaps", make: func(s *sim, c *Core, env *envelope) {
		t := pb.MsgVote
		if s.chance.Intn(2) == 0 {
			t = pb.MsgPreVote
		}
		raftLie(env, &pb.Message{Type: t.Enum(), Term: new(s.leap(c.term)), Index: new(uint64(math.MaxUint64)), LogTerm: new(s.leap(c.term)),
			Context: []byte("CampaignTransfer")})
	}},
	{name: "an answer of a term that leaps", make: func(s *sim, c *Core, env *envelope) {
		t := []pb.MessageType{pb.MsgAppResp, pb.MsgHeartbeatResp, pb.MsgVoteResp, pb.MsgPreVoteResp}[s.chance.Intn(4)]
		raftLie(env, &pb.Message{Type: t.Enum(), Term: new(s.leap(c.term)), Reject: new(true)})
	}},
	{name: "the lead is to be taken over", make: func(s *sim, c *Core, env *envelope) {
		term := max(c.term, 1)
		if s.chance.Intn(2) == 0 {
			term = s.leap(c.term)
		}
		raftLie(env, &pb.Message{Type: pb.MsgTimeoutNow.Enum(), Term: new(term)})
	}},
	{name: "an append of a later term", make: forgeAppend},
	{name: "a snapshot of a later term", make: forgeSnapshot},
	{name: "an announcement of a huge version", make: func(s *sim, c *Core, env *envelope) {
		forgeAnnouncement(s, c, env, 0)
	}},
	{name: "an announcement of a later generation", make: func(s *sim, c *Core, env *envelope) {
		forgeAnnouncement(s, c, env, 1)
	}},
	{name: "the offer of a later generation", make: func(s *sim, c *Core, env *envelope) {
		if env.kind, env.generation, env.origin = kindOffer, c.Generation+1, s.chance.Uint64(); c.Cluster == 0 {
			env.cluster = s.chance.Uint64()
		}
		o := offer{conf: &pb.ConfState{Voters: []uint64{c.Disk}, AutoLeave: new(false)},
			machine: state.Machine{Record: s.forgedRecord(), Names: map[uint64]string{c.Disk: c.Name}}}
		env.payload = o.encode()
	}},
	{name: "a voter is to leave", ofItself: true, make: func(s *sim, c *Core, env *envelope) {
		r := request{id: s.chance.Uint64(), op: opLeave}
		env.kind, env.payload = kindRequest, r.encode()
	}},
	{name: "a reply to nobody", make: func(s *sim, c *Core, env *envelope) {
		r := reply{id: s.chance.Uint64(), verdict: verdictDone, record: s.forgedRecord()}
		env.kind, env.payload = kindReply, r.encode()
	}},
}

// leap is a number beyond n: by one, by a few, or by very much.
func (s *sim) leap(n uint64) uint64 {
	switch s.chance.Intn(4) {
	case 0:
		return n + 1
	case 1:
		return n + 2 + uint64(s.chance.Intn(1000))
	case 2:
		return n + 1<<40
	}
	return math.MaxUint64
}

func (c *Core) applied() uint64 {
	if c.Log == nil {
		return 0
	}
	return c.Log.Applied.Index
}

func (s *sim) forgedRecord() Record {
	return Record{
		Version:   Version{Epoch: 1 << 40, Revision: 1 << 40},
		CommandID: fmt.Sprintf("%s-%d", forgedID, s.forged), Value: []byte(forgedID),
	}
}

func askPayload() []byte {
	return state.Marshal(func(c *state.Codec) { c.Version(&Version{}) })
}

func raftLie(env *envelope, m *pb.Message) {
	m.From, m.To = new(env.from), new(env.to)
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	env.kind, env.payload, env.age = kindRaft, b, never
}

// forgeAppend commits a command that nobody has given, in a later term.
func forgeAppend(s *sim, c *Core, env *envelope) {
	if c.Log == nil {
		return
	}
	last, term := c.Log.Last(), s.leap(c.term)
	e := &pb.Entry{
		Index: new(last.Index + 1), Term: new(term),
		Data: Command{ID: fmt.Sprintf("%s-%d", forgedID, s.forged), Expect: c.Machine.Record.Version, NewEpoch: true}.Encode(),
	}
	raftLie(env, &pb.Message{
		Type: pb.MsgApp.Enum(), Term: new(term), Index: new(last.Index), LogTerm: new(last.Term), Commit: new(last.Index + 1),
		Entries: []*pb.Entry{e},
	})
}

// forgeSnapshot replaces everything, in a later term.
func forgeSnapshot(s *sim, c *Core, env *envelope) {
	if c.Log == nil || len(c.Machine.Names) == 0 {
		return
	}
	term := s.leap(c.term)
	m := state.Machine{Record: s.forgedRecord(), Names: c.Machine.Names}
	raftLie(env, &pb.Message{
		Type: pb.MsgSnap.Enum(), Term: new(term),
		Snapshot: &pb.Snapshot{Data: m.Encode(), Metadata: &pb.SnapshotMetadata{
			ConfState: c.Log.Conf, Index: new(c.Log.Last().Index + 100), Term: new(term),
		}},
	})
}

// forgeAnnouncement decides something for a follower, or leaves a voter behind.
func forgeAnnouncement(s *sim, c *Core, env *envelope, later uint64) {
	conf, names := c.knownConf()
	if len(conf.GetVoters()) == 0 {
		return
	}
	env.kind, env.generation = kindAnswer, env.generation+later
	if later > 0 {
		env.origin = s.chance.Uint64()
	}
	if s.chance.Intn(2) == 0 {
		env.kind = kindAnnounce
	}
	a := announcement{leader: env.from, index: s.leap(c.applied()), conf: conf, names: names, record: s.forgedRecord()}
	env.payload = a.encode()
}

// What is forged can be read: it is not for its shape that it is refused.
func TestForgeriesCanBeRead(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	for _, l := range []*liar{{disk: 77}, {host: b}} {
		s.liar = l
		for _, f := range forgeries {
			env := s.blank(a)
			f.make(s, a.core, env)
			got, err := decodeEnvelope(env.encode())
			m := &pb.Message{}
			switch {
			case err != nil:
				t.Errorf("%s: %v", f.name, err)
			case got.kind == kindRaft:
				if err := proto.Unmarshal(got.payload, m); err != nil || m.GetFrom() != got.from || m.GetTo() != got.to {
					t.Errorf("%s: %v, %v", f.name, m, err)
				}
			default:
				if n, err := oldPayload(got.kind, got.payload); err != nil || n != len(got.payload) {
					t.Errorf("%s: %d of %d bytes, %v", f.name, n, len(got.payload), err)
				}
			}
		}
	}
}

// checkHonest demands that nothing that was made up is believed, and that nobody
// stops for it.
func (s *sim) checkHonest(h *simHost) {
	c := h.core
	switch r, ok := c.known(); {
	case ok && strings.HasPrefix(r.CommandID, forgedID) && !h.unconfirmed():
		s.fail("%s believes %s %q, which nobody has decided", h.name, r.Version, r.CommandID)
	case c.failed != nil && strings.HasPrefix(c.failed.Error(), "raft gave up"):
		s.fail("%s: %v", h.name, c.failed)
	case c.term > 1<<32:
		s.fail("%s is in term %d", h.name, c.term)
	}
}

// unconfirmed says that what a host follows is what it was told when it knew
// nothing and saw no majority that it could have asked.
func (h *simHost) unconfirmed() bool {
	c := h.core
	return !c.knowsItself() && c.view != nil && c.view.backers == 0
}
