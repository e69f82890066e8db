package voters

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

const (
	// DeadAfter is how long a voter must be silent before a live member takes
	// its place.
	DeadAfter = time.Minute
	// LearnerPatience is how long a member that is being admitted may be silent
	// before it is given up.
	LearnerPatience = 10 * time.Second
	// LiveFor is how recently a voter must have answered the leader to count as
	// alive when the configuration is changed.
	LiveFor = 2 * time.Second
)

// Candidate is a member that is alive.
type Candidate struct {
	Name string
	// Disk is the raft id, Empty says that the disk belongs to no cluster.
	Disk  uint64
	Empty bool
	// Willing says that the member may be made a voter, Leaving that it is about
	// to stop.
	Willing, Leaving bool
}

// Input is all that the decision about the configuration depends on.
type Input struct {
	Self             uint64
	Voters, Learners []uint64
	Names            map[uint64]string
	// Members are alive in the gossip, this one included.
	Members []Candidate
	// Silent is how long a disk of the configuration has not answered;
	// Unheard lists those that have not answered this leader at all.
	Silent   map[uint64]time.Duration
	Unheard  []uint64
	CaughtUp map[uint64]bool
	Leaving  []uint64
	// Removing are the names that an operator said never come back.
	Removing []string
	Max      int
	// DeadAfter is how long a voter must be silent before a live member takes its
	// place, Patience how long a member that is being admitted may be.
	DeadAfter, Patience time.Duration
}

// Step is the change to make, if any, and what it is for.
type Step struct {
	Changes  []*pb.ConfChangeSingle
	Names    map[uint64]string
	Transfer uint64
	Reason   string
}

// Next decides on one step. Invariant: after the step the voters that
// are alive are a majority of the voters.
func Next(in Input) Step {
	slices.SortFunc(in.Members, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Disk, b.Disk))
	})
	wait := ""
	for _, try := range []struct {
		disks []uint64
		step  func(disk uint64) (Step, bool)
	}{
		{slices.Sorted(slices.Values(in.Learners)), in.learner}, {in.Leaving, in.leave}, {in.Voters, in.remove},
	} {
		for _, disk := range try.disks {
			s, ok := try.step(disk)
			if ok {
				return s
			}
			wait = cmp.Or(wait, s.Reason)
		}
	}
	if len(in.Learners) == 0 {
		for _, m := range in.Members {
			if _, why, ok := in.needs(m); ok {
				s := one(pb.ConfChangeAddLearnerNode, m.Disk, fmt.Sprintf("admitting %s: %s", m.Name, why))
				s.Names = map[uint64]string{m.Disk: m.Name}
				return s
			}
		}
	}
	if s, ok := in.shrink(); ok {
		return s
	}
	return Step{Reason: cmp.Or(wait, "nothing to change")}
}

func change(t pb.ConfChangeType, disk uint64) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(disk)}
}

// one is the step that makes one change alone.
func one(t pb.ConfChangeType, disk uint64, reason string) Step {
	return Step{Changes: []*pb.ConfChangeSingle{change(t, disk)}, Reason: reason}
}

// without is what a list of disks is when one has gone.
func without(disks []uint64, gone uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(disks), func(id uint64) bool { return id == gone })
}

// learner promotes a disk that has caught up, or gives it up.
func (in *Input) learner(l uint64) (Step, bool) {
	name := in.Names[l]
	drop := func(why string) (Step, bool) {
		return one(pb.ConfChangeRemoveNode, l, fmt.Sprintf("giving up the admission of %s: %s", name, why)), true
	}
	switch {
	case slices.Contains(in.Leaving, l):
		return drop("it leaves")
	case slices.Contains(in.Removing, name) && in.Silent[l] >= LiveFor:
		return drop("it is removed")
	case in.Silent[l] > in.Patience:
		return drop("it is silent")
	}
	i := slices.IndexFunc(in.Members, func(m Candidate) bool { return m.Disk == l })
	if i < 0 {
		return Step{Reason: "waiting for " + name + ", which is catching up, to be seen alive"}, false
	}
	replaces, why, ok := in.needs(in.Members[i])
	if !ok {
		return drop(why)
	}
	if !in.CaughtUp[l] || !in.alive(l) {
		return Step{Reason: "waiting for " + name + " to catch up"}, false
	}
	changes := []*pb.ConfChangeSingle{change(pb.ConfChangeAddNode, l)}
	after := append(slices.Clone(in.Voters), l)
	if replaces != 0 {
		changes = append(changes, change(pb.ConfChangeRemoveNode, replaces))
		after = without(after, replaces)
	}
	if !in.safe(after) {
		return Step{Reason: "too few voters are alive to admit " + name}, false
	}
	return Step{Changes: changes, Reason: fmt.Sprintf("making %s a voter: %s", name, why)}, true
}

// needs says whether member m should become a voter, and in whose place (0
// for an additional one).
func (in *Input) needs(m Candidate) (replaces uint64, why string, ok bool) {
	if slices.Contains(in.Voters, m.Disk) {
		return 0, "it is a voter", false
	}
	if !in.eligible(m) {
		return 0, "it is not to be a voter now", false
	}
	for _, v := range in.Voters {
		if in.Names[v] != m.Name {
			continue
		}
		if in.alive(v) || slices.ContainsFunc(in.Members, func(o Candidate) bool { return o.Disk == v }) {
			return 0, "its former disk still answers", false
		}
		return v, "its disk is a new one", true
	}
	if len(in.Voters) < in.target() {
		return 0, "one more voter is wanted", true
	}
	dead := slices.DeleteFunc(slices.Clone(in.Voters), func(v uint64) bool { return v == in.Self || in.Silent[v] <= in.DeadAfter })
	if len(dead) == 0 {
		return 0, "no voter is missing", false
	}
	slices.SortFunc(dead, func(a, b uint64) int {
		return cmp.Or(-cmp.Compare(in.Silent[a], in.Silent[b]), cmp.Compare(a, b))
	})
	return dead[0], fmt.Sprintf("it takes the place of %s, silent for %s", in.Names[dead[0]], in.Silent[dead[0]].Round(time.Second)), true
}

// eligible says that a live member may vote: willing, there once, and either
// in the configuration already or with an empty disk.
func (in *Input) eligible(m Candidate) bool {
	if !m.Willing || m.Leaving || slices.Contains(in.Leaving, m.Disk) {
		return false
	}
	if slices.ContainsFunc(in.Members, func(o Candidate) bool { return o.Name == m.Name && o.Disk != m.Disk }) {
		return false
	}
	return m.Empty || slices.Contains(in.Voters, m.Disk) || slices.Contains(in.Learners, m.Disk)
}

// target is how many voters there should be.
func (in *Input) target() int {
	n := 0
	for _, m := range in.Members {
		if in.eligible(m) {
			n++
		}
	}
	return min(n, in.Max)
}

// leave lets a voter go.
func (in *Input) leave(v uint64) (Step, bool) {
	if !slices.Contains(in.Voters, v) {
		return Step{}, false
	}
	name, after := in.Names[v], without(in.Voters, v)
	if len(after) == 0 {
		return Step{Reason: name + " is the last voter"}, false
	}
	if !in.safe(after) {
		return Step{Reason: name + " cannot leave now: too few of the other voters are alive"}, false
	}
	if v != in.Self {
		return one(pb.ConfChangeRemoveNode, v, name+" leaves"), true
	}
	to := Step{Reason: "handing over the lead before leaving"}
	slices.Sort(after)
	if i := slices.IndexFunc(after, func(id uint64) bool { return in.alive(id) && in.CaughtUp[id] && !slices.Contains(in.Leaving, id) }); i >= 0 {
		to.Transfer = after[i]
	}
	return to, to.Transfer != 0
}

// remove takes out a voter that never comes back. A dead one less never makes
// the living a minority that they were not; safe holds all the same.
func (in *Input) remove(v uint64) (Step, bool) {
	if !slices.Contains(in.Removing, in.Names[v]) || in.Silent[v] < LiveFor || !in.safe(without(in.Voters, v)) {
		return Step{}, false
	}
	return one(pb.ConfChangeRemoveNode, v, in.Names[v]+" is removed: an operator says that it never comes back"), true
}

// shrink removes a voter beyond the maximum, a dead one first.
func (in *Input) shrink() (Step, bool) {
	if len(in.Voters) <= in.Max {
		return Step{}, false
	}
	out := slices.Clone(in.Voters)
	slices.SortFunc(out, func(a, b uint64) int {
		return cmp.Or(-cmp.Compare(in.Silent[a]/time.Minute, in.Silent[b]/time.Minute),
			-cmp.Compare(in.Names[a], in.Names[b]), cmp.Compare(a, b))
	})
	for _, v := range out {
		if v != in.Self && in.safe(without(in.Voters, v)) {
			return one(pb.ConfChangeRemoveNode, v, in.Names[v]+" is one voter too many"), true
		}
	}
	return Step{}, false
}

func (in *Input) alive(disk uint64) bool {
	return disk == in.Self || in.Silent[disk] < LiveFor && !slices.Contains(in.Unheard, disk)
}

// safe says that the live ones are a majority of these voters.
func (in *Input) safe(voters []uint64) bool {
	n := 0
	for _, v := range voters {
		if in.alive(v) {
			n++
		}
	}
	return 2*n > len(voters)
}
