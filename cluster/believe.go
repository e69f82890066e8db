package cluster

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/cluster/register"
)

// offered takes a record that another member spreads. One sender's word is
// nothing: it goes to the register, and only what the register then has is
// published, and so spread further, by loop.
func (c *Cluster) offered(r gossip.Record) { c.register.Receive(r.Data) }

// confirm reports whether another process of this member's name has the better
// right to it: its disk is a voter of the committed configuration, and this
// process's own is not. Two processes that are both settled have met after a
// partition; a process of a lost disk is then in the way of the true one.
func (c *Cluster) confirm(rival gossip.Member) bool {
	own := c.register.Self().Disk
	voter := false
	for _, v := range c.register.Status().Voters {
		if v.Disk == own {
			return false
		}
		voter = voter || (!v.Learner && v.Name == rival.Name && v.Disk == rival.Disk)
	}
	return voter && rival.Disk != 0
}

// registerMembers returns the live members as the register wants them: those
// that are settled, each name and disk once. Where two processes say that they
// are the same voter, what only one of them says of it does not count: this
// process knows itself, a voter leaves only if all of them say so, and else it is
// the one that has been there longest.
func registerMembers(all []gossip.Member) []register.Member {
	type id struct {
		name string
		disk uint64
	}
	var out []register.Member
	var from []gossip.Member
	index := map[id]int{}
	for _, m := range all {
		if !m.Live || !m.Settled {
			continue
		}
		i, twice := index[id{m.Name, m.Disk}]
		if !twice {
			index[id{m.Name, m.Disk}] = len(out)
			out, from = append(out, registerMember(m)), append(from, m)
			continue
		}
		leaving := out[i].Leaving && m.Leaving
		if from[i].Self {
			continue
		}
		if m.Self || m.Since.Before(from[i].Since) {
			out[i], from[i] = registerMember(m), m
		}
		if !from[i].Self {
			out[i].Leaving = leaving
		}
	}
	return out
}

// lookEvery is the least time between two looks at so many members: where there
// are many, or somebody invents many, each look is work.
func lookEvery(members int) time.Duration {
	if members <= 64 {
		return 0
	}
	return 100 * time.Millisecond
}

func registerMember(m gossip.Member) register.Member {
	return register.Member{
		Name: m.Name, Disk: m.Disk, Cluster: m.Cluster, Generation: m.Generation, Initial: m.Initial,
		Voter: m.Voter, Willing: m.Willing, Leaving: m.Leaving, Version: version(m.Order),
	}
}
