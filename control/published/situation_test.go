package published

import (
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

func TestCounts(t *testing.T) {
	for _, c := range []struct {
		voter, live bool
		age         time.Duration
		want        bool
	}{
		{true, true, ViewWithin, true}, {true, false, 0, true}, {true, true, ViewWithin + 1, false},
		{false, true, FollowerViewWithin, true}, {false, false, 0, false}, {false, true, FollowerViewWithin + 1, false},
	} {
		if got := Counts(c.voter, c.live, c.age); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// at is a situation of px0 at epoch 5, heard of a majority 200 ms before.
func at(now time.Time) *Situation {
	view := &model.View{}
	return &Situation{
		At: now, Started: true, Member: "px0", Born: now.Add(-time.Hour), Own: view, Record: &model.Record{Active: "a"},
		Agreement: cluster.Agreement{
			Known: true, Fresh: true, FreshAge: 200 * time.Millisecond, Record: cluster.Record{Version: cluster.Version{Epoch: 5, Revision: 7}},
			Voters: []cluster.VoterInfo{{Name: "px0"}, {Name: "px1", Heard: 100 * time.Millisecond}, {Name: "px2", Heard: -1}},
		},
		Want:    mandate.Want{Version: cluster.Version{Epoch: 5, Revision: 6}, Since: now.Add(-time.Minute)},
		Heard:   []Heard{{Member: "px1", Voter: true, Live: true, View: view}, {Member: "px2", Voter: true, Age: time.Second}},
		Members: []cluster.Member{{Name: "px0"}, {Name: "w", Witness: true, Reads: 2}, {Name: "gone", State: cluster.MemberGone, Reads: 1}},
	}
}

// What was known is told with its age, and nothing that is stored changes by that.
func TestSituationAsOf(t *testing.T) {
	now := time.Unix(1000, 0)
	s := at(now)
	if s.AsOf(now) != s || s.AsOf(now.Add(-time.Second)) != s {
		t.Error("of this moment, and another one")
	}
	later := s.AsOf(now.Add(300 * time.Millisecond))
	ag := &later.Agreement
	if !later.At.Equal(now.Add(300*time.Millisecond)) || later.OwnAge != 300*time.Millisecond || ag.FreshAge != 500*time.Millisecond || !ag.Fresh ||
		ag.Voters[0].Heard != 0 || ag.Voters[1].Heard != 400*time.Millisecond || ag.Voters[2].Heard != -1 || later.Heard[1].Age != 1300*time.Millisecond {
		t.Errorf("%+v", later)
	}
	if s.Agreement.Voters[1].Heard != 100*time.Millisecond || s.Heard[1].Age != time.Second || s.OwnAge != 0 {
		t.Errorf("a situation that was published has changed: %+v", s)
	}
	if old := s.AsOf(now.Add(cluster.FreshFor)).Agreement; old.Fresh || old.Reason == "" {
		t.Errorf("heard of long ago, and fresh: %+v", old)
	}
	s.Agreement.FreshAge = -1 // never heard
	if ag := s.AsOf(now.Add(time.Hour)).Agreement; ag.FreshAge != -1 {
		t.Errorf("never heard, and %v ago", ag.FreshAge)
	}
}

// Only views that are recent count, this member's own as the others.
func TestVoices(t *testing.T) {
	now := time.Unix(1000, 0)
	for after, want := range map[time.Duration][]string{0: {"px1", "px0"}, ViewWithin: {"px1", "px0"}, ViewWithin + 1: nil} {
		var got []string
		for _, v := range at(now).AsOf(now.Add(after)).Voices() {
			got = append(got, v.Member)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
}

// The input of a decision is the situation's, with every age as of its moment.
func TestInput(t *testing.T) {
	now := time.Unix(1000, 0)
	in := at(now).Input()
	if in.Epoch != 5 || in.MoveAge != time.Minute || in.Ages.Stayed != time.Minute || len(in.Voters) != 3 || len(in.Voices) != 2 ||
		!slices.Equal(in.Witnesses, []string{"w"}) || in.Silence["px0"] != time.Hour || in.Silence["px1"] != 0 || in.Silence["px2"] != time.Second {
		t.Errorf("%+v", in)
	}
	other := at(now)
	other.Want.Version.Epoch = 4 // the mandate has not heard of it yet
	if in := other.Input(); in.MoveAge != 0 {
		t.Errorf("known for %v before it was heard of", in.MoveAge)
	}
	if got := Readers(at(now).Members); !slices.Equal(got, []decide.Reader{{Member: "px0"}, {Member: "w", Reads: 2}}) {
		t.Errorf("readers %+v", got)
	}
}

// An order is of the revision that it is proposed as.
func TestNoted(t *testing.T) {
	s := at(time.Unix(1000, 0))
	rec := Noted(&model.Record{Lowest: 2}, model.Order{Kind: model.OrderFreeze}, &s.Agreement)
	if o := rec.Orders[0]; o.Revision != 8 || o.Kind != model.OrderFreeze {
		t.Errorf("%+v", o)
	}
}
