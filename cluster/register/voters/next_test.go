package voters

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
func planWorld(voters, learners, members []string, leaving []uint64) Input {
	in := Input{
		Self: 1, Names: map[uint64]string{}, Silent: map[uint64]time.Duration{}, CaughtUp: map[uint64]bool{},
		Max: 5, DeadAfter: DeadAfter, Patience: LearnerPatience, Leaving: leaving,
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
		in.Names[disk], in.CaughtUp[disk] = name, true
		switch mark {
		case '!':
			in.Silent[disk] = 10 * time.Second
		case '?':
			in.Silent[disk] = 3 * time.Hour
		}
		return disk
	}
	for _, v := range voters {
		in.Voters = append(in.Voters, parse(v))
	}
	for _, l := range learners {
		in.Learners = append(in.Learners, parse(l))
	}
	for _, m := range members {
		var name string
		var disk uint64
		if _, err := fmt.Sscanf(m, "%3s/%d", &name, &disk); err != nil {
			panic(err)
		}
		mem := Candidate{Name: name, Disk: disk, Willing: true, Empty: true}
		if slices.Contains(in.Voters, disk) || slices.Contains(in.Learners, disk) {
			mem.Empty = false
		}
		in.Members = append(in.Members, mem)
	}
	return in
}

func describeStep(s Step) string {
	text := ""
	for _, c := range s.Changes {
		verb := map[pb.ConfChangeType]string{
			pb.ConfChangeAddNode: "vote", pb.ConfChangeAddLearnerNode: "learn", pb.ConfChangeRemoveNode: "remove",
		}[c.GetType()]
		text += fmt.Sprintf("%s %d, ", verb, c.GetNodeId())
	}
	if s.Transfer != 0 {
		text += fmt.Sprintf("transfer to %d, ", s.Transfer)
	}
	return text + s.Reason
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
			in.Removing = tc.removing
			if got := describeStep(Next(in)); got != tc.want {
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
		in := Input{
			Self: 1, Voters: []uint64{1}, Names: map[uint64]string{1: "px0"}, Silent: map[uint64]time.Duration{},
			CaughtUp: map[uint64]bool{1: true}, Max: rapid.IntRange(1, 5).Draw(t, "max"), DeadAfter: DeadAfter, Patience: LearnerPatience,
		}
		for disk := uint64(2); disk < 12; disk++ {
			in.Names[disk] = fmt.Sprintf("px%d", rapid.IntRange(0, 6).Draw(t, "name"))
			in.CaughtUp[disk] = rapid.Bool().Draw(t, "caught up")
			in.Silent[disk] = rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second, time.Hour}).Draw(t, "silent")
			role := rapid.IntRange(0, 3).Draw(t, "role")
			m := Candidate{Name: in.Names[disk], Disk: disk, Willing: rapid.IntRange(0, 3).Draw(t, "willing") > 0, Empty: true}
			switch {
			case role == 0 && len(in.Voters) < in.Max:
				in.Voters = append(in.Voters, disk)
				m.Empty = false
			case role == 1:
				in.Learners = append(in.Learners, disk)
				m.Empty = false
			case role == 2:
				m.Empty = rapid.IntRange(0, 1).Draw(t, "cluster") == 0
			}
			if rapid.Bool().Draw(t, "seen") {
				in.Members = append(in.Members, m)
			}
			if rapid.IntRange(0, 4).Draw(t, "leaving") == 0 {
				in.Leaving = append(in.Leaving, disk)
			}
			if rapid.IntRange(0, 4).Draw(t, "removing") == 0 {
				in.Removing = append(in.Removing, in.Names[disk])
			}
		}
		s := Next(in)
		after := slices.Clone(in.Voters)
		added, removed := 0, 0
		for _, c := range s.Changes {
			switch c.GetType() {
			case pb.ConfChangeAddNode:
				if !slices.Contains(in.Learners, c.GetNodeId()) || !in.CaughtUp[c.GetNodeId()] {
					t.Fatalf("%s: made a voter without having caught up", describeStep(s))
				}
				after, added = append(after, c.GetNodeId()), added+1
			case pb.ConfChangeRemoveNode:
				if c.GetNodeId() == in.Self {
					t.Fatalf("%s: the leader removes itself", describeStep(s))
				}
				if slices.Contains(after, c.GetNodeId()) {
					removed++
				}
				after = slices.DeleteFunc(after, func(id uint64) bool { return id == c.GetNodeId() })
			}
		}
		if added > 1 || removed > 1 || len(after) == 0 || len(after) > in.Max {
			t.Fatalf("%s: %d added, %d removed, %d of at most %d voters", describeStep(s), added, removed, len(after), in.Max)
		}
		if added+removed > 0 && !in.safe(after) {
			t.Fatalf("%s: the living are a minority of %v", describeStep(s), after)
		}
		if s.Reason == "" {
			t.Fatal("no reason given")
		}
	})
}

// A voter beyond the maximum goes, a dead one first, and never the leader.
func TestPlanChangeShrinks(t *testing.T) {
	six := []string{"px0/1", "px1/2", "px2/3", "px3/4", "px4/5", "px5/6"}
	in := planWorld(six, nil, six, nil)
	if got := describeStep(Next(in)); got != "remove 6, px5 is one voter too many" {
		t.Error(got)
	}
	in = planWorld([]string{"px0/1", "px1/2", "px2/3?", "px3/4", "px4/5", "px5/6"}, nil, six, nil)
	if got := describeStep(Next(in)); got != "remove 3, px2 is one voter too many" {
		t.Error(got)
	}
}

// Neither is a voter replaced before it has been silent for a minute, nor a member
// that is being admitted made one before it has caught up, nor waited for beyond
// ten seconds of silence.
func TestPlanChangeIsPatient(t *testing.T) {
	seen := []string{"px0/1", "px1/2", "px3/4"}
	in := planWorld([]string{"px0/1", "px1/2", "px2/3!"}, nil, seen, nil)
	in.Max = 3
	if got := describeStep(Next(in)); got != "nothing to change" {
		t.Errorf("after 10 s: %s", got)
	}
	in.Silent[3] = in.DeadAfter + time.Second
	if got := Next(in); len(got.Changes) != 1 || got.Names[4] != "px3" {
		t.Errorf("after a minute: %s", describeStep(got))
	}
	in = planWorld([]string{"px0/1", "px1/2"}, []string{"px3/4"}, seen, nil)
	if got := Next(in); len(got.Changes) != 1 {
		t.Errorf("a learner that has caught up: %s", describeStep(got))
	}
	in.CaughtUp[4] = false
	if got := describeStep(Next(in)); got != "waiting for px3 to catch up" {
		t.Errorf("a learner that has not caught up: %s", got)
	}
	in.Silent[4], in.Unheard = in.Patience-time.Second, []uint64{4}
	if got := Next(in); len(got.Changes) != 0 {
		t.Errorf("a learner after 9 s: %s", describeStep(got))
	}
	in.Silent[4] = in.Patience + time.Second
	if got := describeStep(Next(in)); got != "remove 4, giving up the admission of px3: it is silent" {
		t.Errorf("a learner after 11 s: %s", got)
	}
}

// Who is not willing, is leaving, or is there twice does not become a voter.
func TestPlanChangeAdmitsNobodyUnfit(t *testing.T) {
	for what, unfit := range map[string]func(in *Input){
		"not willing": func(in *Input) { in.Members[2].Willing = false },
		"leaving":     func(in *Input) { in.Members[2].Leaving = true },
		"there twice": func(in *Input) {
			m := in.Members[2]
			m.Disk = 99
			in.Members = append(in.Members, m)
		},
		"of another cluster": func(in *Input) { in.Members[2].Empty = false },
	} {
		in := planWorld([]string{"px0/1", "px1/2"}, nil, []string{"px0/1", "px1/2", "px2/3"}, nil)
		if s := Next(in); len(s.Changes) == 0 {
			t.Fatalf("a fit member is not admitted: %s", s.Reason)
		}
		in = planWorld([]string{"px0/1", "px1/2"}, nil, []string{"px0/1", "px1/2", "px2/3"}, nil)
		if unfit(&in); len(Next(in).Changes) > 0 {
			t.Errorf("%s: %s", what, describeStep(Next(in)))
		}
	}
}
