package register

import (
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// inView is a follower of five voters, 2 to 6, led by 2, of which both the others and
// the gossip know; its own disk is 1.
func inView() (*observer, hearing) {
	conf := &pb.ConfState{Voters: []uint64{2, 3, 4, 5, 6}}
	h := heardAt(time.Minute, conf, 2, 3, 4, 5, 6)
	obs := &observer{view: &view{scope: scope{5, 0, 0}, heardAt: h.now, since: h.now, backers: 5, announcement: announcement{leader: 2, index: 7, conf: conf}}}
	for id, w := range h.words {
		w.said.leader = 2
		obs.members = append(obs.members, Member{Disk: id, Cluster: 5, Voter: true})
	}
	return obs, h
}

// Who does not vote follows the voters of what it knows, and those that the gossip shows
// of anything else, each once and never itself.
func TestWhoIsFollowed(t *testing.T) {
	obs := &observer{members: []Member{
		{Disk: 9, Cluster: 5, Voter: true}, {Disk: 8, Cluster: 5}, {Disk: 1, Cluster: 5, Voter: true}, {Disk: 3, Cluster: 5, Voter: true},
	}}
	if got := obs.followed(1); !slices.Equal(got, []uint64{3, 9}) {
		t.Errorf("without a view: %v", got)
	}
	obs.view = &view{scope: scope{5, 0, 0}, announcement: announcement{conf: &pb.ConfState{Voters: []uint64{2, 3}, VotersOutgoing: []uint64{1, 3}, Learners: []uint64{4}}}}
	if got := obs.followed(1); !slices.Equal(got, []uint64{2, 3, 9}) {
		t.Errorf("with a view: %v", got)
	}
	if !obs.knows(4) || !obs.knows(8) || obs.knows(7) {
		t.Error("who is in the gossip or in the configuration is known")
	}
}

// While all is well the leader alone is asked; five are out of touch, and so where one
// voter alone stands behind what is known; where the leader is not there, one at a time, in turn.
func TestWhoIsAsked(t *testing.T) {
	obs, _ := inView()
	ids := obs.followed(1)
	if got := obs.turn(ids, 1, true); !slices.Equal(got, []uint64{2}) {
		t.Errorf("all is well: %v are asked", got)
	}
	if got := obs.turn(append(ids, 7), 1, false); len(got) != 5 {
		t.Errorf("out of touch: %v are asked", got)
	}
	obs.view.backers = 1
	if got := obs.turn(ids, 1, true); len(got) != 5 || len(obs.turn(ids[:1], 1, true)) != 1 {
		t.Errorf("one stands behind it: %v are asked", got)
	}
	obs.view.backers, obs.view.leader = 5, 0
	asked := map[uint64]bool{}
	for range 4 * len(ids) {
		got := obs.turn(ids, 1, true)
		if len(got) != 1 {
			t.Fatalf("without a leader %v are asked", got)
		}
		asked[got[0]] = true
	}
	if len(asked) != len(ids) {
		t.Errorf("without a leader %d of %d had their turn", len(asked), len(ids))
	}
}

// What a follower believes: the leader or a majority, of what comes next; a later
// generation or another cluster with its majority, when its own is silent.
func TestWhatAFollowerBelieves(t *testing.T) {
	later := func(h hearing, ids ...uint64) {
		for _, id := range ids {
			h.words[id].said.index = 8
		}
	}
	elsewhere := func(h hearing, s scope, ids ...uint64) {
		for _, id := range ids {
			h.words[id].scope = s
		}
	}
	for _, c := range []struct {
		what      string
		make      func(obs *observer, h hearing)
		of        uint64
		silence   time.Duration
		yes, also bool
	}{
		{"what it knows", func(*observer, hearing) {}, 2, 0, false, false},
		{"the leader", func(_ *observer, h hearing) { later(h, 2) }, 2, 0, true, false},
		{"the leader, with a leap", func(_ *observer, h hearing) { h.words[2].said.index = 8 + countLeap }, 2, 0, false, false},
		{"another one", func(_ *observer, h hearing) { later(h, 3) }, 3, 0, false, false},
		{"a majority", func(_ *observer, h hearing) { later(h, 3, 4, 5) }, 3, 0, true, false},
		{"a majority that leaps", func(_ *observer, h hearing) {
			for _, id := range []uint64{3, 4, 5} {
				h.words[id].said.index = 8 + countLeap
			}
		}, 3, 0, true, false},
		{"an earlier version", func(obs *observer, h hearing) { obs.view.record.Revision = 1; later(h, 2) }, 2, 0, false, false},
		{"another cluster", func(_ *observer, h hearing) { elsewhere(h, scope{9, 0, 0}, 3) }, 3, 0, false, true},
		{"a later generation of all, in touch", func(_ *observer, h hearing) { elsewhere(h, scope{5, 1, 1}, 2, 3, 4) }, 3, 0, false, false},
		{"one of them all, silent", func(_ *observer, h hearing) { elsewhere(h, scope{5, 1, 1}, 2, 3, 4) }, 3, silentFor, true, false},
		{"one of two, silent", func(_ *observer, h hearing) { elsewhere(h, scope{5, 1, 1}, 2, 3) }, 3, silentFor, false, false},
		{"another cluster, all silent for long", func(obs *observer, h hearing) {
			obs.view.heardAt -= viewFor + 1
			elsewhere(h, scope{9, 0, 0}, 3, 4, 5)
		}, 3, viewFor, true, false},
		{"the only one, to who knows nothing", func(obs *observer, _ hearing) { obs.view = nil }, 3, never >> 1, true, false},
		{"one of five, to who knows nothing", func(obs *observer, h hearing) { obs.view = nil; elsewhere(h, scope{9, 0, 0}, 3) }, 3, never >> 1, false, false},
	} {
		obs, h := inView()
		c.make(obs, h)
		yes, conflict := obs.believes(h, h.words[c.of], "px9", c.silence)
		if yes != c.yes || conflict != c.also {
			t.Errorf("%s: believed %v, in conflict %v", c.what, yes, conflict)
		}
	}
}

// What one voter has told is overruled by two, at once where it is no older than that,
// and after 3 s where it is lower, by a majority that works; what two stand behind never is.
func TestWhatIsOverruled(t *testing.T) {
	for _, c := range []struct {
		what    string
		backers int
		index   uint64
		ago     time.Duration
		want    bool
	}{
		{"what two stand behind", 2, 7, time.Minute, false}, {"what one does", 1, 7, 0, true}, {"what one does, and is higher", 1, 9, wordFor, false},
		{"for long", 1, 9, wordFor + 1, true},
	} {
		obs, h := inView()
		obs.view.backers, obs.view.index, obs.view.since = c.backers, c.index, h.now-c.ago
		if got := obs.overrules(h, h.words[3]); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// What is adopted keeps the leader and who stands behind it where it comes next; of
// anything else the leader is whom a majority names.
func TestWhatIsAdopted(t *testing.T) {
	obs, h := inView()
	obs.view.leader, obs.view.backers = 4, 9
	if obs.adopt(h, h.words[3]) || obs.view.leader != 4 || obs.view.backers != 9 {
		t.Errorf("what comes next is taken for anew: %+v", obs.view)
	}
	obs.view.scope = scope{9, 0, 0}
	if !obs.adopt(h, h.words[3]) || obs.view.leader != 2 || obs.view.backers != 5 {
		t.Errorf("what is anew: %+v", obs.view)
	}
	for id := uint64(4); id <= 6; id++ {
		h.words[id].said.leader = id
	}
	obs.view = nil
	if !obs.adopt(h, h.words[3]) || obs.view.leader != 0 {
		t.Errorf("whom nobody names leads: %+v", obs.view)
	}
}

// A follower is as fresh as the majority was that has the latest to say, and no lone voter.
func TestAMajorityMakesFresh(t *testing.T) {
	obs, h := inView()
	for id, w := range h.words {
		w.touchedAge = never
		if id <= 4 {
			w.touchedAge = id * 1000
		}
	}
	h.words[2].touchedAge = 0
	var f freshness
	obs.view.creditMost(h, &f)
	if want := h.now - 4*time.Millisecond; f.at != want {
		t.Errorf("fresh at %s, want %s: three of five say so", f.at, want)
	}
	h.words[3].said.index, f.at = 8, 0
	if obs.view.creditMost(h, &f); f.at != 0 {
		t.Error("who has more than is known here makes it fresh")
	}
}
