package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// One voter says that this disk has forgotten something, and of this disk's own voters too few are left to outvote it:
// the majority of those that came after them does.
func TestALaterMajorityOutvotesAWitness(t *testing.T) {
	for _, lie := range []bool{false, true} {
		s := quietSim(t, 1, 5)
		leader := s.leader()
		var rest []*simHost
		for _, h := range s.hosts {
			if h != leader {
				rest = append(rest, h)
			}
		}
		h, witness, lost := rest[0], rest[1], rest[2]
		s.drop = func(_, to *simHost, _ *envelope) bool { return to == h }
		lost.crash()
		lost.disk = simDisk{}
		lost.start()
		s.run(s.now+20*time.Second, func() bool { return voters.Has(leader.core.Log.Conf, lost.core.Disk) })
		if !voters.Has(leader.core.Log.Conf, lost.core.Disk) || voters.Has(h.core.Log.Conf, lost.core.Disk) {
			t.Fatal("the new disk is no voter, or h knows of it: not the case that is meant")
		}
		disk := h.core.Disk
		witness.core.Seen[disk] = h.core.Promises + 8
		s.drop = func(from, to *simHost, _ *envelope) bool { return to == h && from != witness }
		s.run(s.now+20*time.Second, func() bool { return h.core.doubt != nil })
		if h.core.doubt == nil {
			t.Fatal("it is not suspended: not the case that is meant")
		}
		if lie {
			for range 100 {
				s.run(s.now+100*time.Millisecond, nil)
				a := h.core.announce()
				a.index += 10
				a.conf = &pb.ConfState{Voters: []uint64{77, 78, disk}, AutoLeave: new(false)}
				a.names = map[uint64]string{77: "px7", 78: "px8", disk: h.name}
				for _, made := range []uint64{77, 78} {
					h.receive(forged(h, made, true, kindAnswer, a.encode(), nil))
				}
			}
		} else {
			s.drop = nil
			s.run(s.now+20*time.Second, nil)
		}
		switch suspended := h.core.doubt != nil || h.core.Disk != disk; {
		case lie && !suspended:
			t.Error("it goes on by the word of disks that it does not know")
		case !lie && suspended:
			t.Errorf("it is suspended, or has a new disk: %s", s.describe())
		case !lie && !h.core.Status(h.clock()).Fresh:
			t.Errorf("it does not work: %s", s.describe())
		}
	}
}
