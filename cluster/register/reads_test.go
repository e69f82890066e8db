package register

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// A record that one of three cannot act on takes that one out of the vote, after a
// start as well; the others go on.
func TestAMemberThatCannotReadTheRecordDoesNotVote(t *testing.T) {
	s := quietSim(t, 1, 3)
	lead := s.leader()
	var old *simHost
	for _, h := range s.hosts {
		if h != lead {
			old = h
		}
	}
	later := errors.New("its lowest version is 9 and this daemon reads 2: upgrade it")
	reads := func(value []byte) error {
		if bytes.Contains(value, []byte("lowest 9")) {
			return later
		}
		return nil
	}
	old.core.cfg.Reads = reads
	if r := s.propose(lead, "read by all"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	s.run(s.now+time.Second, nil)
	if err := old.core.failed; err != nil {
		t.Fatal(err)
	}
	if r := s.propose(lead, "lowest 9"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	s.run(s.now+time.Second, nil)
	st := old.core.Status(old.clock())
	if st.Voting || st.State != StateStopped || !errors.Is(old.core.failed, errUnreadable) || !errors.Is(old.core.failed, later) {
		t.Errorf("%s, voting %v, %v", st.State, st.Voting, old.core.failed)
	}
	if r := s.propose(lead, "the others go on"); r == nil || r.Err != nil {
		t.Errorf("%+v", r)
	}
	im := *lead.core
	body := im.Image.Encode()
	again, err := NewCore(CoreConfig{Name: lead.name, Random: lead.core.cfg.Random, Body: body, Reads: func([]byte) error { return later }}, 1)
	if err != nil || !errors.Is(again.failed, later) {
		t.Errorf("after a start: %v, %v", err, again.failed)
	}
}

// A leader of this version takes no such record from anybody, so that one message
// does not stop all voters.
func TestALeaderProposesNothingThatItCannotRead(t *testing.T) {
	s := quietSim(t, 1, 3)
	for _, h := range s.hosts {
		h.core.cfg.Reads = func(value []byte) error {
			if bytes.Contains(value, []byte("lowest 9")) {
				return errors.New("upgrade")
			}
			return nil
		}
	}
	if r := s.propose(s.hosts[0], "lowest 9"); r != nil && r.Err == nil {
		t.Errorf("taken: %+v", r)
	}
	s.run(s.now+time.Second, nil)
	for _, h := range s.hosts {
		if err := h.core.failed; err != nil {
			t.Errorf("%s: %v", h.name, err)
		}
	}
	if !s.works() {
		t.Error("it does not go on")
	}
}
