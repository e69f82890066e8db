package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// hangDetect bounds how long a hang of the active may go unnoticed and
// unanswered: DESIGN section 8.
const hangDetect = 2 * time.Second

// The active ends: by a crash, an orderly stop, a hang. All proxies go to one
// other node, once, in a time that is Galera's own; nothing is lost; and when
// the node comes back nothing moves. HAProxy's own check interval does not
// matter, because the daemons do not wait for it.
func TestFailover(t *testing.T) {
	for _, inter := range []time.Duration{10 * time.Second, time.Second} {
		for _, f := range []struct {
			how    string
			detect time.Duration
			end    func(*scenario, *lab.Node) error
			back   func(*scenario, *lab.Node) error
			core   bool
			fast   bool // with Galera's own share lowered to 0.6 s, so that the proxies' shows
		}{
			{how: "killed", detect: 500 * time.Millisecond, core: true, fast: true,
				end:  func(_ *scenario, n *lab.Node) error { n.Kill9(); return nil },
				back: func(s *scenario, n *lab.Node) error { return n.Start(s.ctx) }},
			{how: "stopped", detect: time.Second,
				end:  func(_ *scenario, n *lab.Node) error { return n.Stop() },
				back: func(s *scenario, n *lab.Node) error { return n.Start(s.ctx) }},
			{how: "hung", detect: hangDetect, core: true,
				end:  func(_ *scenario, n *lab.Node) error { return n.Pause() },
				back: func(_ *scenario, n *lab.Node) error { return n.Cont() }},
		} {
			t.Run(fmt.Sprintf("%s inter %v", f.how, inter), func(t *testing.T) {
				if !f.core || inter != 10*time.Second {
					full(t)
				}
				s := begin(t, stack.Options{CheckInterval: inter})
				if f.fast {
					s.must(s.FastFloor(s.ctx))
				}
				s.start(lab.LoadConfig{ReconnectEvery: 20, Direct: []*lab.Node{s.DB[0], s.DB[2]}})
				s.load.Mark("end")
				s.must(f.end(s, s.DB[1]))
				to := s.otherThan("db1")
				s.must(s.load.WaitNode(s.within(30*time.Second), to))
				s.must(s.load.WaitFlowing(s.within(30 * time.Second)))
				s.load.Mark("back")
				s.must(f.back(s, s.DB[1]))
				s.must(s.DB[1].WaitSynced(s.within(60 * time.Second)))
				// It is healthy for everybody again, and stays unused.
				s.must(s.waitHealthy("db1"))
				wait(s.ctx, time.Second)
				log := s.finish(expect{path: []string{"db1", to}, twoWriters: 0})
				s.withinFloor(log, "end", f.detect)
				s.must(s.WaitSteering(s.within(10*time.Second), len(s.PX)))
				if a, err := s.Active(s.ctx, s.PX[0]); err != nil || a.Active != to {
					t.Errorf("after the node's return: %+v, %v", a, err)
				}
			})
		}
	}
}
