package register

import (
	"slices"
	"testing"
	"time"
)

// quietSim is a running cluster on a network without faults.
func quietSim(t *testing.T, seed int64, voters int) *sim {
	t.Helper()
	s := newSim(simOptions{seed: seed, voters: voters})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts {
		h.start()
	}
	s.run(3*time.Second, nil)
	if s.problem != nil || s.leader() == nil {
		t.Fatalf("no leader after 3 s: %v", s.problem)
	}
	return s
}

func (s *sim) leader() *simHost {
	i := slices.IndexFunc(s.hosts, func(h *simHost) bool { return !h.down && !h.paused && h.core.leading })
	if i < 0 {
		return nil
	}
	return s.hosts[i]
}

// A leader that dies, hangs or is cut off costs less than a second; one that is
// cut off stops leading within about that time, and then says that it is stale.
func TestElectionTimes(t *testing.T) {
	for _, how := range []string{"dies", "hangs", "is cut off", "is not heard", "hears nobody"} {
		var worst, worstDown time.Duration
		for seed := int64(1); seed <= 40; seed++ {
			voters := 3 + 2*int(seed%2)
			s := quietSim(t, seed, voters)
			old := s.leader()
			began := s.now
			for _, o := range s.hosts {
				if how == "is cut off" || how == "is not heard" {
					s.cut[[2]string{old.name, o.name}] = true
				}
				if how == "is cut off" || how == "hears nobody" {
					s.cut[[2]string{o.name, old.name}] = true
				}
			}
			switch how {
			case "dies":
				old.crash()
			case "hangs":
				old.paused, old.pausedAt = true, s.now
			}
			var another, down time.Duration
			s.run(began+5*time.Second, func() bool {
				if down == 0 && !old.core.leading {
					down = s.now - began
				}
				if another == 0 && slices.ContainsFunc(s.hosts, func(h *simHost) bool { return h != old && h.core.leading }) {
					another = s.now - began
				}
				return another > 0 && (down > 0 || how == "dies" || how == "hangs" || how == "is not heard")
			})
			worst, worstDown = max(worst, another), max(worstDown, down)
			s.run(began+2500*time.Millisecond, nil)
			if how == "is cut off" && old.core.Status(old.clock()).Fresh {
				t.Errorf("seed %d: the old leader is fresh after 2.5 s of being cut off", seed)
			}
			if s.problem != nil {
				t.Fatal(s.problem)
			}
		}
		t.Logf("a leader that %s: another after at most %s; it stops leading after at most %s", how, worst, worstDown)
		// The one that hears nobody keeps the others from electing until it has noticed.
		limit := time.Second
		if how == "hears nobody" {
			limit = 2 * time.Second
		}
		if worst == 0 || worst > limit || worstDown > 1100*time.Millisecond {
			t.Errorf("a leader that %s: another only after %s, it stops leading after %s", how, worst, worstDown)
		}
	}
}

// A follower knows of a commit as soon as a message can tell it.
func TestCommitReachesFollowersAtOnce(t *testing.T) {
	s := quietSim(t, 1, 3)
	id := uint64(1 << 40)
	leader := s.leader()
	leader.do(leader.life, func() { leader.core.Propose(leader.clock(), id, Command{ID: "c", Value: []byte("v")}) })
	began := s.now
	s.run(began+time.Second, func() bool {
		return !slices.ContainsFunc(s.hosts, func(h *simHost) bool { return h.core.Machine.Record.Revision != 1 })
	})
	if took := s.now - began; took > 30*time.Millisecond {
		t.Errorf("everybody knew after %s: that waited for a heartbeat", took)
	}
}

// At rest nothing is written, and the state file stays small.
func TestAtRest(t *testing.T) {
	s := quietSim(t, 1, 3)
	for i := range 200 {
		h := s.hosts[i%3]
		r, _ := h.core.known()
		h.do(h.life, func() {
			h.core.Propose(h.clock(), uint64(1<<40+i), Command{
				ID: string(rune('a'+i%26)) + time.Duration(i).String(), Expect: r.Version, NewEpoch: true, Value: make([]byte, 700),
			})
		})
		s.run(s.now+400*time.Millisecond, nil)
	}
	s.run(s.now+3*time.Second, nil)
	writes := func() (n uint64) {
		for _, h := range s.hosts {
			n += h.core.counters.Writes
		}
		return n
	}
	before := writes()
	s.run(s.now+time.Minute, nil)
	if n := writes() - before; n != 0 {
		t.Errorf("%d writes in a minute at rest", n)
	}
	for _, h := range s.hosts {
		if h.core.Machine.Record.Revision != 200 {
			t.Errorf("%s is at %s", h.name, h.core.Machine.Record.Version)
		}
		if n := len(h.disk.data); n > 12<<10 {
			t.Errorf("the state file of %s has %d bytes", h.name, n)
		}
	}
}
