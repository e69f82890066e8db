package register

import (
	"slices"
	"testing"
	"time"
)

// A disk that is admitted again gets the time to answer again; one that stays does not.
func TestADiskIsExpectedFromItsAdmission(t *testing.T) {
	m := newMembership([]uint64{1, 2}, time.Second)
	m.expect([]uint64{1}, 2*time.Second)
	m.expect([]uint64{1, 2}, 3*time.Second)
	if m.since[1] != time.Second || m.since[2] != 3*time.Second {
		t.Errorf("expected since %s and %s, want 1s and 3s", m.since[1], m.since[2])
	}
}

// Who leaves hears so when its disk is out, once, and is forgotten when it asks no more.
func TestWhoLeavesIsTold(t *testing.T) {
	m := newMembership([]uint64{1, 2, 3}, time.Second)
	m.planAt = time.Hour
	two, three := waiter{2, 7}, waiter{3, 8}
	m.leave(two, time.Second)
	m.leave(three, time.Second)
	if m.planAt != 0 {
		t.Error("the plan waits")
	}
	if told := m.left([]uint64{1, 2, 3}); len(told) > 0 {
		t.Errorf("%v are told before they are out", told)
	}
	if told := m.left([]uint64{1, 3}); !slices.Equal(told, []waiter{two}) {
		t.Errorf("%v are told, want %v", told, two)
	}
	m.forgetLeavers(time.Second + 4*retryAfter)
	if len(m.asked) != 1 {
		t.Error("who has just asked is forgotten")
	}
	m.forgetLeavers(time.Second + 4*retryAfter + 1)
	if told := m.left(nil); len(told) > 0 || len(m.asked) > 0 {
		t.Errorf("%v are told, and ask no more", told)
	}
}

// A removal ends with its verdict, for all who asked; those who ask no more are
// forgotten, and hear only that the name is alive.
func TestRemovalsEnd(t *testing.T) {
	a, b := waiter{1, 1}, waiter{2, 2}
	for _, c := range []struct {
		verdict verdict
		after   time.Duration
		told    []waiter
		open    int
	}{
		{0, 4 * retryAfter, nil, 1},
		{0, 4*retryAfter + 1, nil, 0},
		{verdictDone, 4 * retryAfter, []waiter{a, b}, 0},
		{verdictDone, 4*retryAfter + 1, nil, 0},
		{verdictAlive, 4*retryAfter + 1, []waiter{a, b}, 0},
	} {
		m := newMembership(nil, 0)
		m.remove("px2", a, 0)
		m.remove("px2", b, time.Second)
		m.remove("px2", b, time.Second)
		told := m.removed("px2", c.verdict, time.Second+c.after)
		if !slices.Equal(told, c.told) || len(m.removals) != c.open {
			t.Errorf("verdict %d after %s: %v are told, %d open; want %v, %d", c.verdict, c.after, told, len(m.removals), c.told, c.open)
		}
	}
}
