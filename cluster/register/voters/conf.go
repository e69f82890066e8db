package voters

import (
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// IDs lists every disk of a configuration, sorted, each once.
func IDs(conf *pb.ConfState) []uint64 {
	ids := slices.Concat(conf.GetVoters(), conf.GetVotersOutgoing(), conf.GetLearners(), conf.GetLearnersNext())
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Valid says that raft can work with a configuration: it has voters, and no
// disk is there twice or is none.
func Valid(conf *pb.ConfState) bool {
	once := func(lists ...[]uint64) bool {
		all := slices.Sorted(slices.Values(slices.Concat(lists...)))
		return len(all) == 0 || all[0] != 0 && len(slices.Compact(all)) == len(slices.Concat(lists...))
	}
	joint := len(conf.GetVotersOutgoing()) > 0
	for _, l := range conf.GetLearnersNext() {
		// Who is to become a learner is still a voter of the outgoing half.
		if !slices.Contains(conf.GetVotersOutgoing(), l) {
			return false
		}
	}
	return len(conf.GetVoters()) > 0 && (joint || len(conf.GetLearnersNext()) == 0) &&
		once(conf.GetVoters(), conf.GetLearners(), conf.GetLearnersNext()) && once(conf.GetVotersOutgoing(), conf.GetLearners())
}

// Has says that a disk has a vote in either half of a configuration.
func Has(conf *pb.ConfState, disk uint64) bool {
	return slices.Contains(conf.GetVoters(), disk) || slices.Contains(conf.GetVotersOutgoing(), disk)
}

// Majority says that yes holds for a majority of the voters, in a joint
// configuration for a majority of both halves.
func Majority(conf *pb.ConfState, yes func(disk uint64) bool) bool {
	half := func(ids []uint64) bool {
		n := 0
		for _, id := range ids {
			if yes(id) {
				n++
			}
		}
		return 2*n > len(ids)
	}
	return half(conf.GetVoters()) && (len(conf.GetVotersOutgoing()) == 0 || half(conf.GetVotersOutgoing()))
}
