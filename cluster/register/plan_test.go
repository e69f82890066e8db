package register

import (
	"errors"
	"testing"
	"time"
)

// A voter beyond the maximum goes, a dead one first, and never the leader.
func TestPlanChangeShrinks(t *testing.T) {
	six := []string{"px0/1", "px1/2", "px2/3", "px3/4", "px4/5", "px5/6"}
	in := planWorld(six, nil, six, nil)
	if got := describeStep(planChange(in)); got != "remove 6, px5 is one voter too many" {
		t.Error(got)
	}
	in = planWorld([]string{"px0/1", "px1/2", "px2/3?", "px3/4", "px4/5", "px5/6"}, nil, six, nil)
	if got := describeStep(planChange(in)); got != "remove 3, px2 is one voter too many" {
		t.Error(got)
	}
}

// Neither is a voter replaced before it has been silent for a minute, nor a member
// that is being admitted made one before it has caught up, nor waited for beyond
// ten seconds of silence.
func TestPlanChangeIsPatient(t *testing.T) {
	seen := []string{"px0/1", "px1/2", "px3/4"}
	in := planWorld([]string{"px0/1", "px1/2", "px2/3!"}, nil, seen, nil)
	in.max = 3
	if got := describeStep(planChange(in)); got != "nothing to change" {
		t.Errorf("after 10 s: %s", got)
	}
	in.silent[3] = in.timing.DeadAfter + time.Second
	if got := planChange(in); len(got.changes) != 1 || got.names[4] != "px3" {
		t.Errorf("after a minute: %s", describeStep(got))
	}
	in = planWorld([]string{"px0/1", "px1/2"}, []string{"px3/4"}, seen, nil)
	if got := planChange(in); len(got.changes) != 1 {
		t.Errorf("a learner that has caught up: %s", describeStep(got))
	}
	in.caughtUp[4] = false
	if got := describeStep(planChange(in)); got != "waiting for px3 to catch up" {
		t.Errorf("a learner that has not caught up: %s", got)
	}
	in.silent[4], in.unheard = in.timing.LearnerPatience-time.Second, []uint64{4}
	if got := planChange(in); len(got.changes) != 0 {
		t.Errorf("a learner after 9 s: %s", describeStep(got))
	}
	in.silent[4] = in.timing.LearnerPatience + time.Second
	if got := describeStep(planChange(in)); got != "remove 4, giving up the admission of px3: it is silent" {
		t.Errorf("a learner after 11 s: %s", got)
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
