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
	// stamps are the last stamps of the others, to be echoed.
	stamps map[uint64]uint64
	// heard, on the leader, is for each disk when the last message was sent
	// that it answered in this term.
	heard map[uint64]time.Duration
	// freshAt, elsewhere, is when the majority stood behind the record that is
	// known here; 0 for never.
	freshAt time.Duration
}

func (f *freshness) init() {
	f.stamps, f.heard = make(map[uint64]uint64), make(map[uint64]time.Duration)
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
		c.heard[env.from] = max(c.heard[env.from], at)
	case !c.leading && c.lead == env.from && fromLeader(m.GetType()) && c.log.applied.index >= env.commit:
		c.credit(at, env.age)
	}
}

// credit notes that the sender of an answer to what was sent here at the time
// at was itself in touch with the majority age microseconds before it answered.
func (c *Core) credit(at time.Duration, age uint64) {
	if age < uint64(time.Hour/time.Microsecond) {
		c.freshAt = max(c.freshAt, at-time.Duration(age)*time.Microsecond)
	}
}

// freshTime is when the majority was last known to stand behind the record.
func (c *Core) freshTime(now time.Duration) (time.Duration, bool) {
	if !c.leading {
		return c.freshAt, c.freshAt > 0
	}
	if c.log.applied.term != c.term {
		return 0, false
	}
	conf := c.log.conf
	t, ok := c.majorityTime(conf.GetVoters(), now)
	if ok && len(conf.GetVotersOutgoing()) > 0 {
		var u time.Duration
		u, ok = c.majorityTime(conf.GetVotersOutgoing(), now)
		t = min(t, u)
	}
	return t, ok
}

// majorityTime is the latest time since which a majority of ids was heard.
func (c *Core) majorityTime(ids []uint64, now time.Duration) (time.Duration, bool) {
	times := make([]time.Duration, 0, len(ids))
	for _, id := range ids {
		if id == c.disk {
			// Whoever may have forgotten what it was asked for stands behind nothing.
			if c.doubt != nil {
				now = c.doubt.since
			}
			times = append(times, now)
		} else if t, ok := c.heard[id]; ok {
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
