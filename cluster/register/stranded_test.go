package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// stranded is a voter of three that somebody, while it was cut off from the others, has led to a term that leaps for
// them. It is with them again.
func stranded(t *testing.T) (s *sim, h *simHost) {
	t.Helper()
	s, leader, h, b := three(t, 1)
	s.decide(t, leader, "first")
	s.drop = func(from, to *simHost, _ *envelope) bool { return from == h || to == h }
	s.run(s.now+silentFor+time.Second, nil)
	term, disk := h.core.term, h.core.Disk
	lie := func(env *envelope) { env.known = map[uint64]uint64{factTerm: term + 1000} }
	m := &pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: new(b.core.Disk), To: new(h.core.Disk), Term: new(h.core.term + 1000)}
	// Once is not enough: it is asked whether it says so itself.
	a := b.core.announce()
	for range 20 {
		h.receive(forged(h, b.core.Disk, true, kindAnswer, a.encode(), func(env *envelope) { env.known = map[uint64]uint64{factTerm: term} }))
		h.receive(forged(h, b.core.Disk, true, kindRaft, raftPayload(m), lie))
		s.run(s.now+100*time.Millisecond, nil)
		if h.core.term != term || h.core.Disk != disk {
			t.Fatalf("it is in term %d on one word", h.core.term)
		}
	}
	h.receive(forged(h, b.core.Disk, true, kindAnswer, a.encode(), lie))
	h.receive(forged(h, b.core.Disk, true, kindRaft, raftPayload(m), nil))
	if h.core.term < 1000 {
		t.Fatalf("it is in term %d: not the case that is meant", h.core.term)
	}
	s.drop = nil
	return s, h
}

// The others hold a term that leaps, so who was led to one can neither lead them nor obey their leader: it gives up
// its disk, and is a voter again with a new one. Their leader stays.
func TestWhoIsLedToATermThatLeapsComesBack(t *testing.T) {
	s, h := stranded(t)
	disk, leader := h.core.Disk, s.leader()
	term := leader.core.term
	s.run(s.now+30*time.Second, func() bool { return voters.Has(leader.core.Log.Conf, h.core.Disk) && h.core.Status(h.clock()).Fresh })
	if h.core.Disk == disk || !voters.Has(leader.core.Log.Conf, h.core.Disk) {
		t.Errorf("it is not a voter with a new disk: %s", s.describe())
	}
	if r, _ := h.core.known(); r.CommandID != "first" {
		t.Errorf("it knows %q", r.CommandID)
	}
	if leader.core.term != term || !leader.core.leading {
		t.Errorf("the leader of term %d was disturbed: leading %v in term %d", term, leader.core.leading, leader.core.term)
	}
	s.untilWorks(t, 3*time.Second)
}

// Of three voters two are left, whose terms are far apart: they work together, and none loses its disk.
func TestTwoVotersOfTermsFarApart(t *testing.T) {
	s, h := stranded(t)
	disk, other := h.core.Disk, s.leader()
	for _, o := range s.hosts {
		if o != h && o != other {
			o.crash()
		}
	}
	h.core.ledAt = h.core.now // the third one's word is too old before the time is up
	works := func() bool { return h.core.Status(h.clock()).Fresh && other.core.Status(other.clock()).Fresh }
	s.run(s.now+10*time.Second, nil)
	s.run(s.now+10*time.Second, works)
	if !works() || h.core.Disk != disk {
		t.Errorf("they do not work together: %s", s.describe())
	}
}

// It does so at the word of a majority, its own not counted: not while one alone says, again and again, that all work.
func TestWhoIsStrandedNeedsAMajoritysWord(t *testing.T) {
	s, h := stranded(t)
	disk, liar, term := h.core.Disk, s.leader().core.Disk, s.leader().core.term
	for _, o := range s.hosts {
		if o != h {
			o.crash()
		}
	}
	for range 200 {
		a := h.core.announce()
		a.leader = liar
		h.receive(forged(h, liar, true, kindAnswer, a.encode(), func(env *envelope) { env.age, env.known = 0, map[uint64]uint64{factTerm: term} }))
		s.run(s.now+100*time.Millisecond, nil)
		if h.core.Disk != disk {
			t.Fatal("it has given up its disk at the word of one of three")
		}
	}
	if w := h.core.words[liar]; w == nil || !h.core.hearing().spoke(w) || !w.working() || w.saidTerm != term {
		t.Errorf("it has not heard: %+v", w)
	}
}
