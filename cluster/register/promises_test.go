package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// Whatever a voter says about its term, its vote and its log is on its disk before
// it is said. That includes what raft's asynchronous mode would let go earlier: a
// leader's entries and a candidate's requests.
func TestNothingIsSaidBeforeItIsWritten(t *testing.T) {
	said := map[pb.MessageType]int{}
	for seed := int64(1); seed <= 20; seed++ {
		s := newSim(simOptions{seed: seed, voters: 3})
		s.loss, s.dup, s.slow = 0, 0, 0
		s.drop = func(from, _ *simHost, env *envelope) bool {
			m := &pb.Message{}
			if env.kind != kindRaft || proto.Unmarshal(env.payload, m) != nil {
				return false
			}
			im, err := state.DecodeImage(mustOpen(t, from.disk.simFile))
			if err != nil || im.Log == nil {
				t.Fatalf("%s says %s with %v on its disk", from.name, m.GetType(), err)
			}
			said[m.GetType()]++
			term, vote, last := im.Log.Hard.GetTerm(), im.Log.Hard.GetVote(), im.Log.Last().Index
			wrong := m.GetTerm() > term
			switch m.GetType() {
			case pb.MsgPreVote, pb.MsgPreVoteResp:
				wrong = false // of the term after
			case pb.MsgApp:
				wrong = wrong || m.GetIndex()+uint64(len(m.GetEntries())) > last
			case pb.MsgAppResp:
				wrong = wrong || !m.GetReject() && m.GetIndex() > last
			case pb.MsgVote:
				wrong = wrong || m.GetIndex() > last || vote != from.core.Disk
			case pb.MsgVoteResp:
				wrong = wrong || !m.GetReject() && vote != m.GetTo()
			}
			if wrong {
				t.Errorf("seed %d: %s says %s, its disk holds term %d, vote %x and entry %d: %v", seed, from.name, m.GetType(), term, vote, last, m)
			}
			return false
		}
		for _, h := range s.hosts {
			h.start()
		}
		s.run(3*time.Second, nil)
		leader := s.leader()
		s.decide(t, leader, "first")
		leader.crash()
		s.run(s.now+2*time.Second, nil)
		s.decide(t, s.leader(), "second")
		if t.Failed() {
			return
		}
	}
	for _, k := range []pb.MessageType{pb.MsgApp, pb.MsgAppResp, pb.MsgVote, pb.MsgVoteResp} {
		if said[k] < 20 {
			t.Errorf("%s was said %d times only", k, said[k])
		}
	}
}

// Of two voters one leaves. It forgets its disk when it hears that it is out; so
// the other one has written that down before: alone it could never commit it again.
func TestChangeOfVotersIsWrittenBeforeItIsTold(t *testing.T) {
	s := quietSim(t, 1, 2)
	leader := s.leader()
	other := s.hosts[0]
	if other == leader {
		other = s.hosts[1]
	}
	disk := other.core.Disk
	other.do(other.life, func() { other.core.Leave(other.clock(), 1<<50) })
	s.run(s.now+5*time.Second, func() bool { return other.core.Disk != disk })
	if other.core.Disk == disk {
		t.Fatal("it has not left")
	}
	leader.flight = nil
	leader.crash()
	other.crash()
	leader.start()
	s.run(s.now+5*time.Second, nil)
	if st := leader.core.Status(leader.clock()); !st.Fresh {
		t.Errorf("the one that stayed cannot go on: %s", st.Reason)
	}
}

// Voters that are started together do not campaign together for ever: each draws a
// little chance, at most a tenth of a step.
func TestPatienceHasSomeChance(t *testing.T) {
	s, leader, a, b := three(t, 1)
	leader.crash()
	b.crash()
	drawn := map[time.Duration]bool{}
	s.run(s.now+20*time.Second, func() bool {
		drawn[a.core.jitter] = true
		return false
	})
	if len(drawn) < 5 {
		t.Errorf("%d different ones", len(drawn))
	}
	for d := range drawn {
		if d < 0 || d > patienceStep/10 {
			t.Errorf("%s of chance", d)
		}
	}
}

// A command costs a voter one write before it is known to be committed; that it is
// goes to the disk a second later, once for all of them.
func TestCommitIndexIsWrittenLazily(t *testing.T) {
	s, leader, a, _ := three(t, 1)
	s.run(s.now+3*time.Second, nil)
	before := a.core.counters.Writes
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		s.decide(t, leader, id)
		s.run(s.now+50*time.Millisecond, nil)
	}
	if n := a.core.counters.Writes - before; n != 5 {
		t.Errorf("%d writes for 5 commands", n)
	}
	s.run(s.now+3*time.Second, nil)
	if n := a.core.counters.Writes - before; n != 6 {
		t.Errorf("%d writes 3 s after 5 commands, want one more", n)
	}
	im, err := state.DecodeImage(mustOpen(t, a.disk.simFile))
	if err != nil || im.Log.Applied != a.core.Log.Applied {
		t.Errorf("the disk has applied %v, the core %v (%v)", im.Log.Applied, a.core.Log.Applied, err)
	}
}
