package register

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// propose runs a command on h and returns its answer, nil after 5 s without one.
func (s *sim) propose(h *simHost, id string) *Result {
	s.nextReq++
	req := s.nextReq
	var got *Result
	s.answered = func(r Result) {
		if r.ID == req {
			got = &r
		}
	}
	r, _ := h.core.known()
	h.do(h.life, func() {
		h.core.Propose(h.clock(), req, Command{ID: id, Expect: r.Version, NewEpoch: true, Value: []byte(id)})
	})
	s.run(s.now+5*time.Second, func() bool { return got != nil })
	s.answered = nil
	return got
}

// works says that everybody who is up is fresh in one and the same generation.
func (s *sim) works() bool {
	first := slices.IndexFunc(s.hosts, func(h *simHost) bool { return !h.down })
	return !slices.ContainsFunc(s.hosts, func(h *simHost) bool {
		return !h.down && (!h.core.Status(h.clock()).Fresh || h.scope() != s.hosts[first].scope())
	})
}

// untilWorks fails the test if that takes longer than limit.
func (s *sim) untilWorks(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	began := s.now
	s.run(began+limit, s.works)
	if s.problem != nil || !s.works() {
		t.Fatalf("does not work after %s: %v %s", limit, s.problem, s.describe())
	}
	return s.now - began
}

// A majority that was thought to be gone for good comes back with its disks
// after a recovery: it reports the conflict, gives itself up and is admitted.
func TestReturningMajorityFollowsTheRecovery(t *testing.T) {
	s := quietSim(t, 1, 3)
	a, b, c := s.hosts[0], s.hosts[1], s.hosts[2]
	a.crash()
	b.crash()
	s.run(s.now+20*time.Second, nil)
	if !s.recover(c, []string{c.name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+20*time.Second, nil)
	a.start()
	b.start()
	reported := false
	s.run(s.now+3*time.Second, func() bool {
		reported = reported || strings.Contains(a.core.Status(a.clock()).LastConflict, "later than this one")
		return false
	})
	if !reported {
		t.Error("the conflict was not reported before anything was given up")
	}
	t.Logf("one generation %s later", s.untilWorks(t, 30*time.Second))
	if g := c.core.scope().generation; g != 1 {
		t.Errorf("generation %d is left, want 1", g)
	}
	s.run(s.now+5*time.Second, nil)
	if n := len(c.core.Log.Conf.GetVoters()); n != 3 {
		t.Errorf("%d voters, want 3", n)
	}
	if r := s.propose(a, "after"); r == nil || r.Err != nil {
		t.Errorf("a command afterwards: %+v", r)
	}
}

// Two recoveries at once on the two sides of a partition, each with a majority
// of its own: when they meet, one of them is left.
func TestTwoRecoveriesWithMajoritiesBecomeOne(t *testing.T) {
	s := quietSim(t, 3, 5)
	for _, h := range s.hosts[:3] {
		h.crash()
		h.disk = simDisk{}
	}
	for _, h := range s.hosts[:3] {
		h.start()
	}
	s.run(s.now+5*time.Second, nil)
	left, right := s.hosts[:2], s.hosts[2:]
	for _, l := range left {
		for _, r := range right {
			s.cut[[2]string{l.name, r.name}], s.cut[[2]string{r.name, l.name}] = true, true
		}
	}
	s.run(s.now+3*time.Second, nil)
	if !s.recover(left[0], []string{left[0].name, left[1].name}) || !s.recover(right[1], []string{right[1].name, right[2].name}) {
		t.Fatal("no recovery")
	}
	s.run(s.now+5*time.Second, nil)
	if g, o := left[0].scope(), right[1].scope(); g.generation != o.generation || g.origin == o.origin {
		t.Fatalf("generations %v and %v, want one number and two origins", g, o)
	}
	clear(s.cut)
	t.Logf("one generation %s later", s.untilWorks(t, 40*time.Second))
}

// What a follower knows stays known, and never goes back, while it is admitted
// as a voter.
func TestJoiningKeepsWhatWasKnown(t *testing.T) {
	for seed := int64(1); seed <= 30; seed++ {
		s := quietSim(t, seed, 3)
		h := s.hosts[2]
		if h == s.leader() {
			h = s.hosts[1]
		}
		if r := s.propose(s.leader(), "first"); r == nil || r.Err != nil {
			t.Fatalf("seed %d: %+v", seed, r)
		}
		h.crash()
		h.disk = simDisk{}
		s.run(s.now+5*time.Second, nil)
		h.start()
		var last Version
		known, voting := false, false
		s.run(s.now+30*time.Second, func() bool {
			st := h.core.Status(h.clock())
			if known && (!st.Known || st.Record.Compare(last) < 0) {
				t.Fatalf("seed %d: known %v %s after %s, as a %s", seed, st.Known, st.Record.Version, last, st.State)
			}
			known, last, voting = st.Known, st.Record.Version, st.Voting
			return voting && known
		})
		if !voting {
			t.Fatalf("seed %d: not admitted", seed)
		}
	}
}

// A disk that knows itself as the only voter may be an old copy: it asks those
// of its cluster that are there before it votes, and waits for nobody otherwise.
func TestSoleVoterAsksBeforeItVotes(t *testing.T) {
	s := newSim(simOptions{seed: 7, voters: 1, extra: 2})
	s.loss, s.dup, s.slow = 0, 0, 0
	a, b, c := s.hosts[0], s.hosts[1], s.hosts[2]
	a.start()
	s.run(3*time.Second, nil)
	if !s.works() {
		t.Fatal("the first start failed")
	}
	old := a.disk.simFile
	a.crash()
	a.start()
	if took := s.untilWorks(t, 3*time.Second); took > 1500*time.Millisecond {
		t.Errorf("alone it worked only after %s", took)
	}
	b.start()
	c.start()
	s.run(s.now+10*time.Second, nil)
	if n := len(a.core.Log.Conf.GetVoters()); n != 3 {
		t.Fatalf("%d voters", n)
	}
	if r := s.propose(a, "second"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	a.crash()
	s.run(s.now+5*time.Second, nil)
	a.disk.simFile = old
	lost := s.lostDisks
	a.start()
	s.run(s.now+2*time.Second, func() bool {
		if a.core.leading && a.core.Machine.Record.Revision == 0 {
			t.Fatal("the old copy leads a cluster of its own")
		}
		return false
	})
	s.untilWorks(t, 15*time.Second)
	if s.lostDisks != lost+1 {
		t.Errorf("%d disks were given up, want 1", s.lostDisks-lost)
	}
}

// A name that is there twice makes nobody a voter by chance, nor does one that
// is about to go; and a member that has just started does not know yet.
func TestRecoverAndInitForceRefuseWhatIsUnclear(t *testing.T) {
	s := newSim(simOptions{seed: 5, voters: 3})
	a, b := s.hosts[0], s.hosts[1]
	a.start()
	b.start()
	s.run(time.Second, nil)
	former := b.core.Self()
	b.crash()
	b.disk = simDisk{}
	b.start()
	now := b.core.Self()
	try := func(members []Member, f func() error) (err error) {
		a.do(a.life, func() {
			a.core.SetMembers(a.clock(), members)
			err = f()
		})
		return err
	}
	init := func() error { return a.core.InitForce(a.clock()) }
	if err := try([]Member{former, now}, init); !errors.Is(err, ErrTooEarly) || !strings.Contains(err.Error(), "px1 is there twice") {
		t.Errorf("init --force with px1 twice: %v", err)
	}

	s = quietSim(t, 6, 3)
	a, b = s.hosts[0], s.hosts[1]
	b.crash()
	s.hosts[2].crash()
	if err := try(nil, func() error { return a.core.Recover(a.clock(), []string{"px0"}) }); err == nil {
		t.Error("a recovery while the majority had just answered")
	}
	s.run(s.now+10*time.Second, nil)
	a.crash()
	a.start()
	attempt := func() error { return a.core.Recover(a.clock(), []string{"px0", "px1"}) }
	px1 := func(change func(m *Member)) Member {
		m := Member{Name: "px1", Disk: 77, Willing: true}
		change(&m)
		return m
	}
	good := px1(func(*Member) {})
	if err := try([]Member{good}, attempt); !errors.Is(err, ErrTooEarly) {
		t.Errorf("right after a start: %v", err)
	}
	s.run(s.now+3*time.Second, nil)
	for what, members := range map[string][]Member{
		"twice":    {good, px1(func(m *Member) { m.Disk = 78 })},
		"leaving":  {px1(func(m *Member) { m.Leaving = true })},
		"unwilled": {px1(func(m *Member) { m.Willing = false })},
	} {
		want := ErrUnknownVoter
		if what == "twice" {
			want = ErrTooEarly
		}
		if err := try(members, attempt); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	if err := try([]Member{good}, attempt); err != nil {
		t.Errorf("a plain recovery: %v", err)
	}
}

// Everybody leaves at once: one copy of the record is left, at the one who
// could not, and the others were told that they are out.
func TestEverybodyLeaves(t *testing.T) {
	s := quietSim(t, 2, 3)
	answers := make(map[uint64]error)
	s.answered = func(r Result) { answers[r.ID] = r.Err }
	for i, h := range s.hosts {
		h.do(h.life, func() { h.core.Leave(h.clock(), uint64(i+1)) })
	}
	s.run(s.now+20*time.Second, nil)
	last := 0
	for _, err := range answers {
		if errors.Is(err, ErrLastVoter) {
			last++
		} else if err != nil {
			t.Error(err)
		}
	}
	if len(answers) != 3 || last != 1 {
		t.Errorf("answers %v: want 3, one of them ErrLastVoter", answers)
	}
}

// Two or all of three killed at once and started together: nobody duels.
func TestRestartOfAMajorityIsQuick(t *testing.T) {
	for _, n := range []int{2, 3} {
		worst := time.Duration(0)
		for seed := int64(1); seed < 40; seed++ {
			s := quietSim(t, seed, 3)
			for _, h := range s.hosts[:n] {
				h.crash()
			}
			s.run(s.now+2*time.Second, nil)
			for _, h := range s.hosts[:n] {
				h.start()
			}
			worst = max(worst, s.untilWorks(t, 10*time.Second))
		}
		t.Logf("%d of 3 started again: everybody is fresh after at most %s", n, worst)
		if worst > 1500*time.Millisecond {
			t.Errorf("%d of 3 started again: %s", n, worst)
		}
	}
}
