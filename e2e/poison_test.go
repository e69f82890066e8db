package e2e

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// How long a wrong entry may live (DESIGN section 8).
const (
	privateWithin = 150 * time.Millisecond
	nativeWithin  = 2 * time.Second
)

// calm waits until the daemons have stopped watching their new HAProxies closely: the bounds are those of every day.
func (s *scenario) calm() {
	s.t.Helper()
	s.must(until(s.within(20*time.Second), "HAProxy to have been watched for 10 s", func() (bool, string) {
		up := s.status(s.PX[len(s.PX)-1])
		for _, m := range up.Members {
			if m.Proxy == nil || m.Proxy.UptimeS < 12 {
				return false, m.Name
			}
		}
		return true, ""
	}))
}

// Somebody writes another node into the private table. It is put right before a person could notice; what went there
// meanwhile is closed. Two writers at most for the bound and one look more, each time.
func TestPoisonedPrivateEntry(t *testing.T) {
	const rounds = 4
	s := begin(t, stack.Options{})
	before := s.active(s.PX[0])
	s.start(lab.LoadConfig{ReconnectEvery: 2})
	s.calm()
	var worst time.Duration
	for i := range rounds {
		p := s.PX[i%len(s.PX)]
		poisoned := s.load.Mark("poisoned")
		s.write(p, "set table "+private+" key 1 data.server_id 3")
		took := s.untilRight([]*lab.Proxy{p}, private, "db1", "1")
		right := s.load.Mark("right")
		worst = max(worst, took)
		s.must(s.load.WaitNode(s.within(10*time.Second), "db1"))
		wait(s.ctx, 300*time.Millisecond) // connections that begin from now on must all be right
		snapshot := s.load.Snapshot()
		t.Logf("%s: right after %v, %d connections went wrong", p.Name, took, len(wrong(snapshot, poisoned, right, "db1")))
		s.allRight(snapshot.Wrong(right, "db1"), "after it was put right")
	}
	if worst > privateWithin {
		t.Errorf("a wrong private entry lived for %v, at most %v", worst, privateWithin)
	}
	s.finish(expect{path: []string{"db1"}, twoWriters: rounds * (privateWithin + 100*time.Millisecond), after: "", outage: time.Second})
	s.must(s.WaitSteering(s.within(10*time.Second), len(s.PX)))
	s.unchanged(before)
}

// The shared native tables are poisoned, or cleared, everywhere. While the daemons steer no connection is misrouted;
// the tables are right again within the bound, for the day on which they are needed.
func TestPoisonedNativeEntry(t *testing.T) {
	s := begin(t, stack.Options{})
	before := s.active(s.PX[0])
	s.start(lab.LoadConfig{ReconnectEvery: 1, Rate: 90})
	for _, harm := range []struct{ name, line string }{
		{"poisoned", "clear table " + writers + " key 1;set table " + writers + " key 1 data.server_id 3"},
		{"cleared", "clear table " + writers},
	} {
		s.load.Mark(harm.name)
		for _, p := range s.PX {
			s.write(p, harm.line)
		}
		took := s.untilRight(s.PX, writers, "db1", "1")
		t.Logf("%s natively on every proxy: all right after %v", harm.name, took)
		if took > nativeWithin {
			t.Errorf("%s: right after %v, at most %v", harm.name, took, nativeWithin)
		}
	}
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	log := s.finish(expect{path: []string{"db1"}, after: "poisoned", outage: time.Second})
	s.allRight(log.Wrong(0, "db1"), "native tables poisoned while steering")
	s.unchanged(before)
}

// The private table is cleared: the native table says the same, so no connection goes wrong. Then all tables of one
// proxy at once, which leaves the load balancing with its first server, until the daemon writes.
func TestClearedTables(t *testing.T) {
	s := begin(t, stack.Options{})
	before := s.active(s.PX[0])
	s.start(lab.LoadConfig{ReconnectEvery: 1, Rate: 90})
	for _, p := range s.PX {
		s.write(p, "clear table "+private)
		if took := s.untilRight([]*lab.Proxy{p}, private, "db1", "1"); took > privateWithin {
			t.Errorf("a cleared private table of %s: right after %v, at most %v", p.Name, took, privateWithin)
		}
	}
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	s.allRight(s.load.Snapshot().Wrong(0, "db1"), "the private tables cleared")

	p := s.PX[0]
	at := s.load.Mark("all cleared")
	s.write(p, "clear table "+private+";clear table "+writers)
	took := s.untilRight([]*lab.Proxy{p}, private, "db1", "1")
	right := s.load.Mark("right")
	native := s.untilRight(s.PX, writers, "db1", "1")
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	log := s.finish(expect{path: []string{"db1"}, twoWriters: privateWithin + 100*time.Millisecond})
	t.Logf("all tables of %s cleared: private right after %v, native after %v more; %d connections went wrong",
		p.Name, took, native, len(wrong(log, at, right, "db1")))
	if took > privateWithin || native > nativeWithin {
		t.Errorf("too late: private after %v, native after %v more", took, native)
	}
	s.allRight(log.Wrong(right, "db1"), "after it was put right")
	s.unchanged(before)
}
