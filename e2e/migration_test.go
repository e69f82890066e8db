package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// beginPredecessor is begin with HAProxies as this project's predecessor has them: no daemon, `stick on`, servers without
// ids in its order, and a table of this size. They have failed over from the first node, which is there again, to db2.
func beginPredecessor(t *testing.T, size string) *scenario {
	t.Helper()
	s := bare(t, t.Context(), stack.Options{
		DaemonArgs: []string{"--bootstrap-expect", "3"},
		// The node in use first: there a new HAProxy goes that nobody has taught yet.
		Order: []string{"db2", "db0", "db1"},
	})
	t.Cleanup(func() {
		if t.Failed() {
			s.saveLogs(s.Lab)
		}
	})
	for _, p := range s.PX {
		s.startOld(p, size)
	}
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{})
	s.must(err)
	s.must(load.WaitNode(s.within(20*time.Second), "db0"))
	s.must(s.DB[0].Stop())
	s.must(load.WaitNode(s.within(20*time.Second), "db2"))
	s.must(s.DB[0].Start(s.ctx))
	load.Stop()
	for _, p := range s.PX {
		s.must(until(s.within(20*time.Second), "db0 to be up for "+p.Name, func() (bool, string) {
			state := s.serverState(p, writers, "db0")
			return state == "2", state
		}))
	}
	return s
}

// startOld starts a HAProxy as the predecessor has it.
func (s *scenario) startOld(p *lab.Proxy, size string) {
	s.t.Helper()
	s.must(p.Start(s.ctx, lab.HAProxyOptions{Config: s.StickyConfig(p, lab.Sticky{
		NoID: true, Size: size, Order: []string{"db0", "db2", "db1"},
	})}))
}

// oneByOne replaces the HAProxies from the last to the first, as a StatefulSet does, and waits between them.
func (s *scenario) oneByOne(replace func(*lab.Proxy)) {
	for _, p := range slices.Backward(s.PX) {
		s.load.Mark(p.Name)
		replace(p)
		s.must(s.load.WaitFlowing(s.within(20 * time.Second)))
		wait(s.ctx, 2*time.Second) // minReadySeconds; and what the peers teach each other would show now
	}
}

// startOn starts a load of many connections, on the node in use.
func (s *scenario) startOn(node string) {
	s.t.Helper()
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{ReconnectEvery: 2, Rate: 200})
	s.must(err)
	s.load = load
	s.must(load.WaitNode(s.within(20*time.Second), node))
}

// moveIn replaces the old HAProxies under load, and waits until all daemons steer.
func (s *scenario) moveIn() {
	s.t.Helper()
	s.startOn("db2")
	s.oneByOne(func(p *lab.Proxy) {
		s.must(p.Stop())
		s.startPod(p, s.PX...)
	})
	s.steering(s.PX...)
}

// From the predecessor's configuration to the rendered one and a daemon each, one HAProxy after the other and under load,
// and back. What the HAProxies do is adopted, and not one connection goes elsewhere.
func TestMigration(t *testing.T) {
	s := beginPredecessor(t, "100k")
	s.moveIn()
	if a := s.active(s.PX[0]); a.Active != "db2" || a.Epoch > 1 {
		t.Errorf("%s at epoch %d (%s), want db2 adopted", a.Active, a.Epoch, a.Reason)
	}
	log := s.finish(expect{path: []string{"db2"}})
	s.allRight(log.Wrong(0, "db2"), "on the way in")

	// Servers without ids are numbered by their place, and the daemons write ids: only the first server is the same node
	// in both files.
	_, err := s.Set(s.ctx, s.PX[0], "db0", "--drain", "transactions")
	s.must(err)
	s.startOn("db0")
	s.oneByOne(func(p *lab.Proxy) {
		s.must(p.Stop())
		s.must(p.Daemon.Stop())
		s.startOld(p, "100k")
	})
	log = s.finish(expect{path: []string{"db0"}})
	s.allRight(log.Wrong(0, "db0"), "on the way back")
}

// The same with the predecessor's table of one entry, which every connection that is being made empties for a moment: the
// next one goes to the first server of the old file, and the peers believe it. The load connects anew all the time; that
// ends with the last old HAProxy.
func TestMigrationFromTableOfOneEntry(t *testing.T) {
	full(t)
	s := beginPredecessor(t, "1")
	s.moveIn()
	steering := s.load.Mark("steering")
	active := s.active(s.PX[0]).Active
	wait(s.ctx, 2*time.Second)
	log := s.finish(expect{twoWriters: time.Minute})
	for _, p := range s.PX {
		at, _ := log.At(p.Name)
		all, after := through(log.Wrong(0, "db2"), p), through(log.Wrong(at, "db2"), p)
		t.Logf("elsewhere than on db2 through %s: %d connections, %d of them after it was replaced at %v", p.Name, len(all), len(after), at)
	}
	s.allRight(log.Wrong(steering, active), "after all steer")
}
