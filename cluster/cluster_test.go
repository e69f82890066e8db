package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
)

func TestProposalsFromEveryMember(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		if a := all[0].Agreement(); a.Known || a.State != "voter" || a.Cluster == "" {
			t.Errorf("before the first decision: %+v", a)
		}
		for i, d := range all {
			value := fmt.Sprintf("value %d", i)
			r := s.mustPropose(d, value, value)
			if r.Epoch != uint64(i+1) || string(r.Value) != value || r.CommandID != value {
				t.Errorf("%s wrote %+v", d.name, r)
			}
			took := s.eventually(time.Second, value+" everywhere", func() bool { return knows(value, all...) })
			t.Logf("%s was known everywhere %s after the answer", value, took)
		}
		// The same command again gets the same answer and changes nothing.
		again, err := all[0].Propose(context.Background(), Command{ID: "value 2", Expect: Version{Epoch: 2, Revision: 2}, NewEpoch: true, Value: []byte("value 2")})
		if err != nil || again.Epoch != 3 {
			t.Errorf("the repetition: %+v, %v", again, err)
		}
	})
}

func TestOfConcurrentProposalsOneWinsAndTheOtherNamesIt(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		for round := range 5 {
			before := all[0].Agreement().Record.Version
			type outcome struct {
				record Record
				err    error
			}
			results := make(chan outcome, 2)
			for i := 1; i < 3; i++ {
				go func() {
					r, err := all[i].Propose(context.Background(), Command{
						ID: fmt.Sprintf("%d/%d", round, i), Expect: before, NewEpoch: true, Value: []byte(all[i].name),
					})
					results <- outcome{r, err}
				}()
			}
			a, b := <-results, <-results
			if a.err != nil {
				a, b = b, a
			}
			lost := refused(b.err)
			if a.err != nil || lost == nil {
				t.Fatalf("round %d: %v and %v", round, a.err, b.err)
			}
			if lost.Current.Version != a.record.Version || lost.Current.CommandID != a.record.CommandID {
				t.Errorf("round %d: refused naming %+v, the winner is %+v", round, lost.Current, a.record)
			}
			s.eventually(time.Second, "the winner everywhere", func() bool { return knows(string(a.record.Value), all...) })
		}
	})
}

func TestMemberComesBackAtANewAddress(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		s.mustPropose(all[0], "1", "before")
		disk := all[0].diskOf("px2")
		all[2].crash()
		s.mustPropose(all[0], "2", "meanwhile")
		all[2] = s.start("px2", "10.0.0.9:7946", nil)
		took := s.eventually(5*time.Second, "px2 to vote again", func() bool {
			return allVote(all) && knows("meanwhile", all...)
		})
		t.Logf("it voted and knew the record %s after its start", took)
		if took > 2*time.Second {
			t.Errorf("that took %s", took)
		}
		if got := all[0].diskOf("px2"); got != disk {
			t.Errorf("its disk became %x, it was %x", got, disk)
		}
	})
}

func TestLostDiskIsAdmittedUnderANewID(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		s.mustPropose(all[0], "1", "kept")
		disk := all[0].diskOf("px2")
		all[2].crash()
		if err := os.RemoveAll(filepath.Join(s.dir, "px2")); err != nil {
			t.Fatal(err)
		}
		all[2] = s.start("px2", hosts(3)[2], nil)
		took := s.eventually(30*time.Second, "px2 to be a voter with its new disk", func() bool {
			return allVote(all) && knows("kept", all...) && all[0].diskOf("px2") != disk
		})
		t.Logf("the new disk was a voter %s after its start", took)
		s.mustPropose(all[2], "2", "from the new disk")
	})
}

func TestCleanLeave(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		s.mustPropose(all[0], "1", "x")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if err := all[2].Leave(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("leave took %s", time.Since(start))
		all[2].crash()
		s.eventually(2*time.Second, "two voters", func() bool { return allVote(all[:2]) })
		for _, m := range all[0].Members() {
			if want := map[bool]string{true: MemberGone, false: MemberAlive}[m.Name == "px2"]; m.State != want {
				t.Errorf("%s is %s", m.Name, m.State)
			}
		}
		s.mustPropose(all[1], "2", "y")
		// It comes back and is taken in again.
		all[2] = s.start("px2", hosts(3)[2], nil)
		took := s.eventually(30*time.Second, "three voters again", func() bool { return allVote(all) && knows("y", all...) })
		t.Logf("it was a voter again after %s", took)
	})
}

func TestSecondProcessOfOneNameIsRefused(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		second := s.start("px1", "10.0.0.9:7946", func(c *Config) { c.DataDir = filepath.Join(s.dir, "other") })
		s.eventually(5*time.Second, "the second px1 to stop", func() bool { return len(second.done) > 0 })
		err := <-second.done
		var taken *gossip.NameTakenError
		if !errors.As(err, &taken) || taken.Address != all[1].address {
			t.Errorf("it stopped with %v", err)
		}
		if !allVote(all) {
			t.Error("the voters changed")
		}
	})
}

func TestFollowerFollowsAndProposes(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trioOf(func(c *Config) { c.MaxVoters = 3 })
		s.mustPropose(all[0], "1", "x")
		f := s.start("px3", "10.0.0.9:7946", func(c *Config) { c.MaxVoters = 3; c.InitialVoters = nil; c.Observe = true })
		took := s.eventually(5*time.Second, "px3 to follow", func() bool { return knows("x", f) })
		t.Logf("it knew the record, freshly, %s after its start", took)
		if a := f.Agreement(); a.Voting || a.State != "follower" || len(a.Voters) != 3 {
			t.Errorf("%+v", a)
		}
		s.mustPropose(all[1], "2", "y")
		took = s.eventually(time.Second, "the next record", func() bool { return knows("y", f) })
		t.Logf("it knew the next record %s after the answer", took)
		s.mustPropose(f, "3", "z")
		s.eventually(time.Second, "its own record everywhere", func() bool { return knows("z", f, all[0], all[1], all[2]) })
		s.network.Cut(func(from, to string) bool { return (from == f.address) != (to == f.address) })
		took = s.eventually(5*time.Second, "the cut off follower to see itself stale", func() bool { return !f.Agreement().Fresh })
		t.Logf("it saw itself stale after %s", took)
		for _, m := range all[0].gossip.Members() {
			if m.Observer != (m.Name == "px3") {
				t.Errorf("%+v", m)
			}
		}
		for _, m := range all[0].Members() {
			if m.Voter == (m.Name == "px3") || m.Version != "test" {
				t.Errorf("%+v", m)
			}
		}
	})
}

func TestPartition(t *testing.T) {
	for name, cut := range map[string]func(from, to string) bool{
		"both ways": func(from, to string) bool {
			return strings.HasPrefix(from, "10.0.0.3:") != strings.HasPrefix(to, "10.0.0.3:")
		},
		"it only hears": func(from, to string) bool { return strings.HasPrefix(from, "10.0.0.3:") && from != to },
		"it only talks": func(from, to string) bool { return strings.HasPrefix(to, "10.0.0.3:") && from != to },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(s *site) {
				all := s.trio()
				s.mustPropose(all[0], "1", "x")
				s.eventually(time.Second, "x everywhere", func() bool { return knows("x", all...) })
				s.network.Cut(cut)
				took := s.eventually(5*time.Second, "px2 to be stale and the others fresh", func() bool {
					return !all[2].Agreement().Fresh && all[0].Agreement().Fresh && all[1].Agreement().Fresh
				})
				t.Logf("px2 was stale after %s: %s", took, all[2].Agreement().Reason)
				if _, err := all[2].propose("2", "from the minority"); err == nil {
					t.Error("the minority decided")
				}
				s.mustPropose(all[1], "3", "y")
				s.eventually(time.Second, "y on the majority", func() bool { return knows("y", all[:2]...) })
				s.network.Cut(nil)
				took = s.eventually(20*time.Second, "one cluster again", func() bool { return knows("y", all...) || knows("from the minority", all...) })
				t.Logf("all agreed %s after the end of the partition", took)
				if r := all[0].Agreement().Record; r.Revision > 3 || r.Revision == 3 && r.CommandID != "2" {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

func TestViewsReachEverybody(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trioOf(func(c *Config) { c.MaxVoters = 3 })
		for _, d := range all {
			d.Publish([]byte("view of " + d.name))
		}
		f := s.start("px3", "10.0.0.9:7946", func(c *Config) { c.MaxVoters = 3; c.InitialVoters = nil })
		f.Publish([]byte("view of px3"))
		all = append(all, f)
		s.eventually(5*time.Second, "all views everywhere", func() bool {
			for _, d := range all {
				views := d.Views()
				if len(views) != 4 {
					return false
				}
				for _, v := range views {
					if string(v.Data) != "view of "+v.Name || !v.Live || v.Self != (v.Name == d.name) || v.Voter != (v.Name != "px3") {
						return false
					}
				}
			}
			return true
		})
		// A change is seen within a network delay, and voters' views stay young.
		all[1].Publish([]byte("changed"))
		took := s.eventually(time.Second, "the change everywhere", func() bool {
			for _, d := range all {
				if string(d.Views()[1].Data) != "changed" {
					return false
				}
			}
			return true
		})
		if took > 20*time.Millisecond {
			t.Errorf("the change took %s", took)
		}
		for range 30 {
			time.Sleep(100 * time.Millisecond)
			for _, v := range all[0].Views() {
				if v.Voter && v.Age > 600*time.Millisecond {
					t.Errorf("the view of %s is %s old", v.Name, v.Age)
				}
			}
		}
		all[2].crash()
		s.eventually(10*time.Second, "px2's view to be marked", func() bool {
			v := all[0].Views()[2]
			return !v.Live && v.Age > time.Second
		})
	})
}

func TestConfigValidate(t *testing.T) {
	err := Config{InitialVoters: []string{"a", "a", ""}, MaxVoters: 99, GossipBind: "nowhere"}.Validate()
	for _, want := range []string{"data directory", "99", `"a" is named twice`, "no name", "bind address", "name is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in %v", want, err)
		}
	}
}

// A member that cannot leave the voters, because the others are gone, still has
// the time to tell the gossip, and is no leaving one afterwards.
func TestLeaveWithoutAMajorityLeavesTheGossip(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		all[0].crash()
		all[1].crash()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
		defer cancel()
		start := time.Now()
		err := all[2].Leave(ctx)
		if !errors.Is(err, ErrNoMajority) || strings.Contains(err.Error(), "leave the gossip") {
			t.Errorf("leave: %v, want ErrNoMajority alone", err)
		}
		if took := time.Since(start); took < 3*time.Second || took > 6*time.Second {
			t.Errorf("it took %s", took)
		}
		if all[2].leaving.Load() {
			t.Error("it still counts as leaving")
		}
	})
}
