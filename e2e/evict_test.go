package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// evictable is a stack whose probe user may evict.
func evictable(t *testing.T, o stack.Options) *scenario {
	t.Helper()
	s := begin(t, o)
	text, err := grants.SQL(grants.Config{
		Kind: grants.KindMariaDB, User: lab.ProbeUser, Host: "%", CanarySchema: grants.DefaultCanarySchema, Parts: []grants.Part{grants.PartEvict},
	})
	s.must(err)
	socket := filepath.Join(s.Dir, s.DB[0].Name+".run", "mariadb.sock")
	r, err := s.DB[0].Command(s.ctx, text, "mariadb", "-uroot", "-S", socket)
	if err != nil {
		t.Fatalf("the grants: %v: %s", err, r.Stderr)
	}
	s.waitMet()
	return s
}

// waitMet waits until every member has heard every node's process at its group port.
func (s *scenario) waitMet() {
	s.t.Helper()
	for _, n := range s.DB {
		s.must(s.waitNode(n.Name, "met at its group port", func(n apiNode) bool {
			for _, o := range n.Opinions {
				if o.Group == nil || !o.Group.Met {
					return false
				}
			}
			return len(n.Opinions) == len(s.PX)
		}))
	}
}

// A database dies, whichever: nobody waits for Galera's timers.
func TestEvict(t *testing.T) {
	for _, c := range []struct {
		name string
		node int
	}{{"the active", 1}, {"another", 2}} {
		t.Run(c.name, func(t *testing.T) {
			s := evictable(t, stack.Options{CheckInterval: time.Second})
			s.start(lab.LoadConfig{ReconnectEvery: 20, Direct: []*lab.Node{s.DB[0]}})
			s.load.Mark("end")
			victim := s.DB[c.node]
			victim.Kill9()
			if c.node == 1 {
				s.must(s.load.WaitNode(s.within(10*time.Second), s.otherThan("db1")))
			}
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			wait(s.ctx, 2*time.Second)
			log := s.load.Snapshot()
			floor, _ := log.Floor("end")
			via, worst := log.Worst("end")
			t.Logf("outage: %v (%s), straight to a survivor %v", worst, via, floor)
			var nodes []api.Node
			s.must(s.Ask(s.ctx, s.PX[0], &nodes, "nodes", "-o", "json"))
			for _, n := range nodes {
				for _, o := range n.Opinions {
					t.Logf("%s by %s: %s %s %+v", n.Name, o.Member, o.Verdict, o.Reason, o.Group)
				}
			}
			t.Logf("%+v", s.status(s.PX[0]))
			s.must(victim.Start(s.ctx))
			s.must(victim.WaitSynced(s.within(60 * time.Second)))
		})
	}
}
