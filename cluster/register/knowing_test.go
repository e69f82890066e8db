package register

import (
	"os"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
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
	if len(held) == 0 || joins.core.cluster != 0 {
		t.Fatal("px3 is not being admitted")
	}
	old := snapshotFor(leader.core, joins.core.disk)
	old.from, old.to = leader, joins
	s.decide(t, leader, "second")
	s.run(s.now+2*time.Second, nil)
	r, _ := joins.core.known()
	if r.CommandID != "second" {
		t.Fatalf("px3 follows %q", r.CommandID)
	}
	s.deliver(held[0])
	s.run(s.now+50*time.Millisecond, nil)
	if joins.core.cluster == 0 {
		t.Fatal("px3 has not joined")
	}
	s.deliver(old) // it asks the voters whether it comes from their leader
	s.run(s.now+50*time.Millisecond, nil)
	s.deliver(old)
	s.run(s.now+50*time.Millisecond, nil)
	if joins.core.machine.record.CommandID != "first" {
		t.Fatalf("px3 has not taken the old snapshot, but %q", joins.core.machine.record.CommandID)
	}
	if k, ok := joins.core.known(); !ok || k.Compare(r.Version) < 0 {
		t.Errorf("px3 knew %s, now %s", r.Version, k.Version)
	}
	s.drop = nil
	s.untilWorks(t, 20*time.Second)
}

// snapshotFor is the snapshot that a leader would send to a disk now.
func snapshotFor(c *Core, disk uint64) letter {
	snap, err := c.log.Snapshot()
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

// What is read after a write error may be in a cache alone, so it is written again.
func TestProbeWritesWhatItHasRead(t *testing.T) {
	d, err := openDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	im := image{name: "px0", disk: 7}
	if err := d.write(im.encode(), false); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(d.path())
	if err != nil {
		t.Fatal(err)
	}
	if body, lost, err := d.probe("px0"); body == nil || lost != "" || err != nil {
		t.Fatalf("%x, %q, %v", body, lost, err)
	}
	if after, err := os.Stat(d.path()); err != nil || os.SameFile(before, after) {
		t.Errorf("the file was not written again (%v)", err)
	}
}

// A file that says of itself that it is another member's is not taken.
func TestAnotherMembersFile(t *testing.T) {
	im := image{name: "px1", disk: 7}
	if _, err := NewCore(CoreConfig{Name: "px0", Body: im.encode(), Random: func() uint64 { return 1 }}, 1); err == nil {
		t.Error("px0 has taken the file of px1")
	}
}

// What ties a state file to its inode: another one means a copy, and where either
// is not known nothing is concluded.
func TestOpenFileTellsCopies(t *testing.T) {
	for _, c := range []struct {
		written, found uint64
		copied         bool
	}{{5, 5, false}, {5, 6, true}, {0, 6, false}, {5, 0, false}, {0, 0, false}} {
		if _, err := openFile(sealFile([]byte("body"), c.written), c.found); (err != nil) != c.copied {
			t.Errorf("written into %d, found in %d: %v", c.written, c.found, err)
		}
	}
	damaged := sealFile([]byte("body"), 5)
	damaged[len(damaged)-1] ^= 1
	if _, err := openFile(damaged, 5); err == nil {
		t.Error("a damaged file was taken")
	}
}
