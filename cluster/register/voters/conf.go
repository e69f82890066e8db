package voters

import (
	"cmp"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// IDs lists every disk of a configuration, sorted, each once.
func IDs(conf *pb.ConfState) []uint64 {
	return once(conf.GetVoters(), conf.GetVotersOutgoing(), conf.GetLearners(), conf.GetLearnersNext())
}

// Of lists the disks of a configuration that have a vote, in either half, sorted.
func Of(conf *pb.ConfState) []uint64 {
	return once(conf.GetVoters(), conf.GetVotersOutgoing())
}

// once is what is in any of these lists, sorted.
func once(lists ...[]uint64) []uint64 {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(lists...))))
}

// Valid says that raft can work with a configuration: it has voters, and no
// disk is there twice or is none.
func Valid(conf *pb.ConfState) bool {
	each := func(lists ...[]uint64) bool {
		ids := once(lists...)
		return len(ids) == len(slices.Concat(lists...)) && !slices.Contains(ids, 0)
	}
	joint := len(conf.GetVotersOutgoing()) > 0
	for _, l := range conf.GetLearnersNext() {
		// Who is to become a learner is still a voter of the outgoing half.
		if !slices.Contains(conf.GetVotersOutgoing(), l) {
			return false
		}
	}
	return len(conf.GetVoters()) > 0 && (joint || len(conf.GetLearnersNext()) == 0) &&
		each(conf.GetVoters(), conf.GetLearners(), conf.GetLearnersNext()) && each(conf.GetVotersOutgoing(), conf.GetLearners())
}

// Has says that a disk has a vote in either half of a configuration.
func Has(conf *pb.ConfState, disk uint64) bool {
	return slices.Contains(conf.GetVoters(), disk) || slices.Contains(conf.GetVotersOutgoing(), disk)
}

// Majority says that yes holds for a majority of the voters, in a joint
// configuration for a majority of both halves.
func Majority(conf *pb.ConfState, yes func(disk uint64) bool) bool {
	return Reached(conf, func(disk uint64) int {
		if yes(disk) {
			return 1
		}
		return 0
	}) == 1
}

// Reached is the highest number that a majority of the voters has reached, in a joint
// configuration a majority of both halves; 0 without voters.
func Reached[N cmp.Ordered](conf *pb.ConfState, by func(disk uint64) N) (n N) {
	half := func(ids []uint64) N {
		var each []N
		for _, id := range ids {
			each = append(each, by(id))
		}
		slices.Sort(each)
		return each[(len(each)-1)/2]
	}
	if len(conf.GetVoters()) > 0 {
		n = half(conf.GetVoters())
	}
	if len(conf.GetVotersOutgoing()) > 0 {
		n = min(n, half(conf.GetVotersOutgoing()))
	}
	return n
}
