package register

import (
	"fmt"
	"math"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// forged is a message to h as it belongs to its generation. With a proof it is
// what that member itself could send, which is one sender still.
func forged(h *simHost, from uint64, proof bool, k kind, payload []byte, edit func(env *envelope)) []byte {
	c := h.core
	env := envelope{
		kind: k, scope: c.own(), from: from, to: c.Disk, age: 0,
		stamp: 12345, payload: payload,
	}
	if proof {
		env.echo = c.contacts.stampFor(from, c.now)
	}
	if edit != nil {
		edit(&env)
	}
	return env.encode()
}

func (h *simHost) receive(data []byte) {
	h.do(h.life, func() { h.core.Step(h.clock(), data) })
}

func raftPayload(m *pb.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// attack is one message for a voter, under the name of another.
type attack struct {
	name string
	kind kind
	make func(h *simHost, from uint64) []byte
	edit func(h *simHost) func(env *envelope)
}

func raftAttack(name string, t pb.MessageType, edit func(h *simHost, m *pb.Message)) attack {
	return attack{name: name, kind: kindRaft, make: func(h *simHost, from uint64) []byte {
		c := h.core
		last := c.Log.Last()
		m := &pb.Message{
			Type: t.Enum(), From: new(from), To: new(c.Disk), Term: new(c.term),
			Index: new(last.Index), LogTerm: new(last.Term),
		}
		edit(h, m)
		return raftPayload(m)
	}}
}

func announceAttack(name string, k kind, edit func(h *simHost, from uint64, a *announcement), env func(h *simHost) func(*envelope)) attack {
	return attack{name: name, kind: k, edit: env, make: func(h *simHost, from uint64) []byte {
		a := h.core.announce()
		edit(h, from, &a)
		return a.encode()
	}}
}

// forgedEntry makes m carry a command of the attacker, committed.
func forgedEntry(h *simHost, m *pb.Message) {
	r, _ := h.core.known()
	m.Entries = []*pb.Entry{{
		Index: new(m.GetIndex() + 1), Term: new(m.GetTerm()),
		Data: Command{ID: "attacker", Expect: r.Version, NewEpoch: true, Value: []byte("attacker")}.Encode(),
	}}
	m.Commit = new(m.GetIndex() + 1)
}

func forgedSnapshot(h *simHost, m *pb.Message, index uint64) {
	mach := state.Machine{Names: h.core.Machine.Names, Record: Record{
		Version: Version{Recovery: h.core.Generation, Epoch: index, Revision: index}, Value: []byte("attacker"), CommandID: "attacker",
	}}
	m.Snapshot = &pb.Snapshot{Data: mach.Encode(), Metadata: &pb.SnapshotMetadata{
		ConfState: h.core.Log.Conf, Index: new(index), Term: new(m.GetTerm()),
	}}
}

const (
	leadsNow        = "leads this term, with a command"
	laterGeneration = "announces a later generation"
)

func attacks() []attack {
	plus := func(n uint64) func(h *simHost, m *pb.Message) {
		return func(_ *simHost, m *pb.Message) { m.Term = new(m.GetTerm() + n) }
	}
	at := func(term uint64) func(h *simHost, m *pb.Message) {
		return func(_ *simHost, m *pb.Message) { m.Term = new(term) }
	}
	forgotten := func(name string, k kind, edit func(h *simHost, env *envelope)) attack {
		return attack{name: name, kind: k, make: func(h *simHost, from uint64) []byte {
			if k == kindAsk {
				return []byte{0, 0, 0}
			}
			a := h.core.announce()
			return a.encode()
		}, edit: func(h *simHost) func(*envelope) { return func(env *envelope) { edit(h, env) } }}
	}
	out := []attack{
		forgotten("knows of more promises", kindAsk, func(_ *simHost, env *envelope) { env.seen = math.MaxUint64 }),
		forgotten("knows of one promise more", kindAnswer, func(h *simHost, env *envelope) { env.seen = h.core.Promises + 1 }),
		forgotten("spreads that others know of more", kindAsk, func(h *simHost, env *envelope) {
			env.known = map[uint64]uint64{h.core.Disk: math.MaxUint64}
		}),
		forgotten("has promised more than anybody", kindAsk, func(_ *simHost, env *envelope) { env.promises = math.MaxUint64 }),
		forgotten("has applied more than anybody", kindAsk, func(_ *simHost, env *envelope) { env.commit = math.MaxUint64 }),
		raftAttack("takes over, with a command", pb.MsgApp, func(h *simHost, m *pb.Message) { plus(1)(h, m); forgedEntry(h, m) }),
		raftAttack("takes over far away", pb.MsgApp, func(h *simHost, m *pb.Message) { plus(1000)(h, m); forgedEntry(h, m) }),
		raftAttack(leadsNow, pb.MsgApp, forgedEntry),
		raftAttack("takes over with a snapshot", pb.MsgSnap, func(h *simHost, m *pb.Message) { plus(1)(h, m); forgedSnapshot(h, m, 1<<40) }),
		raftAttack("knows of a commit", pb.MsgHeartbeat, func(h *simHost, m *pb.Message) { plus(1)(h, m); m.Commit = new(uint64(1 << 40)) }),
		raftAttack("votes", pb.MsgVoteResp, plus(1<<30)),
		raftAttack("refuses a vote", pb.MsgPreVoteResp, func(h *simHost, m *pb.Message) { plus(1<<30)(h, m); m.Reject = new(true) }),
		raftAttack("acknowledges far away", pb.MsgAppResp, plus(1<<30)),
		raftAttack("acknowledges what was never sent", pb.MsgAppResp, func(_ *simHost, m *pb.Message) { m.Index = new(uint64(1 << 61)) }),
		raftAttack("answers a heartbeat far away", pb.MsgHeartbeatResp, plus(1<<30)),
		raftAttack("campaigns far away by order", pb.MsgVote, func(h *simHost, m *pb.Message) {
			plus(1<<30)(h, m)
			m.Context = []byte("CampaignTransfer")
			m.Index, m.LogTerm = new(uint64(1<<40)), new(uint64(1<<20))
		}),
		announceAttack("announces another record", kindAnswer, func(_ *simHost, from uint64, a *announcement) {
			a.index, a.leader = 1<<40, from
			a.record = Record{Version: Version{Epoch: 1 << 40, Revision: 1 << 40}, CommandID: "attacker", Value: []byte("attacker")}
		}, nil),
		announceAttack("announces that it was removed", kindAnswer, func(h *simHost, from uint64, a *announcement) {
			a.index, a.leader = a.index+1, from
			a.conf = &pb.ConfState{Voters: []uint64{from}, AutoLeave: new(false)}
			a.names = map[uint64]string{from: "px9"}
		}, nil),
		announceAttack(laterGeneration, kindAnswer, func(h *simHost, from uint64, a *announcement) {
			a.leader, a.record.Recovery = from, 7
			a.conf = &pb.ConfState{Voters: []uint64{from}, AutoLeave: new(false)}
			a.names = map[uint64]string{from: "px9"}
		}, func(*simHost) func(*envelope) {
			return func(env *envelope) { env.generation, env.origin = 7, 9 }
		}),
		{name: "offers a generation", kind: kindOffer, make: func(h *simHost, from uint64) []byte {
			o := offer{conf: &pb.ConfState{Voters: []uint64{from, h.core.Disk}}, machine: state.Machine{
				Names: map[uint64]string{from: "px9", h.core.Disk: h.name}, Record: Record{Version: Version{Recovery: 3}},
			}}
			return o.encode()
		}, edit: func(*simHost) func(*envelope) {
			return func(env *envelope) { env.generation, env.origin = 3, 9 }
		}},
		{name: "answers nothing that was asked", kind: kindReply, make: func(*simHost, uint64) []byte {
			r := reply{id: 5, verdict: verdictDone}
			return r.encode()
		}},
	}
	for _, term := range []uint64{math.MaxUint64, math.MaxUint64 - 1, 1 << 62, 1<<62 - 1, 1 << 40} {
		for _, typ := range []pb.MessageType{
			pb.MsgHeartbeat, pb.MsgApp, pb.MsgVote, pb.MsgPreVote, pb.MsgVoteResp, pb.MsgPreVoteResp, pb.MsgAppResp,
			pb.MsgHeartbeatResp, pb.MsgTimeoutNow,
		} {
			out = append(out, raftAttack(fmt.Sprintf("%s of term %x", typ, term), typ, at(term)))
		}
	}
	return out
}
