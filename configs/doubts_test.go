package configs

import (
	"strings"
	"testing"
)

const doubtsText = `global
  stats socket /tmp/admin.sock mode 660 level admin
%s
defaults
  mode tcp
%s
frontend web
  bind :80
  mode http
%s
frontend galera-in
  bind 127.0.0.1:3306
  default_backend db
%s
backend db
  stick-table type integer size 100k
  stick on int(1)
  server oak 10.0.0.1:3306 id 1
%s
`

func doubtsFile(text string, lines [5]string) string {
	for _, l := range lines {
		text = strings.Replace(text, "%s", l, 1)
	}
	return text
}

// Where HAProxy cannot be asked, a condition is refused only if what stands behind it is read here.
func TestDoubts(t *testing.T) {
	const cond = ".if feature(OPENSSL)"
	for name, c := range map[string]struct {
		at      int // which of the places
		lines   string
		refused bool
	}{
		"global, what is not read":         {0, cond + "\n  tune.ssl.default-dh-param 2048\n.endif", false},
		"global, the socket":               {0, cond + "\n  stats socket /tmp/b.sock level admin\n.endif", true},
		"global, a variable":               {0, cond + "\n  setenv A b\n.endif", true},
		"defaults of ours":                 {1, cond + "\n  option redispatch\n.endif", true},
		"another frontend":                 {2, cond + "\n  bind quic4@:443 ssl crt x\n.endif", false},
		"another frontend that may lead":   {2, cond + "\n  default_backend db\n.endif", true},
		"our frontend":                     {3, cond + "\n  bind :3307\n.endif", true},
		"our backend":                      {4, cond + "\n  server elm 10.0.0.2:3306 id 2\n.endif", true},
		"the other branch":                 {4, cond + "\n.else\n  server elm 10.0.0.2:3306 id 2\n.endif", true},
		"a branch that is not taken":       {4, ".if 1\n.elif feature(OPENSSL)\n  server elm 10.0.0.2:3306 id 2\n.endif", false},
		"a section of somebody else":       {4, cond + "\nfrontend q\n  bind quic4@:443 ssl crt x\n.endif\nbackend last", false},
		"a section of ours":                {4, cond + "\nbackend b\n  stick-table type ip size 1k\n.endif\nbackend last", true},
		"peers":                            {4, cond + "\npeers p\n.endif\nbackend last", true},
		"what does not depend on it":       {4, ".if 0 && feature(OPENSSL)\npeers p\n.endif", false},
		"after a section that may be here": {4, cond + "\nfrontend q\n.endif\n  bind :1", true},
	} {
		t.Run(name, func(t *testing.T) {
			var lines [5]string
			lines[c.at] = c.lines
			top, errs := build([]input{{"x.cfg", doubtsFile(doubtsText, lines)}}, Reading{HAProxy: "/nowhere/haproxy"})
			if c.refused != (len(errs) > 0) {
				t.Fatalf("errors %v", errs)
			}
			if !c.refused && (len(top.Sticky) != 1 || len(top.Sticky[0].Servers) != 1) {
				t.Errorf("%+v", top.Sticky)
			}
			if len(errs) > 0 && name != "after a section that may be here" && !strings.Contains(errs[0].Error(), `the condition "feature(OPENSSL)" cannot be evaluated without HAProxy`) {
				t.Error(errs[0])
			}
		})
	}
}

// Where HAProxy is here it answers: what is true of it is read, what is not is left out, and an old one cannot be asked.
func TestAskHAProxy(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			for predicate, want := range map[string]bool{"version_atleast(2.2)": true, "version_atleast(99.1)": false, "version_before(99.1)": true, "feature(NO_SUCH_THING)": false} {
				got, err := askHAProxy(binary, predicate)
				if old := version < "2.5"; old != (err != nil) || !old && got != want {
					t.Errorf("%s: %v, %v", predicate, got, err)
				}
			}
			if _, err := askHAProxy(binary, "no_such_predicate(1)"); err == nil {
				t.Error("an unknown predicate was answered")
			}
			text := strings.Replace(doubtsText, "  server oak", ".if version_atleast(2.5) && !version_atleast(99.1)\n  server oak", 1)
			top, errs := build([]input{{"x.cfg", doubtsFile(text, [5]string{4: ".else\n  server elm 10.0.0.2:3306\n.endif"})}}, Reading{HAProxy: binary})
			if len(errs) > 0 || len(top.Sticky) != 1 || len(top.Sticky[0].Servers) != 1 || top.Sticky[0].Servers[0].Name != "oak" {
				t.Errorf("%v: %+v", errs, top.Sticky)
			}
		})
	}
}
