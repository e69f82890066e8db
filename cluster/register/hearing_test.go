package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// heardAt is the words of disks of one generation, each of which says the same of a
// configuration, as disk 1 hears them at that time.
func heardAt(now time.Duration, conf *pb.ConfState, disks ...uint64) hearing {
	h := hearing{words{}, 1, now}
	for _, id := range disks {
		h.words[id] = &word{disk: id, at: now, told: now, scope: scope{5, 0, 0}, said: announcement{index: 7, conf: conf}}
	}
	return h
}

func anything(*word) bool { return true }

// A word counts for 3 s, an announcement for 3 s since it was made; the word of the disk
// that asks never counts, and no configuration without voters has a majority.
func TestWhoseWordCounts(t *testing.T) {
	three := &pb.ConfState{Voters: []uint64{1, 2, 3}}
	for what, c := range map[string]struct {
		conf     *pb.ConfState
		disks    []uint64
		n        int
		most     bool
		withSelf bool
	}{
		"nobody":                        {three, nil, 0, false, false},
		"one of two others":             {three, []uint64{2}, 1, false, true},
		"both":                          {three, []uint64{2, 3}, 2, true, true},
		"oneself":                       {three, []uint64{1, 2}, 1, false, true},
		"a learner":                     {&pb.ConfState{Voters: []uint64{2, 3}, Learners: []uint64{4}}, []uint64{2, 4}, 1, false, false},
		"one half of a joint one":       {&pb.ConfState{Voters: []uint64{2}, VotersOutgoing: []uint64{3, 4}}, []uint64{2, 3}, 2, false, false},
		"both halves":                   {&pb.ConfState{Voters: []uint64{2}, VotersOutgoing: []uint64{3, 4}}, []uint64{2, 3, 4}, 3, true, true},
		"the only one":                  {&pb.ConfState{Voters: []uint64{2}}, []uint64{2}, 1, true, true},
		"a configuration of nobody":     {&pb.ConfState{}, []uint64{2, 3}, 0, false, false},
		"a configuration of this alone": {&pb.ConfState{Voters: []uint64{1}}, []uint64{2, 3}, 0, false, true},
	} {
		h := heardAt(time.Minute, c.conf, c.disks...)
		if h.count(c.conf, anything) != c.n || h.most(c.conf, anything) != c.most || h.withSelf(c.conf, anything) != c.withSelf {
			t.Errorf("%s: %d, most %v, with itself %v", what, h.count(c.conf, anything), h.most(c.conf, anything), h.withSelf(c.conf, anything))
		}
		if several := c.most && c.n > 1; h.several(c.conf, anything) != several {
			t.Errorf("%s: several %v", what, !several)
		}
		h.now += wordFor
		if h.count(c.conf, anything) != c.n {
			t.Errorf("%s: after %s its word is not current", what, wordFor)
		}
		if h.now++; h.count(c.conf, anything) != 0 {
			t.Errorf("%s: after more than %s its word is current", what, wordFor)
		}
	}
	w := &word{at: time.Minute, told: time.Minute - wordFor}
	h := hearing{nil, 1, time.Minute}
	if !h.spoke(w) || h.spoke(nil) || h.current(nil) {
		t.Error("what was announced 3 s ago counts, and nothing else")
	}
	if h.now++; h.spoke(w) || !h.current(w) {
		t.Error("what was announced longer ago counts")
	}
	if w.told = 0; h.spoke(w) {
		t.Error("who has announced nothing has spoken")
	}
}

// A word is confirmed by who has applied as much of the same generation, and names the
// same command at the same version, if both name one.
func TestWhoConfirmsAWord(t *testing.T) {
	said := func(index, revision uint64, id string) *word {
		return &word{scope: scope{5, 1, 9}, said: announcement{index: index, record: Record{Version: Version{Revision: revision}, CommandID: id}}}
	}
	w, bare, elsewhere := said(7, 3, "a"), said(7, 3, ""), said(7, 3, "a")
	bare.said.bare, elsewhere.origin = true, 8
	for what, c := range map[string]struct {
		o    *word
		want bool
	}{
		"the same": {said(7, 3, "a"), true}, "a later index": {said(8, 3, "a"), true}, "an earlier index": {said(6, 3, "a"), false},
		"a later version": {said(7, 4, "b"), true}, "an earlier version": {said(7, 2, "a"), false},
		"another command": {said(7, 3, "b"), false}, "a bare one": {bare, true}, "another generation": {elsewhere, false},
	} {
		if got := w.confirmedBy(c.o); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	conf := &pb.ConfState{Voters: []uint64{2, 3, 4}}
	h := heardAt(time.Minute, conf, 2, 3, 4)
	if h.words[4].said.index = 6; !h.supported(h.words[2]) || h.backers(h.words[2]) != 2 {
		t.Error("two of three are no majority")
	}
	if h.words[3].told = 0; h.supported(h.words[2]) || h.backers(h.words[2]) != 1 {
		t.Error("who was not asked confirms something")
	}
}

// The term that is known is the highest that a majority of the others has reached.
func TestTheTermOfAMajority(t *testing.T) {
	conf := &pb.ConfState{Voters: []uint64{1, 2, 3, 4}}
	h := heardAt(time.Minute, conf, 1, 2, 3)
	h.words[1].term, h.words[2].term, h.words[3].term = 99, 5, 6
	if got := h.term(conf); got != 0 {
		t.Errorf("two of four are in term %d", got)
	}
	h.words[4] = &word{disk: 4, at: time.Minute, term: 70}
	if got := h.term(conf); got != 5 {
		t.Errorf("three of four are in term %d, want 5", got)
	}
}

// What is remembered of others' words is bounded: room is made among those that are not
// current, then among who has no vote; a voter always finds some.
func TestRoomForWords(t *testing.T) {
	conf := &pb.ConfState{Voters: []uint64{500, 501}}
	ws := words{}
	for id := uint64(500); id < 500+maxWords; id++ {
		ws.of(id, conf, 0).at = time.Second
	}
	if ws.of(1, conf, time.Second) != nil || ws.of(500, conf, time.Second) == nil {
		t.Error("a stranger found room, or a voter that is known none")
	}
	conf.Voters = append(conf.Voters, 2)
	if ws.of(2, conf, time.Second) == nil || len(ws) != maxWords || ws[500] == nil || ws[501] == nil || ws[502] != nil {
		t.Errorf("%d words: a voter takes the room of the first that has no vote", len(ws))
	}
	if ws.of(1, conf, 2*time.Second+wordFor) == nil || len(ws) > 2 {
		t.Errorf("%d words, of which one is current", len(ws))
	}
}

// A majority of the others convicts a disk that is suspected; where there is one other
// alone it must go on saying so for 5 s.
func TestWhoConvicts(t *testing.T) {
	three, two := &pb.ConfState{Voters: []uint64{1, 2, 3}}, &pb.ConfState{Voters: []uint64{1, 2}}
	for what, c := range map[string]struct {
		conf  *pb.ConfState
		disks []uint64
		after time.Duration
		want  bool
	}{
		"both of two others":             {three, []uint64{2, 3}, 0, true},
		"one of two others":              {three, []uint64{2}, abandonAfter + 1, false},
		"the only other":                 {two, []uint64{2}, abandonAfter, false},
		"the only other, for long":       {two, []uint64{2}, abandonAfter + 1, true},
		"the only other, and a stranger": {two, []uint64{3}, abandonAfter + 1, false},
		"a disk of which it is no voter": {&pb.ConfState{Voters: []uint64{2}}, []uint64{2}, 0, true},
	} {
		d := doubt{since: time.Minute - c.after}
		if got := d.convicts(heardAt(time.Minute, c.conf, c.disks...), c.conf, anything); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
