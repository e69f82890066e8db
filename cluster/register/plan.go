package register

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// planInput is all that the decision about the configuration depends on.
type planInput struct {
	self             uint64
	voters, learners []uint64
	names            map[uint64]string
	// members are alive in the gossip, this one included.
	members []Member
	// silent is how long a disk of the configuration has not answered;
	// unheard lists those that have not answered this leader at all.
	silent   map[uint64]time.Duration
	unheard  []uint64
	caughtUp map[uint64]bool
	leaving  []uint64
	// removing are the names that an operator said never come back.
	removing []string
	max      int
	timing   Timing
}

// step is the change to make, if any, and what it is for.
type step struct {
	changes  []*pb.ConfChangeSingle
	names    map[uint64]string
	transfer uint64
	reason   string
}

// planChange decides on one step. Invariant: after the step the voters that
// are alive are a majority of the voters.
func planChange(in planInput) step {
	slices.SortFunc(in.members, compareMembers)
	var waits []string
	for _, l := range slices.Sorted(slices.Values(in.learners)) {
		if s, ok := in.learner(l); ok {
			return s
		} else if s.reason != "" {
			waits = append(waits, s.reason)
		}
	}
	for _, v := range in.leaving {
		if s, ok := in.leave(v); ok {
			return s
		} else if s.reason != "" {
			waits = append(waits, s.reason)
		}
	}
	for _, v := range in.voters {
		if s, ok := in.remove(v); ok {
			return s
		}
	}
	if len(in.learners) == 0 {
		for _, m := range in.members {
			if _, why, ok := in.needs(m); ok {
				return step{
					changes: []*pb.ConfChangeSingle{change(pb.ConfChangeAddLearnerNode, m.Disk)},
					names:   map[uint64]string{m.Disk: m.Name},
					reason:  fmt.Sprintf("admitting %s: %s", m.Name, why),
				}
			}
		}
	}
	if s, ok := in.shrink(); ok {
		return s
	}
	if len(waits) > 0 {
		return step{reason: waits[0]}
	}
	return step{reason: "nothing to change"}
}

func change(t pb.ConfChangeType, disk uint64) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(disk)}
}

// learner promotes a disk that has caught up, or gives it up.
func (in *planInput) learner(l uint64) (step, bool) {
	name := in.names[l]
	drop := func(why string) (step, bool) {
		return step{
			changes: []*pb.ConfChangeSingle{change(pb.ConfChangeRemoveNode, l)},
			reason:  fmt.Sprintf("giving up the admission of %s: %s", name, why),
		}, true
	}
	if slices.Contains(in.leaving, l) {
		return drop("it leaves")
	}
	if slices.Contains(in.removing, name) && in.silent[l] >= liveFor {
		return drop("it is removed")
	}
	if in.silent[l] > in.timing.LearnerPatience {
		return drop("it is silent")
	}
	i := slices.IndexFunc(in.members, func(m Member) bool { return m.Disk == l })
	if i < 0 {
		return step{reason: "waiting for " + name + ", which is catching up, to be seen alive"}, false
	}
	replaces, why, ok := in.needs(in.members[i])
	if !ok {
		return drop(why)
	}
	if !in.caughtUp[l] || !in.alive(l) {
		return step{reason: "waiting for " + name + " to catch up"}, false
	}
	changes := []*pb.ConfChangeSingle{change(pb.ConfChangeAddNode, l)}
	after := append(slices.Clone(in.voters), l)
	if replaces != 0 {
		changes = append(changes, change(pb.ConfChangeRemoveNode, replaces))
		after = slices.DeleteFunc(after, func(id uint64) bool { return id == replaces })
	}
	if !in.safe(after) {
		return step{reason: "too few voters are alive to admit " + name}, false
	}
	return step{changes: changes, reason: fmt.Sprintf("making %s a voter: %s", name, why)}, true
}

// needs says whether member m should become a voter, and in whose place (0
// for an additional one).
func (in *planInput) needs(m Member) (replaces uint64, why string, ok bool) {
	if slices.Contains(in.voters, m.Disk) {
		return 0, "it is a voter", false
	}
	if !in.eligible(m) {
		return 0, "it is not to be a voter now", false
	}
	for _, v := range in.voters {
		if in.names[v] != m.Name {
			continue
		}
		if in.alive(v) || slices.ContainsFunc(in.members, func(o Member) bool { return o.Disk == v }) {
			return 0, "its former disk still answers", false
		}
		return v, "its disk is a new one", true
	}
	if len(in.voters) < in.target() {
		return 0, "one more voter is wanted", true
	}
	var dead []uint64
	for _, v := range in.voters {
		if in.silent[v] > in.timing.DeadAfter && v != in.self {
			dead = append(dead, v)
		}
	}
	if len(dead) == 0 {
		return 0, "no voter is missing", false
	}
	slices.SortFunc(dead, func(a, b uint64) int {
		return cmp.Or(-cmp.Compare(in.silent[a], in.silent[b]), cmp.Compare(a, b))
	})
	return dead[0], fmt.Sprintf("it takes the place of %s, silent for %s", in.names[dead[0]], in.silent[dead[0]].Round(time.Second)), true
}

// eligible says that a live member may vote: willing, there once, and either
// in the configuration already or with an empty disk.
func (in *planInput) eligible(m Member) bool {
	if !m.Willing || m.Leaving || slices.Contains(in.leaving, m.Disk) {
		return false
	}
	for _, o := range in.members {
		if o.Name == m.Name && o.Disk != m.Disk {
			return false
		}
	}
	return m.Empty() || slices.Contains(in.voters, m.Disk) || slices.Contains(in.learners, m.Disk)
}

// target is how many voters there should be.
func (in *planInput) target() int {
	n := 0
	for _, m := range in.members {
		if in.eligible(m) {
			n++
		}
	}
	return min(n, in.max)
}

// leave lets a voter go.
func (in *planInput) leave(v uint64) (step, bool) {
	if !slices.Contains(in.voters, v) {
		return step{}, false
	}
	name := in.names[v]
	after := slices.DeleteFunc(slices.Clone(in.voters), func(id uint64) bool { return id == v })
	if len(after) == 0 {
		return step{reason: name + " is the last voter"}, false
	}
	if !in.safe(after) {
		return step{reason: name + " cannot leave now: too few of the other voters are alive"}, false
	}
	if v != in.self {
		return step{
			changes: []*pb.ConfChangeSingle{change(pb.ConfChangeRemoveNode, v)},
			reason:  name + " leaves",
		}, true
	}
	best := uint64(0)
	for _, id := range slices.Sorted(slices.Values(after)) {
		if in.alive(id) && in.caughtUp[id] && !slices.Contains(in.leaving, id) {
			best = id
			break
		}
	}
	return step{transfer: best, reason: "handing over the lead before leaving"}, best != 0
}

// remove takes out a voter that never comes back. A dead one less never makes
// the living a minority that they were not; safe holds all the same.
func (in *planInput) remove(v uint64) (step, bool) {
	after := slices.DeleteFunc(slices.Clone(in.voters), func(id uint64) bool { return id == v })
	if !slices.Contains(in.removing, in.names[v]) || in.silent[v] < liveFor || !in.safe(after) {
		return step{}, false
	}
	return step{
		changes: []*pb.ConfChangeSingle{change(pb.ConfChangeRemoveNode, v)},
		reason:  in.names[v] + " is removed: an operator says that it never comes back",
	}, true
}

// shrink removes a voter beyond the maximum, a dead one first.
func (in *planInput) shrink() (step, bool) {
	if len(in.voters) <= in.max {
		return step{}, false
	}
	out := slices.Clone(in.voters)
	slices.SortFunc(out, func(a, b uint64) int {
		return cmp.Or(-cmp.Compare(in.silent[a]/time.Minute, in.silent[b]/time.Minute),
			-cmp.Compare(in.names[a], in.names[b]), cmp.Compare(a, b))
	})
	for _, v := range out {
		after := slices.DeleteFunc(slices.Clone(in.voters), func(id uint64) bool { return id == v })
		if v != in.self && in.safe(after) {
			return step{
				changes: []*pb.ConfChangeSingle{change(pb.ConfChangeRemoveNode, v)},
				reason:  fmt.Sprintf("%s is one voter too many", in.names[v]),
			}, true
		}
	}
	return step{}, false
}

func (in *planInput) alive(disk uint64) bool {
	return disk == in.self || in.silent[disk] < liveFor && !slices.Contains(in.unheard, disk)
}

// safe says that the live ones are a majority of these voters.
func (in *planInput) safe(voters []uint64) bool {
	n := 0
	for _, v := range voters {
		if in.alive(v) {
			n++
		}
	}
	return 2*n > len(voters)
}
