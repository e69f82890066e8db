package register

import (
	"slices"
	"testing"
	"time"
)

// Everything that was said in the first seconds of a cluster is said again an hour
// later, by nobody, in any order: first offers, votes of terms that are over,
// entries and heartbeats of a leader that is none any more, questions, answers and
// commands. Nothing comes of it.
func TestHourOldMessagesChangeNothing(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	kinds := map[kind]int{}
	s.drop = func(from, to *simHost, env *envelope) bool {
		kinds[env.kind]++
		s.kept = append(s.kept, letter{from, to, env.encode()})
		return false
	}
	for _, h := range s.hosts {
		h.start()
	}
	s.run(3*time.Second, nil)
	for _, h := range s.hosts {
		s.decide(t, h, "by "+h.name)
		s.run(s.now+50*time.Millisecond, nil)
	}
	old := s.leader()
	old.crash()
	s.run(s.now+2*time.Second, nil)
	s.decide(t, s.leader(), "by another leader")
	old.start()
	s.run(s.now+5*time.Second, nil)
	s.drop = nil
	for _, k := range []kind{kindRaft, kindAsk, kindAnswer, kindOffer, kindRequest, kindReply} {
		if kinds[k] == 0 {
			t.Errorf("no message of kind %d was said", k)
		}
	}
	s.run(s.now+simIdle, nil)
	type state struct {
		disk, term, lead uint64
		record           Version
		voters           string
		lost, campaigns  uint64
	}
	look := func() (all []state) {
		for _, h := range s.hosts {
			c := h.core
			all = append(all, state{c.Disk, c.term, c.lead, c.Machine.Record.Version, c.Log.Conf.String(), c.counters.LostDisks, c.counters.Campaigns})
		}
		return all
	}
	before := look()
	s.replayAll()
	s.run(s.now+2*time.Second, func() bool { return !slices.Equal(look(), before) })
	if after := look(); !slices.Equal(after, before) {
		t.Errorf("after %d old messages\n%v\nbefore\n%v", s.replayed, after, before)
	}
	if !s.works() || s.problem != nil {
		t.Errorf("%v %s", s.problem, s.describe())
	}
}
