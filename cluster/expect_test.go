package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Three daemons that count on three begin only when all of them name the same
// three; each says what it waits for, and no restart is needed.
func TestBootstrapExpect(t *testing.T) {
	inBubble(t, func(s *site) {
		lists := [][]string{{"px0", "px1", "px2"}, {"px0", "px1"}, {"px1", "px2", "px3"}}
		var all []*daemon
		for i, address := range hosts(3) {
			all = append(all, s.start(fmt.Sprintf("px%d", i), address, func(c *Config) {
				c.InitialVoters, c.BootstrapExpect = lists[i], 3
			}))
		}
		says := func(want ...string) func() bool {
			return func() bool {
				for i, d := range all {
					if a := d.Agreement(); a.Cluster != "" || !strings.Contains(a.Reason, want[i]) {
						return false
					}
				}
				return true
			}
		}
		waits := says("other initial voters are configured on px1, px2",
			"waits for 3 initial voters, named are 2 (px0, px1)", "waiting for px3")
		s.eventually(10*time.Second, "each to say what it waits for", waits)
		time.Sleep(20 * time.Second)
		if !waits() {
			t.Error("they do not wait any more")
		}
		all[1].SetInitialVoters(lists[0])
		s.eventually(10*time.Second, "px0 to wait for px2 alone", func() bool {
			return strings.HasSuffix(all[0].Agreement().Reason, "other initial voters are configured on px2 (or another --bootstrap-expect)")
		})
		all[2].SetInitialVoters(lists[0])
		took := s.eventually(10*time.Second, "three voters", func() bool { return allVote(all) })
		t.Logf("all voted %s after the lists were put right", took)
	})
}

// A voter that is dead for good is removed through any member; one that lives is not.
func TestRemoveAVoter(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		remove := func(d *daemon, name string) error {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			return d.Remove(ctx, name)
		}
		if err := remove(all[0], "px2"); err == nil || !strings.Contains(err.Error(), ErrAlive.Error()) {
			t.Errorf("px2 lives: %v", err)
		}
		all[2].crash()
		took := s.eventually(15*time.Second, "px2 to be removed", func() bool { return remove(all[1], "px2") == nil })
		t.Logf("removed %s after its death", took)
		s.eventually(2*time.Second, "two voters", func() bool { return allVote(all[:2]) })
		s.mustPropose(all[0], "1", "with two")
		back := s.start("px2", hosts(3)[2], nil)
		s.eventually(20*time.Second, "px2 to vote again", func() bool { return allVote([]*daemon{all[0], all[1], back}) })
	})
}
