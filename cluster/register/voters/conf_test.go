package voters

import (
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// A configuration that raft would stop the process for is refused.
func TestValidConf(t *testing.T) {
	for _, conf := range []*pb.ConfState{
		{}, {Voters: []uint64{0}}, {Voters: []uint64{1, 1}}, {Voters: []uint64{1}, Learners: []uint64{1}}, {Voters: []uint64{1}, LearnersNext: []uint64{2}},
	} {
		if Valid(conf) {
			t.Errorf("raft would stop the process for %v", conf)
		}
	}
	for _, conf := range []*pb.ConfState{
		{Voters: []uint64{1}}, {Voters: []uint64{1, 2}, Learners: []uint64{3}}, {Voters: []uint64{1, 2}, VotersOutgoing: []uint64{1, 3}},
		{Voters: []uint64{1, 2}, VotersOutgoing: []uint64{1, 3}, LearnersNext: []uint64{3}},
	} {
		if !Valid(conf) {
			t.Errorf("refused: %v", conf)
		}
	}
}

// What a majority has reached is what the middle one has, in a joint configuration of
// both halves the lower one of two; who is named in both halves counts in each.
func TestReached(t *testing.T) {
	has := map[uint64]int{1: 10, 2: 20, 3: 30, 4: 40}
	for _, c := range []struct {
		conf    *pb.ConfState
		want    int
		members []uint64
	}{
		{&pb.ConfState{}, 0, nil},
		{&pb.ConfState{Learners: []uint64{4}}, 0, nil},
		{&pb.ConfState{Voters: []uint64{3}}, 30, []uint64{3}},
		{&pb.ConfState{Voters: []uint64{4, 3}}, 30, []uint64{3, 4}},
		{&pb.ConfState{Voters: []uint64{4, 1, 3}, Learners: []uint64{2}}, 30, []uint64{1, 3, 4}},
		{&pb.ConfState{Voters: []uint64{1, 2, 3, 4}}, 20, []uint64{1, 2, 3, 4}},
		{&pb.ConfState{Voters: []uint64{1, 3, 9}}, 10, []uint64{1, 3, 9}},
		{&pb.ConfState{Voters: []uint64{2, 3, 4}, VotersOutgoing: []uint64{1, 2}}, 10, []uint64{1, 2, 3, 4}},
		{&pb.ConfState{VotersOutgoing: []uint64{1, 2}}, 0, []uint64{1, 2}},
	} {
		if got := Reached(c.conf, func(id uint64) int { return has[id] }); got != c.want {
			t.Errorf("%v: %d, want %d", c.conf, got, c.want)
		}
		if got := Of(c.conf); !slices.Equal(got, c.members) {
			t.Errorf("%v: its voters are %v, want %v", c.conf, got, c.members)
		}
		for least := 1; least <= 40; least++ {
			if got := Majority(c.conf, func(id uint64) bool { return has[id] >= least }); got != (least <= c.want) {
				t.Errorf("%v: a majority has %d: %v", c.conf, least, got)
			}
		}
	}
}
