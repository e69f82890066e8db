package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// A disk was restored to a time at which it was the only voter. It waits to be told so, says that it has heard no
// majority, and goes on answering. A newcomer that has met it first is not kept by it: it follows the voter that works.
func TestWhoHasHeardNoMajorityKeepsNobody(t *testing.T) {
	for _, restored := range []string{"has heard no majority", "says that it works"} {
		s := quietSim(t, 1, 1)
		works := s.hosts[0]
		s.decide(t, works, "decision")
		n := &simHost{s: s, name: "px7", down: true}
		s.hosts = append(s.hosts, n)
		s.drop = func(_, to *simHost, _ *envelope) bool { return to == n }
		n.start()
		old := Member{Name: "px2", Disk: 777, Cluster: works.core.Cluster, Generation: works.core.Generation, Voter: true}
		a := announcement{
			index: 1, conf: &pb.ConfState{Voters: []uint64{old.Disk}, AutoLeave: new(false)}, names: map[uint64]string{old.Disk: old.Name},
			record: Record{Version: Version{Recovery: works.core.Generation}, CommandID: "long ago"},
		}
		answers := func(members ...Member) {
			n.do(n.life, func() { n.core.SetMembers(n.clock(), members) })
			n.receive(forged(n, old.Disk, true, kindAnswer, a.encode(), func(env *envelope) {
				env.scope = works.core.own()
				if restored == "has heard no majority" {
					env.age = never
				}
			}))
		}
		answers(old)
		if r, _ := n.core.known(); r.CommandID != "long ago" {
			t.Fatalf("it knows %q: not the case that is meant", r.CommandID)
		}
		s.drop = nil
		follows := func() bool { r, _ := n.core.known(); return r.CommandID == "decision" }
		for began := s.now; s.now-began < 2*viewFor && !follows(); {
			answers(old, works.core.Self())
			s.run(s.now+200*time.Millisecond, nil)
		}
		if want := restored == "has heard no majority"; follows() != want {
			t.Errorf("a disk that %s: the newcomer follows the voter that works: %t, want %t", restored, follows(), want)
		}
	}
}
