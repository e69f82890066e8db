package register

import (
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// A leader that has been cut off and does not know it yet answers nothing: what
// it knows may have been overtaken. So every command goes through the log, and
// every read (of the simulation) asks the majority.
func TestLeaderAnswersNothingOnItsOwnKnowledge(t *testing.T) {
	for what, ask := range map[string]func(c *Core, now time.Duration){
		"a command that it would refuse": func(c *Core, now time.Duration) {
			c.Propose(now, 1<<50, Command{ID: "x", Expect: Version{Epoch: 7, Revision: 7}})
		},
		"a read": func(c *Core, now time.Duration) { c.Read(now, 1<<50) },
	} {
		s, leader, a, b := three(t, 1)
		s.decide(t, leader, "first")
		s.apart(leader, a, true)
		s.apart(leader, b, true)
		answers := 0
		s.answered = func(Result) { answers++ }
		leader.do(leader.life, func() { ask(leader.core, leader.clock()) })
		s.run(s.now+300*time.Millisecond, nil)
		if !leader.core.leading || answers > 0 {
			t.Errorf("%s: leading %v, %d answers", what, leader.core.leading, answers)
		}
	}
}

// A voter that hears the others but not the leader campaigns, and gets no vote as
// long as the others hear the leader: the leader stays, and so does its term, also
// when the voter hears it again.
func TestNobodyIsElectedWhileTheLeaderIsHeard(t *testing.T) {
	for seed := int64(1); seed <= 10; seed++ {
		s, leader, a, b := three(t, seed)
		term := leader.core.term
		s.cut[[2]string{leader.name, a.name}] = true
		s.run(s.now+20*time.Second, nil)
		clear(s.cut)
		s.run(s.now+time.Second, nil)
		if !leader.core.leading || leader.core.term != term || b.core.term != term {
			t.Errorf("seed %d: %s leads %v in term %d, %s is in %d, before it was %d", seed, leader.name, leader.core.leading, leader.core.term,
				b.name, b.core.term, term)
		}
		if a.core.counters.Campaigns < 10 {
			t.Fatalf("seed %d: %s has campaigned %d times: not the case that is meant", seed, a.name, a.core.counters.Campaigns)
		}
	}
}

// raft's own campaign clock, which cannot be seeded, never runs: of two voters
// that wait for a third to join, none becomes a candidate.
func TestOnlyLeadersAreTicked(t *testing.T) {
	abc := []string{"px0", "px1", "px2"}
	s := newSim(simOptions{seed: 1, voters: 3, expect: 3})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts {
		h.initial = abc
		h.start()
	}
	s.run(10*time.Second, func() bool { return s.hosts[0].core.node != nil })
	s.hosts[2].crash()
	s.run(s.now+20*time.Second, func() bool {
		return slices.ContainsFunc(s.hosts[:2], func(h *simHost) bool {
			return h.core.node != nil && h.core.node.BasicStatus().RaftState != 0
		})
	})
	for _, h := range s.hosts[:2] {
		if h.core.node == nil {
			t.Fatalf("%s has not joined", h.name)
		}
		if st := h.core.node.BasicStatus().RaftState; st != 0 {
			t.Errorf("%s is a %s", h.name, st)
		}
	}
}

// With the leader gone, the voters campaign one after the other, in the order of
// their names without it: the first gets its majority before the next begins.
func TestVotersCampaignInOrder(t *testing.T) {
	for seed := int64(1); seed <= 40; seed++ {
		s := quietSim(t, seed, 5)
		old := s.leader()
		before := make(map[*simHost]uint64)
		for _, h := range s.hosts {
			before[h] = h.core.counters.Campaigns
		}
		old.crash()
		s.run(s.now+time.Second, nil)
		var who []string
		for _, h := range s.hosts {
			if h != old && h.core.counters.Campaigns != before[h] {
				who = append(who, h.name)
			}
		}
		first := s.hosts[0]
		if first == old {
			first = s.hosts[1]
		}
		if s.leader() != first || !slices.Equal(who, []string{first.name}) {
			t.Errorf("seed %d: %s died, %v campaigned, want %s alone", seed, old.name, who, first.name)
		}
	}
}

// What a voter answered to this leader in an earlier term says nothing about now.
func TestAnswersOfAnotherTermMakeNothingFresh(t *testing.T) {
	for term, counts := range map[int]bool{0: true, -1: false} {
		s, leader, a, _ := three(t, 1)
		c := leader.core
		delete(c.fresh.heard, a.core.Disk)
		env := a.core.envelopeTo(c.Disk, kindRaft, nil)
		raftLie(env, &pb.Message{Type: pb.MsgHeartbeatResp.Enum(), Term: new(c.term + uint64(term))})
		c.Step(leader.clock(), env.encode())
		if _, heard := c.fresh.heard[a.core.Disk]; heard != counts || s.problem != nil {
			t.Errorf("an answer of its term and %d: heard %v, want %v", term, heard, counts)
		}
	}
}

// Who leaves is empty, on its disk, with a new id, when Leave returns; and that is
// when the leader says that it is out, not when it finds out by itself.
func TestLeaverKeepsNoDisk(t *testing.T) {
	s, _, a, _ := three(t, 1)
	disk, left := a.core.Disk, false
	s.answered = func(r Result) {
		left = true
		im, err := state.DecodeImage(mustOpen(t, a.disk.simFile))
		if r.Err != nil || err != nil || im.Disk == disk || im.Cluster != 0 || a.core.Disk != im.Disk {
			t.Errorf("Leave returns %v with disk %x of cluster %x in the file (%v); it was %x", r.Err, im.Disk, im.Cluster, err, disk)
		}
	}
	a.do(a.life, func() { a.core.Leave(a.clock(), 1<<50) })
	s.run(s.now+1500*time.Millisecond, func() bool { return left })
	if !left {
		t.Error("Leave has not returned within 1.5 s")
	}
}
