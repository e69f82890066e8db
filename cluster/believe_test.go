package cluster

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/cluster/register"
)

// TestForgedRecordKeepsNoTrueOneFromSpreading: whatever a member is told of a
// record, it spreads what its register has, and a follower goes on learning.
func TestForgedRecordKeepsNoTrueOneFromSpreading(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trioOf(func(c *Config) { c.MaxVoters = 3 })
		follower := s.start("px3", "10.0.0.4:7946", func(c *Config) { c.InitialVoters = nil; c.MaxVoters = 3 })
		s.eventually(10*time.Second, "a follower", func() bool { return follower.Agreement().Fresh })
		s.mustPropose(all[0], "one", "first")
		everybody := append([]*daemon{follower}, all...)
		s.eventually(5*time.Second, "the first record everywhere", func() bool { return knows("first", everybody...) })
		intruder, stop := s.intruder("10.0.0.9:7946")
		defer stop()
		intruder.PublishRecord(gossip.Record{
			Cluster: clusterID(all[0].Register().Cluster), Order: gossip.Order{0, 1 << 40, 1 << 40}, Data: []byte("forged"),
		})
		time.Sleep(2 * time.Second)
		s.mustPropose(all[1], "two", "second")
		s.eventually(5*time.Second, "the second record everywhere", func() bool { return knows("second", everybody...) })
		for _, d := range everybody {
			r, ok := d.gossip.Record()
			if !ok && d != follower || bytes.Equal(r.Data, []byte("forged")) || r.Order[1] >= 1<<40 { // a follower spreads nothing of its own
				t.Errorf("%s spreads %v", d.name, r.Order)
			}
		}
	})
}

// intruder joins with nothing but a gossip.
func (s *site) intruder(address string) (*gossip.Gossip, func()) {
	s.t.Helper()
	transport, err := s.network.Listen(address)
	if err != nil {
		s.t.Fatal(err)
	}
	g, err := gossip.New(gossip.Config{
		Meta: gossip.Meta{Name: "px9"}, Label: DefaultLabel, Bind: address, Join: hosts(3), Transport: transport,
		Deliver: func(gossip.Message) {}, Status: func() gossip.Status { return gossip.Status{} },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	s.eventually(10*time.Second, "the intruder among the members", func() bool { return len(g.Members()) >= 4 })
	return g, func() { cancel(); <-done }
}

// TestConfirm: a settled process finds a rival in the right only if the committed
// configuration names the rival's disk and not its own.
func TestConfirm(t *testing.T) {
	inBubble(t, func(s *site) {
		all := s.trio()
		other := s.start("px3", "10.0.0.4:7946", func(c *Config) { c.InitialVoters = nil; c.MaxVoters = 3 })
		s.eventually(10*time.Second, "a follower", func() bool { return other.Agreement().Fresh })
		rival := func(name string, disk uint64) gossip.Member {
			return gossip.Member{Meta: gossip.Meta{Name: name, Disk: disk}, Live: true}
		}
		px0 := all[0].diskOf("px0")
		for _, c := range []struct {
			what  string
			asked *daemon
			rival gossip.Member
			want  bool
		}{
			{"a voter, of an invented disk", all[1], rival("px1", 77), false},
			{"a voter, of another voter's disk", all[1], rival("px1", px0), false},
			{"a voter, of another voter", all[1], rival("px0", px0), false},
			{"no voter, of a voter's disk", other, rival("px0", px0), true},
			{"no voter, of that disk under another name", other, rival("px3", px0), false},
			{"no voter, of an invented disk", other, rival("px3", 77), false},
			{"no voter, of no disk", other, rival("px3", 0), false},
		} {
			if got := c.asked.confirm(c.rival); got != c.want {
				t.Errorf("%s: %v", c.what, got)
			}
		}
	})
}

// TestOneProcessDoesNotSpeakForAnother: two that say they are the same voter.
func TestOneProcessDoesNotSpeakForAnother(t *testing.T) {
	start := time.Unix(1000, 0)
	member := func(process string, leaving bool, cluster uint64, came time.Duration, self bool) gossip.Member {
		return gossip.Member{
			Meta:    gossip.Meta{Name: "px1", Disk: 5, Leaving: leaving, Cluster: cluster, Settled: true},
			Process: process, Live: true, Since: start.Add(came), Self: self,
		}
	}
	for _, c := range []struct {
		what    string
		members []gossip.Member
		want    register.Member
	}{
		{"a forged one says it leaves", []gossip.Member{member("a", true, 9, time.Hour, false), member("b", false, 7, 0, false)},
			register.Member{Name: "px1", Disk: 5, Cluster: 7}},
		{"a forged one after it says so", []gossip.Member{member("a", false, 7, 0, false), member("b", true, 9, time.Hour, false)},
			register.Member{Name: "px1", Disk: 5, Cluster: 7}},
		{"a forged one came first, too", []gossip.Member{member("a", true, 9, 0, false), member("b", false, 7, time.Hour, false)},
			register.Member{Name: "px1", Disk: 5, Cluster: 9}},
		{"both leave", []gossip.Member{member("a", true, 7, 0, false), member("b", true, 7, time.Hour, false)},
			register.Member{Name: "px1", Disk: 5, Cluster: 7, Leaving: true}},
		{"this process knows itself", []gossip.Member{member("a", false, 9, 0, false), member("b", true, 7, time.Hour, true)},
			register.Member{Name: "px1", Disk: 5, Cluster: 7, Leaving: true}},
	} {
		got := registerMembers(c.members)
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
}
