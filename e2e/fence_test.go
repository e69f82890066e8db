package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

const (
	// fenceWithin bounds how long a blind proxy may serve another node, and how
	// soon its readiness says no, counted from when its daemon can know.
	fenceWithin = 300 * time.Millisecond
	// liftWithin bounds how long a fence outlives its daemon.
	liftWithin = 500 * time.Millisecond
	// readyURL is where a load balancer asks HAProxy itself (monitor-uri).
	readyURL = "http://127.0.0.1:8404/ready"
)

// ready asks the proxy's HAProxy whether it is ready: its status, 0 for none.
func (s *scenario) ready(p *lab.Proxy) int {
	res, err := p.HTTPClient().Get(readyURL)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// waitFenced waits until the proxy refuses new connections and says so, and
// returns how long that took from the call.
func (s *scenario) waitFenced(p *lab.Proxy, within time.Duration) time.Duration {
	s.t.Helper()
	start := time.Now()
	s.must(until(s.within(within), p.Name+" to be fenced", func() (bool, string) {
		code, body := s.get(p, "/readyz")
		return s.ready(p) == 503 && code == 503 && strings.Contains(body, "fenced"), body
	}))
	return time.Since(start)
}

// waitServing waits until the proxy is ready by HAProxy's word and its daemon's.
func (s *scenario) waitServing(p *lab.Proxy, within time.Duration) time.Duration {
	s.t.Helper()
	start := time.Now()
	s.must(until(s.within(within), p.Name+" to serve", func() (bool, string) {
		code, body := s.get(p, "/readyz")
		return s.ready(p) == 200 && code == 200, body
	}))
	return time.Since(start)
}

// One proxy cannot reach the active: refused at once, or every packet lost. It
// fences itself, its clients fail fast, nobody writes elsewhere, and the others
// never notice. When the way is free again it serves.
func TestBlindProxyFences(t *testing.T) {
	for _, f := range []struct {
		how string
		// sees is how long the proxy's own daemon needs to know.
		sees time.Duration
		cut  func(*scenario) (*lab.Fault, error)
		core bool
	}{
		{how: "refused", sees: 250 * time.Millisecond, core: true, cut: func(s *scenario) (*lab.Fault, error) {
			return s.Refuse(s.ctx, s.PX[0].Host, s.DB[1].Host, lab.MySQLPort)
		}},
		{how: "dropped", sees: 1300 * time.Millisecond, core: true, cut: func(s *scenario) (*lab.Fault, error) {
			return s.Cut(s.ctx, s.PX[0].Host, s.DB[1].Host)
		}},
	} {
		t.Run(f.how, func(t *testing.T) {
			if !f.core {
				full(t)
			}
			s := begin(t, stack.Options{CheckInterval: time.Second})
			blind, others := s.PX[0], s.PX[1:]
			before, counts := s.active(s.PX[1]), s.counted("db1")
			s.start(lab.LoadConfig{ReconnectEvery: 5})
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			cut := s.load.Mark("cut")
			fault, err := f.cut(s)
			s.must(err)
			took := s.waitFenced(blind, 5*time.Second)
			fenced := s.load.Mark("fenced")
			t.Logf("fenced %v after the cut", took)
			if took > f.sees+fenceWithin {
				t.Errorf("fenced after %v; the daemon could know after %v", took, f.sees)
			}
			s.waitProblem(blind, 5*time.Second, "fenced", "db1")
			wait(s.ctx, 3*time.Second) // HAProxy's own checks have noticed by now, too
			s.unchangedOn(others[0], before)
			s.load.Mark("healed")
			s.must(fault.Undo(s.ctx))
			t.Logf("serving %v after the way was free", s.waitServing(blind, 10*time.Second))
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			healed := s.load.Mark("serving")
			log := s.finish(expect{path: []string{"db1"}, twoWriters: 0})
			// Nobody reached another node, by the clients' log and the nodes' own count.
			s.allRight(log.Wrong(0, "db1"), "a blind proxy")
			s.sameCount(counts, "db1")
			for _, p := range others {
				if o := log.OutageAfter(p.Name, "cut"); o > time.Second {
					t.Errorf("%s noticed: no commit for %v", p.Name, o)
				}
			}
			// Its clients fail fast rather than hang.
			slowest, refused := time.Duration(0), 0
			for _, c := range log.Connections {
				if c.Via == blind.Name && c.Start > fenced && c.End < healed && c.Start < healed-time.Second && c.Err != "" {
					slowest = max(slowest, c.End-c.Start)
					refused++
				}
			}
			t.Logf("%d connections refused, the slowest in %v; cut at %v", refused, slowest, cut)
			if refused == 0 || slowest > fenceWithin {
				t.Errorf("%d refused connections, the slowest took %v", refused, slowest)
			}
		})
	}
}

// unchangedOn asserts on one proxy's daemon that the record is the one before.
func (s *scenario) unchangedOn(p *lab.Proxy, before apiActive) {
	s.t.Helper()
	if now := s.active(p); now.Epoch != before.Epoch || now.Revision != before.Revision || now.Active != before.Active {
		s.t.Errorf("the record changed: %+v, before %+v", now, before)
	}
}

// The daemon of a fenced proxy dies: HAProxy serves by itself half a second
// later. It comes back: fenced again. A clean stop lifts the fence at once.
func TestFenceEndsWithItsDaemon(t *testing.T) {
	s := begin(t, stack.Options{CheckInterval: time.Second})
	blind := s.PX[0]
	fault, err := s.Refuse(s.ctx, blind.Host, s.DB[1].Host, lab.MySQLPort)
	s.must(err)
	s.waitFenced(blind, 5*time.Second)
	blind.Daemon.Kill9()
	start := time.Now()
	s.must(until(s.within(5*time.Second), "HAProxy to serve", func() (bool, string) { return s.ready(blind) == 200, "" }))
	took := time.Since(start)
	t.Logf("the fence lifted %v after its daemon's death", took)
	if took > liftWithin+slack {
		t.Errorf("lifted after %v, at most %v", took, liftWithin)
	}
	s.must(blind.Daemon.StartAgain())
	s.waitFenced(blind, 15*time.Second)
	s.must(blind.Daemon.Stop())
	if code := s.ready(blind); code != 200 {
		t.Errorf("after a clean stop of the daemon HAProxy says %d", code)
	}
	s.must(blind.Daemon.StartAgain())
	s.waitFenced(blind, 15*time.Second)
	s.must(fault.Undo(s.ctx))
	s.waitServing(blind, 15*time.Second)
	s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
}

// policy: serve. The blind proxy alone goes elsewhere, and all say so.
func TestBlindProxyServes(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{CheckInterval: time.Second, DaemonArgs: []string{"--on-blind", "serve"}})
	before := s.active(s.PX[1])
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	s.load.Mark("cut")
	fault, err := s.Refuse(s.ctx, s.PX[0].Host, s.DB[1].Host, lab.MySQLPort)
	s.must(err)
	s.must(until(s.within(20*time.Second), "px0 to serve elsewhere", func() (bool, string) {
		two := s.load.Snapshot().TwoWriters().Total
		return two > time.Second, two.String()
	}))
	s.waitProblem(s.PX[0], 5*time.Second, "new connections of px0 go to", "and not to db1")
	s.unchangedOn(s.PX[1], before)
	s.must(fault.Undo(s.ctx))
	s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
	s.must(s.load.WaitNode(s.within(10*time.Second), "db1"))
	s.load.Mark("healed")
	wait(s.ctx, time.Second)
	log := s.load.Stop()
	t.Logf("\n%s", log)
	s.nothingLost(log)
}

// policy: follow. The cluster moves to a node that everybody reaches.
func TestBlindProxyFollowed(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{CheckInterval: time.Second, DaemonArgs: []string{"--on-blind", "follow", "--min-stay", "1s"}})
	wait(s.ctx, time.Second) // min-stay
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	// db0 would be the first choice. That px0 does not reach it is known before it loses db1, too: cut within 0.1 s of each
	// other db0 may be chosen on px0's last good word, and is left only when that move has ended.
	_, err := s.Refuse(s.ctx, s.PX[0].Host, s.Node("db0").Host, lab.MySQLPort)
	s.must(err)
	s.must(s.waitNode("db0", "down for px0 alone", func(n apiNode) bool { return n.Down == 1 }))
	s.load.Mark("cut")
	_, err = s.Refuse(s.ctx, s.PX[0].Host, s.DB[1].Host, lab.MySQLPort)
	s.must(err)
	s.must(s.WaitActive(s.within(20*time.Second), "db2", len(s.PX)))
	s.must(s.load.WaitNode(s.within(20*time.Second), "db2"))
	s.waitServing(s.PX[0], 5*time.Second)
	s.must(s.HealAll(s.ctx))
	s.finish(expect{path: []string{"db1", "db2"}, twoWriters: time.Second, after: "cut", outage: 5 * time.Second})
}
