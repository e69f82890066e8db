package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// Whom a voter has followed without having voted for it is written down as its
// vote: after a start it follows it at once, with nobody there to ask.
func TestTheLeaderThatIsFollowedIsWrittenDown(t *testing.T) {
	s := quietSim(t, 1, 3)
	h, old := s.hosts[2], s.leader()
	if h == old {
		h = s.hosts[1]
	}
	h.crash()
	s.run(s.now+time.Second, nil)
	old.crash()
	old.start()
	s.run(s.now+5*time.Second, nil)
	h.start()
	s.run(s.now+3*time.Second, nil)
	lead := s.leader()
	if lead == nil || h.core.lead != lead.core.Disk {
		t.Fatalf("%s follows nobody: %s", h.name, s.describe())
	}
	if h.core.vote != 0 {
		t.Fatal("it has voted in this term, which proves nothing")
	}
	if got := h.core.Log.Hard.GetVote(); got != lead.core.Disk {
		t.Errorf("its file says that it voted for %x, want %x", got, lead.core.Disk)
	}
}

// What comes in a voter's name in a term in which it does not lead yet is not handled when it leads it: somebody else
// may have said it.
func TestWhatWasSaidBeforeSomebodyLedIsLost(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	s.run(s.now+time.Second, nil)
	last := b.core.Log.Last()
	m := &pb.Message{Type: pb.MsgApp.Enum(), Term: new(b.core.term + 1), Index: new(last.Index), LogTerm: new(last.Term)}
	forgedEntry(b, m)
	m.From, m.To = new(a.core.Disk), new(b.core.Disk)
	term := b.core.term + 1
	// b gives nobody its vote, so that it must ask who leads.
	s.drop = func(from, to *simHost, env *envelope) bool {
		r := &pb.Message{}
		vote := env.kind == kindRaft && proto.Unmarshal(env.payload, r) == nil && (r.GetType() == pb.MsgVote || r.GetType() == pb.MsgApp)
		return to == b && vote
	}
	b.receive(forged(b, a.core.Disk, true, kindRaft, raftPayload(m), nil))
	leader.do(leader.life, func() {
		leader.core.node.TransferLeader(a.core.Disk)
		leader.core.pump()
	})
	s.run(s.now+time.Second, func() bool { return b.core.lead == a.core.Disk })
	if !a.core.leading || a.core.term != term || b.core.lead != a.core.Disk || b.core.term != term {
		t.Fatalf("%s does not lead %s in term %d: not the case that is meant: %s", a.name, b.name, term, s.describe())
	}
	for _, e := range b.core.Log.Tail {
		if c, err := state.DecodeCommand(e.GetData()); err == nil && c.ID == "attacker" {
			t.Error("an entry that the leader has not sent is in the log")
		}
	}
	s.drop = nil
	s.untilWorks(t, 3*time.Second)
}

// Who goes on saying that it leads, and whom nobody names, is never followed.
func TestWhoGoesOnClaimingToLeadIsNotFollowed(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	term := b.core.term + 1
	for range 50 {
		m := &pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(a.core.Disk), To: new(b.core.Disk), Term: new(term)}
		b.receive(forged(b, a.core.Disk, true, kindRaft, raftPayload(m), nil))
		s.run(s.now+60*time.Millisecond, nil)
		if b.core.lead == a.core.Disk || b.core.term >= term {
			t.Fatalf("%s follows %s in term %d", b.name, a.name, b.core.term)
		}
	}
	s.untilWorks(t, 3*time.Second)
}

// A leader that is followed still cannot leap: a snapshot far beyond what
// anybody else has is held.
func TestASnapshotThatLeapsIsHeld(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[2]
	if h == s.leader() {
		h = s.hosts[1]
	}
	c, lead := h.core, s.leader().core
	for _, index := range []uint64{1 << 21, 1 << 60} {
		m := &pb.Message{Type: pb.MsgSnap.Enum(), From: new(lead.Disk), To: new(c.Disk), Term: new(c.term)}
		forgedSnapshot(h, m, index)
		h.receive(forged(h, lead.Disk, true, kindRaft, raftPayload(m), nil))
		s.run(s.now+time.Second, nil)
		if c.lastIndex() >= index || c.Machine.Record.CommandID == "attacker" {
			t.Fatalf("it has taken a snapshot of index %x", index)
		}
	}
	s.untilWorks(t, 3*time.Second)
}

// A count of promises that leaps is not noted: with it, the disk would be taken
// for one that has forgotten.
func TestACountThatLeapsIsNotNoted(t *testing.T) {
	s := quietSim(t, 1, 3)
	lead := s.leader()
	for _, h := range s.hosts {
		if h == lead {
			continue
		}
		before := lead.core.Seen[h.core.Disk]
		if before == 0 {
			t.Fatal("the leader knows nothing of its promises")
		}
		lead.receive(forged(lead, h.core.Disk, true, kindAsk, []byte{0, 0, 0}, func(env *envelope) { env.promises = before + 2*countLeap }))
		if got := lead.core.Seen[h.core.Disk]; got != before {
			t.Errorf("noted %d after %d", got, before)
		}
	}
}

// One that says it is the majority of a later generation of three is not: not
// even for a voter whose own majority is gone.
func TestALaterGenerationNeedsItsOwnMajority(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[2]
	disk, liar := h.core.Disk, s.hosts[0].core.Disk
	s.hosts[0].crash()
	s.hosts[1].crash()
	a := h.core.announce()
	a.leader, a.record.Recovery = liar, 1
	a.conf = &pb.ConfState{Voters: []uint64{liar, 77, 78}, AutoLeave: new(false)}
	a.names = map[uint64]string{liar: "px0", 77: "px1", 78: "px5"}
	for range 100 {
		h.receive(forged(h, liar, true, kindAnswer, a.encode(), func(env *envelope) { env.generation, env.origin = 1, 9 }))
		s.run(s.now+200*time.Millisecond, nil)
		if h.core.Disk != disk {
			t.Fatalf("%s has given up its disk on one word of three", h.name)
		}
	}
}

// An empty disk joins whom a majority of the voters names as the leader, and
// nobody else who says that it leads.
func TestAnEmptyDiskJoinsTheLeaderAlone(t *testing.T) {
	s, f := followerSim(t)
	c := f.core
	v := c.view
	for _, proof := range []bool{false, true} {
		for _, h := range s.hosts[:5] {
			from := h.core.Disk
			if proof == (from == v.leader) {
				continue
			}
			m := &pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(from), To: new(c.Disk), Term: new(uint64(50))}
			f.receive(forged(f, from, proof, kindRaft, raftPayload(m), func(env *envelope) {
				env.scope = v.scope
			}))
			if c.Cluster != 0 {
				t.Fatalf("it joins %s, proved %v", h.name, proof)
			}
		}
	}
}

// Whoever can send packets can send them under all names: it is the proof that
// makes a majority of them worth something.
func TestAMajorityOfNamesIsNoMajority(t *testing.T) {
	for _, broken := range []bool{false, true} {
		s := newSim(simOptions{seed: 1, voters: 3, hooks: hooks{believeAnybody: broken}})
		s.loss, s.dup, s.slow = 0, 0, 0
		for _, h := range s.hosts {
			h.start()
		}
		s.run(3*time.Second, nil)
		h := s.hosts[0]
		c, disk := h.core, h.core.Disk
		for range 2 {
			for _, o := range s.hosts[1:] {
				a := c.announce()
				h.receive(forged(h, o.core.Disk, false, kindAnswer, a.encode(), func(env *envelope) { env.seen = c.Promises + 1 }))
			}
		}
		s.run(s.now+time.Second, nil)
		if gone := h.core.Disk != disk; gone != broken {
			t.Errorf("with the rule broken %v: the disk is given up %v", broken, gone)
		}
	}
}
