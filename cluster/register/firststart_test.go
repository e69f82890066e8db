package register

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// Without a number that is expected: members with two lists do not begin, and all
// of one list do it once, whoever of them is fastest.
func TestFirstStartNeedsOneList(t *testing.T) {
	ab, abc := []string{"px0", "px1"}, []string{"px0", "px1", "px2"}
	s := listWorld(0, ab, abc, abc)
	for _, h := range s.hosts {
		if h.core.Cluster != 0 {
			t.Errorf("%s has begun or joined a cluster", h.name)
		}
	}
	if why := reasons(s); !strings.Contains(why, "other initial voters are configured on") {
		t.Error(why)
	}
	for seed := int64(1); seed <= 10; seed++ {
		s := newSim(simOptions{seed: seed, voters: 3})
		s.loss, s.dup, s.slow, s.delay = 0, 0, 0, 400*time.Millisecond // offers take long
		for _, h := range s.hosts {
			h.start()
		}
		s.run(10*time.Second, func() bool {
			return !slices.ContainsFunc(s.hosts, func(h *simHost) bool { return h.core.Cluster == 0 })
		})
		if a, b, c := s.hosts[0].scope(), s.hosts[1].scope(), s.hosts[2].scope(); a != b || b != c || a.cluster == 0 {
			t.Errorf("seed %d: three with one list have begun %v, %v and %v", seed, a, b, c)
		}
	}
}

// A disk joins once. px2 has joined the cluster of px0 when px1, to whom the
// gossip shows it as it was before, offers it another one.
func TestDiskJoinsOnce(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3})
	s.loss, s.dup, s.slow = 0, 0, 0
	left, right := []string{"px0", "px2"}, []string{"px1", "px2"}
	for i, list := range [][]string{left, right, left} {
		s.hosts[i].initial = list
		s.hosts[i].start()
	}
	px0, px1, px2 := s.hosts[0], s.hosts[1], s.hosts[2]
	s.run(10*time.Second, func() bool { return px2.core.Cluster != 0 && px2.core.node != nil })
	if px2.scope() != px0.scope() || !px2.core.virgin() {
		t.Fatal("px2 is not a fresh member of px0's cluster")
	}
	px1.do(px1.life, func() {
		px1.core.SetMembers(px1.clock(), []Member{{Name: "px2", Disk: px2.core.Disk, Willing: true, Initial: px1.core.founding.hash}})
		px1.core.Tick(px1.clock())
	})
	if px1.core.Cluster == 0 {
		t.Fatal("px1 has begun nothing")
	}
	s.run(s.now+300*time.Millisecond, nil)
	if px2.scope() != px0.scope() {
		t.Error("px2 has joined twice")
	}
	s.run(s.now+2*time.Second, nil)
	if !px0.core.Status(px0.clock()).Fresh {
		t.Errorf("px0 has no majority: %s", reasons(s))
	}
	// What px1 has begun alone is given up, and it is admitted to the other.
	s.untilWorks(t, 60*time.Second)
	if px1.scope() != px0.scope() {
		t.Error("two clusters are left")
	}
}

// Two of three have joined and cannot speak to each other, the third has lost its
// disk: a majority of the disks is there, so nobody gives up its own.
func TestFirstStartIsNotGivenUpWithAMajorityOfTheDisks(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts {
		h.start()
	}
	joined := func(h *simHost) bool { return h.core.Cluster != 0 && h.core.node != nil }
	s.run(10*time.Second, func() bool { return joined(s.hosts[0]) && joined(s.hosts[1]) })
	cluster := s.hosts[0].scope()
	s.drop = func(_, _ *simHost, _ *envelope) bool { return true }
	s.hosts[2].crash()
	s.hosts[2].disk = simDisk{}
	s.hosts[2].start()
	s.run(s.now+20*time.Second, nil)
	s.drop = nil
	s.untilWorks(t, 30*time.Second)
	if s.hosts[0].scope() != cluster {
		t.Error("the first record was given up, with two of three disks there")
	}
}

// Initial voters that see a member of a cluster, whoever it is, begin no other one.
func TestFirstStartBesideACluster(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	h := s.hosts[0]
	h.start()
	h.do(h.life, func() {
		h.core.SetMembers(h.clock(), []Member{{Name: "px9", Disk: 77, Cluster: 5, Willing: true}})
		h.core.Tick(h.clock())
	})
	s.run(s.now+5*time.Millisecond, nil)
	h.do(h.life, func() { h.core.Tick(h.clock()) })
	if h.core.Cluster != 0 || !strings.Contains(h.core.waiting, "px9 belongs to a cluster already") {
		t.Errorf("cluster %x, %q", h.core.Cluster, h.core.waiting)
	}
}

// The member that made the first record dies when one other has its offer: that
// one passes it on, and the two go on without it.
func TestOfferIsPassedOn(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts {
		h.start()
	}
	maker, second, third := s.hosts[0], s.hosts[1], s.hosts[2]
	s.drop = func(from, to *simHost, _ *envelope) bool { return from == maker && to == third }
	s.run(10*time.Second, func() bool { return second.core.Cluster != 0 && second.core.node != nil })
	maker.crash()
	s.run(s.now+5*time.Second, s.works)
	if !s.works() || second.scope() != third.scope() {
		t.Errorf("without the one that made the offer: %s", s.describe())
	}
}

// init --force refuses where somebody belongs to a cluster, even when nothing of
// it has been heard but what the gossip shows.
func TestInitForceBesideACluster(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3})
	h := s.hosts[0]
	h.start()
	h.core.SetMembers(h.clock(), []Member{{Name: "px1", Disk: 77, Cluster: 5, Willing: true}})
	if err := h.core.InitForce(h.clock()); !errors.Is(err, ErrNotEmpty) && !errors.Is(err, errBusy) {
		t.Errorf("init --force: %v", err)
	}
	s.run(s.now+100*time.Millisecond, nil)
	h.core.SetMembers(h.clock(), []Member{{Name: "px1", Disk: 77, Cluster: 5, Willing: true}})
	if err := h.core.InitForce(h.clock()); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("init --force: %v", err)
	}
}

// Who counts on another number means another first start, though the names are the same.
func TestExpectedNumberIsPartOfWhatIsMeant(t *testing.T) {
	abc := []string{"px0", "px1", "px2"}
	seen := map[uint64]int{}
	for _, expect := range []int{0, 2, 3} {
		c, err := NewCore(CoreConfig{Name: "px0", Initial: abc, Expect: expect, Random: func() uint64 { return 1 }}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if have, ok := seen[c.Self().Initial]; ok {
			t.Errorf("%d and %d mean the same", have, expect)
		}
		seen[c.Self().Initial] = expect
	}
}

// Removed is for ever: no configuration that any core applies has a disk again
// that an earlier one had lost.
func (s *sim) neverAgain(t *testing.T) {
	t.Helper()
	for sc, confs := range s.hist.configs {
		gone, had := map[string]bool{}, map[string]bool{}
		for _, i := range sortedKeys(confs) {
			now := map[string]bool{}
			for _, f := range strings.FieldsFunc(confs[i], func(r rune) bool { return r == ' ' || r == '[' || r == ']' }) {
				if now[f] = true; gone[f] {
					t.Errorf("disk %s is back at index %d of generation %x", f, i, sc)
				}
			}
			for f := range had {
				gone[f] = gone[f] || !now[f]
			}
			had = now
		}
	}
}

// A voter that was removed while it was away finds that out when it is back, and
// is admitted with another disk.
func TestRemovedDiskStartsAnew(t *testing.T) {
	s, leader, a, b := three(t, 1)
	s.decide(t, leader, "first")
	disk := b.core.Disk
	b.crash()
	s.run(s.now+4*time.Second, nil)
	if r := s.remove(a, b.name); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	b.start()
	s.run(s.now+30*time.Second, func() bool { return b.core.Disk != disk && slices.Contains(voterNames(leader), b.name) })
	if b.core.Disk == disk || !slices.Contains(voterNames(leader), b.name) {
		t.Errorf("disk %x, was %x; the voters are %v", b.core.Disk, disk, voterNames(leader))
	}
	s.neverAgain(t)
}
