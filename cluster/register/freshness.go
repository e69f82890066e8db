package register

import (
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
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
// joint configuration of both halves. self, the leader, stands behind its record
// until own.
func (f *freshness) majority(conf *pb.ConfState, self uint64, own time.Duration) (time.Duration, bool) {
	half := func(ids []uint64) (time.Duration, bool) {
		times := make([]time.Duration, 0, len(ids))
		for _, id := range ids {
			if id == self {
				times = append(times, own)
			} else if t, ok := f.heard[id]; ok {
				times = append(times, t)
			}
		}
		need := len(ids)/2 + 1
		if len(times) < need {
			return 0, false
		}
		slices.Sort(times)
		return times[len(times)-need], true
	}
	t, ok := half(conf.GetVoters())
	if ok && len(conf.GetVotersOutgoing()) > 0 {
		var u time.Duration
		u, ok = half(conf.GetVotersOutgoing())
		t = min(t, u)
	}
	return t, ok
}

// refresh takes from a handled message what it says about the majority.
func (c *Core) refresh(env *envelope, m *pb.Message) {
	at, ok := c.echoed(env)
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

// freshTime is when the majority was last known to stand behind the record.
func (c *Core) freshTime(now time.Duration) (time.Duration, bool) {
	if !c.leading {
		return c.fresh.at, c.fresh.at > 0
	}
	if c.Log.Applied.Term != c.term {
		return 0, false
	}
	// Whoever may have forgotten what it was asked for stands behind nothing.
	if c.doubt != nil {
		now = c.doubt.since
	}
	return c.fresh.majority(c.Log.Conf, c.Disk, now)
}

// age is freshTime as the wire says it: microseconds ago, or never.
func (c *Core) age() uint64 {
	t, ok := c.freshTime(c.now)
	if !ok {
		return never
	}
	return uint64((c.now - t) / time.Microsecond)
}

// inTouch says that the majority was heard within d.
func (c *Core) inTouch(d time.Duration) bool {
	t, ok := c.freshTime(c.now)
	return ok && c.now-t < d
}
