package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// screen runs haproxyctl for people on a proxy and returns what it prints, with the lines of folded cells joined.
func (s *scenario) screen(p *lab.Proxy, args ...string) string {
	s.t.Helper()
	r, err := p.Daemon.Ctl(s.ctx, args...)
	s.must(err)
	if r.Exit != 0 {
		s.t.Fatalf("haproxyctl %s: exit %d: %s", strings.Join(args, " "), r.Exit, r.Stderr)
	}
	s.t.Logf("haproxyctl %s on %s:\n%s", strings.Join(args, " "), p.Name, r.Stdout)
	return strings.Join(strings.Fields(r.Stdout), " ")
}

// saysAll waits until a screen contains all of the sentences.
func (s *scenario) saysAll(p *lab.Proxy, screen string, sentences ...string) {
	s.t.Helper()
	missing := ""
	err := until(s.within(10*time.Second), screen+" of "+p.Name, func() (bool, string) {
		r, err := p.Daemon.Ctl(s.ctx, screen)
		s.must(err)
		text := strings.Join(strings.Fields(r.Stdout), " ")
		for _, sentence := range sentences {
			if !strings.Contains(text, sentence) {
				missing = sentence
				return false, "it lacks " + missing
			}
		}
		return true, ""
	})
	s.screen(p, screen)
	if err != nil {
		s.t.Errorf("%s of %s lacks %q", screen, p.Name, missing)
	}
}

// plugin waits until `status --check` on a proxy ends with that status and says all of the sentences: one line with
// performance data.
func (s *scenario) plugin(p *lab.Proxy, exit int, sentences ...string) {
	s.t.Helper()
	word := []string{"OK - ", "DEGRADED - ", "OUTAGE - ", "UNKNOWN - "}[exit]
	var r lab.Result
	err := until(s.within(20*time.Second), fmt.Sprintf("status --check of %s: %d, %q", p.Name, exit, sentences), func() (bool, string) {
		var err error
		r, err = p.Daemon.Ctl(s.ctx, "status", "--check")
		s.must(err)
		said := !slices.ContainsFunc(sentences, func(x string) bool { return !strings.Contains(r.Stdout, x) })
		return said && r.Exit == exit && strings.HasPrefix(r.Stdout, word), fmt.Sprintf("exit %d: %s", r.Exit, r.Stdout)
	})
	s.must(err)
	if strings.Count(r.Stdout, "\n") != 1 || r.Stderr != "" || exit < 3 && !strings.Contains(r.Stdout, " | proxies=") {
		s.t.Errorf("exit %d is not for monitoring: %q %q", exit, r.Stdout, r.Stderr)
	}
	s.t.Logf("status --check on %s: exit %d: %s", p.Name, r.Exit, r.Stdout)
}

// problem waits until a proxy's daemon tells of a problem with that code, and returns it.
func (s *scenario) problem(p *lab.Proxy, code string) api.Problem {
	s.t.Helper()
	var found api.Problem
	s.must(until(s.within(20*time.Second), p.Name+" to tell of "+code, func() (bool, string) {
		st := s.status(p)
		i := slices.IndexFunc(st.Problems, func(x api.Problem) bool { return x.Code == code })
		if i >= 0 {
			found = st.Problems[i]
		}
		return i >= 0, fmt.Sprintf("%s: %q", st.Headline, st.Problems)
	}))
	return found
}

// ifDown is what explain says would happen if a node died.
func (s *scenario) ifDown(p *lab.Proxy, node string) api.WhatIf {
	s.t.Helper()
	e, err := client(p).Explain(s.ctx)
	s.must(err)
	for _, w := range e.IfDown {
		if w.Node == node {
			return w
		}
	}
	s.t.Fatalf("explain says nothing of %s: %+v", node, e.IfDown)
	return api.WhatIf{}
}

// The screens tell the truth, and monitoring hears the same: when all is well, with a dead standby, a blind proxy, a
// dead active under a freeze, no majority, no primary component, no node left, and HAProxies that hang. What explain foretells for the death of a node is what happens when it dies.
func TestScreens(t *testing.T) {
	t.Run("as agreed, and foretold", func(t *testing.T) {
		s := begin(t, stack.Options{})
		s.saysAll(s.PX[2], "status", "OK db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)")
		s.plugin(s.PX[2], 0, "db1 takes the writes on 3 of 3 proxies", "converged=3;;;0;3", "nodes_healthy=3;;;0;3")
		s.saysAll(s.PX[2], "explain", "now: db1 is healthy for all 3 voters", "px0: healthy", "px1: healthy", "px2: healthy", "asked for by an operator through px0")
		for node, want := range map[string]api.WhatIf{"db0": {Active: "db1"}, "db1": {Active: "db0", Moves: true}, "db2": {Active: "db1"}} {
			for _, p := range s.PX {
				if w := s.ifDown(p, node); w.Active != want.Active || w.Moves != want.Moves {
					t.Errorf("%s, if %s died: %+v", p.Name, node, w)
				}
			}
		}
		s.DB[2].Kill9()
		s.must(s.waitNode("db2", "down for all", func(n apiNode) bool { return n.Down == len(s.PX) }))
		if a := s.active(s.PX[0]); a.Active != "db1" {
			t.Errorf("nothing was to move, and the active is %s", a.Active)
		}
		for _, p := range s.PX {
			s.plugin(p, 1, "db2 is down; db1 takes the writes on 3 of 3 proxies; one spare left (db0)", "nodes_healthy=2;;;0;3")
		}
		s.saysAll(s.PX[0], "status", "DEGRADED db2 is down; ", "warning: db2 is down: the node refuses connections")
		s.saysAll(s.PX[0], "active", "DEGRADED db2 is down; ")
		foretold := s.ifDown(s.PX[1], "db1")
		if last := s.ifDown(s.PX[1], "db0"); last.Moves || !strings.Contains(last.Reason, "no node would be left to move to") {
			t.Errorf("if the last other node died: %+v", last)
		}
		// In order, and once Galera has put db2 out, so that db0 stays primary.
		s.must(s.DB[0].WaitClusterSize(s.within(20*time.Second), 2))
		s.must(s.DB[1].Stop())
		if got := s.otherThan("db1"); got != foretold.Active || !foretold.Moves {
			t.Errorf("foretold %+v, and it is %s", foretold, got)
		}
		s.plugin(s.PX[1], 1, "db1 and db2 are down; db0 takes the writes on 3 of 3 proxies; no spare left")
		if w := s.ifDown(s.PX[1], "db0"); w.Active != "" || w.Moves || !strings.Contains(w.Reason, "no other node is healthy") {
			t.Errorf("if the last node died: %+v", w)
		}
	})
	t.Run("blind proxy", func(t *testing.T) {
		full(t)
		s := begin(t, stack.Options{})
		_, err := s.Refuse(s.ctx, s.PX[0].Host, s.DB[1].Host, lab.MySQLPort)
		s.must(err)
		s.waitFenced(s.PX[0], 5*time.Second)
		for _, p := range s.PX {
			s.saysAll(p, "status", "DEGRADED px0 is fenced; ", "db1 takes the writes on 2 of 3 proxies", "critical: px0 is fenced, it serves nobody: db1 cannot be reached from here")
			s.plugin(p, 1, "px0 is fenced", "fenced=1;;;0;3")
			s.saysAll(p, "explain", "db1 is down for 1 of 3 voters only", "no majority, it stays the active", "px0: down", "px1: healthy")
		}
	})
	t.Run("frozen, and the active dead", func(t *testing.T) {
		full(t)
		s := begin(t, stack.Options{})
		var a apiActive
		s.must(s.Ask(s.ctx, s.PX[0], &a, "freeze", "--reason", "moving house"))
		s.must(s.WaitAll(s.within(10*time.Second), "all to know that it is frozen", func(a apiActive) bool { return a.Frozen }))
		s.saysAll(s.PX[1], "status", "OK db1 takes the writes on 3 of 3 proxies; frozen, so nothing moves by itself", "frozen: no automatic change happens: moving house", "try: haproxyctl unfreeze")
		s.plugin(s.PX[1], 0, "frozen")
		if w := s.ifDown(s.PX[1], "db1"); w.Active != "" || w.Moves || !strings.Contains(w.Reason, "frozen") {
			t.Errorf("if db1 died while frozen: %+v", w)
		}
		s.DB[1].Kill9()
		s.must(s.waitNode("db1", "down for all", func(n apiNode) bool { return n.Down == len(s.PX) }))
		for _, p := range s.PX {
			s.saysAll(p, "status", "DEGRADED db1 is down; db0 takes the writes on 3 of 3 proxies, and not db1; frozen", "frozen: no automatic change happens",
				"critical: frozen, and db1 is down for 3 of 3 voters", "try: haproxyctl unfreeze")
			s.plugin(p, 1, "db1 is down")
			s.saysAll(p, "explain", "frozen, and db1 is down for 3 of 3 voters", "px0: down")
		}
	})
	t.Run("no majority", func(t *testing.T) {
		full(t)
		s := begin(t, stack.Options{})
		for _, p := range s.PX[1:] {
			p.Daemon.Kill9()
		}
		s.must(s.waitOn(s.PX[:1], "no majority", func(a apiActive) bool { return !a.Agreed }))
		s.saysAll(s.PX[0], "status", "DEGRADED there is no majority; px1 and px2 are not heard; HAProxy works by itself: db1 takes the writes on 1 of 1 proxy; nothing fails over",
			"critical: no majority", "px1 is not heard", "px2 is not heard", "try: haproxyctl register recover --voters px0 # only if")
		s.plugin(s.PX[0], 1, "there is no majority")
		s.plugin(s.PX[1], 3, "haproxyd has stopped; start it")
		s.saysAll(s.PX[0], "explain", "no majority now, nothing would be decided", "px1: not heard lately")
		for _, n := range s.DB {
			if w := s.ifDown(s.PX[0], n.Name); w.Moves || !strings.Contains(w.Reason, "without a majority") {
				t.Errorf("if %s died: %+v", n.Name, w)
			}
		}
		for _, n := range s.DB {
			n.Kill9()
		}
		s.plugin(s.PX[0], 2, "nobody is served: db0, db1 and db2 are down, px1 and px2 are not heard", "nodes_healthy=0;;;0;3")
		s.saysAll(s.PX[0], "status", "OUTAGE nobody is served: ")
	})
	t.Run("no primary component", func(t *testing.T) {
		full(t)
		s := begin(t, stack.Options{})
		s.start(lab.LoadConfig{ReconnectEvery: 5})
		s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
		s.DB[1].Kill9()
		s.DB[2].Kill9()
		for _, p := range s.PX {
			s.plugin(p, 2, "nobody is served: no node is in the primary component")
		}
		next := s.problem(s.PX[0], api.ProblemNoPrimary)
		s.screen(s.PX[0], "status")
		if next.Node != "db0" || !strings.Contains(next.Text, "db0 has the most of them (seqno ") || strings.Contains(next.Text, "seqno 0)") || !strings.Contains(next.Text, "db1 and db2 will not come back with more") {
			t.Errorf("%+v", next)
		}
		// What is to be typed helps.
		s.must(s.DB[0].Exec(s.ctx, next.Next))
		for _, p := range s.PX {
			s.plugin(p, 1, "db1 and db2 are down; db0 takes the writes on 3 of 3 proxies; no spare left")
		}
		s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	})
	t.Run("no node left", func(t *testing.T) {
		full(t)
		s := begin(t, stack.Options{})
		for _, n := range s.DB {
			n.Kill9()
		}
		for _, p := range s.PX {
			s.plugin(p, 2, "nobody is served: db0, db1 and db2 are down", "nodes_healthy=0;;;0;3")
			s.saysAll(p, "status", "OUTAGE nobody is served: ", "critical: ", "it stays the active", "db0 is down", "db2 is down")
		}
	})
	t.Run("HAProxy hangs", func(t *testing.T) {
		full(t)
		s := begin(t, stack.Options{})
		s.must(s.PX[1].Pause())
		for _, p := range s.PX {
			s.plugin(p, 1, "the HAProxy of px1 does not answer; db1 takes the writes on 2 of 3 proxies; 2 spares (db0, db2)", "converged=2;;;0;3")
		}
		text := s.problem(s.PX[0], api.ProblemHAProxySilent).Text
		if !strings.HasPrefix(text, "the HAProxy of px1 does not answer on its admin socket since ") || strings.Contains(text, "show ") {
			t.Errorf("it says %q", text)
		}
		h, err := client(s.PX[1]).History(s.ctx)
		s.must(err)
		for _, e := range h.Events {
			if strings.Contains(e.Message, "show ") || strings.Contains(e.Message, "set table") {
				t.Errorf("an event with a command line: %q", e.Message)
			}
		}
		s.must(s.PX[0].Pause())
		s.must(s.PX[2].Pause())
		for _, p := range s.PX {
			s.plugin(p, 3, "it cannot be told whether clients are served: the HAProxies of px0, px1 and px2 do not answer")
		}
		for _, p := range s.PX {
			s.must(p.Cont())
		}
		s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
		s.plugin(s.PX[1], 0, "db1 takes the writes on 3 of 3 proxies")
	})
}
