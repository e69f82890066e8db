package mandate

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// A proxy is cut off only after fence-after without a majority: also one that has led until a moment ago, whose word as
// a follower is older than its time as the leader, or was never.
func TestCutOffCountsFromTheLastMajority(t *testing.T) {
	const after = 3 * time.Second
	long, short := time.Hour, 100*time.Millisecond
	for name, c := range map[string]struct {
		touched  time.Duration // ago; 0 is never
		born     time.Duration // ago
		freshAge time.Duration
		fresh    bool
		cut      bool
	}{
		"a leader that has just stepped down":       {touched: short, born: long, freshAge: -1},
		"one that followed long ago":                {touched: short, born: long, freshAge: long},
		"a follower for as long as it may":          {touched: long, born: long, freshAge: short},
		"nobody was heard for longer than that":     {touched: after + short, born: long, freshAge: after + short, cut: true},
		"nobody was ever heard since the start":     {born: after + short, freshAge: -1, cut: true},
		"it has just started":                       {born: short, freshAge: -1},
		"it was just started over an old record":    {born: short, freshAge: long},
		"a majority stands behind it now":           {touched: short, born: long, freshAge: 0, fresh: true},
		"a leader that stepped down long ago":       {touched: after + short, born: long, freshAge: -1, cut: true},
		"nobody was heard since it started, by far": {born: long, freshAge: -1, cut: true},
		"not for long":                              {born: long, freshAge: time.Second},
		"for long":                                  {born: long, freshAge: after, cut: true},
		"a majority since the start":                {born: long, fresh: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, policy := range []time.Duration{0, after} {
				s := newScene(Policy{FenceAfter: policy})
				s.now = start.Add(2 * long)
				s.m = New(s.m.policy, s.now.Add(-c.born))
				if c.touched > 0 {
					s.majority(c.touched)
					s.step(0)
				}
				s.Agreement.Fresh, s.Agreement.FreshAge = c.fresh, c.freshAge
				if s.step(0); (s.want.Cut != "") != (c.cut && policy > 0) || s.want.KeepFence != (!c.fresh && policy > 0) {
					t.Errorf("fence after %v: cut off %q, keep %v", policy, s.want.Cut, s.want.KeepFence)
				}
				if s.want.Cut != "" && s.want.Cut != "no majority of the voters for more than 3s" {
					t.Errorf("%q", s.want.Cut)
				}
			}
		})
	}
}

// A decision's age counts from when it was first known here, whoever leads, with and without a majority or an order.
func TestAgeOfADecision(t *testing.T) {
	s := newScene(Policy{})
	version := func(v cluster.Version) func() { return func() { s.Agreement.Record.Version = v } }
	for i, c := range []struct {
		do   func()
		want time.Duration
	}{
		{func() {}, 0},
		{func() {}, time.Second},
		{func() { s.Agreement.Term, s.Agreement.Leader = 9, "px2" }, 2 * time.Second},
		{func() { s.alone(-1) }, 3 * time.Second},
		{func() { s.Order = "pxc-2" }, 4 * time.Second},
		{func() { s.majority(0); s.Agreement.IsLeader, s.Paused = true, true }, 5 * time.Second},
		{version(cluster.Version{Epoch: 4, Revision: 10}), 6 * time.Second},
		{version(cluster.Version{Epoch: 5, Revision: 11}), 0},
		{func() {}, time.Second},
		{version(cluster.Version{Recovery: 1, Epoch: 5, Revision: 12}), 0},
	} {
		c.do()
		s.step(time.Second)
		if got := s.want.Age(s.Agreement.Record.Version, s.now); got != c.want || s.want.Local == "" && s.want.MoveAge != c.want {
			t.Errorf("step %d: %v and %v, want %v", i, got, s.want.MoveAge, c.want)
		}
	}
	if got := s.want.Age(s.Agreement.Record.Version, s.now.Add(time.Minute)); got != time.Minute {
		t.Errorf("a minute later %v", got)
	}
	for _, v := range []cluster.Version{{Epoch: 5}, {Recovery: 1, Epoch: 4}} {
		if got := s.want.Age(v, s.now.Add(time.Minute)); got != 0 {
			t.Errorf("another decision is known for %v", got)
		}
	}
	if got := (&Want{}).Age(cluster.Version{}, s.now); got != 0 {
		t.Errorf("nothing is known for %v", got)
	}
}

// A majority's word that is older than a few heartbeats is no leave to write, for who hears it at each of them, and no
// longer than FreshFor for a question.
func TestHowLongAWordCounts(t *testing.T) {
	s := newScene(Policy{})
	s.opens()
	s.majority(200 * time.Millisecond)
	s.step(time.Second)
	at := func(d time.Duration) time.Time { return s.now.Add(d - 200*time.Millisecond) }
	if w := s.want; !w.Heard(at(WriteWithin)) || w.Heard(at(WriteWithin+1)) || !w.StillMayWrite(at(cluster.FreshFor)) || w.StillMayWrite(at(cluster.FreshFor+1)) {
		t.Errorf("%+v", w)
	}
	s.Agreement.Voting = false
	if s.step(0); !s.want.Heard(at(time.Hour)) {
		t.Error("a member that only follows hears it less often")
	}
	s.alone(0)
	if s.step(0); s.want.StillMayWrite(s.now) {
		t.Error("no majority, and it may")
	}
}

// A node that accepts connections is a matter of the vote, however long it is silent: this proxy has a way to it.
func TestBlindIsAboutTheWay(t *testing.T) {
	for _, c := range []struct {
		node    string
		verdict galera.Verdict
		class   galera.Class
		blind   bool
	}{
		{"pxc-1", galera.Down, galera.ClassTimeout, true},
		{"pxc-1", galera.Down, galera.ClassRefused, true},
		{"pxc-1", galera.Down, galera.ClassUnreachable, true},
		{"pxc-1", galera.Down, galera.ClassSilent, false},
		{"pxc-0", galera.Down, galera.ClassTimeout, false},
		{"pxc-1", galera.Unknown, galera.ClassName, false},
		{"pxc-1", galera.Healthy, galera.ClassSynced, false},
	} {
		s := newScene(Policy{})
		s.Probes = []galera.NodeStatus{{Node: c.node, State: galera.State{Verdict: c.verdict, Class: c.class, Reason: "because"}}}
		s.step(0)
		if s.want.Blind != "" || s.want.Unserved != "" {
			t.Errorf("%+v: waiting, %q and %q", c, s.want.Blind, s.want.Unserved)
		}
		s.opens()
		s.step(1)
		if got := s.want.Blind; got != map[bool]string{true: "because"}[c.blind] {
			t.Errorf("%+v: %q", c, got)
		}
		if (s.want.Unserved == "") != (c.verdict == galera.Healthy) {
			t.Errorf("%+v: unserved %q", c, s.want.Unserved)
		}
	}
}

// The active serves by the word of a majority of all voters and of this member's own probe.
func TestUnserved(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*scene)
		want string
	}{
		"all":                      {func(*scene) {}, ""},
		"two of three":             {func(s *scene) { s.Voices[2].View.Nodes[0].Verdict = model.Down }, ""},
		"two are heard":            {func(s *scene) { s.Voices = s.Voices[:2] }, ""},
		"one of three":             {func(s *scene) { s.Voices[2].View.Nodes[0].Verdict = model.Unknown; s.Voices[1].View.Nodes = nil }, "1 of 3 voters' probes find pxc-1 serving, no majority"},
		"members that do not vote": {func(s *scene) { s.Voters = []string{"px0", "px8", "px9"} }, "1 of 3 voters' probes find pxc-1 serving, no majority"},
		"its own does not":         {func(s *scene) { s.Probes[1].Verdict = galera.Unknown }, "this daemon's probe does not find pxc-1 serving"},
		"no probe":                 {func(s *scene) { s.Probes = nil }, "this daemon's probe does not find pxc-1 serving"},
	} {
		s := newScene(Policy{})
		s.opens()
		c.do(s)
		if s.step(1); s.want.Unserved != c.want {
			t.Errorf("%s: %q", name, s.want.Unserved)
		}
	}
}

// A planned move drains and holds for its bound, and a while longer where nobody ends it.
func TestDrainingAndHolding(t *testing.T) {
	move := model.Move{From: "a", To: "b", Drain: model.DrainGraceful, Phase: model.PhaseDrain, Hold: true, TimeoutMS: 2000, MaxHoldMS: 2000}
	for name, c := range map[string]struct {
		do          func(*Want)
		drain, hold bool
	}{
		"as asked for":               {func(*Want) {}, true, true},
		"no move":                    {func(w *Want) { w.Move = nil }, false, false},
		"closing":                    {func(w *Want) { w.Move.Phase = model.PhaseClose }, false, true},
		"immediate":                  {func(w *Want) { w.Move.Drain = model.DrainImmediate }, false, true},
		"without a hold":             {func(w *Want) { w.Move.Hold = false }, true, false},
		"another node is the active": {func(w *Want) { w.Active = "c" }, true, false},
		"it may not write":           {func(w *Want) { w.MayWrite = false }, true, false},
		"an order for this proxy":    {func(w *Want) { w.Local = "b" }, true, false},
		"just before the hold's end": {func(w *Want) { w.MoveAge = 2*time.Second + HoldGrace - 1 }, true, true},
		"at it":                      {func(w *Want) { w.MoveAge = 2*time.Second + HoldGrace }, true, false},
		"just before the drain's":    {func(w *Want) { w.MoveAge = 2*time.Second + DrainGrace - 1 }, true, false},
		"and at that":                {func(w *Want) { w.MoveAge = 2*time.Second + DrainGrace }, false, false},
	} {
		m := move
		w := Want{Known: true, MayWrite: true, Active: "b", Move: &m}
		c.do(&w)
		if (w.Draining() == "a") != c.drain || !c.drain && w.Draining() != "" || w.WantsHold() != c.hold {
			t.Errorf("%s: draining %q, holding %v", name, w.Draining(), w.WantsHold())
		}
	}
}
