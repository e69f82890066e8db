package voters

import (
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
