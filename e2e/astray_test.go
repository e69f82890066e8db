package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// A line that the tables know nothing of sends the clients of one frontend elsewhere. What connections do says that it
// is not as agreed: everywhere, soon, and without a change to what counts for a decision.
func TestAstray(t *testing.T) {
	const rule = "\tstick on fe_name\n"
	for name, c := range map[string]struct {
		lines  string
		server string // to which they go
		line   string // which sends them
		stores bool   // and which is stored, so that the table is wrong again and again
	}{
		"a rule with a condition": {"\tstick on fe_name if { fe_name galera-in }\n", "db0", "stick on with a condition", false},
		"use-server":              {rule + "\tuse-server db2 if { fe_name galera-in-2 }\n", "db2", "use-server db2 if { fe_name galera-in-2 }", true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.stores {
				full(t)
			}
			astray(t, c.server, c.line, c.stores, stack.Options{StickOn: true, Key: "fe_name", Rewrite: func(text string) string {
				if !strings.Contains(text, rule) {
					t.Fatalf("the configuration has no line %q", rule)
				}
				return strings.Replace(text, rule, c.lines, 1)
			}})
		})
	}
}

func astray(t *testing.T, server, line string, stores bool, o stack.Options) {
	s := begin(t, o)
	s.start(lab.LoadConfig{})
	wait(s.ctx, 3*time.Second)
	for _, p := range s.PX {
		if a := s.active(p); len(a.Astray) > 0 || a.Converged != len(s.PX) {
			t.Fatalf("before anybody went elsewhere: %+v", a)
		}
	}
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{Port: stack.SecondPort, ReconnectEvery: 2, Clients: 1, Rate: 30})
	s.must(err)
	began := time.Now()
	s.must(s.WaitAll(s.within(20*time.Second), "told by every daemon of every proxy", func(a api.Active) bool { return len(a.Astray) == len(s.PX) }))
	t.Logf("told everywhere after %v", time.Since(began))
	var st api.Status
	s.must(s.Ask(s.ctx, s.PX[0], &st, "status"))
	for _, m := range st.Members {
		if p := m.Proxy; !stores && (!p.Converged || !p.Steering || p.Problem != "") || len(p.Astray) != 1 || p.Astray[0].Backend != writers || p.Astray[0].Server != server || p.Astray[0].Connections == 0 {
			t.Errorf("%s: %+v", m.Name, p)
		}
	}
	const words = " of backend galera-nodes since "
	if !slices.ContainsFunc(st.Problems, func(p api.Problem) bool {
		return p.Code == api.ProblemAstray && strings.Contains(p.Text, server+words) && strings.Contains(p.Text, "its tables lead to db1, by `"+line)
	}) {
		t.Errorf("problems: %q", st.Problems)
	}
	if !slices.ContainsFunc(st.Problems, func(p api.Problem) bool {
		return p.Code == api.ProblemConfigUnsafe && strings.Contains(p.Text, "haproxy.cfg:") && strings.Contains(p.Text, writers)
	}) {
		t.Errorf("the line is not told by itself: %q", st.Problems)
	}
	if !stores && (st.Active.Converged != len(s.PX) || st.Active.Steering != len(s.PX) || len(st.Active.NotConverged) > 0) {
		t.Errorf("it has changed what counts for a decision: %+v", st.Active)
	}
	if stores {
		load.Stop()
		s.finish(expect{path: []string{"db1"}, twoWriters: time.Minute, astray: true})
		return
	}
	res, err := s.Set(s.ctx, s.PX[1], "db2", "--drain", "immediate")
	s.must(err)
	if !res.Changed {
		t.Errorf("a move: %+v", res)
	}
	load.Stop()
	s.must(s.load.WaitNode(s.within(10*time.Second), "db2"))
	wait(s.ctx, 3*time.Second) // nobody goes elsewhere any more
	for _, p := range s.PX {
		if a := s.active(p); len(a.Astray) > 0 {
			t.Errorf("%s, after another decision: %q", p.Name, a.Astray)
		}
	}
	s.finish(expect{path: []string{"db1", "db2"}, twoWriters: 2 * landing, astray: true})
}
