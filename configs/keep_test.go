package configs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const keepRule = "  force-persist if { srv_is_up(haproxyd/local) } { int(4),in_table(haproxyd-steer) }\n"

// The line is known by its structure, whatever the key and the order of its parts.
func TestKeepByStructure(t *testing.T) {
	if top := load(t, holdExample); top.Steering.KeepKey != "4" || top.Sticky[0].KeepKey != "4" {
		t.Errorf("as rendered: key %q and %q", top.Steering.KeepKey, top.Sticky[0].KeepKey)
	}
	for name, c := range map[string]struct{ rule, key string }{
		"other order":  {"  force-persist if { int(4),in_table(haproxyd-steer) } { srv_is_up(haproxyd/local) }\n", "4"},
		"another key":  {strings.Replace(keepRule, "int(4)", "int(9)", 1), "9"},
		"named":        {"  acl steers srv_is_up(haproxyd/local)\n  force-persist if steers { int(4),in_table(haproxyd-steer) }\n", "4"},
		"others after": {keepRule + "  ignore-persist if { src 10.0.0.9 }\n", "4"},
	} {
		top := load(t, example(t, keepRule, c.rule))
		if top.Steering.KeepKey != c.key || top.Sticky[0].KeepKey != c.key {
			t.Errorf("%s: key %q and %q, want %q", name, top.Steering.KeepKey, top.Sticky[0].KeepKey, c.key)
		}
	}
}

// A file without the line, as 7535bfe rendered it, and one with any other force-persist are read as before: no key is said
// to keep anything, and all else stays.
func TestWithoutKeep(t *testing.T) {
	old := load(t, "testdata/rendered-7535bfe.cfg")
	if s := old.Sticky[0]; old.Steering.KeepKey != "" || s.KeepKey != "" || !s.Steered || s.Stores || old.Steering.HoldKey != "3" || s.HoldSocket == "" {
		t.Errorf("7535bfe's: %+v, %+v", old.Steering, s)
	}
	without := load(t, example(t, keepRule, ""))
	for name, rule := range map[string]string{
		"unconditional":     "  force-persist\n",
		"a client's own":    "  force-persist if { src 10.0.0.9 }\n",
		"no key":            "  force-persist if { srv_is_up(haproxyd/local) }\n",
		"no beacon":         "  force-persist if { int(4),in_table(haproxyd-steer) }\n",
		"unless":            strings.Replace(keepRule, " if ", " unless ", 1),
		"either":            strings.Replace(keepRule, "} {", "} || {", 1),
		"not in the table":  strings.Replace(keepRule, "{ int(4)", "!{ int(4)", 1),
		"beacon down":       strings.Replace(keepRule, "{ srv_is_up", "!{ srv_is_up", 1),
		"one more":          strings.Replace(keepRule, "\n", " { src 10.0.0.9 }\n", 1),
		"alive, not beacon": strings.Replace(keepRule, "haproxyd/", "haproxyd-alive/", 1),
		"the native table":  strings.Replace(keepRule, "haproxyd-steer", "galera-nodes", 1),
		"computed key":      strings.Replace(keepRule, "int(4)", "src_port", 1),
		"key of the active": strings.Replace(keepRule, "int(4)", "int(1)", 1),
		"key of the fence":  strings.Replace(keepRule, "int(4)", "int(2)", 1),
		"key of the hold":   strings.Replace(keepRule, "int(4)", "int(3)", 1),
		"after another":     "  ignore-persist if { src 10.0.0.9 }\n" + keepRule,
	} {
		top := load(t, example(t, keepRule, rule))
		if err := top.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if top.Steering.KeepKey != "" || top.Sticky[0].KeepKey != "" {
			t.Errorf("%s: key %q and %q", name, top.Steering.KeepKey, top.Sticky[0].KeepKey)
		}
		got, want := *top.Steering, *without.Steering
		got.Pos, want.Pos = Position{}, Position{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// One key for all: a backend whose rule names another one has none.
func TestKeepOneKey(t *testing.T) {
	data, err := Render(exampleInput())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), keepRule, strings.Replace(keepRule, "int(4)", "int(5)", 1), 1)
	top := load(t, write(t, text))
	var keys []string
	for _, s := range top.Sticky {
		keys = append(keys, s.KeepKey)
	}
	if diff := cmp.Diff([]string{"5", "", ""}, keys); diff != "" {
		t.Error(diff)
	}
}
