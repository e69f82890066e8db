package register

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// remove runs a removal on h and returns its answer, nil after 5 s without one.
func (s *sim) remove(h *simHost, name string) *Result {
	s.nextReq++
	req := s.nextReq
	var got *Result
	s.answered = func(r Result) {
		if r.ID == req {
			got = &r
		}
	}
	h.do(h.life, func() { h.core.Remove(h.clock(), req, name) })
	s.run(s.now+5*time.Second, func() bool { return got != nil })
	s.answered = nil
	return got
}

func voterNames(h *simHost) []string {
	conf, names := h.core.knownConf()
	var out []string
	for _, id := range conf.GetVoters() {
		out = append(out, names[id])
	}
	slices.Sort(out)
	return out
}

// A voter that is dead is removed through any member, once or twice; one that is
// alive is not. What was removed is a voter again, with a new disk, when it comes
// back all the same.
func TestRemoveADeadVoter(t *testing.T) {
	for _, through := range []string{"px0", "px1"} {
		s := quietSim(t, 1, 3)
		h, dead := s.host(through), s.hosts[2]
		if r := s.remove(h, "px2"); r == nil || !errors.Is(r.Err, ErrAlive) {
			t.Fatalf("a living voter: %+v", r)
		}
		old := dead.core.Disk
		dead.crash()
		if r := s.remove(h, "px2"); r != nil && !errors.Is(r.Err, ErrAlive) {
			t.Fatalf("one that the gossip still shows: %+v", r)
		}
		s.run(s.now+3*time.Second, nil)
		began := s.now
		for range 2 {
			if r := s.remove(h, "px2"); r == nil || r.Err != nil {
				t.Fatalf("a dead voter: %+v", r)
			}
		}
		t.Logf("through %s: removed within %s", through, s.now-began)
		if got := voterNames(s.leader()); !slices.Equal(got, []string{"px0", "px1"}) {
			t.Fatalf("voters %v", got)
		}
		if r := s.propose(h, "with two"); r == nil || r.Err != nil {
			t.Errorf("a command with two voters: %+v", r)
		}
		dead.start()
		s.run(s.now+20*time.Second, func() bool { return len(voterNames(h)) == 3 && s.works() })
		if got := voterNames(h); len(got) != 3 || dead.core.Disk == old {
			t.Errorf("it came back: voters %v, disk %x, before %x", got, dead.core.Disk, old)
		}
	}
}

// Without a majority nothing is removed, and nothing is answered.
func TestRemoveWithoutAMajority(t *testing.T) {
	s := quietSim(t, 1, 3)
	s.hosts[1].crash()
	s.hosts[2].crash()
	s.run(s.now+3*time.Second, nil)
	if r := s.remove(s.hosts[0], "px1"); r != nil {
		t.Errorf("answered %+v", r)
	}
	if got := voterNames(s.hosts[0]); len(got) != 3 {
		t.Errorf("voters %v", got)
	}
}

// Remove is refused for a name that the gossip shows and for a disk that answers,
// each without the other.
func TestRemoveIsRefusedForTheLiving(t *testing.T) {
	t.Run("the gossip shows it", func(t *testing.T) {
		s, leader, _, b := three(t, 1)
		s.drop = func(from, to *simHost, _ *envelope) bool { return from == b || to == b }
		s.run(s.now+5*time.Second, nil)
		if r := s.remove(leader, b.name); r == nil || !errors.Is(r.Err, ErrAlive) {
			t.Errorf("%+v", r)
		}
	})
	t.Run("its disk answers", func(t *testing.T) {
		s, leader, _, b := three(t, 1)
		b.hidden = true
		s.run(s.now+3*time.Second, nil)
		if r := s.remove(leader, b.name); r == nil || !errors.Is(r.Err, ErrAlive) {
			t.Errorf("%+v", r)
		}
	})
}
