package register

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"
)

// planWorld describes a configuration as a table can: voters and learners as
// "name/disk", a trailing "!" for a dead one and "?" for one silent for hours.
func planWorld(voters, learners, members []string, leaving []uint64) planInput {
	in := planInput{
		self: 1, names: map[uint64]string{}, silent: map[uint64]time.Duration{}, caughtUp: map[uint64]bool{},
		max: 5, timing: Timing{}.withDefaults(), leaving: leaving,
	}
	parse := func(s string) (disk uint64) {
		var name string
		mark := s[len(s)-1]
		if mark == '!' || mark == '?' {
			s = s[:len(s)-1]
		}
		if _, err := fmt.Sscanf(s, "%3s/%d", &name, &disk); err != nil {
			panic(err)
		}
		in.names[disk], in.caughtUp[disk] = name, true
		switch mark {
		case '!':
			in.silent[disk] = 10 * time.Second
		case '?':
			in.silent[disk] = 3 * time.Hour
		}
		return disk
	}
	for _, v := range voters {
		in.voters = append(in.voters, parse(v))
	}
	for _, l := range learners {
		in.learners = append(in.learners, parse(l))
	}
	for _, m := range members {
		var name string
		var disk uint64
		if _, err := fmt.Sscanf(m, "%3s/%d", &name, &disk); err != nil {
			panic(err)
		}
		mem := Member{Name: name, Disk: disk, Willing: true}
		if slices.Contains(in.voters, disk) || slices.Contains(in.learners, disk) {
			mem.Cluster = 1
		}
		in.members = append(in.members, mem)
	}
	return in
}

func describeStep(s step) string {
	text := ""
	for _, c := range s.changes {
		verb := map[pb.ConfChangeType]string{
			pb.ConfChangeAddNode: "vote", pb.ConfChangeAddLearnerNode: "learn", pb.ConfChangeRemoveNode: "remove",
		}[c.GetType()]
		text += fmt.Sprintf("%s %d, ", verb, c.GetNodeId())
	}
	if s.transfer != 0 {
		text += fmt.Sprintf("transfer to %d, ", s.transfer)
	}
	return text + s.reason
}

func TestPlanChange(t *testing.T) {
	type list = []string
	for _, tc := range []struct {
		name                      string
		voters, learners, members []string
		leaving                   []uint64
		want                      string
		removing                  []string
	}{
		{"at rest", list{"px0/1", "px1/2", "px2/3"}, nil, list{"px0/1", "px1/2", "px2/3"}, nil, "nothing to change", nil},
		{"a lost disk", list{"px0/1", "px1/2", "px2/3!"}, nil, list{"px0/1", "px1/2", "px2/9"}, nil,
			"learn 9, admitting px2: its disk is a new one", nil},
		{"a lost disk, caught up", list{"px0/1", "px1/2", "px2/3!"}, list{"px2/9"}, list{"px0/1", "px1/2", "px2/9"}, nil,
			"vote 9, remove 3, making px2 a voter: its disk is a new one", nil},
		{"the old disk still answers", list{"px0/1", "px1/2", "px2/3"}, nil, list{"px0/1", "px1/2", "px2/9"}, nil, "nothing to change", nil},
		{"the old disk is still seen", list{"px0/1", "px1/2", "px2/3!"}, nil, list{"px0/1", "px1/2", "px2/3", "px2/9"}, nil, "nothing to change", nil},
		{"one more", list{"px0/1", "px1/2"}, nil, list{"px0/1", "px1/2", "px2/3"}, nil, "learn 3, admitting px2: one more voter is wanted", nil},
		{"enough", list{"px0/1", "px1/2", "px2/3", "px3/4", "px4/5"}, nil,
			list{"px0/1", "px1/2", "px2/3", "px3/4", "px4/5", "px5/6"}, nil, "nothing to change", nil},
		{"long dead", list{"px0/1", "px1/2", "px2/3", "px3/4", "px4/5?"}, nil,
			list{"px0/1", "px1/2", "px2/3", "px3/4", "px5/6"}, nil,
			"learn 6, admitting px5: it takes the place of px4, silent for 3h0m0s", nil},
		{"long dead and nobody else", list{"px0/1", "px1/2", "px2/3?"}, nil, list{"px0/1", "px1/2"}, nil, "nothing to change", nil},
		{"leave", list{"px0/1", "px1/2", "px2/3"}, nil, list{"px0/1", "px1/2", "px2/3"}, []uint64{3}, "remove 3, px2 leaves", nil},
		{"the leader leaves", list{"px0/1", "px1/2", "px2/3"}, nil, list{"px0/1", "px1/2", "px2/3"}, []uint64{1},
			"transfer to 2, handing over the lead before leaving", nil},
		{"everybody leaves", list{"px0/1", "px1/2", "px2/3"}, nil, list{"px0/1", "px1/2", "px2/3"}, []uint64{1, 2, 3}, "remove 2, px1 leaves", nil},
		{"leave with one dead", list{"px0/1", "px1/2", "px2/3!"}, nil, list{"px0/1", "px1/2"}, []uint64{2},
			"px1 cannot leave now: too few of the other voters are alive", nil},
		{"the last one", list{"px0/1"}, nil, list{"px0/1"}, []uint64{1}, "px0 is the last voter", nil},
		{"an admission nobody wants any more", list{"px0/1", "px1/2", "px2/3"}, list{"px3/4!"}, list{"px0/1", "px1/2", "px2/3"}, nil,
			"waiting for px3, which is catching up, to be seen alive", nil},
		{"remove a dead one", list{"px0/1", "px1/2", "px2/3!"}, nil, list{"px0/1", "px1/2"}, nil,
			"remove 3, px2 is removed: an operator says that it never comes back", list{"px2"}},
		{"remove one that answers", list{"px0/1", "px1/2", "px2/3"}, nil, list{"px0/1", "px1/2", "px2/3"}, nil, "nothing to change", list{"px2"}},
		{"remove, of two, the dead one", list{"px0/1", "px1/2!"}, nil, list{"px0/1"}, nil,
			"remove 2, px1 is removed: an operator says that it never comes back", list{"px1"}},
		{"remove with two more dead", list{"px0/1", "px1/2!", "px2/3!", "px3/4!"}, nil, list{"px0/1"}, nil, "nothing to change", list{"px2"}},
		{"remove one that is being admitted", list{"px0/1", "px1/2"}, list{"px2/3!"}, list{"px0/1", "px1/2"}, nil,
			"remove 3, giving up the admission of px2: it is removed", list{"px2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := planWorld(tc.voters, tc.learners, tc.members, tc.leaving)
			in.removing = tc.removing
			if got := describeStep(planChange(in)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// Whatever the world looks like, the leader never makes those who are alive a
// minority, never exceeds the maximum, never removes itself, and changes at
// most one voter and its substitute.
func TestPlanChangeIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := planInput{
			self: 1, voters: []uint64{1}, names: map[uint64]string{1: "px0"}, silent: map[uint64]time.Duration{},
			caughtUp: map[uint64]bool{1: true}, max: rapid.IntRange(1, 5).Draw(t, "max"), timing: Timing{}.withDefaults(),
		}
		for disk := uint64(2); disk < 12; disk++ {
			in.names[disk] = fmt.Sprintf("px%d", rapid.IntRange(0, 6).Draw(t, "name"))
			in.caughtUp[disk] = rapid.Bool().Draw(t, "caught up")
			in.silent[disk] = rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second, time.Hour}).Draw(t, "silent")
			role := rapid.IntRange(0, 3).Draw(t, "role")
			m := Member{Name: in.names[disk], Disk: disk, Willing: rapid.IntRange(0, 3).Draw(t, "willing") > 0}
			switch {
			case role == 0 && len(in.voters) < in.max:
				in.voters = append(in.voters, disk)
				m.Cluster = 1
			case role == 1:
				in.learners = append(in.learners, disk)
				m.Cluster = 1
			case role == 2:
				m.Cluster = uint64(rapid.IntRange(0, 1).Draw(t, "cluster"))
			}
			if rapid.Bool().Draw(t, "seen") {
				in.members = append(in.members, m)
			}
			if rapid.IntRange(0, 4).Draw(t, "leaving") == 0 {
				in.leaving = append(in.leaving, disk)
			}
			if rapid.IntRange(0, 4).Draw(t, "removing") == 0 {
				in.removing = append(in.removing, in.names[disk])
			}
		}
		s := planChange(in)
		after := slices.Clone(in.voters)
		added, removed := 0, 0
		for _, c := range s.changes {
			switch c.GetType() {
			case pb.ConfChangeAddNode:
				if !slices.Contains(in.learners, c.GetNodeId()) || !in.caughtUp[c.GetNodeId()] {
					t.Fatalf("%s: made a voter without having caught up", describeStep(s))
				}
				after, added = append(after, c.GetNodeId()), added+1
			case pb.ConfChangeRemoveNode:
				if c.GetNodeId() == in.self {
					t.Fatalf("%s: the leader removes itself", describeStep(s))
				}
				if slices.Contains(after, c.GetNodeId()) {
					removed++
				}
				after = slices.DeleteFunc(after, func(id uint64) bool { return id == c.GetNodeId() })
			}
		}
		if added > 1 || removed > 1 || len(after) == 0 || len(after) > in.max {
			t.Fatalf("%s: %d added, %d removed, %d of at most %d voters", describeStep(s), added, removed, len(after), in.max)
		}
		if added+removed > 0 && !in.safe(after) {
			t.Fatalf("%s: the living are a minority of %v", describeStep(s), after)
		}
		if s.reason == "" {
			t.Fatal("no reason given")
		}
	})
}
