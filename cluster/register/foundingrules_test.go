package register

import (
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// foundingOf is what a member knows that is named with others.
func foundingOf(self string, expect int, names ...string) *founding {
	f := &founding{self: self, expect: expect, most: 5, joined: map[uint64]bool{}}
	f.name(names)
	return f
}

// A first start waits for all that are named, with the same list, and says for whom.
func TestWhatAFirstStartWaitsFor(t *testing.T) {
	abc := []string{"px0", "px1", "px2"}
	means := foundingOf("px0", 0, abc...).hash
	member := func(name string, disk uint64) Member {
		return Member{Name: name, Disk: disk, Willing: true, Initial: means}
	}
	all := []Member{member("px0", 1), member("px1", 2), member("px2", 3)}
	other, taken := member("px2", 3), member("px3", 4)
	other.Initial, taken.Cluster = 7, 9
	for _, c := range []struct {
		self  string
		names []string
		live  []Member
		want  string
	}{
		{"px0", abc, all, ""},
		{"px0", nil, all, "no initial voters are configured"},
		{"px0", abc, all[:2], "first start: waiting for px2"},
		{"px0", abc, append(all[:2:2], other), "first start: other initial voters are configured on px2"},
		{"px0", abc, append(all[:3:3], member("px2", 4)), "px2 is there 2 times"},
		{"px0", abc, append(all[:3:3], taken), "px3 belongs to a cluster already; waiting to hear of its record or to be admitted"},
		{"px3", abc, append(all[:3:3], member("px3", 4)), "first start: waiting for the initial voters"},
	} {
		first, why := foundingOf(c.self, 0, c.names...).voters(c.live)
		if why != c.want || why == "" && len(first) != 3 {
			t.Errorf("%s of %v: %q with %d voters, want %q", c.self, c.names, why, len(first), c.want)
		}
	}
	strangers := foundingOf("px0", 2, abc...)
	for i := range all {
		all[i].Initial = strangers.hash
	}
	if _, why := strangers.voters(append(all, Member{Name: "px9", Disk: 9, Willing: true, Initial: 7})); !strings.Contains(why, "configured on px9") {
		t.Errorf("where a number is expected, a member off the list that means another: %q", why)
	}
}

// What members mean by their lists is the same in any order, the first five of a longer
// one, and the whole list and the number where a number is expected.
func TestWhatInitialVotersMean(t *testing.T) {
	six := []string{"px0", "px1", "px2", "px3", "px4", "px5"}
	seven := append(slices.Clone(six), "px6")
	hash := func(expect int, names ...string) uint64 { return foundingOf("px0", expect, names...).hash }
	if hash(0, "px0", "px1") != hash(0, "px1", "px0", "px1") {
		t.Error("the order matters")
	}
	if hash(0, "px0", "px1") == hash(0, "px0", "px2") || hash(0, "a", "bc") == hash(0, "ab", "c") {
		t.Error("two lists mean the same")
	}
	if hash(0, six...) != hash(0, seven...) || hash(6, six...) == hash(6, seven...) || hash(6, six...) == hash(5, six...) {
		t.Error("the whole list and the number matter exactly where a number is expected")
	}
	f := foundingOf("px0", 0, seven...)
	if len(f.initial) != 5 || f.name(six) || !f.name(six[:3]) {
		t.Errorf("%v begin; a change that means the same is none", f.initial)
	}
}

// With a number, all voters of the offer must have joined; without, or where the
// configuration is smaller than the number, nobody waits.
func TestWhoHasNotJoined(t *testing.T) {
	conf := &pb.ConfState{Voters: []uint64{1, 2, 3}}
	for _, c := range []struct {
		expect int
		want   []uint64
	}{{0, nil}, {3, []uint64{3}}, {4, nil}} {
		f := foundingOf("px0", c.expect, "px0", "px1", "px2")
		f.joined[2] = true
		if got := f.unjoined(conf, 1); !slices.Equal(got, c.want) {
			t.Errorf("expecting %d: %v have not joined, want %v", c.expect, got, c.want)
		}
	}
}

// A first start is deserted when its members are seen with other disks, enough of them
// to leave no majority or, where all must join, one.
func TestDeserted(t *testing.T) {
	im := &state.Image{Disk: 1, Cluster: 5, Log: state.Genesis(&pb.ConfState{Voters: []uint64{1, 2, 3}})}
	im.Machine.Names = map[uint64]string{1: "px0", 2: "px1", 3: "px2"}
	here := func(name string, disk, cluster uint64) Member {
		return Member{Name: name, Disk: disk, Cluster: cluster}
	}
	for _, c := range []struct {
		what      string
		members   []Member
		some, all bool
	}{
		{"nobody is seen", nil, false, false},
		{"all are there", []Member{here("px1", 2, 5), here("px2", 3, 5)}, false, false},
		{"one has a new disk", []Member{here("px1", 2, 5), here("px2", 9, 0)}, false, true},
		{"two have", []Member{here("px1", 8, 0), here("px2", 9, 0)}, true, true},
		{"one has joined elsewhere", []Member{here("px1", 2, 5), here("px2", 3, 6)}, false, true},
	} {
		if got := deserted(im, c.members, false); got != c.some {
			t.Errorf("%s, a majority is enough: %v", c.what, got)
		}
		if got := deserted(im, c.members, true); got != c.all {
			t.Errorf("%s, all must join: %v", c.what, got)
		}
	}
}
