package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// says makes a follower hear from a voter, proved, what it announces.
func (h *simHost) says(from uint64, a *announcement, edit func(env *envelope)) {
	v := h.core.view
	h.receive(forged(h, from, true, kindAnswer, a.encode(), func(env *envelope) {
		env.scope = v.scope
		if edit != nil {
			edit(env)
		}
	}))
}

// deaf lets nothing reach h but what a test makes it receive.
func (s *sim) deaf(h *simHost) {
	s.drop = func(_, to *simHost, _ *envelope) bool { return to == h }
}

// All voters say at once what they knew before: a follower keeps what came after.
func TestWhatAFollowerKnowsNeverGoesBack(t *testing.T) {
	s, f := followerSim(t)
	old := f.core.view.announcement
	s.decide(t, s.hosts[0], "second")
	s.run(s.now+2*time.Second, nil)
	s.deaf(f)
	s.run(s.now+5*time.Second, nil)
	for _, h := range s.hosts[:5] {
		f.says(h.core.Disk, &old, nil)
		if r, _ := f.core.known(); r.CommandID != "second" {
			t.Fatalf("it knew the second decision, and now %q", r.CommandID)
		}
	}
}

// A recovery at one voter is not followed while the majority answers, nor is one
// that its own majority has not followed when nobody does.
func TestAFollowerBelievesNoRecoveryThatNobodyHasFollowed(t *testing.T) {
	s, f := followerSim(t)
	liar, two, three := s.hosts[1].core.Disk, s.hosts[2].core.Disk, s.hosts[3].core.Disk
	later := func(env *envelope) { env.generation, env.origin = 1, 9 }
	a := f.core.view.announcement
	a.record.Recovery, a.leader = 1, liar
	a.conf = &pb.ConfState{Voters: []uint64{liar}, AutoLeave: new(false)}
	f.says(liar, &a, later)
	if f.scope().generation != 0 {
		t.Error("it follows a recovery of one, in touch with the majority")
	}
	s.deaf(f)
	s.run(s.now+5*time.Second, nil)
	a.conf = &pb.ConfState{Voters: []uint64{liar, two, three}, AutoLeave: new(false)}
	f.says(liar, &a, later)
	if f.scope().generation != 0 {
		t.Error("it follows a recovery that one of three has followed")
	}
}

// One voter that does not lead may say that all is well: a majority must.
func TestAFollowerIsNotFreshOnOneWord(t *testing.T) {
	s, f := followerSim(t)
	s.deaf(f)
	s.run(s.now+3*time.Second, nil)
	v := f.core.view
	said := 0
	for _, h := range s.hosts[:5] {
		if h.core.Disk == v.leader {
			continue
		}
		f.says(h.core.Disk, &v.announcement, nil)
		if said++; f.core.Status(f.clock()).Fresh != (said > 2) {
			t.Fatalf("%d of 5 voters say that all is well: fresh %v", said, said <= 2)
		}
	}
}

// A follower that the leader alone cannot reach stays fresh by the others.
func TestAFollowerIsFreshWithoutTheLeader(t *testing.T) {
	s, f := followerSim(t)
	lead := s.leader()
	s.drop = func(from, to *simHost, _ *envelope) bool { return from == lead && to == f }
	for until := s.now + 10*time.Second; s.now < until; {
		s.run(s.now+50*time.Millisecond, nil)
		if st := f.core.Status(f.clock()); !st.Fresh {
			t.Fatalf("%s old: %s", st.FreshAge, st.Reason)
		}
	}
}

// Not even the leader is believed about what leaps.
func TestALeaderThatLeapsIsNotBelieved(t *testing.T) {
	s, f := followerSim(t)
	v := f.core.view
	for _, edit := range []func(a *announcement){
		func(a *announcement) { a.index += countLeap },
		func(a *announcement) { a.record.Epoch += countLeap },
		func(a *announcement) { a.record.Revision += countLeap },
	} {
		a := v.announcement
		a.index, a.record.CommandID = a.index+1, "attacker"
		a.record.Revision++
		edit(&a)
		f.says(v.leader, &a, nil)
		if r, _ := f.core.known(); r.CommandID != "decision" {
			t.Fatalf("it believes %s by %q", r.Version, r.CommandID)
		}
	}
	s.untilWorks(t, time.Second)
}

// Who knows nothing and sees one voter alone believes it. It takes that neither
// for fresh nor for somebody to be asked for anything, and does not stay fooled.
func TestWhatOneVoterTellsANewcomerIsCorrected(t *testing.T) {
	for _, conf := range []string{"three", "one"} {
		s := quietSim(t, 1, 3)
		s.decide(t, s.hosts[0], "decision")
		n := &simHost{s: s, name: "px7", down: true}
		s.hosts = append(s.hosts, n)
		s.drop = func(_, to *simHost, _ *envelope) bool { return to == n }
		liar := s.hosts[1].core
		n.start()
		a := liar.announce()
		a.leader, a.index = liar.Disk, 1<<40
		a.record = Record{Version: Version{Epoch: 1 << 40, Revision: 1 << 40}, CommandID: "attacker"}
		if conf == "one" {
			a.conf, a.names = &pb.ConfState{Voters: []uint64{liar.Disk}, AutoLeave: new(false)}, map[uint64]string{liar.Disk: "px1"}
		}
		n.do(n.life, func() { n.core.SetMembers(n.clock(), []Member{liar.Self()}) })
		n.receive(forged(n, liar.Disk, true, kindAnswer, a.encode(), func(env *envelope) {
			env.cluster, env.generation, env.origin = liar.Cluster, liar.Generation, liar.Origin
		}))
		if r, _ := n.core.known(); r.CommandID != "attacker" {
			t.Fatalf("of %s: it knows %q", conf, r.CommandID)
		}
		if st := n.core.Status(n.clock()); conf == "three" && (st.Fresh || n.core.leader() != 0) {
			t.Errorf("of %s: fresh %v, leader %q on one word", conf, st.Fresh, st.Leader)
		}
		s.drop = nil
		s.run(s.now+6*time.Second, nil)
		if r, _ := n.core.known(); r.CommandID != "decision" {
			t.Errorf("of %s: it stays fooled: %s by %q", conf, r.Version, r.CommandID)
		}
		s.untilWorks(t, 10*time.Second)
	}
}

// What a voter has promised reaches another one by the leader, if the two do not
// hear each other, and by itself, if that one does not hear the leader.
func TestPromisesSpreadBothWays(t *testing.T) {
	for _, lost := range []string{"b to a", "the leader to a"} {
		s, leader, a, b := three(t, 1)
		s.run(s.now+time.Second, nil)
		from := b
		if lost != "b to a" {
			from = leader
		}
		s.drop = func(f, to *simHost, _ *envelope) bool { return f == from && to == a }
		s.decide(t, leader, "one more promise")
		s.run(s.now+250*time.Millisecond, nil)
		if got, want := a.core.Seen[b.core.Disk], b.core.durable; got != want {
			t.Errorf("lost from %s: a knows of %d promises of b, want %d", lost, got, want)
		}
	}
}

// suspended is a cluster of three of which one says that b has forgotten
// something, and the third does not run.
func suspended(t *testing.T) (s *sim, witness, b *simHost) {
	t.Helper()
	s, leader, a, b := three(t, 1)
	a.crash()
	leader.core.Seen[b.core.Disk] = b.core.Promises + 1
	s.run(s.now+5*time.Second, nil)
	if b.core.doubt == nil || b.core.lead == 0 {
		t.Fatalf("not suspended with a leader: %s", b.core.Status(b.clock()).Reason)
	}
	return s, leader, b
}

// What ends a suspension where too few are left is a recovery: the leader that
// was followed when it began does not stand against it.
func TestWhoIsSuspendedCanRecover(t *testing.T) {
	s, witness, b := suspended(t)
	witness.crash()
	s.run(s.now+6*time.Second, nil)
	if !s.recover(b, []string{b.name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+3*time.Second, nil)
	if st := b.core.Status(b.clock()); !st.Fresh {
		t.Error(st.Reason)
	}
}

// A voter that one sender has suspended takes nothing for fresh, but that is no
// majority that is gone: it does not follow that one's recovery.
func TestWhoIsSuspendedTakesNoOffer(t *testing.T) {
	s, witness, b := suspended(t)
	s.run(s.now+3*time.Second, nil)
	from := witness.core.Disk
	o := offer{conf: &pb.ConfState{Voters: []uint64{from, b.core.Disk}, AutoLeave: new(false)}, machine: state.Machine{
		Names: map[uint64]string{from: witness.name, b.core.Disk: b.name}, Record: Record{Version: Version{Recovery: 1}},
	}}
	b.receive(forged(b, from, true, kindOffer, o.encode(), func(env *envelope) { env.generation, env.origin = 1, 5 }))
	if b.core.Generation != 0 {
		t.Error("it has followed the recovery")
	}
}

// Nothing that comes under a voter's name without a proof changes what is echoed
// to that voter, and it is asked about it once in a while, not each time.
func TestNamesWithoutAProof(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[0]
	from := s.hosts[1].core.Disk
	before := h.core.contacts.disks[from].stamp
	asked := 0
	s.drop = func(f, _ *simHost, env *envelope) bool {
		if f == h && env.kind == kindAsk {
			asked++
		}
		return false
	}
	for range 100 {
		h.receive(forged(h, from, false, kindAsk, []byte{0, 0, 0}, nil))
	}
	if h.core.contacts.disks[from].stamp != before {
		t.Error("another stamp is echoed")
	}
	if asked != 1 {
		t.Errorf("asked %d times at once", asked)
	}
}

// The lead is taken over at the word of the leader alone, a vote given to who is
// in the configuration.
func TestWhoMayOrderACampaign(t *testing.T) {
	s, leader, a, b := three(t, 1)
	c := b.core
	campaigns, term := c.counters.Campaigns, c.term
	b.receive(forged(b, a.core.Disk, true, kindRaft, raftPayload(&pb.Message{
		Type: pb.MsgTimeoutNow.Enum(), From: new(a.core.Disk), To: new(c.Disk), Term: new(c.term),
	}), nil))
	last := c.Log.Last()
	b.receive(forged(b, 77, true, kindRaft, raftPayload(&pb.Message{
		Type: pb.MsgVote.Enum(), From: new(uint64(77)), To: new(c.Disk), Term: new(c.term + 1), Index: new(last.Index + 1), LogTerm: new(last.Term),
		Context: []byte("CampaignTransfer"),
	}), nil))
	s.run(s.now+time.Second, nil)
	if c.counters.Campaigns != campaigns || c.term != term || s.leader() != leader {
		t.Errorf("%d campaigns, term %d after %d", c.counters.Campaigns-campaigns, c.term, term)
	}
}

// A reply counts from the disk that was asked.
func TestAReplyComesFromWhoWasAsked(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.drop = func(from, to *simHost, _ *envelope) bool { return from == leader && to == b }
	s.nextReq++
	b.do(b.life, func() { b.core.Propose(b.clock(), s.nextReq, Command{ID: "never", NewEpoch: true}) })
	for id := range b.core.requests.local {
		r := reply{id: id, verdict: verdictDone, record: Record{CommandID: "never"}}
		b.receive(forged(b, a.core.Disk, true, kindReply, r.encode(), nil))
		b.receive(forged(b, leader.core.Disk, false, kindReply, r.encode(), nil))
	}
	if len(b.core.requests.local) != 1 {
		t.Error("another disk's reply was taken")
	}
}

// One voter that says that another one was removed is not the majority of the
// three that it names, even if nobody else is there.
func TestARemovalNeedsAMajority(t *testing.T) {
	s := quietSim(t, 1, 3)
	h, liar := s.hosts[2], s.hosts[0].core.Disk
	disk := h.core.Disk
	s.hosts[0].crash()
	s.hosts[1].crash()
	a := h.core.announce()
	a.leader, a.index = liar, a.index+1
	a.conf = &pb.ConfState{Voters: []uint64{liar, 77, 78}, AutoLeave: new(false)}
	a.names = map[uint64]string{liar: "px0", 77: "px1", 78: "px5"}
	for range 60 {
		h.receive(forged(h, liar, true, kindAnswer, a.encode(), nil))
		if s.run(s.now+200*time.Millisecond, nil); h.core.Disk != disk {
			t.Fatal("the disk is given up")
		}
	}
}

// What is announced of another cluster is not followed while the own one answers.
func TestAFollowerStaysWithItsCluster(t *testing.T) {
	s, f := followerSim(t)
	own := f.scope()
	for _, h := range s.hosts[1:4] {
		a := f.core.view.announcement
		a.conf = &pb.ConfState{Voters: []uint64{h.core.Disk}, AutoLeave: new(false)}
		a.names = map[uint64]string{h.core.Disk: h.name}
		f.says(h.core.Disk, &a, func(env *envelope) { env.cluster++ })
		if f.scope() != own {
			t.Fatal("it follows another cluster")
		}
	}
}
