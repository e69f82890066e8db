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

// evictable is a stack whose probe user may evict, and in which every member knows that it would.
func evictable(t *testing.T, args ...string) *scenario {
	t.Helper()
	s := begin(t, stack.Options{CheckInterval: time.Second, DaemonArgs: args})
	s.must(s.GrantEviction(s.ctx))
	s.must(s.WaitEvictable(s.within(time.Minute)))
	return s
}

// evictions counts those that this proxy's daemon carried out, whatever came of them.
func (s *scenario) evictions() (n float64) {
	for _, p := range s.PX {
		n += s.metric(p, "haproxyd_evictions_total", "result", "done") + s.metric(p, "haproxyd_evictions_total", "result", "vain")
	}
	return n
}

// cleared asserts that nothing is left of an eviction on these: the lists are empty, the timers are as before, and nothing is owed.
func (s *scenario) cleared(retrans map[string]string, nodes ...*lab.Node) {
	s.t.Helper()
	s.must(until(s.within(10*time.Second), "the eviction to be over", func() (bool, string) {
		if n := s.evictions(); n != 1 {
			return false, fmt.Sprintf("%v are", n)
		}
		return true, ""
	}))
	for _, n := range nodes {
		status, err := n.Status(s.ctx, "wsrep_evs_evict_list")
		s.must(err)
		if list := status["wsrep_evs_evict_list"]; list != "" {
			s.t.Errorf("%s has %q on its evict list", n.Name, list)
		}
		if was, is := retrans[n.Name], s.retrans(n); was != is {
			s.t.Errorf("evs.join_retrans_period of %s is %s and was %s", n.Name, is, was)
		}
	}
}

// retrans is a node's evs.join_retrans_period.
func (s *scenario) retrans(n *lab.Node) string {
	s.t.Helper()
	rows, err := n.Query(s.ctx, "SELECT @@wsrep_provider_options")
	s.must(err)
	_, after, _ := strings.Cut(rows[0][0], "evs.join_retrans_period = ")
	value, _, _ := strings.Cut(after, ";")
	return value
}

func (s *scenario) allRetrans() map[string]string {
	all := map[string]string{}
	for _, n := range s.DB {
		all[n.Name] = s.retrans(n)
	}
	return all
}

// A database dies, whichever: nobody waits for Galera's timers, nothing is left behind, and it comes back.
func TestEvict(t *testing.T) {
	for _, c := range []struct {
		name  string
		node  int
		args  []string
		bound time.Duration
		end   func(*lab.Node) error
		back  func(*scenario, *lab.Node) error
	}{
		// Galera by itself needs 2.1 s in the lab; the figures are the benchmark's and make soak-evict's.
		{"active killed", 1, nil, 1500 * time.Millisecond, kill, startAgain},
		{"another killed", 2, nil, 1500 * time.Millisecond, kill, startAgain},
		// The probe's deadline is 1 s of it.
		{"active hung", 1, []string{"--evict", "silent"}, 1900 * time.Millisecond, (*lab.Node).Pause, func(_ *scenario, n *lab.Node) error { return n.Cont() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.node != 1 || c.args != nil {
				full(t)
			}
			s := evictable(t, c.args...)
			retrans := s.allRetrans()
			s.start(lab.LoadConfig{ReconnectEvery: 20, Direct: []*lab.Node{s.DB[0]}})
			s.load.Mark("end")
			victim, path := s.DB[c.node], []string{"db1"}
			s.must(c.end(victim))
			if c.node == 1 {
				to := s.otherThan("db1")
				path = append(path, to)
				s.must(s.load.WaitNode(s.within(10*time.Second), to))
			}
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			log := s.load.Snapshot()
			floor, _ := log.Floor("end")
			via, worst := log.Worst("end")
			t.Logf("nobody commits for %v (%s), straight to a survivor for %v", worst, via, floor)
			if worst > c.bound {
				t.Errorf("%s could not commit for %v, at most %v", via, worst, c.bound)
			}
			s.cleared(retrans, slices.DeleteFunc(slices.Clone(s.DB), func(n *lab.Node) bool { return n == victim })...)
			s.must(c.back(s, victim))
			// All of them: one that was stopped calls itself synced until it has heard that the others put it out.
			s.must(s.WaitSynced(s.within(60 * time.Second)))
			s.must(s.waitHealthy(victim.Name))
			s.finish(expect{path: path})
			s.cleared(retrans, s.DB...)
		})
	}
}

func kill(n *lab.Node) error                    { n.Kill9(); return nil }
func startAgain(s *scenario, n *lab.Node) error { return n.Start(s.ctx) }

// A firewall in front of a node that lives and talks to the others does all that a dead process does, to whoever
// stands outside. The group is well, and nobody is evicted.
func TestNotEvicted(t *testing.T) {
	s := evictable(t, "--evict", "silent")
	s.start(lab.LoadConfig{ReconnectEvery: 20, Direct: []*lab.Node{s.DB[0]}})
	shut := func(way func(*lab.Host, *lab.Host, int) (*lab.Fault, error)) {
		t.Helper()
		for _, p := range s.PX {
			for _, port := range []int{lab.MySQLPort, 4567} {
				_, err := way(p.Host, s.DB[2].Host, port)
				s.must(err)
			}
		}
		var seen string
		s.must(until(s.within(10*time.Second), "every member to see no process there", func() (bool, string) {
			var nodes []api.Node
			s.must(s.Ask(s.ctx, s.PX[0], &nodes, "nodes"))
			i := slices.IndexFunc(nodes, func(n api.Node) bool { return n.Name == s.DB[2].Name })
			ended := 0
			for _, o := range nodes[i].Opinions {
				if o.Group != nil && o.Group.Ended != "" {
					ended++
					seen = o.Group.Ended
				}
			}
			return ended == len(s.PX), fmt.Sprintf("%d do", ended)
		}))
		t.Logf("every member sees that it is %s", seen)
		s.load.Mark("shut")
		wait(s.ctx, 3*time.Second)
		if n := s.evictions(); n != 0 {
			t.Fatalf("%v evictions of a node that lives", n)
		}
		s.must(s.HealAll(s.ctx))
		s.must(s.waitHealthy(s.DB[2].Name))
	}
	shut(func(from, to *lab.Host, port int) (*lab.Fault, error) { return s.Refuse(s.ctx, from, to, port) })
	shut(func(from, to *lab.Host, port int) (*lab.Fault, error) { return s.CutPort(s.ctx, from, to, port) })
	s.finish(expect{path: []string{"db1"}, after: "shut", outage: 500 * time.Millisecond})
}
