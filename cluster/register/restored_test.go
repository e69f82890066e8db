package register

import (
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// three is a quiet cluster of three: its leader and the two others.
func three(t *testing.T, seed int64) (s *sim, leader, a, b *simHost) {
	t.Helper()
	s = quietSim(t, seed, 3)
	leader = s.leader()
	rest := slices.DeleteFunc(slices.Clone(s.hosts), func(h *simHost) bool { return h == leader })
	return s, leader, rest[0], rest[1]
}

// decide runs a command on h and demands that it is done.
func (s *sim) decide(t *testing.T, h *simHost, id string) Record {
	t.Helper()
	r := s.propose(h, id)
	if r == nil || r.Err != nil {
		t.Fatalf("%s: %+v, %v", id, r, s.problem)
	}
	return r.Record
}

// between cuts two hosts off from each other, or connects them again.
func (s *sim) apart(a, b *simHost, cut bool) {
	for _, k := range [][2]string{{a.name, b.name}, {b.name, a.name}} {
		if s.cut[k] = cut; !cut {
			delete(s.cut, k)
		}
	}
}

// restore puts an exact copy of an earlier state file in the place of the one of a host
// that is down.
func (s *sim) restore(h *simHost, old simFile) {
	h.disk.simFile, h.disk.exact = old, true
	s.restored++
}

// What seed 5573 was about. A volume snapshot is restored, and the one voter to
// whom the forgotten promises were made is down. The other one has applied more
// than the copy holds, and that proves nothing: the two others can have
// committed that without this disk. So nobody can know, and the case is excused,
// as DESIGN.md says.
func TestCopyThatNobodyCanKnowOf(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "all know")
	s.run(s.now+100*time.Millisecond, nil)
	old := b.disk.simFile
	// b is not heard: what it confirms now, nobody will ever know.
	s.drop = func(from, _ *simHost, _ *envelope) bool { return from == b }
	s.decide(t, leader, "of a and the leader, one")
	s.decide(t, leader, "of a and the leader, two")
	s.run(s.now+20*time.Millisecond, nil)
	a.crash()
	s.drop = nil
	s.decide(t, leader, "of b and the leader")
	leader.crash()
	b.crash()
	s.restore(b, old)
	a.start()
	im, err := state.DecodeImage(mustOpen(t, old))
	if err != nil || a.core.Log.Applied.Index <= im.Log.Last().Index {
		t.Fatalf("a has applied %d, the copy ends at %d: not the case that is meant (%v)", a.core.Log.Applied.Index, im.Log.Last().Index, err)
	}
	b.start()
	if s.excused != 1 {
		t.Errorf("%d copies excused, want 1", s.excused)
	}
	leader.start()
	s.untilWorks(t, 30*time.Second)
}

func mustOpen(t *testing.T, f simFile) []byte {
	t.Helper()
	body, err := state.Unseal(f.data, f.birth)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// A restored copy is asked for its vote before anybody who knows better has
// spoken to it. It gives none: it has asked nobody yet.
func TestRestoredCopyMakesNoPromiseBeforeItHasAsked(t *testing.T) {
	for seed := int64(1); seed <= 10; seed++ {
		s, leader, a, b := three(t, seed)
		old := b.disk.simFile
		// a is cut off from the leader alone, so it will campaign; b confirms a
		// decision and then forgets that.
		s.apart(leader, a, true)
		s.decide(t, leader, "of b and the leader")
		b.crash()
		s.restore(b, old)
		campaigns := a.core.counters.Campaigns
		s.run(s.now+2*time.Second, func() bool { return a.core.counters.Campaigns > campaigns })
		// The leader is not heard by b before it has had the time to ask.
		s.drop = func(from, to *simHost, _ *envelope) bool { return from == leader && to == b }
		b.start()
		if s.excused != 0 {
			t.Fatalf("seed %d: the leader knows, and the copy was excused", seed)
		}
		s.run(s.now+40*time.Millisecond, nil)
		if a.core.leading {
			t.Errorf("seed %d: the copy has voted", seed)
		}
		s.drop = nil
		s.decideIfLeads(a)
		s.run(s.now+200*time.Millisecond, nil)
		s.apart(leader, a, false)
		s.untilWorks(t, 30*time.Second)
		if s.lostDisks != 1 {
			t.Errorf("seed %d: %d disks were given up, want that of the copy", seed, s.lostDisks)
		}
		if id := s.leader().core.Machine.Record.CommandID; id != "of b and the leader" {
			t.Errorf("seed %d: the record is by %q", seed, id)
		}
	}
}

// Of five, one voter alone answers the restored copy, and campaigns: that is no
// majority with itself, so the copy promises nothing, until those are heard that
// know what it has forgotten.
func TestRestoredCopyWaitsForAMajority(t *testing.T) {
	for seed := int64(1); seed <= 5; seed++ {
		s := quietSim(t, seed, 5)
		leader := s.leader()
		rest := slices.DeleteFunc(slices.Clone(s.hosts), func(h *simHost) bool { return h == leader })
		a, b, c, d := rest[0], rest[1], rest[2], rest[3]
		old := b.disk.simFile
		for _, h := range []*simHost{leader, c} {
			s.apart(h, a, true)
			s.apart(h, d, true)
		}
		s.decide(t, leader, "of b, c and the leader")
		b.crash()
		s.restore(b, old)
		s.drop = func(from, to *simHost, _ *envelope) bool { return to == b && from != a }
		b.start()
		s.run(s.now+2*time.Second, func() bool { return a.core.leading || d.core.leading })
		if s.excused != 0 || a.core.leading || d.core.leading {
			t.Errorf("seed %d: %d copies excused, the copy has voted: %v", seed, s.excused, a.core.leading || d.core.leading)
		}
		s.drop = nil
		clear(s.cut)
		s.untilWorks(t, 30*time.Second)
		if id := s.leader().core.Machine.Record.CommandID; id != "of b, c and the leader" || s.lostDisks != 1 {
			t.Errorf("seed %d: the record is by %q, %d disks were given up", seed, id, s.lostDisks)
		}
	}
}

// decideIfLeads gives h a command, if it leads.
func (s *sim) decideIfLeads(h *simHost) {
	if h.core.leading {
		r, _ := h.core.known()
		h.do(h.life, func() { h.core.Propose(h.clock(), 1<<50, Command{ID: "another", Expect: r.Version, NewEpoch: true}) })
	}
}

// What the leader knows of the promises of a voter, the others are told at once,
// and they write it down: when the leader is gone, a voter that has started again
// since still knows that the copy of another has forgotten something.
func TestWhatIsPromisedIsKnownToAllOthers(t *testing.T) {
	s, leader, a, b := three(t, 1)
	old := b.disk.simFile
	s.decide(t, leader, "all know")
	s.run(s.now+3*time.Second, nil)
	leader.crash()
	a.crash()
	b.crash()
	s.restore(b, old)
	a.start()
	b.start()
	s.run(s.now+5*time.Second, nil)
	if s.excused != 0 {
		t.Error("nobody knew")
	}
	if l := s.leader(); l != nil {
		t.Errorf("%s leads, with a copy that has forgotten", l.name)
	}
	leader.start()
	s.untilWorks(t, 30*time.Second)
	if id := s.leader().core.Machine.Record.CommandID; id != "all know" {
		t.Errorf("the record is by %q", id)
	}
}

// grown is a cluster that began with one voter and has three, and the state file
// that the first one had then. It is down.
func grown(t *testing.T) (s *sim, first, second *simHost, old simFile) {
	t.Helper()
	s = newSim(simOptions{seed: 7, voters: 1, extra: 2})
	s.loss, s.dup, s.slow = 0, 0, 0
	first, second = s.hosts[0], s.hosts[1]
	first.start()
	s.run(3*time.Second, nil)
	old = first.disk.simFile
	second.start()
	s.hosts[2].start()
	s.run(s.now+10*time.Second, nil)
	if n := len(first.core.Log.Conf.GetVoters()); n != 3 {
		t.Fatalf("%d voters", n)
	}
	first.crash()
	s.run(s.now+5*time.Second, nil)
	return s, first, second, old
}

// ledAlone says that a host has led a cluster in which nothing was decided yet.
func ledAlone(h *simHost) func() bool {
	return func() bool { return h.core.leading && h.core.Machine.Record.Revision == 0 }
}

// A copy from when a disk was the only voter gives those that the gossip shows the
// time to answer, though they are not heard at once.
func TestSoleVoterWaitsForAnAnswer(t *testing.T) {
	s, a, b, old := grown(t)
	s.decide(t, b, "without it")
	s.drop = func(_, to *simHost, _ *envelope) bool { return to == a }
	a.disk.simFile = old
	a.start()
	s.run(s.now+1800*time.Millisecond, ledAlone(a))
	if a.core.leading {
		t.Error("the old copy leads a cluster of its own")
	}
	s.drop = nil
	s.untilWorks(t, 30*time.Second)
}

// The only voter of a copy was removed since, so nobody remembers its promises any
// more. That others have applied more than it holds is enough: without it nothing
// could be committed, as far as it knows.
func TestSoleVoterThatWasRemoved(t *testing.T) {
	s, a, b, old := grown(t)
	if r := s.remove(b, a.name); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	s.decide(t, s.leader(), "without it")
	// The leader, who could tell it that it is out, is not heard.
	leader := s.leader()
	s.drop = func(from, to *simHost, _ *envelope) bool { return from == leader && to == a }
	a.disk.simFile = old
	a.start()
	s.run(s.now+8*time.Second, ledAlone(a))
	if a.core.leading {
		t.Error("the old copy leads a cluster of its own")
	}
	s.drop = nil
	s.untilWorks(t, 30*time.Second)
}
