package register

import (
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// A leader has answered a command and is gone for good with another voter. The one
// that is left has it in its log and was never told that it is committed: a
// recovery keeps it.
func TestRecoveryKeepsTheTailOfTheLog(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	s.run(s.now+100*time.Millisecond, nil)
	last := a.core.lastIndex()
	s.drop = func(from, to *simHost, _ *envelope) bool {
		return from == leader && (to == b || a.core.lastIndex() > last)
	}
	s.decide(t, leader, "answered")
	leader.crash()
	b.crash()
	leader.disk, b.disk = simDisk{}, simDisk{}
	s.drop = nil
	if a.core.Machine.Record.CommandID != "first" {
		t.Fatal("a knows that it is committed: not the case that is meant")
	}
	s.run(s.now+5*time.Second, nil)
	if !s.recover(a, []string{a.name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+2*time.Second, nil)
	if r, _ := a.core.known(); r.CommandID != "answered" || r.Recovery != 1 {
		t.Errorf("after the recovery the record is %s by %q", r.Version, r.CommandID)
	}
}

// A member whose disk failed has followed the others meanwhile, and votes with its disk again when they are gone. A
// recovery there begins with what it knows, not with what is on its disk.
func TestRecoveryKeepsWhatWasFollowed(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	s.run(s.now+2*time.Second, nil)
	b.do(b.life, func() {
		b.core.startWrite("", func() {})
		b.core.Take()
		b.core.Written(b.clock(), b.core.writeSeq, errors.New("input/output error"))
	})
	s.decide(t, leader, "second")
	s.run(s.now+time.Second, nil)
	leader.crash()
	a.crash()
	leader.disk, a.disk = simDisk{}, simDisk{}
	b.revive(b.life)
	if r := b.core.Machine.Record; b.core.failed != nil || r.CommandID != "first" {
		t.Fatalf("failed %v, its disk knows %q: not the case that is meant", b.core.failed, r.CommandID)
	}
	s.run(s.now+5*time.Second, nil)
	if !s.recover(b, []string{b.name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+2*time.Second, nil)
	if r, _ := b.core.known(); r.CommandID != "second" || r.Recovery != 1 {
		t.Errorf("after the recovery the record is %s by %q", r.Version, r.CommandID)
	}
}

// What a recovery refuses, beside what TestRecoverAndInitForceRefuseWhatIsUnclear has.
func TestRecoveryRefuses(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	s.run(s.now+100*time.Millisecond, nil)
	try := func(members []Member, names ...string) error {
		if members != nil {
			a.core.SetMembers(a.clock(), members)
		}
		return a.core.Recover(a.clock(), names)
	}
	if err := try(nil, a.name); !errors.Is(err, ErrMajorityAlive) {
		t.Errorf("while the majority answers: %v", err)
	}
	leader.crash()
	b.crash()
	s.run(s.now+5*time.Second, nil)
	live := func(change func(m *Member)) []Member {
		m := Member{Name: leader.name, Disk: 77, Cluster: a.core.Cluster, Willing: true}
		change(&m)
		return []Member{m}
	}
	six := []Member{}
	names := []string{a.name}
	for _, n := range []string{"qx1", "qx2", "qx3", "qx4", "qx5"} {
		six = append(six, Member{Name: n, Disk: 100 + uint64(len(six)), Willing: true})
		names = append(names, n)
	}
	for _, c := range []struct {
		what    string
		members []Member
		names   []string
		want    error
	}{
		{"with a member that knows more", live(func(m *Member) { m.Version = Version{Epoch: 9, Revision: 9} }), []string{a.name, leader.name}, ErrBehind},
		{"with a member of another cluster", live(func(m *Member) { m.Cluster++ }), []string{a.name, leader.name}, ErrUnknownVoter},
		{"without itself", live(func(*Member) {}), []string{leader.name}, ErrUnknownVoter},
		{"with six", six, names, ErrUnknownVoter},
		{"with one that is not there", live(func(*Member) {}), []string{a.name, "px9"}, ErrUnknownVoter},
	} {
		if err := try(c.members, c.names...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

// An offer of no later generation, or of another cluster, is not taken by a voter
// that is out of touch with its majority.
func TestOffersThatAreNeverTaken(t *testing.T) {
	s, leader, a, b := three(t, 1)
	leader.crash()
	b.crash()
	s.run(s.now+4*time.Second, nil)
	if !s.recover(a, []string{a.name}) {
		t.Fatal("no recovery")
	}
	b.start()
	s.run(s.now+20*time.Second, nil)
	if b.scope() != a.scope() || !voters.Has(a.core.Log.Conf, b.core.Disk) {
		t.Fatal("the other one is not admitted")
	}
	s.drop = func(_, to *simHost, _ *envelope) bool { return to == b }
	s.run(s.now+5*time.Second, nil)
	is := b.scope()
	o := offer{conf: &pb.ConfState{Voters: []uint64{a.core.Disk, b.core.Disk}, AutoLeave: new(false)}, machine: state.Machine{
		Names: map[uint64]string{a.core.Disk: a.name, b.core.Disk: b.name},
	}}
	for what, sc := range map[string]scope{
		"of an older generation":      {is.cluster, 0, 5},
		"of another recovery":         {is.cluster, is.generation, is.origin + 1},
		"of another cluster":          {is.cluster + 1, 0, 5},
		"of another cluster, a later": {is.cluster + 1, is.generation + 1, 5},
	} {
		o.machine.Record.Recovery = sc.generation
		env := envelope{kind: kindOffer, scope: scope{sc.cluster, sc.generation, sc.origin}, from: a.core.Disk, to: b.core.Disk,
			echo: b.core.contacts.stampFor(a.core.Disk, b.core.now), payload: o.encode()}
		s.deliver(letter{from: a, to: b, data: env.encode()})
		s.run(s.now+100*time.Millisecond, nil)
		if b.scope() != is {
			t.Fatalf("an offer %s was taken", what)
		}
	}
}

// Followers do not believe a recovery that nobody has followed, while the majority
// that was there before answers them; and never go back.
func TestFollowersBelieveTheMajority(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 5, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts {
		h.start()
	}
	s.run(5*time.Second, nil)
	leader, f := s.leader(), s.hosts[5]
	b := s.hosts[4]
	if leader == b || f.core.Cluster != 0 {
		t.Fatal("px4 must not lead, px5 must follow")
	}
	s.decide(t, leader, "first")
	s.run(s.now+2*time.Second, nil)
	// An announcement of now, delivered when it is old.
	old := letter{from: leader, to: f, data: leader.core.Announcement(leader.clock())}
	s.decide(t, leader, "second")
	s.run(s.now+2*time.Second, nil)
	s.deliver(old)
	if r, _ := f.core.known(); r.CommandID != "second" {
		t.Errorf("an old announcement has brought back %q", r.CommandID)
	}
	// Another cluster's is not believed either.
	a := leader.core.announce()
	env := envelope{kind: kindAnnounce, scope: scope{cluster: 99, origin: 1}, from: leader.core.Disk, age: never, payload: a.encode()}
	s.deliver(letter{from: leader, to: f, data: env.encode()})
	if sc := f.scope(); sc.cluster == 99 {
		t.Error("it follows another cluster at once")
	}
	s.drop = func(from, to *simHost, _ *envelope) bool { return from == b && to != f || to == b && from != f }
	s.run(s.now+4*time.Second, nil)
	if !s.recover(b, []string{b.name, s.hosts[0].name, s.hosts[1].name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+time.Second, nil)
	if b.core.Generation != 1 {
		t.Fatal("px4 is not in its own generation")
	}
	s.deliver(letter{from: b, to: f, data: b.core.Announcement(b.clock())})
	s.run(s.now+6*time.Second, func() bool { return f.scope().generation != 0 })
	if f.scope().generation != 0 {
		t.Error("the follower believes a recovery that nobody has followed")
	}
}

// Who meets a later generation that works does not give itself up at the first
// answer: for more than five seconds an operator can see the conflict.
func TestEarlierGenerationIsNotGivenUpAtOnce(t *testing.T) {
	s, leader, a, b := three(t, 1)
	leader.crash()
	a.crash()
	s.run(s.now+5*time.Second, nil)
	if !s.recover(b, []string{b.name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+5*time.Second, nil)
	leader.start()
	a.start()
	disks := [2]uint64{leader.core.Disk, a.core.Disk}
	s.run(s.now+10*time.Second, func() bool { return leader.core.conflict != "" || a.core.conflict != "" })
	if leader.core.conflict == "" && a.core.conflict == "" {
		t.Fatal("no conflict was reported")
	}
	s.run(s.now+4500*time.Millisecond, nil)
	if disks != [2]uint64{leader.core.Disk, a.core.Disk} {
		t.Error("a disk was given up within five seconds")
	}
	s.untilWorks(t, 30*time.Second)
	if leader.core.Disk == disks[0] || a.core.Disk == disks[1] {
		t.Error("the disks of the earlier generation are still used")
	}
}

// Of two recoveries with one number the later one has lost its majority, and the
// other one works: who is left of the later one leaves for it.
func TestRecoveryWithoutALeaderIsLeft(t *testing.T) {
	tried := 0
	for seed := int64(1); seed <= 20 && tried < 2; seed++ {
		s := quietSim(t, seed, 3)
		px0, px1, px2 := s.hosts[0], s.hosts[1], s.hosts[2]
		for _, h := range s.hosts[:2] {
			h.crash()
			h.disk = simDisk{}
			h.start()
		}
		s.run(s.now+4*time.Second, nil)
		// The registers of the two sides do not hear each other.
		s.drop = func(from, to *simHost, _ *envelope) bool { return from == px2 || to == px2 }
		if !s.recover(px0, []string{px0.name, px1.name}) || !s.recover(px2, []string{px2.name}) {
			t.Fatalf("seed %d: no recovery", seed)
		}
		s.run(s.now+3*time.Second, nil)
		s.decide(t, px0, "of px0 and px1")
		s.run(s.now+100*time.Millisecond, nil)
		if px0.scope().origin < px2.scope().origin {
			continue // then px2's is the later one
		}
		tried++
		px1.crash()
		s.drop = nil
		s.run(s.now+20*time.Second, func() bool { return px0.scope() == px2.scope() })
		if px0.scope() != px2.scope() || !px2.core.leading {
			t.Errorf("seed %d: px0 stays where nobody leads: %s", seed, s.describe())
		}
	}
	if tried == 0 {
		t.Error("no seed made the recovery that loses its majority the later one")
	}
}

// A disk that was admitted and never got anything gives itself up when the leader
// is gone: it is of no use to anybody as what it is.
func TestAdmissionThatWasNeverFinished(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 1, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	leader, joins := s.hosts[0], s.hosts[1]
	leader.start()
	s.run(3*time.Second, nil)
	s.drop = func(from, to *simHost, env *envelope) bool {
		return from == joins && env.kind == kindRaft || to == joins && raftKind(env) == pb.MsgSnap
	}
	joins.start()
	s.run(s.now+5*time.Second, func() bool { return joins.core.Cluster != 0 })
	disk := joins.core.Disk
	if joins.core.Cluster == 0 || len(joins.core.Log.Conf.GetVoters()) > 0 {
		t.Fatal("px1 has not joined, or more than that")
	}
	leader.crash()
	s.drop = nil
	s.run(s.now+15*time.Second, nil)
	if joins.core.Disk == disk || joins.core.Cluster != 0 {
		t.Error("it keeps a disk that is good for nothing")
	}
}
