package configs

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testEnv(name string) (string, bool) {
	v, ok := map[string]string{"HOST": "db.example", "EMPTY": "", "LIST": "a b  c", "PORT": "3306", "_x1": "u"}[name]
	return v, ok
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  []string
		unset []string
		err   error
	}{
		{in: "", want: nil},
		{in: "  \t # comment", want: nil},
		{in: "a  b\tc\r", want: []string{"a", "b", "c"}},
		{in: "a#b c", want: []string{"a"}},
		{in: `a\#b \ c`, want: []string{"a#b", " c"}},
		{in: `"a b" 'c # d'`, want: []string{"a b", "c # d"}},
		{in: `a"b"'c'd`, want: []string{"abcd"}},
		{in: `"" x ''`, want: []string{"", "x", ""}},
		{in: `'$HOST' $HOST "$HOST"`, want: []string{"$HOST", "$HOST", "db.example"}},
		{in: `"${HOST}:$PORT"`, want: []string{"db.example:3306"}},
		{in: `"${NONE-x y}" "${HOST-x}" "${EMPTY-x}"`, want: []string{"x y", "db.example", ""}},
		{in: `"$NONE" "${NONE2}z"`, want: []string{"", "z"}, unset: []string{"NONE", "NONE2"}},
		{in: `k "${LIST[*]}" z`, want: []string{"k", "a", "b", "c", "z"}},
		{in: `"${LIST}"`, want: []string{"a b  c"}},
		{in: `"$_x1"`, want: []string{"u"}},
		{in: `"\$HOST" \$HOST`, want: []string{"$HOST", "$HOST"}},
		{in: `a\\b '\\' "\\"`, want: []string{`a\b`, `\\`, `\`}},
		{in: `\x41\n\t\1`, want: []string{"A\n\t\\1"}},
		{in: `end\`, want: []string{`end\`}},
		{in: `"open`, err: errQuote},
		{in: `'open`, err: errQuote},
		{in: `"$"`, err: errVariable},
		{in: `"${}"`, err: errVariable},
		{in: `"${HOST"`, err: errBrace},
		{in: `"${HOST*}"`, err: errVariable},
		{in: `\xZZ`, err: errHex},
		{in: `\x4`, err: errHex},
	} {
		words, unset, err := split(c.in, testEnv)
		if !errors.Is(err, c.err) {
			t.Errorf("split(%q): error %v, want %v", c.in, err, c.err)
			continue
		}
		if diff := cmp.Diff(c.want, words); diff != "" {
			t.Errorf("split(%q):\n%s", c.in, diff)
		}
		if diff := cmp.Diff(c.unset, unset); diff != "" {
			t.Errorf("split(%q), unset:\n%s", c.in, diff)
		}
	}
}

func TestExpandAddress(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1:3306": "10.0.0.1:3306", "$HOST:3306": "db.example:3306", "${HOST}:${PORT}": "db.example:3306", "a$": "a",
	} {
		if got, _ := expandAddress(in, testEnv); got != want {
			t.Errorf("expandAddress(%q) = %q, want %q", in, got, want)
		}
	}
	if _, unset := expandAddress("${NONE}:1", testEnv); !cmp.Equal(unset, []string{"NONE"}) {
		t.Errorf("unset %v", unset)
	}
}

func TestCutAddress(t *testing.T) {
	for in, want := range map[string]struct {
		host string
		port int
		unix bool
	}{
		"10.0.0.1:3306": {"10.0.0.1", 3306, false}, ":3306": {"", 3306, false}, "*:3306": {"*", 3306, false},
		"[2001:db8::1]:3306": {"2001:db8::1", 3306, false}, "2001:db8::1:3306": {"2001:db8::1", 3306, false}, "[::1]": {"::1", 0, false},
		"ipv4@db:3306": {"db", 3306, false}, "/run/x.sock": {"/run/x.sock", 0, true}, "unix@/run/x.sock": {"/run/x.sock", 0, true},
		"fd@3": {"fd@3", 0, false}, "abns@x": {"abns@x", 0, false}, "db": {"db", 0, false}, "db:99999": {"db", 0, false},
	} {
		host, port, unix := cutAddress(in)
		if host != want.host || port != want.port || unix != want.unix {
			t.Errorf("cutAddress(%q) = %q %d %t, want %+v", in, host, port, unix, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int{"1": 1, "100k": 102400, "1M": 1 << 20, "2g": 2 << 30, "": 0, "k": 0, "1kk": 0, "0": 0, "-1": 0, "1x": 0} {
		if got, ok := parseSize(in); got != want || ok != (want != 0) {
			t.Errorf("parseSize(%q) = %d %t, want %d", in, got, ok, want)
		}
	}
}

var conditionCases = []struct {
	in   string
	want bool
}{
	{"", false}, {"0", false}, {"1", true}, {"-1", true}, {"!1", false}, {"!0", true}, {"1 && 0", false}, {"1 || 0", true},
	{"0 && 1 || 1", true}, {"1 || 1 && 0", true}, {"(1 || 1) && 0", false}, {"!(1 && 0)", true},
	{"defined(PATH)", true}, {"defined(NO_SUCH_VARIABLE)", false}, {"streq(a,a)", true}, {"streq(a,b)", false},
	{"strneq(a,b) && !defined(NO_SUCH_VARIABLE)", true}, {"streq(,)", true},
}

func TestCondition(t *testing.T) {
	lookup := func(name string) (string, bool) { return "", name == "PATH" }
	for _, c := range conditionCases {
		cond := condition{rest: c.in, lookup: lookup}
		if got, err := cond.run(); err != nil || got != c.want {
			t.Errorf("%q is %t (%v), want %t", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"version_atleast(2.6)", "feature(OPENSSL)", "(1", "1 &&", "abc", "1 1", strings.Repeat("!", 100) + "1"} {
		cond := condition{rest: in, lookup: lookup, ask: func(string) (bool, error) { return false, errNoAnswer }}
		if _, err := cond.run(); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

// HAProxy evaluates the same conditions to the same (haproxy -cc exists since 2.5).
func TestConditionAgainstHAProxy(t *testing.T) {
	for version, binary := range haproxies(t) {
		if strings.HasPrefix(version, "2.2") {
			continue
		}
		for _, c := range conditionCases {
			if c.in == "" {
				continue
			}
			err := exec.Command(binary, "-cc", c.in).Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if (err == nil) != c.want {
				t.Errorf("HAProxy %s: %q is %t, here %t", version, c.in, err == nil, c.want)
			}
		}
	}
}

func TestBlocks(t *testing.T) {
	const text = `.if defined(A)
global
  localpeer a
.elif 1
global
  localpeer b
  .if 0
  localpeer c
  .else
  .notice "hello"
  .endif
.elif 1
  localpeer d
.else
  localpeer e
.endif
`
	top, errs := build([]input{{name: "x.cfg", text: text}}, Reading{})
	if len(errs) > 0 || top.LocalPeer != "b" {
		t.Fatalf("local peer %q, %v", top.LocalPeer, errs)
	}
	for text, want := range map[string]string{
		".if 1\n":                           "x.cfg:1: .if without an .endif",
		".endif\n":                          "x.cfg:1: .endif without an .if",
		".if 1\n.else\n.elif 1\n":           "x.cfg:3: .elif after .else",
		".if feature(X)\npeers x\n.endif\n": `x.cfg:1: the condition "feature(X)" cannot be evaluated without HAProxy`,
		"maxconn 1\n":                       `x.cfg:1: "maxconn" stands before the first section`,
		"global\n  description \"\n":        "x.cfg:2: a quote is opened and not closed; ",
	} {
		_, errs := build([]input{{name: "x.cfg", text: text}}, Reading{HAProxy: "/nowhere/haproxy"})
		if len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), want) {
			t.Errorf("%s: errors %v, want %q", strconv.Quote(text), errs, want)
		}
	}
}
