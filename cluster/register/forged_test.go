package register

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Each message that one sender can make up, by itself, for the leader and for a
// voter, by a stranger and by a member, many times over: nothing comes of it.
func TestForgedMessages(t *testing.T) {
	for _, f := range forgeries {
		t.Run(f.name, func(t *testing.T) {
			for seed := int64(1); seed <= 12; seed++ {
				s, leader, a, b := three(t, seed)
				s.opt.forge = true // the network overhears stamps
				s.decide(t, leader, "first")
				s.run(s.now+2*time.Second, nil)
				if s.liar = (&liar{disk: 77}); seed%2 == 0 {
					s.liar = &liar{host: b}
				}
				to := a
				if seed%4 > 1 {
					to = leader
				}
				look := func() string {
					text := ""
					for _, h := range s.hosts {
						c := h.core
						text += fmt.Sprintln(h.name, c.Disk, c.Cluster, c.Generation, c.term, c.lead, c.Machine.Record.Version, c.failed, voterNames(h))
					}
					return text
				}
				before := look()
				for range 5 {
					s.deliverForged(to, f)
					s.run(s.now+20*time.Millisecond, nil)
				}
				s.run(s.now+10*time.Second, nil)
				if after := look(); after != before || s.problem != nil || !s.works() {
					t.Fatalf("seed %d, member %v: %v\n%s\nbefore\n%s", seed, s.liar.host != nil, s.problem, after, before)
				}
				s.decide(t, s.hosts[int(seed)%3], "second")
				if slices.ContainsFunc(s.hosts, func(h *simHost) bool { return h.core.counters.LostDisks > 0 }) {
					t.Fatal("a disk was given up")
				}
			}
		})
	}
}
