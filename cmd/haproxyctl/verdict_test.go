package main

import (
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Whether all is well is the daemon's word alone: one that says none, as those before did, is
// never shown as well, and what is to be typed stands whole below its problem.
func TestTheVerdictIsTheDaemons(t *testing.T) {
	s := recordedStatus(t)
	a, out := testApp(true, formatTable)
	a.size = func() (int, int) { return 60, 50 }
	s.State, s.Headline = "", ""
	s.Problems = []api.Problem{{Code: api.ProblemUncoded, Severity: api.SeverityWarning, Text: "px1 is not heard"}}
	a.banner(out, s)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[31mUNKNOWN  ") || !strings.Contains(got, "upgrade it") || !strings.Contains(got, "px1 is not heard") {
		t.Errorf("an older daemon: %q", got)
	}
	out.Reset()
	next := "SET GLOBAL wsrep_provider_options='pc.bootstrap=true' -- on this node and no other one"
	s.State, s.Headline, s.Problems = api.StateOutage, "nobody is served", []api.Problem{{Severity: api.SeverityCritical, Text: "no node", Next: next}}
	a.banner(out, s)
	if got, want := out.String(), "\x1b[31mOUTAGE  \x1b[0m\x1b[31mnobody is served\x1b[0m\n\x1b[31mcritical: \x1b[0m\x1b[31mno node\x1b[0m\n  try: \x1b[1m"+next+"\x1b[0m\n"; got != want {
		t.Errorf("got %q", got)
	}
	out.Reset()
	s.Active.State, s.Active.Headline = api.StateDegraded, "pxc-0 is down"
	a.activeTable(out, s.Active)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[33mDEGRADED  ") || !strings.Contains(got, "pxc-0 is down") {
		t.Errorf("active: %q", got)
	}
}
