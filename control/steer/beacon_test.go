package steer

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBeacon(t *testing.T) {
	start := time.Unix(1000, 0)
	type step struct {
		at                   time.Duration
		may, private, native bool
		want                 bool
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"comes on after two seconds of everything right", []step{
			{0, true, true, true, false}, {900 * time.Millisecond, true, true, true, false},
			{1800 * time.Millisecond, true, true, true, false}, {2 * time.Second, true, true, true, true},
		}},
		{"goes off at once without a majority, and comes back late", []step{
			{0, true, true, true, false}, {900 * time.Millisecond, true, true, true, false}, {1800 * time.Millisecond, true, true, true, false},
			{2 * time.Second, true, true, true, true}, {2100 * time.Millisecond, false, true, true, false},
			{2200 * time.Millisecond, true, true, true, false}, {3 * time.Second, true, true, true, false},
			{3900 * time.Millisecond, true, true, true, false}, {4200 * time.Millisecond, true, true, true, true},
		}},
		{"a wrong native table keeps it from coming on, not from staying on", []step{
			{0, true, true, true, false}, {900 * time.Millisecond, true, true, true, false}, {1800 * time.Millisecond, true, true, false, false},
			{2 * time.Second, true, true, true, false}, {2900 * time.Millisecond, true, true, true, false}, {3800 * time.Millisecond, true, true, true, false},
			{4 * time.Second, true, true, true, true}, {4100 * time.Millisecond, true, true, false, true},
		}},
		{"a private entry that is put right within a second keeps it on", []step{
			{0, true, true, true, false}, {900 * time.Millisecond, true, true, true, false}, {1800 * time.Millisecond, true, true, true, false},
			{2 * time.Second, true, true, true, true}, {2100 * time.Millisecond, true, false, true, true}, {2120 * time.Millisecond, true, true, true, true},
		}},
		{"a private entry that stays wrong ends it", []step{
			{0, true, true, true, false}, {900 * time.Millisecond, true, true, true, false}, {1800 * time.Millisecond, true, true, true, false},
			{2 * time.Second, true, true, true, true}, {2500 * time.Millisecond, true, false, true, true}, {3 * time.Second, true, false, true, false},
		}},
		{"a daemon that was stopped starts over", []step{
			{0, true, true, true, false}, {900 * time.Millisecond, true, true, true, false}, {1800 * time.Millisecond, true, true, true, false},
			{2 * time.Second, true, true, true, true}, {30 * time.Second, true, true, true, false},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := beacon{after: 2 * time.Second, within: time.Second}
			for i, s := range tt.steps {
				now := start.Add(s.at)
				b.note(now, s.may, s.private, s.native)
				if got := b.answer(now, s.may); got != s.want {
					t.Fatalf("step %d at %v: %v, want %v", i, s.at, got, s.want)
				}
			}
		})
	}
}

func TestBeaconIsOffWithoutATurn(t *testing.T) {
	b := beacon{after: 0, within: time.Second}
	now := time.Unix(1000, 0)
	b.note(now, true, true, true)
	if !b.answer(now.Add(999*time.Millisecond), true) {
		t.Error("off although verified 999 ms ago")
	}
	if b.answer(now.Add(time.Second), true) {
		t.Error("on although the loop did not turn for a second")
	}
	if b.answer(now, false) {
		t.Error("on although the majority was lost since the last turn")
	}
}

// The beacon is never on unless everything was right during the last two
// seconds when it came on, and the private table within the last second.
func TestBeaconProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := beacon{after: 2 * time.Second, within: time.Second}
		now := time.Unix(1000, 0)
		var lastGood, lastMay time.Time
		lastWrong := now
		wasOn := false
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 1500).Draw(t, "gap")) * time.Millisecond)
			may := rapid.IntRange(0, 9).Draw(t, "may") > 0
			private := rapid.IntRange(0, 9).Draw(t, "private") > 0
			native := rapid.IntRange(0, 9).Draw(t, "native") > 0
			b.note(now, may, private, native)
			if may && private {
				lastGood = now
			}
			if !may {
				lastMay = now
			}
			if !may || !private || !native {
				lastWrong = now
			}
			on := b.answer(now, may)
			switch {
			case on && lastMay.Equal(now):
				t.Fatal("on without may")
			case on && now.Sub(lastGood) >= time.Second:
				t.Fatal("on without a verification within a second")
			case on && !wasOn && now.Sub(lastWrong) < 2*time.Second:
				t.Fatalf("came on %v after something was wrong", now.Sub(lastWrong))
			}
			wasOn = on
		}
	})
}
