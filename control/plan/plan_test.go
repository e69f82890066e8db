package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func backend(name string, keys ...string) Backend {
	return Backend{Name: name, Table: name, Keys: keys, Servers: []Server{
		{Name: "pxc-0", ID: 1}, {Name: "pxc-2", ID: 3, Backup: true}, {Name: "pxc-1", ID: 2, Backup: true},
	}}
}

func running(backends ...string) map[string]map[string]ServerNow {
	out := map[string]map[string]ServerNow{}
	for _, b := range backends {
		out[b] = map[string]ServerNow{
			"pxc-0": {Running: true}, "pxc-1": {Running: true}, "pxc-2": {Running: true},
		}
	}
	return out
}

var steer = &Steer{Table: "haproxyd-steer", ActiveKey: "1", FenceKey: "2"}

func TestMake(t *testing.T) {
	type tables = map[string]map[string]Entry
	right := tables{
		"haproxyd-steer": {"1": {ServerID: 2}},
		"galera-nodes":   {"1": {ServerID: 2, ServerKey: "pxc-1"}},
	}
	tests := []struct {
		name   string
		change func(*Input)
		want   []Action
		check  func(*testing.T, Result)
	}{
		{
			name: "all right: nothing to do",
			check: func(t *testing.T, r Result) {
				if !r.Converged || !r.PrivateRight || !r.NativeRight || r.Effective != "pxc-1" || r.Reason != "" {
					t.Errorf("got %+v", r)
				}
			},
		},
		{
			name: "a poisoned private entry is set",
			change: func(in *Input) {
				in.Observed.Tables["haproxyd-steer"] = map[string]Entry{"1": {ServerID: 3}}
			},
			want: []Action{{Op: OpSet, Table: "haproxyd-steer", Key: "1", ServerID: 2, Private: true, Why: "the private entry says pxc-2"}},
			check: func(t *testing.T, r Result) {
				if r.Converged || r.Effective != "pxc-2" {
					t.Errorf("a poisoned private entry leads to pxc-2: %+v", r)
				}
			},
		},
		{
			name: "a leftover name in the private entry is cleared: set table cannot change it",
			change: func(in *Input) {
				in.Observed.Tables["haproxyd-steer"] = map[string]Entry{"1": {ServerID: 2, ServerKey: "pxc-0"}}
			},
			want: []Action{{Op: OpClearSet, Table: "haproxyd-steer", Key: "1", ServerID: 2, Private: true, Why: "the private entry holds the name pxc-0"}},
		},
		{
			name: "a fence without a cause is lifted",
			change: func(in *Input) {
				in.Observed.Tables["haproxyd-steer"] = map[string]Entry{"1": {ServerID: 2}, "2": {}}
			},
			want: []Action{{Op: OpClear, Table: "haproxyd-steer", Key: "2", Private: true, Why: "a fence without a cause"}},
		},
		{
			name: "the number is right and the name wrong: the name wins",
			change: func(in *Input) {
				in.Observed.Tables["galera-nodes"] = map[string]Entry{"1": {ServerID: 2, ServerKey: "pxc-2"}}
			},
			want: []Action{{Op: OpClearSet, Table: "galera-nodes", Key: "1", ServerID: 2, Backend: "galera-nodes", Why: "the entry says pxc-2"}},
			check: func(t *testing.T, r Result) {
				if !r.Converged || r.NativeRight {
					t.Errorf("steered: converged by the private table, native table wrong: %+v", r)
				}
			},
		},
		{
			name: "the native table waits for the calm pace",
			change: func(in *Input) {
				in.NativeDue = false
				in.Observed.Tables["galera-nodes"] = nil
			},
			check: func(t *testing.T, r Result) {
				if r.NativeRight {
					t.Error("a missing entry is not right")
				}
			},
		},
		{
			name: "no private table: the native entry decides",
			change: func(in *Input) {
				in.Layout.Steer, in.Steered = nil, false
				in.Observed.Tables["galera-nodes"] = map[string]Entry{"1": {ServerID: 1, ServerKey: "pxc-0"}}
			},
			want: []Action{{Op: OpClearSet, Table: "galera-nodes", Key: "1", ServerID: 2, Backend: "galera-nodes", Why: "the entry says pxc-0"}},
			check: func(t *testing.T, r Result) {
				if r.Converged || r.Effective != "pxc-0" || r.Reason != "new connections of backend galera-nodes go to pxc-0" {
					t.Errorf("got %+v", r)
				}
			},
		},
		{
			name: "one of several keys, the names of frontends",
			change: func(in *Input) {
				in.Layout.Steer, in.Steered = nil, false
				in.Layout.Backends[0].Keys = []string{"fe-a", "fe-b"}
				in.Observed.Tables["galera-nodes"] = map[string]Entry{"fe-a": {ServerID: 2}, "fe-b": {ServerID: 3}}
			},
			want: []Action{{Op: OpClearSet, Table: "galera-nodes", Key: "fe-b", ServerID: 2, Backend: "galera-nodes", Why: "the entry says pxc-2"}},
			check: func(t *testing.T, r Result) {
				if r.Converged || r.Effective != "" || r.Reason != "new connections of backend galera-nodes from fe-b go to pxc-2" {
					t.Errorf("got %+v", r)
				}
			},
		},
		{
			name: "a server in maintenance is skipped by stickiness: the route falls through",
			change: func(in *Input) {
				in.Steered = false
				in.Observed.Servers["galera-nodes"]["pxc-1"] = ServerNow{}
			},
			check: func(t *testing.T, r Result) {
				if r.Effective != "pxc-0" || r.Usable || r.Converged {
					t.Errorf("got %+v", r)
				}
			},
		},
		{
			name: "stragglers are closed, not those on the active",
			change: func(in *Input) {
				in.Observed.Servers["galera-nodes"]["pxc-1"] = ServerNow{Running: true, Sessions: 7}
				in.Observed.Servers["galera-nodes"]["pxc-0"] = ServerNow{Sessions: 4}
			},
			want: []Action{{Op: OpClose, Backend: "galera-nodes", Server: "pxc-0", Sessions: 4, Why: "4 sessions to pxc-0, which is not the active"}},
		},
		{
			name: "stragglers stay while the active cannot take them",
			change: func(in *Input) {
				in.Observed.Servers["galera-nodes"]["pxc-1"] = ServerNow{}
				in.Observed.Servers["galera-nodes"]["pxc-0"] = ServerNow{Running: true, Sessions: 4}
			},
			check: func(t *testing.T, r Result) {
				if r.Elsewhere != 4 {
					t.Errorf("elsewhere = %d", r.Elsewhere)
				}
			},
		},
		{
			name: "stragglers stay without a fresh majority",
			change: func(in *Input) {
				in.MayClose = false
				in.Observed.Servers["galera-nodes"]["pxc-0"] = ServerNow{Running: true, Sessions: 4}
			},
		},
		{
			name:   "a node that the backend does not have is never set",
			change: func(in *Input) { in.Active = "pxc-9" },
			check: func(t *testing.T, r Result) {
				if r.Converged || r.PrivateRight || r.Reason == "" {
					t.Errorf("got %+v", r)
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := &Input{
				Layout: Layout{Steer: steer, Backends: []Backend{backend("galera-nodes", "1")}},
				Observed: Observed{
					Tables:  map[string]map[string]Entry{},
					Servers: running("galera-nodes"),
				},
				Active: "pxc-1", Steered: true, MayClose: true, NativeDue: true,
			}
			for k, v := range right {
				in.Observed.Tables[k] = v
			}
			if tt.change != nil {
				tt.change(in)
			}
			got := Make(in)
			if diff := cmp.Diff(tt.want, got.Actions); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
			if tt.check != nil {
				tt.check(t, got)
			}
		})
	}
}

func TestBalancedIsUnknownBetweenTwoServersWithoutBackup(t *testing.T) {
	b := backend("b", "1")
	b.Servers[1].Backup = false
	if got := Balanced(&b, &Observed{Servers: running("b")}); got != "" {
		t.Errorf("round robin has no single answer, got %q", got)
	}
}

// Applying a plan to a model of HAProxy's tables makes the next plan empty of
// table writes and every route lead to the active, from any state of the tables.
func TestPlanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backends := []Backend{backend("galera-nodes", "1"), backend("galera-admin-nodes", "fe1", "fe2")}
		layout := Layout{Backends: backends}
		if rapid.Bool().Draw(t, "steer") {
			layout.Steer = steer
		}
		entry := rapid.Custom(func(t *rapid.T) Entry {
			return Entry{ServerID: rapid.IntRange(0, 4).Draw(t, "id"), ServerKey: rapid.SampledFrom([]string{"", "pxc-0", "pxc-1", "pxc-2", "gone"}).Draw(t, "key")}
		})
		obs := Observed{Tables: map[string]map[string]Entry{}, Servers: running("galera-nodes", "galera-admin-nodes")}
		for table, keys := range map[string][]string{"haproxyd-steer": {"1", "2"}, "galera-nodes": {"1"}, "galera-admin-nodes": {"fe1", "fe2"}} {
			obs.Tables[table] = map[string]Entry{}
			for _, k := range keys {
				if rapid.Bool().Draw(t, "has") {
					obs.Tables[table][k] = entry.Draw(t, "entry")
				}
			}
		}
		in := &Input{
			Layout: layout, Observed: obs, NativeDue: true,
			Active:  rapid.SampledFrom([]string{"pxc-0", "pxc-1", "pxc-2"}).Draw(t, "active"),
			Steered: rapid.Bool().Draw(t, "steered"),
		}
		for _, a := range Make(in).Actions {
			apply(&in.Observed, a)
		}
		after := Make(in)
		if len(after.Actions) != 0 || !after.Converged || !after.PrivateRight || !after.NativeRight || after.Effective != in.Active {
			t.Fatalf("not converged: %+v", after)
		}
	})
}

// apply does to the tables what HAProxy does (HAPROXY.md facts 2 and 3): `set`
// leaves a stored name as it is.
func apply(o *Observed, a Action) {
	switch a.Op {
	case OpClear:
		delete(o.Tables[a.Table], a.Key)
	case OpSet:
		e := o.Tables[a.Table][a.Key]
		e.ServerID = a.ServerID
		o.Tables[a.Table][a.Key] = e
	case OpClearSet:
		o.Tables[a.Table][a.Key] = Entry{ServerID: a.ServerID}
	}
}

// A proxy that must serve nobody: the key is there, all sessions end, also those
// to the active, and that is right and no reason to write anything again.
func TestFence(t *testing.T) {
	in := &Input{
		Layout: Layout{Steer: steer, Backends: []Backend{backend("galera-nodes", "1")}},
		Observed: Observed{
			Tables: map[string]map[string]Entry{
				"haproxyd-steer": {"1": {ServerID: 2}}, "galera-nodes": {"1": {ServerID: 2, ServerKey: "pxc-1"}},
			},
			Servers: running("galera-nodes"),
		},
		Active: "pxc-1", Steered: true, MayClose: true, NativeDue: true, Fence: "pxc-1 cannot be reached from here",
	}
	in.Observed.Servers["galera-nodes"]["pxc-1"] = ServerNow{Sessions: 3}
	in.Observed.Servers["galera-nodes"]["pxc-0"] = ServerNow{Running: true, Sessions: 1}
	r := Make(in)
	want := []Action{
		{Op: OpSet, Table: "haproxyd-steer", Key: "2", ServerID: 2, Private: true, Why: in.Fence},
		{Op: OpClose, Backend: "galera-nodes", Server: "pxc-0", Sessions: 1, Why: "1 sessions to pxc-0 while this proxy is fenced"},
		{Op: OpClose, Backend: "galera-nodes", Server: "pxc-1", Sessions: 3, Why: "3 sessions to pxc-1 while this proxy is fenced"},
	}
	if diff := cmp.Diff(want, r.Actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if r.Converged || r.Fenced || r.Elsewhere != 1 {
		t.Errorf("before the write: %+v", r)
	}
	in.Observed.Tables["haproxyd-steer"]["2"] = Entry{ServerID: 2}
	in.Observed.Servers["galera-nodes"]["pxc-1"], in.Observed.Servers["galera-nodes"]["pxc-0"] = ServerNow{}, ServerNow{Running: true}
	if r = Make(in); len(r.Actions) != 0 || !r.Fenced || !r.PrivateRight || r.Converged {
		t.Errorf("fenced, nothing to do: %+v", r)
	}
}

func TestDrainingSessionsAreNoStragglers(t *testing.T) {
	in := &Input{
		Layout:   Layout{Backends: []Backend{backend("galera-nodes", "1")}},
		Observed: Observed{Tables: map[string]map[string]Entry{"galera-nodes": {"1": {ServerID: 2}}}, Servers: running("galera-nodes")},
		Active:   "pxc-1", MayClose: true, Draining: "pxc-0",
	}
	in.Observed.Servers["galera-nodes"]["pxc-0"] = ServerNow{Running: true, Sessions: 5}
	in.Observed.Servers["galera-nodes"]["pxc-2"] = ServerNow{Running: true, Sessions: 1}
	r := Make(in)
	if len(r.Actions) != 1 || r.Actions[0].Server != "pxc-2" || r.Elsewhere != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestReaders(t *testing.T) {
	backends := []ReaderBackend{{Name: "r", Servers: []string{"pxc-0", "pxc-1", "pxc-2"}}}
	up, ours, theirs, down := ReaderNow{Running: true}, ReaderNow{Drained: true, Ours: true}, ReaderNow{Drained: true}, ReaderNow{}
	for _, tt := range []struct {
		name   string
		now    [3]ReaderNow
		active string
		want   string
	}{
		{"the active drains", [3]ReaderNow{up, up, up}, "pxc-1", "drain pxc-1"},
		{"nothing to do", [3]ReaderNow{up, ours, up}, "pxc-1", ""},
		{"a move: the former one is back first", [3]ReaderNow{up, ours, up}, "pxc-2", "ready pxc-1,drain pxc-2"},
		{"the active is all that is left", [3]ReaderNow{down, up, down}, "pxc-1", ""},
		{"all others went down: it comes back", [3]ReaderNow{down, ours, down}, "pxc-1", "ready pxc-1"},
		{"the only other one is an operator's drain: nobody is left", [3]ReaderNow{theirs, up, down}, "pxc-1", ""},
		{"an operator's drain of the former active stays", [3]ReaderNow{up, theirs, up}, "pxc-0", "drain pxc-0"},
		{"an operator's drain of the active is not ours to lift", [3]ReaderNow{down, theirs, down}, "pxc-1", ""},
		{"the former one alone makes room for the active to drain", [3]ReaderNow{ours, up, down}, "pxc-1", "ready pxc-0,drain pxc-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := map[string]map[string]ReaderNow{"r": {"pxc-0": tt.now[0], "pxc-1": tt.now[1], "pxc-2": tt.now[2]}}
			var got []string
			for _, a := range Readers(backends, now, tt.active) {
				got = append(got, a.Op.String()+" "+a.Server)
			}
			if s := strings.Join(got, ","); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

// A table with `srvkey addr`: what HAProxy 2.6, 3.0, 3.2 and 3.4 did with such entries, in `show table` and by the
// connection that followed. The address rules, and the number only without one.
func TestSticksByAddress(t *testing.T) {
	b := Backend{Name: "db", Table: "db", ByAddress: true, Servers: []Server{{Name: "oak", ID: 1}, {Name: "elm", ID: 2}, {Name: "fir", ID: 3}}}
	o := Observed{Servers: map[string]map[string]ServerNow{"db": {
		"oak": {Running: true, Address: "::1:13320"}, "elm": {Running: true, Address: "127.0.0.1:13311"}, "fir": {Running: true},
	}}}
	for _, c := range []struct {
		entry Entry
		want  string
	}{
		{Entry{ServerID: 1, ServerKey: "127.0.0.1:13311"}, "elm"},
		{Entry{ServerID: 1, ServerKey: "::1:13320"}, "oak"},
		{Entry{ServerID: 3}, "fir"},
		{Entry{ServerID: 2, ServerKey: "127.0.0.9:1"}, "elm"},
	} {
		if got, ok := Sticks(&b, &o, c.entry); got != c.want || !ok {
			t.Errorf("%+v leads to %q, %v", c.entry, got, ok)
		}
	}
}
