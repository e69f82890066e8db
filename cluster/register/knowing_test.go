package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// A member that joins gets a snapshot that is older than what it has followed: it
// keeps what it knew until its log has caught up.
func TestJoiningWithAnOldSnapshot(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts[:3] {
		h.start()
	}
	s.run(3*time.Second, nil)
	leader, joins := s.leader(), s.hosts[3]
	s.decide(t, leader, "first")
	// What makes it a member is held back, and what the snapshot held is overtaken.
	var held []letter
	s.drop = func(from, to *simHost, env *envelope) bool {
		if to == joins && env.kind == kindRaft {
			held = append(held, letter{from, to, env.encode()})
			return true
		}
		return false
	}
	joins.start()
	s.run(s.now+2*time.Second, func() bool { return len(held) > 0 })
	if len(held) == 0 || joins.core.Cluster != 0 {
		t.Fatal("px3 is not being admitted")
	}
	old := snapshotFor(leader.core, joins.core.Disk)
	old.from, old.to = leader, joins
	s.decide(t, leader, "second")
	s.run(s.now+2*time.Second, nil)
	r, _ := joins.core.known()
	if r.CommandID != "second" {
		t.Fatalf("px3 follows %q", r.CommandID)
	}
	s.deliver(held[0])
	s.run(s.now+50*time.Millisecond, nil)
	if joins.core.Cluster == 0 {
		t.Fatal("px3 has not joined")
	}
	s.deliver(old) // it asks the voters whether it comes from their leader
	s.run(s.now+50*time.Millisecond, nil)
	s.deliver(old)
	s.run(s.now+50*time.Millisecond, nil)
	if joins.core.Machine.Record.CommandID != "first" {
		t.Fatalf("px3 has not taken the old snapshot, but %q", joins.core.Machine.Record.CommandID)
	}
	if k, ok := joins.core.known(); !ok || k.Compare(r.Version) < 0 {
		t.Errorf("px3 knew %s, now %s", r.Version, k.Version)
	}
	s.drop = nil
	s.untilWorks(t, 20*time.Second)
}

// snapshotFor is the snapshot that a leader would send to a disk now.
func snapshotFor(c *Core, disk uint64) letter {
	snap, err := c.Log.Snapshot()
	if err != nil {
		panic(err)
	}
	env := c.envelopeTo(disk, kindRaft, nil)
	raftLie(env, &pb.Message{Type: pb.MsgSnap.Enum(), Term: new(c.term), Snapshot: snap})
	return letter{data: env.encode()}
}

// After a write error a member votes again as after a start: it has asked nobody
// yet. What it followed meanwhile it still knows.
func TestComingBackFromAWriteErrorIsAStart(t *testing.T) {
	s, leader, _, b := three(t, 1)
	s.decide(t, leader, "first")
	s.run(s.now+100*time.Millisecond, nil)
	b.disk.fail = true
	s.decide(t, leader, "second")
	s.run(s.now+100*time.Millisecond, nil)
	if b.core.failed == nil {
		t.Fatal("no write has failed")
	}
	s.run(s.now+500*time.Millisecond, nil)
	r, _ := b.core.known()
	if r.CommandID != "second" {
		t.Fatalf("it follows %q", r.CommandID)
	}
	b.revive(b.life)
	if b.core.confirmed {
		t.Error("it votes before it has asked")
	}
	if k, _ := b.core.known(); k.Version != r.Version {
		t.Errorf("it knew %s, now %s", r.Version, k.Version)
	}
	s.untilWorks(t, 5*time.Second)
}

// A file that says of itself that it is another member's is not taken.
func TestAnotherMembersFile(t *testing.T) {
	im := state.Image{Name: "px1", Disk: 7}
	if _, err := NewCore(CoreConfig{Name: "px0", Body: im.Encode(), Random: func() uint64 { return 1 }}, 1); err == nil {
		t.Error("px0 has taken the file of px1")
	}
}
