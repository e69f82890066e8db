package e2e

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

const (
	twoWriterMetric = "haproxyd_two_writer_seconds_total"
	// twoWriterError bounds how far the daemons' figure may be from the clients' log.
	twoWriterError = 100 * time.Millisecond
	// settles is how long after a moment the daemons' figure of it is final (writers.DefaultDelay), and a reading more.
	settles = 2 * time.Second
)

// twoWriterTime is what one daemon has counted.
func (s *scenario) twoWriterTime(p *lab.Proxy) time.Duration {
	s.t.Helper()
	return time.Duration(s.metric(p, twoWriterMetric) * float64(time.Second))
}

// sameTwoWriters ends the load and compares, on these proxies, what was counted since the start with the clients' log.
func (s *scenario) sameTwoWriters(before map[string]time.Duration, proxies []*lab.Proxy) time.Duration {
	s.t.Helper()
	wait(s.ctx, settles) // the load goes on meanwhile: its end is not an edge of what is compared
	log := s.load.Stop()
	wait(s.ctx, settles)
	two := log.TwoWriters()
	s.t.Logf("two writers by the clients' log: %v, %+v", two.Total, two.Overlaps)
	for _, p := range proxies {
		counted := s.twoWriterTime(p) - before[p.Name]
		s.t.Logf("by the daemon of %s: %v", p.Name, counted)
		if (counted - two.Total).Abs() > twoWriterError {
			s.t.Errorf("%s counted %v, the clients saw %v", p.Name, counted, two.Total)
		}
	}
	s.nothingLost(log)
	return two.Total
}

// Two nodes never take commits at once, whatever happens: the daemons count none, and neither do the clients.
func TestTwoWriterTimeIsNone(t *testing.T) {
	for _, c := range []struct {
		how string
		do  func(s *scenario)
		// most is what the clients may see: a move without a hold has the milliseconds between one proxy and the next.
		most time.Duration
	}{
		{how: "steady", do: func(s *scenario) { wait(s.ctx, 3*time.Second) }},
		{how: "moves at once", most: 3 * 100 * time.Millisecond, do: func(s *scenario) {
			for _, node := range []string{"db2", "db0", "db1"} {
				_, err := s.Set(s.ctx, s.PX[0], node, "--drain", "immediate")
				s.must(err)
				s.must(s.load.WaitNode(s.within(10*time.Second), node))
				wait(s.ctx, time.Second) // apart, for the judge: a pause of less than 250 ms is none
			}
		}},
		{how: "the active killed", do: func(s *scenario) {
			s.DB[1].Kill9()
			s.must(s.load.WaitNode(s.within(20*time.Second), s.otherThan("db1")))
		}},
		{how: "a HAProxy restarted", do: func(s *scenario) {
			s.waitFirst("db1")
			s.must(s.PX[0].Restart(s.ctx))
			s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
		}},
	} {
		t.Run(c.how, func(t *testing.T) {
			full(t)
			s := begin(t, stack.Options{})
			wait(s.ctx, settles)
			before := map[string]time.Duration{}
			for _, p := range s.PX {
				before[p.Name] = s.twoWriterTime(p)
			}
			s.start(lab.LoadConfig{ReconnectEvery: 20})
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			c.do(s)
			s.must(s.load.WaitFlowing(s.within(20 * time.Second)))
			if two := s.sameTwoWriters(before, s.PX); two > c.most {
				t.Errorf("two writers for %v, at most %v", two, c.most)
			}
		})
	}
}

// Five seconds of two writers are made on purpose, and both count them. The figures compared are those of px1 and px2: px0
// is the second writer, and cannot read the active's counter, or has no daemon.
func TestTwoWriterTimeIsCounted(t *testing.T) {
	for _, c := range []struct {
		how string
		// make begins it and returns what ends it, and who sees both nodes.
		make func(s *scenario) (end func(), sees []*lab.Proxy)
		args []string
	}{
		{how: "a blind proxy serves", args: []string{"--on-blind", "serve"},
			make: func(s *scenario) (func(), []*lab.Proxy) {
				fault, err := s.Refuse(s.ctx, s.PX[0].Host, s.DB[1].Host, lab.MySQLPort)
				s.must(err)
				return func() { s.must(fault.Undo(s.ctx)) }, s.PX[1:]
			}},
		{how: "a proxy without a daemon is misled",
			make: func(s *scenario) (func(), []*lab.Proxy) {
				p := s.PX[0]
				p.Daemon.Kill9()
				s.waitNative(p)
				for _, q := range s.PX[1:] { // what it said last counts until then
					s.waitProblem(q, 5*time.Second, p.Name+" is not heard")
				}
				// The others put the shared table right: only one that nobody teaches can be misled for long.
				for _, q := range s.PX[1:] {
					_, err := s.Breach(s.ctx, lab.Breach{From: p.Host, To: q.Host, Port: 10000})
					s.must(err)
					_, err = s.Breach(s.ctx, lab.Breach{From: q.Host, To: p.Host, Port: 10000})
					s.must(err)
				}
				s.write(p, "set table "+writers+" key 1 data.server_id 3")
				s.write(p, "clear table "+writers+" key 1")
				s.write(p, "set table "+writers+" key 1 data.server_id 3")
				return func() {
					s.must(s.HealAll(s.ctx))
					s.must(p.Daemon.StartAgain())
				}, s.PX[1:]
			}},
	} {
		t.Run(c.how, func(t *testing.T) {
			full(t)
			s := begin(t, stack.Options{DaemonArgs: c.args})
			wait(s.ctx, settles)
			before := map[string]time.Duration{}
			for _, p := range s.PX {
				before[p.Name] = s.twoWriterTime(p)
			}
			s.start(lab.LoadConfig{ReconnectEvery: 5})
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			end, sees := c.make(s)
			s.must(until(s.within(20*time.Second), "two writers", func() (bool, string) {
				two := s.load.Snapshot().TwoWriters().Total
				return two > 0, two.String()
			}))
			wait(s.ctx, 5*time.Second)
			end()
			s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
			s.must(s.load.WaitNode(s.within(10*time.Second), "db1"))
			if two := s.sameTwoWriters(before, sees); two < 4*time.Second {
				t.Errorf("two writers for %v only: the scenario proves nothing", two)
			}
		})
	}
}
