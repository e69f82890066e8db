package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Whatever is seen, OK is never said where a figure says otherwise, nor an outage where
// somebody is served.
func TestNeverWellAgainstTheFigures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := well()
		some := func(what string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"0", "1", "2"}), 0, 3, rapid.ID[string]).Draw(t, what)
		}
		named := func(lead, what string) []string {
			out := some(what)
			for i := range out {
				out[i] = lead + out[i]
			}
			return out
		}
		maybe := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 }
		s.refuse(named("db", "dead")...)
		if maybe("alone") {
			s.alone()
		} else {
			s.fence("why", named("px", "fenced")...)
			s.native(rapid.SampledFrom([]string{"", "db0", "db1"}).Draw(t, "to"), named("px", "native")...)
			s.hang(time.Second, named("px", "hang")...)
			if maybe("astray") {
				s.Members[2].Proxy.Astray = []api.Astray{{Server: "db2"}}
			}
		}
		s.Active.Frozen = maybe("frozen")
		if maybe("moving") {
			s.Active.Move = &api.Move{From: "db0", To: "db1"}
		}
		if maybe("alert") {
			s.alert = "an alert"
		}
		s.judge()

		served, fenced := false, false
		for _, m := range s.Members {
			p := m.Proxy
			if p == nil {
				continue
			}
			fenced = fenced || p.Fenced != ""
			served = served || p.Reachable && p.Fenced == "" && p.Effective != "" && !s.dead(p.Effective)
		}
		down := slices.ContainsFunc(s.Nodes, func(n api.Node) bool { return n.Down > 0 })
		ok := s.State == api.StateOK
		switch {
		case s.Headline == "" || strings.ContainsAny(s.Headline, "\n%"):
			t.Errorf("the headline is %q", s.Headline)
		case ok && (!s.Active.Agreed || down || fenced || s.alert != "" || s.Active.Move == nil && s.Active.Converged < s.Active.Proxies):
			t.Errorf("well: %s: %+v", s.Headline, s.Problems)
		case ok && slices.ContainsFunc(s.Members, func(m api.Member) bool { return m.Proxy != nil && (!m.Proxy.Reachable || len(m.Proxy.Astray) > 0) }):
			t.Errorf("well, with a proxy that is not: %s", s.Headline)
		case served && (s.State == api.StateOutage || s.State == api.StateUnknown):
			t.Errorf("somebody is served, and it says %s: %s", s.State, s.Headline)
		case s.State == api.StateDegraded && !s.broke():
			t.Errorf("nothing is wrong, and it says %s: %s", s.State, s.Headline)
		}
	})
}
