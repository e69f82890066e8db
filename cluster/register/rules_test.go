package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// Scenarios that chance plays too rarely: each is the case that one rule of
// DESIGN.md is there for. mutants_test.go says which.

// A recovery that was not needed is offered to a voter whose majority works. It
// does not take it, and what its majority decided meanwhile stays.
func TestOfferIsNotTakenInTouchWithTheMajority(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	// Its register alone hears nothing; the gossip still shows everybody.
	s.drop = func(from, to *simHost, _ *envelope) bool { return from == b || to == b }
	s.run(s.now+4*time.Second, nil)
	s.decide(t, leader, "second")
	if !s.recover(b, []string{a.name, b.name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+time.Second, nil)
	s.drop = nil
	s.run(s.now+3*time.Second, nil)
	if g := a.scope(); g.generation != 0 {
		t.Errorf("%s has taken the offer of generation %d", a.name, g.generation)
	}
	s.untilWorks(t, 40*time.Second)
	if r := s.leader().core.Machine.Record; r.CommandID != "second" || r.Recovery != 0 {
		t.Errorf("the record is %s by %q", r.Version, r.CommandID)
	}
}

// raftKind is the type of the raft message that an envelope carries.
func raftKind(env *envelope) pb.MessageType {
	m := &pb.Message{}
	if env.kind != kindRaft || proto.Unmarshal(env.payload, m) != nil {
		return pb.MsgHup // no other member sends it
	}
	return m.GetType()
}

// A follower writes a change of the voters down when the leader's snapshot comes,
// which holds a later one. The older change must not be applied on top.
func TestSnapshotDuringTheWriteOfAChange(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts[:3] {
		h.start()
	}
	s.run(3*time.Second, nil)
	leader := s.leader()
	f, joins := s.hosts[2], s.hosts[3]
	if leader == nil || leader == f {
		t.Fatal("px2 must not lead")
	}
	// f gets the entry that admits px3, confirms it, and then hears nothing.
	joins.start()
	has := func() bool {
		for _, e := range f.core.Log.Tail {
			if isConfChange(e) && e.GetIndex() > f.core.Log.Applied.Index {
				return true
			}
		}
		return false
	}
	s.run(s.now+5*time.Second, has)
	if !has() {
		t.Fatal("no change reached px2")
	}
	s.drop = func(from, to *simHost, _ *envelope) bool { return to == f }
	for i := 0; i < 30 && (i < 8 || !voters.Has(leader.core.Log.Conf, joins.core.Disk)); i++ {
		s.decide(t, leader, time.Duration(i).String())
		s.run(s.now+100*time.Millisecond, nil)
	}
	if !voters.Has(leader.core.Log.Conf, joins.core.Disk) || !has() {
		t.Fatal("px3 is no voter, or px2 knows")
	}
	// Appends reach f, so it asks for what it lacks, but no heartbeat tells it
	// what is committed; the snapshot is held back.
	var snapshot []letter
	s.drop = func(from, to *simHost, env *envelope) bool {
		if to != f {
			return false
		}
		k := raftKind(env)
		if k == pb.MsgSnap {
			snapshot = append(snapshot, letter{from, to, env.encode()})
		}
		return k != pb.MsgApp
	}
	s.decide(t, leader, "shows px2 that it lacks something")
	s.run(s.now+2*time.Second, func() bool { return len(snapshot) > 0 })
	if len(snapshot) == 0 {
		t.Fatal("the leader sends no snapshot")
	}
	// Now a heartbeat: the change is committed, its write begins, and takes long.
	f.slowDisk = 300 * time.Millisecond
	s.drop = func(_, to *simHost, env *envelope) bool { return to == f && raftKind(env) == pb.MsgSnap }
	s.run(s.now+time.Second, func() bool { return f.core.writing })
	if !f.core.writing || !has() {
		t.Fatal("px2 does not write the change")
	}
	s.deliver(snapshot[0])
	s.run(s.now+time.Second, nil)
	s.drop, f.slowDisk = nil, 0
	s.untilWorks(t, 20*time.Second)
	s.run(s.now+5*time.Second, nil)
	for _, h := range s.hosts {
		if n := len(h.core.Log.Conf.GetVoters()); n != 4 || len(h.core.Log.Conf.GetLearners()) != 0 {
			t.Errorf("%s knows %d voters and %d learners, want 4 and 0", h.name, n, len(h.core.Log.Conf.GetLearners()))
		}
	}
	s.checkConf()
	if s.problem != nil {
		t.Error(s.problem)
	}
}

// A leader never sends a commit index beyond what the receiver has confirmed. raft
// would give up for good on one that is, so it does not reach raft.
func TestCommitIndexBeyondTheLog(t *testing.T) {
	s, leader, a, _ := three(t, 1)
	s.decide(t, leader, "first")
	env := leader.core.envelopeTo(a.core.Disk, kindRaft, nil)
	raftLie(env, &pb.Message{Type: pb.MsgHeartbeat.Enum(), Term: new(leader.core.term), Commit: new(leader.core.lastIndex() + 5)})
	a.do(a.life, func() { a.core.Step(a.clock(), env.encode()) })
	s.run(s.now+50*time.Millisecond, nil)
	if a.core.failed != nil {
		t.Error(a.core.failed)
	}
}
