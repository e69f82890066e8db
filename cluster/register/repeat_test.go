package register

import (
	"math"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// One voter that goes on and on saying something that costs another one its
// disk, which nobody else says, is not believed: neither while the majority
// answers nor, where the word is about that majority, by itself.
func TestOneSenderThatRepeatsItselfIsNotBelieved(t *testing.T) {
	for _, a := range attacks() {
		if a.kind != kindAnswer && a.kind != kindAsk || a.name == "has promised more than anybody" {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			s := quietSim(t, 1, 3)
			if r := s.propose(s.hosts[0], "decision"); r == nil || r.Err != nil {
				t.Fatalf("%+v", r)
			}
			lead := s.leader()
			var liar, h *simHost
			for _, o := range s.hosts {
				switch {
				case o == lead:
				case liar == nil:
					liar = o
				default:
					h = o
				}
			}
			disks := map[*simHost]uint64{lead: lead.core.Disk, h: h.core.Disk}
			if a.name == laterGeneration {
				// To all of them it is an operator's recovery at that member.
				delete(disks, lead)
			}
			for began := s.now; s.now-began < 20*time.Second; {
				for victim, disk := range disks {
					if victim.core.Disk != disk || victim.core.Cluster == 0 {
						t.Fatalf("%s after %s: it has given up its disk", victim.name, s.now-began)
					}
					var edit func(*envelope)
					if a.edit != nil {
						edit = a.edit(victim)
					}
					victim.receive(forged(victim, liar.core.Disk, true, a.kind, a.make(victim, liar.core.Disk), edit))
				}
				s.run(s.now+150*time.Millisecond, nil)
			}
			for victim := range disks {
				if r, _ := victim.core.known(); r.CommandID != "decision" {
					t.Errorf("%s knows %s by %q", victim.name, r.Version, r.CommandID)
				}
			}
			s.untilWorks(t, 3*time.Second)
			if r := s.propose(h, "after"); r == nil || r.Err != nil {
				t.Errorf("a command afterwards: %+v", r)
			}
		})
	}
}

// Numbers near the end of their range are garbage, whoever sends them: one more
// would be none, and raft would stop the process.
func TestNumbersAtTheEndOfTheirRange(t *testing.T) {
	for _, n := range []uint64{largest, math.MaxUint64} {
		for _, edit := range []func(m *pb.Message){
			func(m *pb.Message) { m.Term = new(n) },
			func(m *pb.Message) { m.Index = new(n) },
			func(m *pb.Message) { m.LogTerm = new(n) },
			func(m *pb.Message) { m.Commit = new(n) },
		} {
			m := &pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(3))}
			edit(m)
			if checkRaft(m, &envelope{from: 1, to: 2}) {
				t.Errorf("taken: %v", m)
			}
		}
	}
}
