package register

import (
	"math"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// freshness is what this member knows about when it was in touch with the
// majority. Every time in it is this process's own clock at the moment when it
// sent something that was answered: a message that lay in a socket buffer
// while the process was stopped makes nothing fresh.
type freshness struct {
	// heard, on the leader, is for each disk when the last message was sent
	// that it answered in this term.
	heard map[uint64]time.Duration
	// at, elsewhere, is when the majority stood behind the record that is known
	// here; 0 for never.
	at time.Duration
}

// newTerm forgets what was answered in another term.
func (f *freshness) newTerm() { f.heard = make(map[uint64]time.Duration) }

// hear notes that a disk has answered in this term what was sent at the time at.
func (f *freshness) hear(disk uint64, at time.Duration) { f.heard[disk] = max(f.heard[disk], at) }

// credit notes that the sender of an answer to what was sent here at the time
// at was itself in touch with the majority age microseconds before it answered.
func (f *freshness) credit(at time.Duration, age uint64) {
	if age < uint64(time.Hour/time.Microsecond) {
		f.at = max(f.at, at-time.Duration(age)*time.Microsecond)
	}
}

// majority is the latest time since which a majority of the voters was heard, in a
// joint configuration of both halves; 0 for never. self, the leader, stands behind its
// record until own.
func (f *freshness) majority(conf *pb.ConfState, self uint64, own time.Duration) time.Duration {
	return voters.Reached(conf, func(disk uint64) time.Duration {
		if disk == self {
			return own
		}
		return f.heard[disk]
	})
}

// refresh takes from a handled message what it says about the majority.
func (c *Core) refresh(env *envelope, m *pb.Message) {
	at, ok := c.contacts.echoed(env, c.now)
	if !ok || c.node == nil || m.GetTerm() != c.term {
		return
	}
	switch {
	case c.leading && (m.GetType() == pb.MsgHeartbeatResp || m.GetType() == pb.MsgAppResp):
		// It answered in this term, so when that stamp was sent it followed.
		c.fresh.hear(env.from, at)
	case !c.leading && c.lead == env.from && fromLeader(m.GetType()) && c.Log.Applied.Index >= env.commit:
		c.fresh.credit(at, env.age)
	}
}

// freshTime is when the majority was last known to stand behind the record, 0 for never.
func (c *Core) freshTime(now time.Duration) time.Duration {
	switch {
	case !c.leading:
		return c.fresh.at
	case c.Log.Applied.Term != c.term:
		return 0
	// Whoever may have forgotten what it was asked for stands behind nothing.
	case c.doubt != nil:
		now = c.doubt.since
	}
	return c.fresh.majority(c.Log.Conf, c.Disk, now)
}

// silence is how long ago that was, without end for never.
func (c *Core) silence() time.Duration {
	if t := c.freshTime(c.now); t > 0 {
		return c.now - t
	}
	return math.MaxInt64
}

// age is silence as the wire says it: microseconds, or never.
func (c *Core) age() uint64 {
	if s := c.silence(); s < math.MaxInt64 {
		return uint64(s / time.Microsecond)
	}
	return never
}

// inTouch says that the majority was heard within d.
func (c *Core) inTouch(d time.Duration) bool { return c.silence() < d }
