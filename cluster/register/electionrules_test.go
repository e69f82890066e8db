package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Voters campaign in the order of their names, then of their disks. Neither the leader
// that is silent nor who has no vote counts, and each of these comes after all others.
func TestRank(t *testing.T) {
	names := map[uint64]string{1: "px2", 2: "px0", 3: "px1", 4: "px1", 5: "px3"}
	conf := &pb.ConfState{Voters: []uint64{1, 2, 3}, VotersOutgoing: []uint64{1, 2, 4}, Learners: []uint64{5}}
	for _, c := range []struct{ self, silent, want uint64 }{
		{2, 0, 0}, {3, 0, 1}, {4, 0, 2}, {1, 0, 3}, {5, 0, 4},
		{3, 2, 0}, {4, 2, 1}, {1, 2, 2}, {2, 2, 3}, {5, 2, 3},
		{2, 9, 0}, {1, 9, 3},
	} {
		e := election{lastLead: c.silent}
		if got := e.rank(c.self, conf, names); got != int(c.want) {
			t.Errorf("disk %d after %d led: rank %d, want %d", c.self, c.silent, got, c.want)
		}
	}
}

// Each rank waits longer than the one before, whatever chance adds to that.
func TestEachRankWaitsLonger(t *testing.T) {
	var e election
	for rank := range 5 {
		e.drawJitter(uint64(patienceStep / 10))
		longest := e.wait(rank)
		e.drawJitter(uint64(patienceStep/10 + 1))
		if e.jitter != 0 || e.wait(rank+1) <= longest {
			t.Errorf("rank %d waits up to %s, the next one %s and up to %s more", rank, longest, e.wait(rank+1), e.jitter)
		}
	}
	if e.wait(0) <= lease {
		t.Error("the first one campaigns before the lease is over")
	}
}

// A leader is ticked once per heartbeat, and once alone after it was stopped.
func TestALeaderIsTickedOnceHoweverLate(t *testing.T) {
	e := election{lastTick: time.Second}
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{
		{heartbeat - 1, false}, {heartbeat + 30*time.Millisecond, true}, {2*heartbeat - 1, false}, {2 * heartbeat, true},
		{time.Minute, true}, {time.Minute + 1, false}, {time.Minute + heartbeat/2, true},
	} {
		if got := e.tick(time.Second + c.after); got != c.want {
			t.Errorf("after %s: %v", c.after, got)
		}
	}
}

// A leader that was not heard for the lease is silent; nobody is where there is none.
func TestALeaseEnds(t *testing.T) {
	e := election{lead: 2, leadHeard: time.Second}
	if e.silent(time.Second+lease-1) || !e.silent(time.Second+lease) {
		t.Errorf("the lease is not %s", lease)
	}
	if e.heard(2, 2*time.Second); e.silent(time.Second + lease) {
		t.Error("the leader is silent although it was heard")
	}
	if e.lead = 0; e.silent(time.Minute) {
		t.Error("nobody leads, and is silent")
	}
}

// A change of leaders is one only when it is another one that leads, and a campaign is
// noticed by a new term or a vote that was given.
func TestWhatIsNewInAnElection(t *testing.T) {
	e := election{term: 1}
	for _, c := range []struct {
		lead uint64
		want bool
	}{{2, true}, {2, false}, {3, true}, {2, true}} {
		if got := e.heard(c.lead, time.Second); got != c.want || e.lastLead != c.lead {
			t.Errorf("%d leads: %v", c.lead, got)
		}
	}
	for _, c := range []struct {
		term, vote uint64
		want       bool
	}{{1, 0, false}, {1, 2, true}, {1, 2, false}, {2, 2, true}, {2, 0, true}} {
		if got := e.noteTerm(c.term, c.vote); got != c.want {
			t.Errorf("term %d, vote for %d: %v", c.term, c.vote, got)
		}
	}
}
