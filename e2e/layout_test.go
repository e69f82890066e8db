package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// landing is what a connection that matched the old server before the write, and stores it back after it, may cost
// where the native table is the only one (HAPROXY.md, fact 6): it is seen and put right at the next looks.
const landing = 500 * time.Millisecond

// Existing configurations: `stick on` and nothing of ours in it. The native table is the only one.
var layouts = []struct {
	name string
	o    stack.Options
	keys []string
	core bool
}{
	{"stick on int(1)", stack.Options{StickOn: true, Key: "int(1)"}, []string{"1"}, true},
	{"stick on fe_name", stack.Options{StickOn: true, Key: "fe_name"}, []string{"galera-in", "galera-in-2"}, false},
}

// A planned move under load: every key of every proxy moves and stays moved, although each connection that was on its
// way writes the old node back.
func TestStickOnActiveSet(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			if !l.core {
				full(t)
			}
			s := begin(t, l.o)
			s.start(lab.LoadConfig{ReconnectEvery: 1, Rate: 90})
			second := s.second(l.keys)
			for _, node := range []string{"db2", "db0"} {
				s.load.Mark("set")
				start := time.Now()
				_, err := s.Set(s.ctx, s.PX[1], node, "--drain", "immediate")
				s.must(err)
				took := time.Since(start)
				moved := s.load.Mark("moved to " + node)
				s.must(s.load.WaitNode(s.within(10*time.Second), node))
				wait(s.ctx, time.Second)
				for _, p := range s.PX {
					if !s.leadsTo(p, writers, node, l.keys...) {
						t.Errorf("%s: %v, expected %s for %q", p.Name, s.entries(p, writers), node, l.keys)
					}
				}
				snapshot := s.load.Snapshot()
				t.Logf("%s: converged after %v, %d connections went elsewhere after that", node, took, len(snapshot.Wrong(moved, node)))
				s.allRight(snapshot.Wrong(moved+landing, node), "after the move to "+node)
			}
			second("db1", "db2", "db0")
			s.finish(expect{path: []string{"db1", "db2", "db0"}, twoWriters: 2 * landing, after: "set", outage: time.Second})
		})
	}
}

// turnAround is how long HAProxy itself lets a client wait whose connection was refused, before it tries another server
// (min(1s, timeout connect), its documentation of `retries`). With the `retries 1` of this configuration such a
// connection belongs to no server meanwhile, so that nobody can end it.
const turnAround = time.Second

// The active is killed: the same floor as with the rendered configuration, and HAProxy's turn-around for whoever
// connects just then.
func TestStickOnFailover(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			full(t)
			o := l.o
			o.CheckInterval = 10 * time.Second
			s := begin(t, o)
			s.must(s.FastFloor(s.ctx))
			s.start(lab.LoadConfig{ReconnectEvery: 20, Direct: []*lab.Node{s.DB[0], s.DB[2]}})
			second := s.second(l.keys)
			s.load.Mark("end")
			s.DB[1].Kill9()
			to := s.otherThan("db1")
			s.must(s.load.WaitNode(s.within(30*time.Second), to))
			s.must(s.load.WaitFlowing(s.within(30 * time.Second)))
			s.must(s.DB[1].Start(s.ctx))
			s.must(s.waitHealthy("db1"))
			wait(s.ctx, time.Second)
			second("db1", to)
			log := s.finish(expect{path: []string{"db1", to}, twoWriters: 0})
			s.withinFloor(log, "end", 500*time.Millisecond+turnAround)
			s.must(s.WaitSteering(s.within(10*time.Second), len(s.PX)))
		})
	}
}

// The only table is poisoned on one proxy, whose entry the peers spread; or cleared. Right within the bound everywhere;
// what begins after that is right, what went wrong before is closed.
func TestStickOnPoison(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			if !l.core {
				full(t)
			}
			s := begin(t, l.o)
			before := s.active(s.PX[0])
			s.start(lab.LoadConfig{ReconnectEvery: 2})
			second := s.second(l.keys)
			for _, harm := range []string{"clear table %[1]s key %[2]s;set table %[1]s key %[2]s data.server_id 3", "clear table %[1]s key %[2]s"} {
				at := s.load.Mark("poisoned")
				for _, key := range l.keys {
					s.write(s.PX[0], fmt.Sprintf(harm, writers, key))
				}
				took := s.untilRight(s.PX, writers, "db1", l.keys...)
				right := s.load.Mark("right")
				wait(s.ctx, landing+200*time.Millisecond)
				snapshot := s.load.Snapshot()
				t.Logf("right everywhere after %v, %d connections went wrong, %d of them after that", took,
					len(snapshot.Wrong(at, "db1")), len(snapshot.Wrong(right, "db1")))
				if took > nativeWithin {
					t.Errorf("right after %v, at most %v", took, nativeWithin)
				}
				s.allRight(snapshot.Wrong(right+landing, "db1"), "after it was put right")
			}
			s.must(s.load.WaitNode(s.within(10*time.Second), "db1"))
			second("db1")
			s.finish(expect{path: []string{"db1"}, twoWriters: 2 * (landing + 200*time.Millisecond), after: "poisoned", outage: time.Second})
			s.must(s.WaitSteering(s.within(10*time.Second), len(s.PX)))
			s.unchanged(before)
		})
	}
}

// second starts a load through the second frontend, if there is one: it has a key of its own. The returned function
// ends it and asserts its path.
func (s *scenario) second(keys []string) func(path ...string) {
	s.t.Helper()
	if len(keys) < 2 {
		return func(...string) {}
	}
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{Port: stack.SecondPort, ReconnectEvery: 2, Clients: 1, Rate: 30})
	s.must(err)
	s.must(load.WaitNode(s.within(20*time.Second), "db1"))
	return func(path ...string) {
		s.t.Helper()
		s.must(load.WaitNode(s.within(10*time.Second), path[len(path)-1]))
		log := load.Stop()
		s.t.Logf("the second frontend:\n%s", log)
		s.samePath(log, path)
		s.nothingLost(log)
	}
}
