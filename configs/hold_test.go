package configs

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const holdExample = "examples/writers-only.cfg"

func example(t *testing.T, replace ...string) string {
	t.Helper()
	data, err := os.ReadFile(holdExample)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(replace...).Replace(string(data))
	if len(replace) > 0 && text == string(data) {
		t.Fatalf("nothing to replace: %q", replace)
	}
	return write(t, text)
}

// A hold frontend is no client's, so that neither the keys nor the fence nor the list of frontends know it.
func TestHoldFrontendIsNoClients(t *testing.T) {
	top := load(t, example(t, "stick match int(1)\n", "stick match fe_name\n", "stick store-request int(1)", "stick store-request fe_name",
		"stick-table type integer size 100k", "stick-table type string len 64 size 100k"))
	if err := top.Validate(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"galera-in"}, top.Sticky[0].Keys); diff != "" {
		t.Errorf("keys of a table by frontend:\n%s", diff)
	}
	var names []string
	for _, f := range top.Frontends {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"haproxy-health", "galera-in"}, names); diff != "" {
		t.Errorf("frontends:\n%s", diff)
	}
	if top.Steering.FenceKey != "2" || top.Steering.HoldKey != "3" || top.Sticky[0].Stores {
		t.Errorf("steering %+v, sticky %+v", top.Steering, top.Sticky[0])
	}
}

// holdNames are the frontends that can hold.
func holdNames(top *Topology) []string {
	var names []string
	for _, h := range top.holds {
		if h.problem == "" {
			names = append(names, h.frontend.Name)
		}
	}
	return names
}

// Like the beacon and the fence, it is recognised by its structure, under any name.
func TestHoldByStructure(t *testing.T) {
	top := load(t, example(t, "frontend haproxyd-hold-galera-nodes\n", "frontend wait\n", "stick match int(3)", "stick match int(7)",
		"fe_name haproxyd-hold-galera-nodes", "fe_name -m str wait", "global\n", "global\n  unix-bind mode 600 prefix /srv\n"))
	s := top.Sticky[0]
	if top.Steering.HoldKey != "7" || !slices.Equal(holdNames(top), []string{"wait"}) || s.HoldSocket != "/srv/run/haproxy/haproxyd-hold-galera-nodes.sock" || len(top.Frontends) != 2 {
		t.Errorf("key %q, frontends %q, socket %q", top.Steering.HoldKey, holdNames(top), s.HoldSocket)
	}
}

// Files without it, and with one that cannot be used, are read as before.
func TestWithoutHold(t *testing.T) {
	const rule = "  stick match int(3) table haproxyd-steer if { fe_name haproxyd-hold-galera-nodes }\n"
	files := map[string]string{
		"design":        "testdata/design.cfg",
		"no rule":       example(t, rule, ""),
		"native table":  example(t, rule, strings.Replace(rule, "haproxyd-steer", "galera-nodes", 1)),
		"computed key":  example(t, rule, strings.Replace(rule, "int(3)", "src_port", 1)),
		"active key":    example(t, rule, strings.Replace(rule, "int(3)", "int(1)", 1)),
		"fence key":     example(t, rule, strings.Replace(rule, "int(3)", "int(2)", 1)),
		"not the first": example(t, rule, "", "  stick match int(1)\n", rule+"  stick match int(1)\n"),
	}
	for name, file := range files {
		top := load(t, file)
		if err := top.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s := top.Sticky[0]
		if top.Steering.HoldKey != "" || s.HoldSocket != "" || len(holdNames(top)) > 0 || s.HoldReverts("2.6.12") {
			t.Errorf("%s: key %q, socket %q", name, top.Steering.HoldKey, s.HoldSocket)
		}
		if !s.Steered || s.Stores || !cmp.Equal(s.Keys, []string{"1"}) || top.Steering.ActiveKey != "1" {
			t.Errorf("%s: sticky %+v", name, s)
		}
	}
}

func TestHoldReverts(t *testing.T) {
	with, without := StickyBackend{HoldSocket: "/s", Redispatch: true}, StickyBackend{HoldSocket: "/s"}
	for version, want := range map[string][2]bool{
		"2.6.12-1+deb12u3": {true, false}, "2.2.9": {true, false}, "2.8.3": {false, false}, "3.0.11-1+deb13u4": {false, true},
		"3.4.7-1": {false, true}, "3.3-dev4": {false, true}, "": {false, false}, "new": {false, false},
	} {
		if got := [2]bool{with.HoldReverts(version), without.HoldReverts(version)}; got != want {
			t.Errorf("%q: %v, want %v (with and without redispatch)", version, got, want)
		}
	}
	if (StickyBackend{Redispatch: true}).HoldReverts("2.6.12") {
		t.Error("a backend without a hold frontend")
	}
}
