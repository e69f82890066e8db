package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestEverybodyRestarts(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		s.mustPropose(all[0], "1", "kept")
		cluster := all[0].Agreement().Cluster
		for _, d := range all {
			d.crash()
		}
		for i, address := range hosts(3) {
			all[i] = s.start(fmt.Sprintf("px%d", i), address, nil)
		}
		took := s.eventually(10*time.Second, "the same cluster", func() bool { return allVote(all) && knows("kept", all...) })
		t.Logf("all voted and knew the record %s after their start", took)
		if took > 2*time.Second {
			t.Errorf("that took %s", took)
		}
		if got := all[2].Agreement().Cluster; got != cluster {
			t.Errorf("it is cluster %s, it was %s", got, cluster)
		}
	})
}

func TestOneMemberAlone(t *testing.T) {
	inBubble(t, func(s *site) {
		alone := func(c *Config) { c.Join, c.InitialVoters = nil, []string{"px0"} }
		d := s.start("px0", hosts(1)[0], alone)
		took := s.eventually(5*time.Second, "a voter", func() bool { return allVote([]*daemon{d}) })
		t.Logf("it voted %s after its start", took)
		s.mustPropose(d, "1", "x")
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := d.Leave(ctx); err != nil {
			t.Errorf("the last voter stops: %v", err)
		}
		d.crash()
		d = s.start("px0", hosts(1)[0], alone)
		s.eventually(5*time.Second, "the record after a restart", func() bool { return knows("x", d) })
	})
}

func TestRecoverAfterTheMajorityIsGone(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		s.mustPropose(all[0], "1", "kept")
		s.eventually(time.Second, "the record everywhere", func() bool { return knows("kept", all...) })
		all[1].crash()
		all[2].crash()
		s.eventually(5*time.Second, "no majority", func() bool { return !all[0].Agreement().Fresh })
		n := s.start("px3", "10.0.0.9:7946", func(c *Config) { c.InitialVoters = nil })
		s.eventually(10*time.Second, "px3 to be seen", func() bool {
			for _, m := range all[0].Members() {
				if m.Name == "px3" && m.State == MemberAlive {
					return true
				}
			}
			return false
		})
		time.Sleep(3 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := all[0].Recover(ctx, []string{"px0", "px3"}); err != nil {
			t.Fatal(err)
		}
		two := []*daemon{all[0], n}
		s.eventually(10*time.Second, "the new generation", func() bool { return allVote(two) && knows("kept", two...) })
		if r := s.mustPropose(n, "2", "after"); r.Recovery != 1 {
			t.Errorf("the record is %s", r.Version)
		}
		// One of the lost comes back: it joins the new generation, never the old one.
		back := s.start("px2", hosts(3)[2], nil)
		s.eventually(30*time.Second, "px2 in the new generation", func() bool { return knows("after", back) })
	})
}
