package decide

import (
	"strings"
	"testing"
	"time"
)

// What this member's own clock says counts, whatever times the record has.
func TestAges(t *testing.T) {
	leave := Policy{Leave: []string{"maintenance"}, LeaveTimeout: 5 * time.Second, MinStay: 30 * time.Second}
	serving := func() *Input { return class(input("hhh", "hhh", "hhh"), "maintenance") }
	dead := func() *Input { return input("hdh", "hdh", "hdh") }
	for _, tt := range []struct {
		name    string
		in      *Input
		policy  Policy
		decided time.Duration // the last decision, by the record, from now
		ages    Ages
		moves   []time.Time
		want    string
		reason  string
		left    int // automatic moves in what is proposed
	}{
		{name: "stayed for long enough, decided in the future", in: serving(), policy: leave, decided: time.Hour, ages: Ages{Stayed: time.Minute}, want: "pxc-0", left: 1},
		{name: "not so soon, decided long ago", in: serving(), policy: leave, decided: -time.Hour, ages: Ages{Stayed: 10 * time.Second}, want: "kept", reason: "20s more"},
		{
			name: "old by the record, recent here", in: dead(), policy: Policy{MaxAutoMoves: 2},
			moves: []time.Time{at.Add(-20 * time.Hour), at.Add(-10 * time.Hour)}, want: "frozen", left: 2,
		},
		{
			name: "recent by the record, old here", in: dead(), policy: Policy{MaxAutoMoves: 2},
			moves: []time.Time{at.Add(-time.Minute), at}, ages: Ages{Old: 1}, want: "pxc-0", left: 2,
		},
		{
			name: "old ones leave the record in a quiet turn", in: input("hhh", "hhh", "hhh"),
			moves: []time.Time{at, at}, ages: Ages{Old: 1}, want: "pruned", reason: "more than an hour old", left: 1,
		},
		{name: "not before a review is over", in: reviewing(input("hhh", "hhh", "hhh")), moves: []time.Time{at, at}, ages: Ages{Old: 1}, want: "kept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Policy, tt.in.Ages, tt.in.Record.AutoMoves = tt.policy, &tt.ages, tt.moves
			tt.in.Record.History[0].At = at.Add(tt.decided)
			out := Decide(tt.in)
			got := "kept"
			switch {
			case out.NewEpoch:
				got = out.Propose.Active
			case out.Propose != nil && out.Propose.Frozen:
				got = "frozen"
			case out.Propose != nil:
				got = "pruned"
			}
			if got != tt.want || !strings.Contains(out.Reason, tt.reason) {
				t.Errorf("got %s: %q, want %s: %q", got, out.Reason, tt.want, tt.reason)
			}
			if out.Propose != nil && len(out.Propose.AutoMoves) != tt.left {
				t.Errorf("%d automatic moves are left, want %d", len(out.Propose.AutoMoves), tt.left)
			}
			if len(tt.in.Record.AutoMoves) != len(tt.moves) {
				t.Error("the decision changed its input")
			}
		})
	}
}

func reviewing(in *Input) *Input {
	in.Review = true
	return in
}
