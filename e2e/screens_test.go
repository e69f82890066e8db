package e2e

import (
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

// The screens tell the truth: when all is well, with a blind proxy, with a dead active under a freeze, and without a
// majority. What explain foretells for the death of a node is what happens when it dies.
func TestScreens(t *testing.T) {
	t.Run("as agreed, and foretold", func(t *testing.T) {
		s := begin(t, stack.Options{})
		s.saysAll(s.PX[2], "status", "All as agreed: 3 of 3 proxies go to db1.")
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
			s.saysAll(p, "status", "NOT AS AGREED: ", "px0", "db1 cannot be reached from here")
			s.saysAll(p, "explain", "db1 is down for 1 of 3 voters only", "no majority, it stays the active", "px0: down", "px1: healthy")
		}
	})
	t.Run("frozen, and the active dead", func(t *testing.T) {
		full(t)
		s := begin(t, stack.Options{})
		var a apiActive
		s.must(s.Ask(s.ctx, s.PX[0], &a, "freeze", "--reason", "moving house"))
		s.must(s.WaitAll(s.within(10*time.Second), "all to know that it is frozen", func(a apiActive) bool { return a.Frozen }))
		if w := s.ifDown(s.PX[1], "db1"); w.Active != "" || w.Moves || !strings.Contains(w.Reason, "frozen") {
			t.Errorf("if db1 died while frozen: %+v", w)
		}
		s.DB[1].Kill9()
		s.must(s.waitNode("db1", "down for all", func(n apiNode) bool { return n.Down == len(s.PX) }))
		for _, p := range s.PX {
			s.saysAll(p, "status", "NOT AS AGREED: ", "frozen: no automatic change happens", "frozen, and db1 is down for 3 of 3 voters")
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
		s.saysAll(s.PX[0], "status", "NOT AS AGREED: not agreed: no majority", "px1 is not heard", "px2 is not heard")
		s.saysAll(s.PX[0], "explain", "no majority now, nothing would be decided", "px1: not heard lately")
		for _, n := range s.DB {
			if w := s.ifDown(s.PX[0], n.Name); w.Moves || !strings.Contains(w.Reason, "without a majority") {
				t.Errorf("if %s died: %+v", n.Name, w)
			}
		}
	})
}
