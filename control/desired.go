package control

import (
	"cmp"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// desired is what the agreement wants of this proxy at a moment.
type desired struct {
	known  bool
	active string
	// left is the node that the last decision has left, "" for none.
	left    string
	version cluster.Version
	// mayWrite: a fresh majority stands behind it and nothing is waited for.
	mayWrite bool
	// fresh is when the majority stood behind this record; voting: a voter hears
	// that at every heartbeat, others less often.
	fresh  time.Time
	voting bool
	// why says why not, in a sentence.
	why string
	// frozen is the record's; move its pending move, known here for moveAge.
	frozen  bool
	move    *model.Move
	moveAge time.Duration
	// blind is what this member's own probe says where it calls the active down.
	blind string
	// unserved says why the probes do not find the active serving, "" where they do.
	unserved string
	// cut says that there has been no majority for so long that this proxy must
	// serve nobody, by policy.
	cut string
	// keepFence: there is no majority and policy fences then, so a fence that is up
	// stays up. A daemon that starts has yet to count how long it is alone.
	keepFence bool
	// local is the node that an operator forced on this proxy alone.
	local string
}

// desired is what the agreement wants of this proxy now. It closes the gate
// when the majority is lost, and opens it on the leader's word.
func (d *Daemon) desired() desired {
	s := d.started.Load()
	if s == nil {
		return desired{why: "not started yet"}
	}
	ag := s.cluster.Agreement()
	if ag.Fresh {
		d.touch.at(d.clock.now().Add(-ag.FreshAge))
	} else {
		d.gate.close()
	}
	rec, err := d.record(&ag)
	if err != nil {
		return desired{why: err.Error()}
	}
	if local, ok := d.local.want(&ag); ok {
		return local
	}
	cut := d.touch.cut(d.cutOff(&ag))
	if rec == nil {
		return desired{why: cmp.Or(ag.Reason, "nothing is decided yet"), cut: cut, keepFence: d.keepsFence(&ag)}
	}
	fresh := d.clock.now().Add(-ag.FreshAge)
	want := desired{
		known: true, active: rec.Active, left: rec.Last().From, version: ag.Record.Version, fresh: fresh, voting: ag.Voting,
		frozen: rec.Frozen, move: rec.Move, moveAge: d.moveClock.age(epochOf(ag.Record.Version)), cut: cut, keepFence: d.keepsFence(&ag),
	}
	switch {
	case !ag.Fresh:
		want.why = "no majority: " + ag.Reason
	case !d.gate.pass(false, fresh) && !d.gate.pass(d.reviewed(&ag), fresh):
		want.why = "waiting until the leader has looked at what the HAProxies did meanwhile"
	default:
		want.mayWrite, want.cut = true, ""
		d.touch.enforced()
		want.blind, want.unserved = s.blind(rec.Active), d.unserved(s, &ag, rec)
	}
	return want
}

// heard tells whether the majority's word is fresh enough for a write.
func (w *desired) heard(now time.Time) bool {
	return !w.voting || now.Sub(w.fresh) <= writeWithin
}

// cutOff tells why this proxy must serve nobody for want of a majority, "" if it
// may, by policy or because there is one.
func (d *Daemon) cutOff(ag *cluster.Agreement) string {
	if d.cfg.OnNoMajority != NoMajorityFence || ag.Fresh {
		return ""
	}
	alone := d.touch.since(d.born)
	if ag.FreshAge >= 0 {
		alone = min(alone, ag.FreshAge)
	}
	if alone < d.cfg.FenceAfter {
		return ""
	}
	return "no majority of the voters for more than " + d.cfg.FenceAfter.String()
}

// keepsFence tells whether a fence that is up may not be taken away for want of a majority.
func (d *Daemon) keepsFence(ag *cluster.Agreement) bool {
	return d.cfg.OnNoMajority == NoMajorityFence && !ag.Fresh
}

// blind is what this member's own probe says of the active if it calls it down and
// finds no way to it. A node that lets a connection be made and says nothing on it is
// busy or hangs, which the vote is about; while this HAProxy's check passes its clients
// go nowhere else. (Seen: one probe late by a moment on a busy machine, and a proxy
// that fenced itself for 0.1 s cut the transactions of all its clients.)
func (s *started) blind(active string) string {
	if s.prober == nil {
		return ""
	}
	for _, n := range s.prober.Status() {
		if n.Node == active && n.Verdict == galera.Down && n.Class != galera.ClassSilent {
			return n.Reason
		}
	}
	return ""
}

// touch remembers when a majority last stood behind the record, over changes of
// this member's role: a leader that steps down, for want of a majority or for
// another leader, knows as a follower only what it has heard as one.
type touch struct {
	mu    sync.Mutex
	clock clock
	last  time.Time
	why   string // this proxy was cut off, and has not been allowed to write since
}

// cut keeps a proxy cut off, which by why it may be no longer, until enforced: the
// majority may have moved meanwhile, and what this proxy's tables say is as old as
// its last write.
func (t *touch) cut(why string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if why != "" {
		t.why = why
	}
	return t.why
}

// enforced says that the proxy may write what a majority wants.
func (t *touch) enforced() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.why = ""
}

// at notes that a majority stood behind it then.
func (t *touch) at(when time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if when.After(t.last) {
		t.last = when
	}
}

// since is how long ago that was, born being the latest that counts as it.
func (t *touch) since(born time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.After(born) {
		born = t.last
	}
	return t.clock.now().Sub(born)
}

// moveClock counts how long this member has known a decision.
type moveClock struct {
	mu    sync.Mutex
	clock clock
	of    model.Epoch
	since time.Time
}

func (c *moveClock) age(epoch model.Epoch) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of != epoch {
		c.of, c.since = epoch, c.clock.now()
	}
	return c.clock.now().Sub(c.since)
}
