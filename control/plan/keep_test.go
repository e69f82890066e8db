package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// kept is one backend that obeys the keep key, on its active, steered.
func kept() *Input {
	s := *steer
	s.KeepKey = "4"
	b := backend("galera-nodes", "1")
	b.Keeps = true
	return &Input{
		Layout: Layout{Steer: &s, Backends: []Backend{b}},
		Observed: Observed{
			Tables:  map[string]map[string]Entry{"haproxyd-steer": {"1": {ServerID: 2}}, "galera-nodes": {"1": {ServerID: 2, ServerKey: "pxc-1"}}},
			Servers: running("galera-nodes"),
		},
		Active: "pxc-1", Steered: true, MayClose: true, NativeDue: true, Keep: true,
	}
}

func TestKeep(t *testing.T) {
	set := Action{Op: OpSet, Table: "haproxyd-steer", Key: "4", ServerID: 2, Private: true, Why: "pxc-1 serves, whatever its check may say before the next look"}
	letGo := Action{Op: OpClear, Table: "haproxyd-steer", Key: "4", Private: true, Why: "a move is pending"}
	fence := Action{Op: OpSet, Table: "haproxyd-steer", Key: "2", ServerID: 2, Private: true, Why: "blind"}
	there := func(in *Input) { in.Observed.Tables["haproxyd-steer"]["4"] = Entry{ServerID: 2} }
	down := func(in *Input) { in.Observed.Servers["galera-nodes"]["pxc-1"] = ServerNow{} }
	free := func(in *Input) { in.Keep, in.LetGo = false, "a move is pending" }
	for name, c := range map[string]struct {
		change []func(*Input)
		want   []Action
		// effective and right are of the look, before the actions.
		effective string
		wrong     bool
	}{
		"set":                         {want: []Action{set}, effective: "pxc-1"},
		"there":                       {change: []func(*Input){there}, effective: "pxc-1"},
		"nothing says so":             {change: []func(*Input){free}, effective: "pxc-1"},
		"HAProxy does not ask for it": {change: []func(*Input){func(in *Input) { in.Steered = false }}, effective: "pxc-1"},
		"a file without the line":     {change: []func(*Input){func(in *Input) { in.Layout.Steer.KeepKey, in.Layout.Backends[0].Keeps = "", false }}, effective: "pxc-1"},
		"a backend without the line":  {change: []func(*Input){func(in *Input) { in.Layout.Backends[0].Keeps = false }}, effective: "pxc-1"},
		"down: never set then":        {change: []func(*Input){down}, effective: "pxc-0"},
		"down: connections stay":      {change: []func(*Input){down, there}, effective: "pxc-1"},
		"down: the native entry is kept as well": {change: []func(*Input){down, there, func(in *Input) { delete(in.Observed.Tables["haproxyd-steer"], "1") }},
			effective: "pxc-1", wrong: true, want: []Action{{Op: OpSet, Table: "haproxyd-steer", Key: "1", ServerID: 2, Private: true, Why: "the private entry is missing"}}},
		"down, the beacon too": {change: []func(*Input){down, there, func(in *Input) { in.Steered = false }}, effective: "pxc-0"},
		"down, no line: the key is nothing": {change: []func(*Input){down, there, func(in *Input) {
			in.Layout.Steer.KeepKey, in.Layout.Backends[0].Keeps = "", false
		}}, effective: "pxc-0"},
		"taken away first": {change: []func(*Input){there, free, func(in *Input) { in.Active = "pxc-2" }}, effective: "pxc-1", wrong: true,
			want: []Action{letGo,
				{Op: OpSet, Table: "haproxyd-steer", Key: "1", ServerID: 3, Private: true, Why: "the private entry says pxc-1"},
				{Op: OpClearSet, Table: "galera-nodes", Key: "1", ServerID: 3, Backend: "galera-nodes", Why: "the entry says pxc-1"}}},
		"taken away also where nothing else is": {change: []func(*Input){there, free}, effective: "pxc-1", wrong: true, want: []Action{letGo}},
		"the last of a move": {change: []func(*Input){func(in *Input) { in.Active = "pxc-2" }}, effective: "pxc-1", wrong: true,
			want: []Action{
				{Op: OpSet, Table: "haproxyd-steer", Key: "1", ServerID: 3, Private: true, Why: "the private entry says pxc-1"},
				{Op: OpClearSet, Table: "galera-nodes", Key: "1", ServerID: 3, Backend: "galera-nodes", Why: "the entry says pxc-1"}}},
		// Who is let go before the fence is up falls through to another node.
		"a fence comes first": {change: []func(*Input){down, there, free, func(in *Input) { in.Fence = "blind" }}, effective: "pxc-1", wrong: true, want: []Action{fence, letGo}},
		"fenced already": {change: []func(*Input){down, there, free, func(in *Input) {
			in.Fence, in.Observed.Tables["haproxyd-steer"]["2"] = "blind", Entry{}
		}}, effective: "pxc-1", wrong: true, want: []Action{letGo}},
		"a fence is lifted before it is set": {change: []func(*Input){func(in *Input) { in.Observed.Tables["haproxyd-steer"]["2"] = Entry{} }}, effective: "pxc-1", wrong: true,
			want: []Action{{Op: OpClear, Table: "haproxyd-steer", Key: "2", Private: true, Why: "a fence without a cause"}}},
	} {
		t.Run(name, func(t *testing.T) {
			in := kept()
			for _, f := range c.change {
				f(in)
			}
			r := Make(in)
			if diff := cmp.Diff(c.want, r.Actions); diff != "" {
				t.Error(diff)
			}
			if r.Effective != c.effective || r.PrivateRight == c.wrong {
				t.Errorf("effective %q, private right %t: %s", r.Effective, r.PrivateRight, r.Reason)
			}
		})
	}
}

// Whatever the tables and the servers are, a plan that may not keep connections takes the key away before it writes
// anything else but a fence, and one that may sets it only as its last word, on a HAProxy that is as decided.
func TestKeepIsFirstAndLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := kept()
		in.Layout.Backends = append(in.Layout.Backends, backend("galera-admin-nodes", "1", "2"))
		in.Layout.Backends[1].Keeps = rapid.Bool().Draw(t, "both")
		in.Observed.Servers["galera-admin-nodes"] = running("galera-admin-nodes")["galera-admin-nodes"]
		for _, b := range in.Observed.Servers {
			for name, s := range b {
				s.Running, s.Sessions = rapid.Bool().Draw(t, "up"), rapid.IntRange(0, 2).Draw(t, "sessions")
				b[name] = s
			}
		}
		for table, keys := range map[string][]string{"haproxyd-steer": {"1", "2", "4"}, "galera-nodes": {"1"}, "galera-admin-nodes": {"1", "2"}} {
			in.Observed.Tables[table] = map[string]Entry{}
			for _, k := range keys {
				if rapid.Bool().Draw(t, table+k) {
					in.Observed.Tables[table][k] = Entry{ServerID: rapid.IntRange(0, 4).Draw(t, "id")}
				}
			}
		}
		in.Active = rapid.SampledFrom([]string{"pxc-0", "pxc-1", "pxc-2"}).Draw(t, "active")
		in.Steered, in.Keep = rapid.Bool().Draw(t, "steered"), rapid.Bool().Draw(t, "keep")
		if !in.Keep && rapid.Bool().Draw(t, "fence") {
			in.Fence = "blind"
		}
		there := in.Layout.Kept(&in.Observed)
		r := Make(in)
		for i, a := range r.Actions {
			switch {
			case a.Key != "4" || a.Table != "haproxyd-steer":
				continue
			case a.Op == OpClear && !in.Keep && there:
				if before := r.Actions[:i]; len(before) > 1 || len(before) == 1 && (before[0].Key != "2" || before[0].Op != OpSet) {
					t.Fatalf("before it: %+v", before)
				}
				there = false
			case a.Op != OpSet || !in.Keep || there || i != len(r.Actions)-1 || !r.Converged || !r.Usable || !r.PrivateRight || !in.Layout.Backends[1].Keeps:
				t.Fatalf("%+v of %+v", a, r)
			}
		}
		if !in.Keep && there {
			t.Fatalf("it stays: %+v", r.Actions)
		}
	})
}
