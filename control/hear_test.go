package control

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/walltest"
)

// stood is a daemon whose clock the test turns, and what it may do.
type stood struct {
	*Daemon
	t     *testing.T
	f     *fakeCluster
	clock *walltest.Clock
	said  *strings.Builder // the log
}

func newStood(t *testing.T, change func(*Config)) *stood {
	t.Helper()
	d, f := newTestDaemon(t)
	said := &strings.Builder{}
	cfg := d.cfg
	cfg.Logger, cfg.Witness = slog.New(slog.NewTextHandler(said, nil)), false
	d.deps.HAProxy = func(string) (HAProxy, error) { return nil, errors.New("no HAProxy here") }
	if change != nil {
		change(&cfg)
	}
	cfg.Registerer, cfg.Gatherer = nil, nil
	s := &stood{t: t, f: f, clock: walltest.New(), said: said}
	var err error
	if s.Daemon, err = New(cfg, d.deps); err != nil {
		t.Fatal(err)
	}
	s.Daemon.clock, s.born = s.clock.Now, s.clock.Now()
	s.mandate.rules = mandate.New(mandate.Policy{Name: "px0", FenceAfter: s.cfg.Policy.FenceAfter}, s.born)
	if err := s.files.Refresh(time.Now()); err != nil {
		t.Fatal(err)
	}
	s.started.Store(&started{cluster: f})
	s.votes.own = healthyView()
	return s
}

func (s *stood) order(node string)      { s.hear(mandate.Facts{Order: node}) }
func (s *stood) pass(d time.Duration)   { s.clock.Pass(d) }
func (s *stood) set(x func(*agreement)) { s.f.set(x) }
func (s *stood) majority(fresh bool) {
	s.set(func(ag *agreement) { ag.Fresh, ag.Reason = fresh, "nobody answers" })
}
func (s *stood) heard(age time.Duration)   { s.set(func(ag *agreement) { ag.FreshAge = age }) }
func (s *stood) version(v cluster.Version) { s.set(func(ag *agreement) { ag.Record.Version = v }) }
func (s *stood) leads(term uint64) {
	s.set(func(ag *agreement) { ag.IsLeader, ag.Leader, ag.Term = true, "px0", term })
}
func (s *stood) record(change func(*model.Record)) {
	s.set(func(ag *agreement) {
		r, err := model.DecodeRecord(ag.Record.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		change(r)
		ag.Record.Value = r.Encode()
	})
}

// word is a member's view that speaks of a review in a term.
func (s *stood) word(member string, term, recovery, epoch uint64) {
	v := healthyView()
	v.ReviewedTerm, v.Recovery, v.Epoch = term, recovery, epoch
	s.f.say(member, 0, v)
}

// opened has the leader's word heard.
func (s *stood) opened() {
	s.word("px1", 3, 0, 4)
	if w := hear(s.Daemon); !w.MayWrite {
		s.t.Fatalf("the leader's word does not open: %+v", w)
	}
}

func (s *stood) may(want bool, why string) mandate.Want {
	s.t.Helper()
	w := hear(s.Daemon)
	if w.MayWrite != want || !strings.Contains(w.Why, why) || want && w.Why != "" && w.Local == "" {
		s.t.Fatalf("may write %v, want %v, because %q; got %+v", w.MayWrite, want, why, w)
	}
	return w
}

type agreement = cluster.Agreement

const (
	waits     = "waiting until the leader has looked at what the HAProxies did meanwhile"
	noMajorit = "no majority: nobody answers"
)

// What is known of the record is said with and without a majority, and nothing where there is none.
func TestWishSaysTheRecord(t *testing.T) {
	s := newStood(t, nil)
	s.started.Store(nil)
	if w := hear(s.Daemon); w.Known || w.MayWrite || w.Why != "not started yet" {
		t.Errorf("not started: %+v", w)
	}
	s.started.Store(&started{cluster: s.f})
	move := model.Move{From: "pxc-0", To: "pxc-1", Drain: model.DrainGraceful, Phase: model.PhaseDrain, TimeoutMS: 5000}
	s.record(func(r *model.Record) { r.Frozen, r.Move, r.History[0].From = true, &move, "pxc-0" })
	check := func(what string) {
		t.Helper()
		w := hear(s.Daemon)
		if !w.Known || w.Active != "pxc-1" || w.Left != "pxc-0" || w.Version != (cluster.Version{Epoch: 4, Revision: 9}) ||
			!w.Frozen || w.Move == nil || w.Move.From != "pxc-0" || w.Local != "" {
			t.Errorf("%s: %+v", what, w)
		}
	}
	check("waiting")
	s.opened()
	check("with a majority")
	s.majority(false)
	check("without")

	s.set(func(ag *agreement) {
		ag.Known, ag.Record, ag.Reason = false, cluster.Record{}, "no record is known yet"
	})
	if w := hear(s.Daemon); w.Known || w.MayWrite || w.Why != "no record is known yet" || w.Active != "" || w.Version != (cluster.Version{}) {
		t.Errorf("nothing decided: %+v", w)
	}
	s.set(func(ag *agreement) { ag.Reason = "" })
	if w := hear(s.Daemon); w.Why != "nothing is decided yet" {
		t.Errorf("nothing decided: %+v", w)
	}
}

// A record that cannot be understood is no reason to fence, nor to write.
func TestWishOfABrokenRecord(t *testing.T) {
	s := newStood(t, func(c *Config) { c.OnNoMajority, c.FenceAfter = NoMajorityFence, 3*time.Second })
	s.set(func(ag *agreement) { ag.Record.Value = []byte(`{"act`) })
	s.majority(false)
	s.heard(-1)
	s.pass(time.Hour)
	s.order("pxc-2")
	if w := hear(s.Daemon); w.Known || w.MayWrite || w.Cut != "" || w.KeepFence || w.Local != "" || !strings.Contains(w.Why, "cannot be understood") {
		t.Errorf("%+v", w)
	}
}

// Whose word opens, and on what.
func TestWhoseWordOpens(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*stood)
		opens bool
	}{
		"nobody's":     {func(s *stood) {}, false},
		"the leader's": {func(s *stood) { s.word("px1", 3, 0, 4) }, true},
		"another's":    {func(s *stood) { s.word("px2", 3, 0, 4) }, false},
		"another's, while no leader is known": {func(s *stood) {
			s.set(func(ag *agreement) { ag.Leader = "" })
			s.word("px2", 3, 0, 4)
		}, true},
		"of an earlier term": {func(s *stood) { s.word("px1", 2, 0, 4) }, false},
		"of an earlier term, where this member only follows": {func(s *stood) {
			s.set(func(ag *agreement) { ag.Voting, ag.Term = false, 0 })
			s.word("px1", 2, 0, 4)
		}, true},
		"of no term, where this member only follows": {func(s *stood) {
			s.set(func(ag *agreement) { ag.Voting, ag.Term = false, 0 })
		}, false},
		"of an earlier decision":                   {func(s *stood) { s.word("px1", 3, 0, 3) }, true},
		"of a newer decision":                      {func(s *stood) { s.word("px1", 3, 0, 5) }, false},
		"of a newer generation, an earlier number": {func(s *stood) { s.word("px1", 3, 1, 2) }, false},
		"of an older generation, a later number": {func(s *stood) {
			s.version(cluster.Version{Recovery: 1, Epoch: 4, Revision: 9})
			s.word("px1", 3, 0, 9)
		}, true},
		"of one that hears no majority": {func(s *stood) {
			v := healthyView()
			v.ReviewedTerm, v.Agreed = 3, false
			s.f.say("px1", 0, v)
		}, false},
		"old news": {func(s *stood) {
			v := healthyView()
			v.ReviewedTerm = 3
			s.f.say("px1", 3*time.Second, v)
		}, false},
		"one that cannot be understood": {func(s *stood) {
			s.f.views = []cluster.View{{Name: "px1", Voter: true, Live: true, Data: []byte("{")}}
		}, false},
		"its own, as the leader": {func(s *stood) {
			s.leads(3)
			s.votes.reviewedTerm = 3
		}, true},
		"its own of an earlier term": {func(s *stood) {
			s.leads(4)
			s.votes.reviewedTerm = 3
		}, false},
		"its own without a term": {func(s *stood) { s.leads(0) }, false},
		"another's, as the leader": {func(s *stood) {
			s.leads(3)
			s.word("px1", 3, 0, 4)
			s.word("px2", 3, 0, 4)
		}, false},
		"its own, as a follower": {func(s *stood) {
			s.votes.reviewedTerm = 3
			s.votes.own.ReviewedTerm = 3
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStood(t, nil)
			c.do(s)
			why := waits
			if c.opens {
				why = ""
			}
			s.may(c.opens, why)
		})
	}
}

// What closes, and what of before a closing does not open again.
func TestWhatCloses(t *testing.T) {
	s := newStood(t, nil)
	s.opened()
	// A new leader, a new decision and another word close nothing.
	s.set(func(ag *agreement) { ag.Term, ag.Leader = 4, "px2" })
	s.may(true, "")
	s.version(cluster.Version{Epoch: 5, Revision: 10})
	s.may(true, "")
	s.version(cluster.Version{Recovery: 1, Epoch: 1, Revision: 11})
	s.may(true, "")
	s.f.views = nil
	s.may(true, "")

	s.majority(false)
	s.heard(2 * time.Second)
	s.may(false, noMajorit)
	s.pass(time.Second)
	s.may(false, noMajorit) // seen again without: what was heard until now does not count
	s.pass(100 * time.Millisecond)
	s.majority(true)
	s.heard(100 * time.Millisecond)
	s.word("px2", 4, 1, 1)
	s.may(false, waits) // of the moment of the closing
	s.heard(99 * time.Millisecond)
	s.may(true, "")

	s.pass(time.Second)
	s.paused(s.clock.Now())
	s.pass(time.Second)
	s.heard(1300 * time.Millisecond)
	s.may(false, waits)
	s.heard(0)
	s.may(true, "")
}

// A closing takes the leader's own word back, and says so once.
func TestClosingTakesTheLeadersWordBack(t *testing.T) {
	s := newStood(t, nil)
	lines := func() int { return strings.Count(s.said.String(), "waiting for the leader's word") }
	s.leads(3)
	s.votes.reviewedTerm, s.votes.leaderTerm = 3, 3
	s.may(true, "")
	s.majority(false)
	s.may(false, noMajorit)
	if s.votes.reviewedTerm != 0 || s.votes.leaderTerm != 0 || lines() != 1 {
		t.Errorf("its word stands: %d %d, said %d times", s.votes.reviewedTerm, s.votes.leaderTerm, lines())
	}
	s.votes.reviewedTerm = 3 // it was closed already: no closing
	s.may(false, noMajorit)
	if s.votes.reviewedTerm != 3 || lines() != 1 {
		t.Error("taken back without a closing")
	}
	s.pass(time.Second)
	s.majority(true)
	s.may(true, "")
	s.votes.leaderTerm = 3
	s.paused(s.clock.Now())
	if s.votes.reviewedTerm != 0 || s.votes.leaderTerm != 0 || !s.votes.settled.Equal(s.clock.Now().Add(reviewWait)) {
		t.Errorf("after a pause: %d %d %v", s.votes.reviewedTerm, s.votes.leaderTerm, s.votes.settled)
	}
	s.may(false, waits)
	s.votes.reviewedTerm = 3
	if s.paused(s.clock.Now()); s.votes.reviewedTerm != 0 {
		t.Error("a pause while it is closed leaves its word")
	}
	if lines() != 2 {
		t.Errorf("said %d times", lines())
	}
}
