package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// All daemons are killed and started again under load: HAProxy carries on by itself, no connection goes elsewhere, by
// the clients' and by the nodes' own count, and nothing is decided anew.
func TestAllDaemonsRestarted(t *testing.T) {
	s := begin(t, stack.Options{})
	before, counts := s.active(s.PX[0]), s.counted("db1")
	s.start(lab.LoadConfig{ReconnectEvery: 1})
	s.load.Mark("killed")
	for _, p := range s.PX {
		p.Daemon.Kill9()
	}
	s.waitNative(s.PX...)
	wait(s.ctx, time.Second) // the load runs natively
	s.load.Mark("started")
	for _, p := range s.PX {
		s.must(p.Daemon.StartAgain())
	}
	s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	log := s.finish(expect{path: []string{"db1"}, after: "killed", outage: time.Second})
	s.allRight(log.Wrong(0, "db1"), "daemons killed and started")
	s.sameCount(counts, "db1")
	s.unchanged(before)
}

// The daemons are replaced one by one, as a rollout does, while one proxy has none: it works natively, under load,
// and so does each proxy while its own daemon is away. Nothing goes elsewhere, and the daemons agree again each time.
func TestDaemonsReplacedOneByOne(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	before, counts := s.active(s.PX[0]), s.counted("db1")
	s.start(lab.LoadConfig{ReconnectEvery: 1})
	s.PX[2].Daemon.Kill9()
	s.waitNative(s.PX[2])
	for _, p := range s.PX[:2] {
		s.load.Mark("replace " + p.Name)
		s.must(p.Daemon.Stop())
		s.waitNative(p)
		s.must(p.Daemon.StartAgain())
		s.must(p.Daemon.WaitSocket(s.ctx))
		s.must(s.waitOn(s.PX[:2], "two daemons to steer again", func(a apiActive) bool {
			return a.Agreed && a.Steering >= 2 && a.Converged >= 2
		}))
	}
	s.load.Mark("replace px2")
	s.must(s.PX[2].Daemon.StartAgain())
	s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	log := s.finish(expect{path: []string{"db1"}, after: "replace px0", outage: time.Second})
	s.allRight(log.Wrong(0, "db1"), "daemons replaced one by one")
	s.sameCount(counts, "db1")
	if now := s.active(s.PX[0]); now.Epoch != before.Epoch || now.Active != "db1" {
		t.Errorf("a rollout decided: %+v, before %+v", now, before)
	}
}

// One proxy has no daemon and the operator moves the active all the same: that proxy stays where it was, and keeps
// teaching its node through the shared table. The steered proxies are not misled by it, because their private tables
// steer; it follows as soon as its daemon is back. Two writers: from the move until then, plus the bound.
func TestUnsteeredProxyMisleadsNobody(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	s.start(lab.LoadConfig{ReconnectEvery: 1})
	s.PX[2].Daemon.Kill9()
	s.waitNative(s.PX[2])
	s.must(s.waitOn(s.PX[:2], "px2 to be missed", func(a apiActive) bool { return a.Steering == 2 }))
	_, err := s.Set(s.ctx, s.PX[0], "db2")
	if no := s.refused(err); !strings.Contains(no, "px2") {
		t.Errorf("the refusal does not name the proxy that does not steer: %q", no)
	}
	if _, err := client(s.PX[0]).Set(s.ctx, forced("db2")); err != nil {
		t.Fatal(err)
	}
	s.must(s.waitOn(s.PX[:2], "two proxies on db2", func(a apiActive) bool { return a.Active == "db2" && a.Converged >= 2 }))
	moved := s.load.Mark("moved")
	wait(s.ctx, 3*time.Second) // px2 teaches its node all the time
	s.must(s.PX[2].Daemon.StartAgain())
	started := s.load.Mark("started")
	s.must(s.WaitActive(s.within(20*time.Second), "db2", len(s.PX)))
	back := s.load.Mark("back")
	s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
	s.must(s.load.WaitNode(s.within(10*time.Second), "db2"))
	log := s.load.Stop()
	t.Logf("\n%s", log)
	t.Logf("px2 followed %v after its daemon's start; two writers for %v, of that %v without its daemon",
		back-started, log.TwoWriters().Total, started-moved)
	s.allRight(through(log.Wrong(moved, "db2"), s.PX[:2]...), "steered proxies")
	if n := len(through(wrong(log, moved, started, "db2"), s.PX[2])); n == 0 {
		t.Error("px2 was on db2 without its daemon: the scenario proves nothing")
	}
	s.allRight(log.Wrong(back+unsteered, "db2"), "after px2's return")
	if two := log.TwoWriters().Total; two > back-moved+strayed {
		t.Errorf("two writers for %v", two)
	}
	s.nothingLost(log)
}

// All daemons are dead and the active dies too: native stickiness carries the load to one node, keeps it there when
// the old active returns, and the daemons adopt that when they are back.
func TestNoDaemonAndActiveKilled(t *testing.T) {
	s := begin(t, stack.Options{CheckInterval: time.Second})
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	for _, p := range s.PX {
		p.Daemon.Kill9()
	}
	s.waitNative(s.PX...)
	s.load.Mark("killed")
	s.DB[1].Kill9()
	s.must(s.load.WaitNode(s.within(30*time.Second), "db0"))
	s.must(s.DB[1].Start(s.ctx))
	s.waitServerUp("db1", s.PX...)
	wait(s.ctx, time.Second)
	for _, p := range s.PX {
		s.must(p.Daemon.StartAgain())
	}
	s.adopted("db1", "db0")
	s.finish(expect{path: []string{"db1", "db0"}, twoWriters: 0, after: "killed", outage: 10 * time.Second})
}

// Two of three daemons hang while the active dies and comes back. Nobody can decide: native stickiness carries the
// load. When the majority returns it adopts what the HAProxies have chosen, instead of moving everybody back.
func TestMajorityHungAndActiveKilled(t *testing.T) {
	s := begin(t, stack.Options{CheckInterval: time.Second})
	s.start(lab.LoadConfig{ReconnectEvery: 1}) // at most moments no session is open, and all the same HAProxy is in use
	for _, p := range s.PX[1:] {
		s.must(p.Daemon.Pause())
	}
	s.waitNative(s.PX...)
	s.waitBeacon(s.PX[0], 503)
	s.load.Mark("killed")
	s.DB[1].Kill9()
	s.must(s.load.WaitNode(s.within(30*time.Second), "db0"))
	s.must(s.DB[1].Start(s.ctx))
	s.waitServerUp("db1", s.PX...)
	wait(s.ctx, time.Second)
	if a := s.active(s.PX[0]); a.Agreed || a.Active != "db1" {
		t.Errorf("one of three decided or claims to agree: %+v", a)
	}
	for _, p := range s.PX[1:] {
		s.must(p.Daemon.Cont())
	}
	s.adopted("db1", "db0")
	s.finish(expect{path: []string{"db1", "db0"}, twoWriters: 0, after: "killed", outage: 10 * time.Second})
}

// adopted waits until all daemons steer again and asserts that they took over what HAProxy did, as one decision.
func (s *scenario) adopted(from, to string) {
	s.t.Helper()
	s.must(s.WaitSteering(s.within(40*time.Second), len(s.PX)))
	h, err := client(s.PX[0]).History(s.ctx)
	s.must(err)
	last := h.Decisions[0]
	if last.Active != to || last.From != from || last.Kind != "native" {
		s.t.Errorf("not adopted: %+v", last)
	}
	s.must(s.load.WaitNode(s.within(10*time.Second), to))
}

// waitServerUp waits until HAProxy's own check calls the node up.
func (s *scenario) waitServerUp(node string, proxies ...*lab.Proxy) {
	s.t.Helper()
	for _, p := range proxies {
		s.must(until(s.within(30*time.Second), node+" to be up in "+p.Name, func() (bool, string) {
			state := s.serverState(p, writers, node)
			return state == "2", state
		}))
	}
}
