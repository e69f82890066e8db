package mandate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// scene is a mandate and the facts of its next step: those of px0, a voter of three
// whose leader is px1, in term 3; epoch 4 is pxc-1's.
type scene struct {
	Facts
	m   Mandate
	now time.Time
	// want and events are what came of the last step.
	want   Want
	events []Event
}

var start = time.Unix(1_000_000, 0)

func newScene(p Policy) *scene {
	p.Name = "px0"
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"})
	return &scene{
		m: New(p, start), now: start,
		Facts: Facts{
			Agreement: cluster.Agreement{
				Known: true, Fresh: true, Voting: true, Term: 3, Leader: "px1", Reason: "nobody answers",
				Record: cluster.Record{Version: cluster.Version{Epoch: 4, Revision: 9}},
			},
			Record: rec, Voters: []string{"px0", "px1", "px2"},
			Voices: []decide.Voice{{Member: "px0", View: view()}, {Member: "px1", View: view()}, {Member: "px2", View: view()}},
			Probes: []galera.NodeStatus{{Node: "pxc-0"}, {Node: "pxc-1", State: galera.State{Verdict: galera.Healthy, Class: galera.ClassSynced}}},
		},
	}
}

func view() *model.View {
	return &model.View{Agreed: true, Epoch: 4, Nodes: []model.NodeView{{Name: "pxc-1", Verdict: model.Healthy}}}
}

// says gives the word of a review to a member.
func (s *scene) says(member string, term, recovery, epoch uint64) {
	for i := range s.Voices {
		if s.Voices[i].Member == member {
			v := view()
			v.ReviewedTerm, v.Recovery, v.Epoch = term, recovery, epoch
			s.Voices[i].View = v
		}
	}
}

func (s *scene) opens() { s.says("px1", 3, 0, 4) }

func (s *scene) majority(age time.Duration) { s.Agreement.Fresh, s.Agreement.FreshAge = true, age }

func (s *scene) alone(age time.Duration) { s.Agreement.Fresh, s.Agreement.FreshAge = false, age }

// step takes the facts after a while.
func (s *scene) step(after time.Duration) {
	s.now = s.now.Add(after)
	s.want, s.events = s.m.Step(s.now, &s.Facts)
	s.Paused, s.Order = false, ""
}

// words says what came of a step, for the tables.
func (s *scene) words() string {
	w := s.want
	out := []string{w.Active}
	switch {
	case w.MayWrite && w.Local != "":
		out = append(out, "alone")
	case w.MayWrite:
		out = append(out, "writes")
	case strings.HasPrefix(w.Why, "waiting"):
		out = append(out, "waits")
	default:
		out = append(out, w.Why)
	}
	if w.Cut != "" {
		out = append(out, "cut")
	}
	if w.KeepFence {
		out = append(out, "keep")
	}
	for _, e := range s.events {
		switch e.Kind {
		case Closed:
			out = append(out, "closed")
		case Dropped:
			out = append(out, "dropped "+e.Node)
		}
	}
	return strings.TrimSpace(strings.Join(out, "; "))
}

// beat is one step of a table: what changes before it, and what comes of it.
type beat struct {
	after time.Duration
	do    func(*scene)
	want  string
}

const lost = "pxc-1; no majority: nobody answers"

func TestSteps(t *testing.T) {
	fence := Policy{FenceAfter: 3 * time.Second}
	same := func(*scene) {}
	for name, c := range map[string]struct {
		policy Policy
		beats  []beat
	}{
		"it waits for the leader's word after a start": {beats: []beat{
			{0, same, "pxc-1; waits"}, {time.Hour, same, "pxc-1; waits"}, {1, (*scene).opens, "pxc-1; writes"},
		}},
		"a new leader, a new decision and nobody's word close nothing": {beats: []beat{
			{0, (*scene).opens, "pxc-1; writes"},
			{1, func(s *scene) { s.Agreement.Leader, s.Agreement.Term = "px2", 4 }, "pxc-1; writes"},
			{1, func(s *scene) { s.Agreement.Record.Version = cluster.Version{Epoch: 5, Revision: 10} }, "pxc-1; writes"},
			{1, func(s *scene) { s.Agreement.Record.Version = cluster.Version{Recovery: 1, Epoch: 1} }, "pxc-1; writes"},
			{1, func(s *scene) { s.Voices = nil }, "pxc-1; writes"},
		}},
		"a lost majority closes, and the word has to be heard again after it": {beats: []beat{
			{0, (*scene).opens, "pxc-1; writes"},
			{1, func(s *scene) { s.alone(2 * time.Second) }, lost + "; closed"},
			{time.Second, same, lost},
			{100, func(s *scene) { s.majority(100); s.Voices = nil }, "pxc-1; waits"},
			{0, (func(s *scene) { s.Voices = []decide.Voice{{Member: "px1", View: view()}}; s.opens() }), "pxc-1; waits"}, // of the moment of the closing
			{0, func(s *scene) { s.majority(99) }, "pxc-1; writes"},
		}},
		"so does a pause of the process": {beats: []beat{
			{0, (*scene).opens, "pxc-1; writes"},
			{time.Minute, func(s *scene) { s.Paused = true }, "pxc-1; waits; closed"},
			{time.Second, func(s *scene) { s.majority(1300 * time.Millisecond) }, "pxc-1; waits"},
			{1, func(s *scene) { s.Paused = true }, "pxc-1; waits"},
			{1, func(s *scene) { s.majority(0) }, "pxc-1; writes"},
		}},
		"a lost record closes nothing, and wants nothing": {beats: []beat{
			{0, (*scene).opens, "pxc-1; writes"},
			{1, func(s *scene) { s.Record, s.Agreement.Reason = nil, "" }, "; nothing is decided yet"},
			{1, func(s *scene) { s.Agreement.Reason = "no record is known yet" }, "; no record is known yet"},
		}},
		"a record that cannot be understood is no reason to fence": {policy: fence, beats: []beat{
			{time.Hour, func(s *scene) { s.alone(-1); s.Unread, s.Order = errors.New("broken"), "pxc-2" }, "; broken"},
			{1, func(s *scene) { s.Unread = nil }, "pxc-2; alone"},
		}},
		"an order for this proxy alone, until a majority is there": {policy: fence, beats: []beat{
			{time.Hour, func(s *scene) { s.alone(-1) }, lost + "; cut; keep"},
			{0, func(s *scene) { s.Order = "pxc-2" }, "pxc-2; alone"},
			{time.Hour, same, "pxc-2; alone"},
			{0, func(s *scene) { s.Order = "pxc-0" }, "pxc-0; alone"},
			{1, func(s *scene) { s.majority(0) }, "pxc-1; waits; cut; dropped pxc-0"},
			{1, func(s *scene) { s.alone(0) }, lost + "; cut; keep"},
		}},
		"an order that a majority is there for is none": {beats: []beat{
			{0, func(s *scene) { s.Order = "pxc-2" }, "pxc-1; waits; dropped pxc-2"},
		}},
		"an order where nothing is decided": {beats: []beat{
			{0, func(s *scene) { s.alone(-1); s.Record, s.Order = nil, "pxc-2" }, "pxc-2; alone"},
		}},
		"one that observes takes no order and writes nothing": {policy: Policy{Observe: true}, beats: []beat{
			{0, func(s *scene) { s.alone(-1); s.Order = "pxc-2" }, lost},
			{1, func(s *scene) { s.majority(0); s.opens() }, "pxc-1; --observe: this daemon never writes"},
			{1, func(s *scene) { s.alone(0) }, lost + "; closed"},
		}},
		"cut off after a while without a majority, until it may write": {policy: fence, beats: []beat{
			{0, (*scene).opens, "pxc-1; writes"},
			{2999 * time.Millisecond, func(s *scene) { s.alone(-1) }, lost + "; keep; closed"}, // a leader that stepped down
			{time.Millisecond, same, lost + "; cut; keep"},
			{0, func(s *scene) { s.alone(100) }, lost + "; cut; keep"},
			{1, func(s *scene) { s.majority(0); s.says("px1", 0, 0, 4) }, "pxc-1; waits; cut"},
			{0, (*scene).opens, "pxc-1; writes"},
			{0, func(s *scene) { s.alone(0) }, lost + "; keep; closed"},
			{3 * time.Second, func(s *scene) { s.alone(-1); s.Record = nil }, "; nobody answers; cut; keep"},
		}},
		"cut off from the start on": {policy: fence, beats: []beat{
			{0, func(s *scene) { s.alone(time.Hour) }, lost + "; keep"},
			{time.Hour, func(s *scene) { s.alone(time.Second) }, lost + "; keep"},
			{0, func(s *scene) { s.alone(-1) }, lost + "; cut; keep"},
		}},
		"never by the policy native": {beats: []beat{{time.Hour, func(s *scene) { s.alone(-1) }, lost}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(c.policy)
			for i, b := range c.beats {
				b.do(s)
				s.step(b.after)
				if got := s.words(); got != b.want {
					t.Fatalf("step %d: %q, want %q (%+v)", i, got, b.want, s.want)
				}
			}
		})
	}
}

// What is known of the record is wanted with and without a majority.
func TestWantSaysTheRecord(t *testing.T) {
	s := newScene(Policy{})
	move := &model.Move{From: "pxc-0", To: "pxc-1"}
	s.Record.Frozen, s.Record.Move, s.Record.History[0].From = true, move, "pxc-0"
	s.majority(10)
	s.opens()
	check := func(fresh time.Time) {
		t.Helper()
		w := s.want
		if !w.Known || w.Active != "pxc-1" || w.Left != "pxc-0" || w.Version != s.Agreement.Record.Version || !w.Voting ||
			!w.Frozen || w.Move != move || w.Local != "" || !w.Fresh.Equal(fresh) {
			t.Errorf("%+v", w)
		}
	}
	s.step(time.Second)
	check(s.now.Add(-10))
	s.alone(2 * time.Second)
	s.step(time.Second)
	check(s.now.Add(-2 * time.Second))
}

// Whose word opens, and on what.
func TestWhoseWordOpens(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*scene)
		opens bool
	}{
		"nobody's":                            {func(*scene) {}, false},
		"the leader's":                        {(*scene).opens, true},
		"another's":                           {func(s *scene) { s.says("px2", 3, 0, 4) }, false},
		"a follower's own":                    {func(s *scene) { s.Agreement.Leader, s.ReviewedTerm = "", 3; s.says("px0", 3, 0, 4) }, false},
		"another's, while no leader is known": {func(s *scene) { s.Agreement.Leader = ""; s.says("px2", 3, 0, 4) }, true},
		"of an earlier term":                  {func(s *scene) { s.says("px1", 2, 0, 4) }, false},
		"of an earlier term, where this member only follows": {func(s *scene) { s.Agreement.Voting = false; s.says("px1", 2, 0, 4) }, true},
		"of no term, where this member only follows":         {func(s *scene) { s.Agreement.Voting, s.Agreement.Term = false, 0 }, false},
		"of an earlier decision":                             {func(s *scene) { s.says("px1", 3, 0, 3) }, true},
		"of a newer decision":                                {func(s *scene) { s.says("px1", 3, 0, 5) }, false},
		"of a newer generation, an earlier number":           {func(s *scene) { s.says("px1", 3, 1, 2) }, false},
		"of an older generation, a later number":             {func(s *scene) { s.Agreement.Record.Version.Recovery = 1; s.says("px1", 3, 0, 9) }, true},
		"of one that hears no majority":                      {func(s *scene) { s.opens(); s.Voices[1].View.Agreed = false }, false},
		"its own, as the leader":                             {func(s *scene) { s.Agreement.IsLeader, s.ReviewedTerm = true, 3 }, true},
		"its own of an earlier term":                         {func(s *scene) { s.Agreement.IsLeader, s.ReviewedTerm = true, 2 }, false},
		"its own without a term":                             {func(s *scene) { s.Agreement.IsLeader, s.Agreement.Term = true, 0 }, false},
		"another's, as the leader":                           {func(s *scene) { s.Agreement.IsLeader = true; s.opens() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(Policy{})
			c.do(s)
			if s.step(1); s.want.MayWrite != c.opens || (s.want.Why == "") != c.opens {
				t.Errorf("%+v", s.want)
			}
		})
	}
}

// A majority ends an operator's order for this proxy alone, once, and a second order is seen as one.
func TestLocalOrder(t *testing.T) {
	s := newScene(Policy{})
	s.alone(-1)
	if s.step(1); s.want.Local != "" {
		t.Error("an order that nobody gave")
	}
	s.Record.Frozen, s.Record.Move = true, &model.Move{}
	s.Order = "pxc-2"
	s.step(time.Minute)
	first := s.want
	if !first.Known || first.Active != "pxc-2" || !first.MayWrite || first.Local != "pxc-2" || first.Version == s.Agreement.Record.Version ||
		EpochOf(first.Version) != EpochOf(s.Agreement.Record.Version) || first.Frozen || first.Move != nil || first.Left != "" ||
		first.Blind != "" || first.Unserved != "" || !first.Fresh.Equal(s.now) || !first.Heard(s.now.Add(time.Hour)) ||
		first.Why != "an operator forced pxc-2 on this proxy alone" {
		t.Errorf("%+v", first)
	}
	if s.step(time.Hour); s.want.Version != first.Version {
		t.Errorf("another order without one: %+v", s.want)
	}
	s.Order = "pxc-2"
	if s.step(1); s.want.Version == first.Version {
		t.Error("a second order must be seen as one")
	}
	s.majority(0)
	if s.step(1); s.want.Local != "" || len(s.events) != 1 || s.events[0] != (Event{Kind: Dropped, Node: "pxc-2"}) {
		t.Errorf("a majority does not end it: %+v %+v", s.want, s.events)
	}
	s.alone(0)
	if s.step(1); s.want.Local != "" || len(s.events) != 0 {
		t.Error("it came back without the majority")
	}
}
