package register

import (
	"testing"
	"time"
)

// Of two voters one leaves and forgets its disk the moment it hears that it is
// out; the other one is stopped at that very moment, as when all pods of a
// StatefulSet are deleted. It must come back as the only voter and not wait for
// a disk that is no more.
func TestLastVoterKnowsThatItIsTheLastOne(t *testing.T) {
	for seed := int64(1); seed <= 40; seed++ {
		s := quietSim(t, seed, 2)
		stays := s.leader()
		leaves := s.hosts[0]
		if leaves == stays {
			leaves = s.hosts[1]
		}
		disk := leaves.core.Disk
		leaves.do(leaves.life, func() { leaves.core.Leave(leaves.clock(), 1) })
		s.run(s.now+10*time.Second, func() bool { return leaves.core.Disk != disk })
		if leaves.core.Disk == disk {
			t.Fatalf("seed %d: %s did not leave", seed, leaves.name)
		}
		stays.crash()
		leaves.crash()
		stays.start()
		leaves.start()
		s.untilWorks(t, 10*time.Second)
	}
}
