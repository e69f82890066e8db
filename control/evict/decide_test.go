package evict

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// The nodes' processes. The representative is pxc-2, whose UUID is the least.
var uuids = map[string]string{"pxc-0": "b0000000-0000-0000-0000-000000000000", "pxc-1": "c0000000-0000-0000-0000-000000000000", "pxc-2": "a0000000-0000-0000-0000-000000000000"}

// dead is what three voters say 60 ms after pxc-1 was killed, in a cluster of three: the whole evidence.
func dead() *Input {
	in := &Input{Mode: ModeGone, Input: &decide.Input{
		Now: time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC), By: "px0", Voters: []string{"px0", "px1", "px2"}, Order: []string{"pxc-0", "pxc-1", "pxc-2"},
		Record: &model.Record{Active: "pxc-1", Lowest: 3},
	}}
	for _, voter := range in.Voters {
		view := &model.View{}
		for _, n := range in.Order {
			g := &model.Group{UUID: uuids[n], Weight: 1, ConfID: 7, Size: 3, Total: 3, Retrans: "PT1S", Met: true, Speaks: true, Hangs: true}
			nv := model.NodeView{Name: n, Verdict: model.Healthy, Group: g}
			if n == "pxc-1" {
				nv.Verdict, g.End, g.Speaks, g.Hangs = model.Down, model.EndGone, false, false
			}
			view.Nodes = append(view.Nodes, nv)
		}
		in.Voices = append(in.Voices, decide.Voice{Member: voter, View: view})
	}
	return in
}

// each changes what the given voters, all without any, say of a node.
func each(in *Input, node string, change func(*model.NodeView), voters ...int) {
	for i := range in.Voices {
		if len(voters) > 0 && !slices.Contains(voters, i) {
			continue
		}
		for j := range in.Voices[i].View.Nodes {
			if n := &in.Voices[i].View.Nodes[j]; n.Name == node {
				change(n)
			}
		}
	}
}

func group(change func(*model.Group)) func(*model.NodeView) {
	return func(n *model.NodeView) { change(n.Group) }
}

func TestDecide(t *testing.T) {
	is := Decide(dead())
	o := is.Order
	if o == nil {
		t.Fatalf("no order: %s", is.Why)
	}
	if o.Node != "pxc-1" || o.UUID != uuids["pxc-1"] || o.ConfID != 7 || o.Evidence != model.EndGone || o.Owner != "px0" {
		t.Errorf("%+v", o)
	}
	if len(o.Survivors) != 2 || o.Survivors[0] != (model.Survivor{Node: "pxc-2", UUID: uuids["pxc-2"], Retrans: "PT1S"}) || o.Survivors[1].Node != "pxc-0" {
		t.Errorf("survivors: %+v", o.Survivors)
	}
	if want := "pxc-1 is gone for 3 of 3 voters and the group waits for it on pxc-2, pxc-0: it is evicted from Galera's view"; is.Why != want {
		t.Errorf("%s", is.Why)
	}

	well := dead()
	each(well, "pxc-1", func(n *model.NodeView) { n.Verdict, n.Group.End = model.Healthy, "" })
	if is := Decide(well); is.Order != nil || is.Why != "" {
		t.Errorf("all are well: %+v", is)
	}
}

// Two voters of three are enough, and a third that knows nothing takes nothing away.
func TestMajorityIsEnough(t *testing.T) {
	in := dead()
	in.Voices = in.Voices[:2]
	if is := Decide(in); is.Order == nil {
		t.Error(is.Why)
	}
	in = dead()
	each(in, "pxc-1", group(func(g *model.Group) { g.End = "" }), 2)
	each(in, "pxc-0", group(func(g *model.Group) { g.Hangs, g.Late = false, "an applier is at work" }), 2)
	if is := Decide(in); is.Order == nil {
		t.Error(is.Why)
	}
}

// twoAndArbitrator takes pxc-0 away and puts an arbitrator in its place, which every voter hears.
func twoAndArbitrator(in *Input) {
	for i := range in.Voices {
		v := in.Voices[i].View
		v.Nodes, v.Arbitrators = slices.DeleteFunc(v.Nodes, func(n model.NodeView) bool { return n.Name == "pxc-0" }), []string{"arb:4567"}
	}
}

// Two databases and an arbitrator: the one that is left is told. A voter that does not hear the arbitrator takes nothing away.
func TestArbitrator(t *testing.T) {
	in := dead()
	twoAndArbitrator(in)
	in.Voices[2].View.Arbitrators = nil
	is := Decide(in)
	if is.Order == nil || len(is.Order.Survivors) != 1 || is.Order.Survivors[0].Node != "pxc-2" {
		t.Fatalf("%+v", is)
	}
	// One that is no member changes nothing where all members are known.
	in = dead()
	in.Voices[0].View.Arbitrators = []string{"arb:4567"}
	if is := Decide(in); is.Order == nil {
		t.Error(is.Why)
	}
}

// two takes pxc-0 away: the view is of two, and the other one may be kept.
func two(in *Input) {
	for i := range in.Voices {
		v := in.Voices[i].View
		v.Nodes = slices.DeleteFunc(v.Nodes, func(n model.NodeView) bool { return n.Name == "pxc-0" })
	}
	for _, n := range []string{"pxc-1", "pxc-2"} {
		each(in, n, group(func(g *model.Group) { g.Size, g.Total = 2, 2 }))
	}
	in.Last = true
}

func TestLastOfTwo(t *testing.T) {
	in := dead()
	two(in)
	each(in, "pxc-2", group(func(g *model.Group) { g.Lacks = "what is for three" }))
	is := Decide(in)
	if is.Order == nil || !is.Order.Last || len(is.Order.Survivors) != 1 {
		t.Fatalf("%+v", is)
	}
	in = dead()
	in.Last = true
	if is := Decide(in); is.Order == nil || is.Order.Last {
		t.Errorf("of three: %+v", is)
	}
	in = dead()
	in.Last = true
	twoAndArbitrator(in)
	if is := Decide(in); is.Order == nil || is.Order.Last {
		t.Errorf("of two and an arbitrator: %+v", is)
	}
}

// refusals are cases in which nobody is evicted, each for one rule's sake alone.
var refusals = []struct {
	rule, says string
	change     func(*Input)
}{
	{"version", "not every voter's daemon knows evictions", func(in *Input) { in.Record.Lowest = 2 }},
	{"mode", "--evict is off", func(in *Input) { in.Mode = ModeOff }},
	{"mode", "--evict is off", func(in *Input) { in.Mode = "" }},
	{"mode", "a process that says nothing may go on", func(in *Input) { each(in, "pxc-1", group(func(g *model.Group) { g.End = model.EndSilent }), 1) }},
	{"quiet times", "frozen", func(in *Input) { in.Record.Frozen = true }},
	{"quiet times", "held for a move", func(in *Input) { in.Record.Move = &model.Move{Hold: true} }},
	{"quiet times", "after the eviction of pxc-0", func(in *Input) { in.Record.Evict = &model.Eviction{Node: "pxc-0"} }},
	{"quiet times", "6 evictions within an hour", func(in *Input) { in.Record.Evictions, in.Old = make([]time.Time, 7), 1 }},
	{"one at a time", "pxc-0 seems to have ended, too", func(in *Input) {
		each(in, "pxc-1", group(func(g *model.Group) { g.End = "" }), 2)
		each(in, "pxc-0", func(n *model.NodeView) { n.Verdict, n.Group.End = model.Down, model.EndGone }, 2)
	}},
	{"nobody reaches it", "px2 is answered by it", func(in *Input) {
		each(in, "pxc-1", func(n *model.NodeView) { n.Verdict, n.Group.End = model.Healthy, "" }, 2)
	}},
	{"nobody reaches it", "px2 hears one of its ports", func(in *Input) {
		each(in, "pxc-1", group(func(g *model.Group) { g.Speaks, g.End = true, "" }), 2)
	}},
	{"nobody reaches it", "px2 sees another process there", func(in *Input) {
		each(in, "pxc-1", group(func(g *model.Group) { g.UUID, g.End = "d", "" }), 2)
	}},
	{"nobody reaches it", "px9 is answered by it", func(in *Input) { // who does not vote has a word, too
		view := &model.View{Nodes: []model.NodeView{{Name: "pxc-1", Verdict: model.Healthy}}}
		in.Voices = append(in.Voices, decide.Voice{Member: "px9", View: view})
	}},
	{"majority", "1 of 3 voters say so", func(in *Input) {
		each(in, "pxc-1", func(n *model.NodeView) { n.Group.End = "" }, 1, 2)
		in.Voters = []string{"px0", "px8", "px9"}
		in.Voices = in.Voices[:1]
	}},
	{"one view", "px1 does not reach pxc-0", func(in *Input) { each(in, "pxc-0", func(n *model.NodeView) { n.Verdict = model.Down }, 1) }},
	{"one view", "pxc-2 is in another view (8 and not 7) for px1", func(in *Input) { each(in, "pxc-2", group(func(g *model.Group) { g.ConfID = 8 }), 1) }},
	{"one view", "in another view", func(in *Input) { each(in, "pxc-2", group(func(g *model.Group) { g.UUID = "d" }), 1) }},
	{"one view", "pxc-2 is in another view", func(in *Input) { each(in, "pxc-2", group(func(g *model.Group) { g.Total = 5 })) }}, // a weight that changes
	{"one view", "a view is being made already (pxc-2 is in GATHER)", func(in *Input) { each(in, "pxc-2", group(func(g *model.Group) { g.State = "GATHER" }), 2) }},
	{"one view", "it was not in a primary component", func(in *Input) {
		for _, n := range in.Order {
			each(in, n, group(func(g *model.Group) { g.ConfID = -1 }))
		}
	}},
	{"weight", "which is not more than half", func(in *Input) { // the dead one was heavy
		for _, n := range in.Order {
			each(in, n, group(func(g *model.Group) { g.Total = 4 }))
		}
	}},
	{"weight", "the weights that are known make 3 of 2: one was changed", func(in *Input) {
		for _, n := range in.Order {
			each(in, n, group(func(g *model.Group) { g.Total = 2 }))
		}
	}},
	{"weight", "the weight of pxc-0 is not known", func(in *Input) { each(in, "pxc-0", group(func(g *model.Group) { g.Weight = -1 })) }},
	{"last of two", "the last of two is left to Galera (--evict-last)", func(in *Input) {
		two(in)
		in.Last = false
	}},
	{"last of two", "and this one says nothing", func(in *Input) {
		two(in)
		in.Mode = ModeSilent
		each(in, "pxc-1", group(func(g *model.Group) { g.End = model.EndSilent }), 1)
	}},
	{"last of two", "2 of 3 voters say so, and for the last of two all have to", func(in *Input) {
		two(in)
		each(in, "pxc-1", group(func(g *model.Group) { g.End = "" }), 2)
	}},
	{"last of two", "2 of 3 voters say so, and for the last of two all have to", func(in *Input) {
		two(in)
		in.Voices = in.Voices[:2]
	}},
	{"last of two", "the weight of pxc-1 is not known", func(in *Input) {
		two(in)
		each(in, "pxc-1", group(func(g *model.Group) { g.Weight = -1 }))
	}},
	{"weight", "weigh 1 of 3, which is not more than half", func(in *Input) { // the one that is gone is the heavier
		two(in)
		each(in, "pxc-1", group(func(g *model.Group) { g.Weight = 2 }))
		each(in, "pxc-2", group(func(g *model.Group) { g.Total = 3 }))
	}},
	{"rights", "the account of px0 lacks, on pxc-2, EXECUTE", func(in *Input) {
		two(in)
		each(in, "pxc-2", group(func(g *model.Group) { g.LacksLast = "EXECUTE" }))
	}},
	{"all others", "1 of the other 3 members of the view is not known here", func(in *Input) {
		for _, n := range in.Order {
			each(in, n, group(func(g *model.Group) { g.Size = 4 }))
		}
	}},
	{"all others", "1 of the other 2 members of the view should be arbitrators, and 1 of 3 voters hear as many", func(in *Input) {
		twoAndArbitrator(in)
		in.Voices[1].View.Arbitrators, in.Voices[2].View.Arbitrators = nil, []string{"arb:4567", "another:4567"}
	}},
	{"weight", "the weight of pxc-1 is not known, nor with it that of the arbitrators", func(in *Input) {
		twoAndArbitrator(in)
		each(in, "pxc-1", group(func(g *model.Group) { g.Weight = -1 }))
	}},
	{"weight", "those who stay (pxc-2) weigh 2 of 4, which is not more than half", func(in *Input) {
		twoAndArbitrator(in)
		each(in, "pxc-1", group(func(g *model.Group) { g.Weight, g.Total = 2, 4 }))
		each(in, "pxc-2", group(func(g *model.Group) { g.Total = 4 }))
	}},
	{"weight", "one was changed", func(in *Input) { // the arbitrator would weigh less than nothing
		twoAndArbitrator(in)
		each(in, "pxc-2", group(func(g *model.Group) { g.Weight = 3 }))
	}},
	{"rights", "the account of px0 lacks, on pxc-0, EXECUTE", func(in *Input) { each(in, "pxc-0", group(func(g *model.Group) { g.Lacks = "EXECUTE" })) }},
	{"rights", "the account of px0 lacks, on every node, EXECUTE", func(in *Input) {
		for _, n := range in.Order {
			each(in, n, group(func(g *model.Group) { g.Lacks = "EXECUTE" }))
		}
	}},
	{"lists", "the evict list of pxc-2 is not empty", func(in *Input) { each(in, "pxc-2", group(func(g *model.Group) { g.Evicted = true })) }},
	{"lists", "evs.auto_evict is on at pxc-0", func(in *Input) { each(in, "pxc-0", group(func(g *model.Group) { g.AutoEvict = true })) }},
	{"lists", "evs.join_retrans_period of pxc-0 is not known", func(in *Input) { each(in, "pxc-0", group(func(g *model.Group) { g.Retrans = "" })) }},
	{"one period", `evs.join_retrans_period of pxc-0 is "PT0.1S" for px1`, func(in *Input) { each(in, "pxc-0", group(func(g *model.Group) { g.Retrans = "PT0.1S" }), 1) }},
	{"the group waits", "a causal read on pxc-0 does not hang for px1", func(in *Input) { each(in, "pxc-0", group(func(g *model.Group) { g.Hangs = false }), 1, 2) }},
	{"the group waits", "pxc-2 cannot tell whether the group waits (px1: an applier is at work)", func(in *Input) {
		each(in, "pxc-2", group(func(g *model.Group) { g.Hangs, g.Late = false, "an applier is at work" }), 1, 2)
	}},
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		in := dead()
		c.change(in)
		is := Decide(in)
		if is.Order != nil || !strings.Contains(is.Why, "is not evicted: ") || !strings.Contains(is.Why, c.says) {
			t.Errorf("%s: order %v, %q, want %q", c.rule, is.Order, is.Why, c.says)
		}
	}
}

// Each rule bites: without it, some of its refusals would be evictions.
func TestRulesBite(t *testing.T) {
	all := rules
	defer func() { rules = all }()
	for i, rule := range all {
		rules = slices.Delete(slices.Clone(all), i, i+1)
		bitten := 0
		for _, c := range refusals {
			if c.rule != rule.name {
				continue
			}
			in := dead()
			c.change(in)
			if Decide(in).Order != nil {
				bitten++
			}
		}
		if bitten == 0 {
			t.Errorf("nothing is evicted without the rule %q that is not with it: it is not needed, or not tested", rule.name)
		}
	}
}

// Once all others have made a view without it Galera is done with a process, and there is nothing to say of it, however long its
// node stays down.
func TestOutOfTheView(t *testing.T) {
	in := dead()
	for _, n := range []string{"pxc-0", "pxc-2"} {
		each(in, n, group(func(g *model.Group) { g.ConfID, g.Size, g.Total, g.Hangs = 8, 2, 2, false }))
	}
	if is := Decide(in); is.Order != nil || is.Why != "" {
		t.Errorf("%+v", is)
	}
	// While one of them is still in the old view it is told why nobody is evicted.
	each(in, "pxc-0", group(func(g *model.Group) { g.ConfID = 7 }), 0, 1)
	if is := Decide(in); is.Order != nil || !strings.Contains(is.Why, "in another view") {
		t.Errorf("%+v", is)
	}
}

func TestSilent(t *testing.T) {
	in := dead()
	in.Mode = ModeSilent
	each(in, "pxc-1", group(func(g *model.Group) { g.End = model.EndSilent }), 0, 1)
	is := Decide(in)
	if is.Order == nil || is.Order.Evidence != model.EndSilent {
		t.Errorf("%+v", is)
	}
}

func TestForecast(t *testing.T) {
	well := func() *Input {
		in := dead()
		each(in, "pxc-1", func(n *model.NodeView) { n.Verdict, n.Group.End, n.Group.Speaks = model.Healthy, "", true })
		for _, n := range in.Order {
			each(in, n, group(func(g *model.Group) { g.Hangs, g.SuspectMS, g.CheckMS, g.RetransMS = false, 5000, 500, 1000 }))
		}
		return in
	}
	for name, c := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"all is there": {func(*Input) {}, "writes go on after about 0.1 s: Galera is told"},
		"two can tell": {func(in *Input) { each(in, "pxc-1", group(func(g *model.Group) { g.Met = false }), 0) }, "writes go on after about 0.1 s: Galera is told"},
		"one can tell": {func(in *Input) { each(in, "pxc-1", group(func(g *model.Group) { g.Met = false }), 0, 2) }, "only 1 of 3 voters could tell (not heard at its group port: px0, px2)"},
		"the last of two": {func(in *Input) {
			two(in)
			each(in, "pxc-2", group(func(g *model.Group) { g.Lacks = "what is for three" }))
		}, "writes go on after about 0.1 s: Galera is told"},
		"the last of two, no rights": {func(in *Input) {
			two(in)
			each(in, "pxc-2", group(func(g *model.Group) { g.LacksLast = "the procedure" }))
		}, "the account of px0 lacks, on pxc-2, the procedure"},
		"no rights":            {func(in *Input) { each(in, "pxc-0", group(func(g *model.Group) { g.Lacks = "the procedures" })) }, "the account of px0 lacks, on pxc-0, the procedures"},
		"off":                  {func(in *Input) { in.Mode = ModeOff }, "--evict is off"},
		"frozen":               {func(in *Input) { in.Record.Frozen = true }, "it is not told: frozen"},
		"nothing is set":       {func(in *Input) { in.Record.Frozen = true }, "no node commits for about 6.5 s, until Galera has made a view without it (evs.suspect_timeout 5s, evs.inactive_check_period 500ms, evs.join_retrans_period 1s: the defaults)"},
		"nobody else is heard": {func(in *Input) { in.Voices = in.Voices[:1] }, "only 1 of 3 voters could tell (the others are not heard)"},
		"another has ended": {func(in *Input) {
			each(in, "pxc-0", func(n *model.NodeView) { n.Verdict, n.Group.End, n.Group.Speaks = model.Down, model.EndGone, false })
		}, "it is not told: pxc-0 seems to have ended, too"},
		"no probe": {func(in *Input) {
			for _, n := range in.Order {
				each(in, n, func(n *model.NodeView) { n.Group = nil })
			}
		}, ""},
	} {
		in := well()
		c.change(in)
		before := Decide(in)
		d, says := Stall(in, "pxc-1")
		if !strings.Contains(says, c.want) || c.want == "" && (says != "" || d != 0) {
			t.Errorf("%s: %q, want %q", name, says, c.want)
		}
		if after := Decide(in); after != before {
			t.Errorf("%s: asking has changed something", name)
		}
	}
}
