package vote

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/walltest"
)

// stood is a loop whose clock the test turns, and what it may do.
type stood struct {
	*Loop
	t     *testing.T
	f     *clustertest.Cluster
	clock *walltest.Clock
	said  *strings.Builder // the log
	woken int              // how often the proxy loop was
}

func newStood(t *testing.T, change func(*Config)) *stood {
	t.Helper()
	s := &stood{t: t, clock: walltest.New(), said: &strings.Builder{}}
	s.Loop, s.f = newTestLoop(t, func(c *Config) {
		c.Now, c.Log = s.clock.Now, slog.New(slog.NewTextHandler(s.said, nil))
		c.Look, c.Wake = func() *published.Look { return &published.Look{} }, func() { s.woken++ }
		if change != nil {
			change(c)
		}
	})
	return s
}

func (s *stood) order(node string)      { s.Hear(mandate.Facts{Order: node}) }
func (s *stood) pass(d time.Duration)   { s.clock.Pass(d) }
func (s *stood) set(x func(*agreement)) { s.f.Set(x) }
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
	v := clustertest.HealthyView()
	v.ReviewedTerm, v.Recovery, v.Epoch = term, recovery, epoch
	s.f.Say(member, 0, v)
}

// opened has the leader's word heard.
func (s *stood) opened() {
	s.word("px1", 3, 0, 4)
	if w := hear(s.Loop); !w.MayWrite {
		s.t.Fatalf("the leader's word does not open: %+v", w)
	}
}

func (s *stood) may(want bool, why string) mandate.Want {
	s.t.Helper()
	w := hear(s.Loop)
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
	s.joined.Store(nil)
	if w := hear(s.Loop); w.Known || w.MayWrite || w.Why != "not started yet" {
		t.Errorf("not started: %+v", w)
	}
	s.joined.Store(&joined{cluster: s.f})
	move := model.Move{From: "pxc-0", To: "pxc-1", Drain: model.DrainGraceful, Phase: model.PhaseDrain, TimeoutMS: 5000}
	s.record(func(r *model.Record) { r.Frozen, r.Move, r.History[0].From = true, &move, "pxc-0" })
	check := func(what string) {
		t.Helper()
		w := hear(s.Loop)
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
	if w := hear(s.Loop); w.Known || w.MayWrite || w.Why != "no record is known yet" || w.Active != "" || w.Version != (cluster.Version{}) {
		t.Errorf("nothing decided: %+v", w)
	}
	s.set(func(ag *agreement) { ag.Reason = "" })
	if w := hear(s.Loop); w.Why != "nothing is decided yet" {
		t.Errorf("nothing decided: %+v", w)
	}
}

// A record that cannot be understood is no reason to fence, nor to write.
func TestWishOfABrokenRecord(t *testing.T) {
	s := newStood(t, func(c *Config) { c.Policy.FenceAfter = 3 * time.Second })
	s.set(func(ag *agreement) { ag.Record.Value = []byte(`{"act`) })
	s.majority(false)
	s.heard(-1)
	s.pass(time.Hour)
	s.order("pxc-2")
	if w := hear(s.Loop); w.Known || w.MayWrite || w.Cut != "" || w.KeepFence || w.Local != "" || !strings.Contains(w.Why, "cannot be understood") {
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
			v := clustertest.HealthyView()
			v.ReviewedTerm, v.Agreed = 3, false
			s.f.Say("px1", 0, v)
		}, false},
		"old news": {func(s *stood) {
			v := clustertest.HealthyView()
			v.ReviewedTerm = 3
			s.f.Say("px1", 3*time.Second, v)
		}, false},
		"one that cannot be understood": {func(s *stood) {
			s.f.Heard = []cluster.View{{Name: "px1", Voter: true, Live: true, Data: []byte("{")}}
		}, false},
		"its own, as the leader": {func(s *stood) {
			s.leads(3)
			s.reviewedTerm = 3
		}, true},
		"its own of an earlier term": {func(s *stood) {
			s.leads(4)
			s.reviewedTerm = 3
		}, false},
		"its own without a term": {func(s *stood) { s.leads(0) }, false},
		"another's, as the leader": {func(s *stood) {
			s.leads(3)
			s.word("px1", 3, 0, 4)
			s.word("px2", 3, 0, 4)
		}, false},
		"its own, as a follower": {func(s *stood) {
			s.reviewedTerm = 3
			s.own.ReviewedTerm = 3
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
	s.f.Heard = nil
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
	s.Paused(s.clock.Now())
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
	s.reviewedTerm, s.leaderTerm = 3, 3
	s.may(true, "")
	s.majority(false)
	s.may(false, noMajorit)
	if s.reviewedTerm != 0 || s.leaderTerm != 0 || lines() != 1 {
		t.Errorf("its word stands: %d %d, said %d times", s.reviewedTerm, s.leaderTerm, lines())
	}
	s.reviewedTerm = 3 // it was closed already: no closing
	s.may(false, noMajorit)
	if s.reviewedTerm != 3 || lines() != 1 {
		t.Error("taken back without a closing")
	}
	s.pass(time.Second)
	s.majority(true)
	s.may(true, "")
	s.leaderTerm = 3
	s.Paused(s.clock.Now())
	if s.reviewedTerm != 0 || s.leaderTerm != 0 || !s.viewsFrom.Equal(s.clock.Now().Add(reviewWait)) {
		t.Errorf("after a pause: %d %d %v", s.reviewedTerm, s.leaderTerm, s.viewsFrom)
	}
	s.may(false, waits)
	s.reviewedTerm = 3
	if s.Paused(s.clock.Now()); s.reviewedTerm != 0 {
		t.Error("a pause while it is closed leaves its word")
	}
	if lines() != 2 {
		t.Errorf("said %d times", lines())
	}
}

// A follower that lags behind the leader's decision does not enforce the old one on its word.
func TestReviewWordOfNewerRecordDoesNotOpenTheGate(t *testing.T) {
	d, f := newTestLoop(t)
	word := clustertest.HealthyView()
	word.ReviewedTerm, word.Epoch = 3, 5 // the leader adopted epoch 5 by its review; here 4 is the newest known
	f.Say("px1", 0, word)
	if got := hear(d); got.MayWrite {
		t.Errorf("enforces epoch %d (%s) on the leader's word about epoch 5", got.Version.Epoch, got.Active)
	}
}

// What was heard before a pause of this process does not open the gate.
func TestPauseIsNotForgottenByAnOldWord(t *testing.T) {
	d, f := newTestLoop(t)
	word := clustertest.HealthyView()
	word.ReviewedTerm = 3
	f.Say("px1", 0, word)
	if !hear(d).MayWrite {
		t.Fatal("closed")
	}
	// stopped for 1.3 s, continued: nothing was heard since.
	f.Set(func(ag *cluster.Agreement) { ag.FreshAge = 1300 * time.Millisecond })
	f.Say("px1", 1300*time.Millisecond, word)
	d.Paused(time.Now())
	if hear(d).MayWrite {
		t.Error("the gate opened again on a word from before the pause")
	}
}

// The active serves by the word of a fresh majority of all voters and of this
// member's own probe.
func TestUnserved(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Loop, *clustertest.Cluster, *joined)
		want   string
	}{
		{"all", func(*Loop, *clustertest.Cluster, *joined) {}, ""},
		{"two of three", func(_ *Loop, f *clustertest.Cluster, _ *joined) { f.Say("px1", 0, clustertest.Says(model.Down)) }, ""},
		{"one of three, one unknown", func(_ *Loop, f *clustertest.Cluster, _ *joined) {
			f.Say("px1", 0, clustertest.Says(model.Down))
			f.Say("px2", 0, clustertest.Says(model.Unknown))
		}, "1 of 3"},
		{"the others were not heard lately", func(d *Loop, f *clustertest.Cluster, _ *joined) {
			f.Say("px1", published.ViewWithin+1, clustertest.HealthyView())
			f.Say("px2", published.ViewWithin+1, clustertest.HealthyView())
		}, "1 of 3"},
		{"all unknown", func(d *Loop, f *clustertest.Cluster, s *joined) {
			f.Say("px1", 0, clustertest.Says(model.Unknown))
			f.Say("px2", 0, clustertest.Says(model.Unknown))
			d.own, s.prober = clustertest.Says(model.Unknown), clustertest.Probes{{Node: "pxc-1", State: galera.State{Verdict: galera.Unknown}}}
		}, "does not find"},
		{"its own probe, a moment before its view", func(_ *Loop, _ *clustertest.Cluster, s *joined) {
			s.prober = clustertest.Probes{{Node: "pxc-1", State: galera.State{Verdict: galera.Down, Class: galera.ClassRefused}}}
		}, "does not find"},
		{"its own probe looks at others only", func(_ *Loop, _ *clustertest.Cluster, s *joined) { s.prober = clustertest.Healthy("pxc-0") }, "does not find"},
		{"no probe", func(_ *Loop, _ *clustertest.Cluster, s *joined) { s.prober = nil }, "does not find"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, f := newTestLoop(t)
			s := &joined{cluster: f, prober: clustertest.Healthy("pxc-1")}
			c.change(d, f, s)
			d.joined.Store(s)
			f.Set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = true, "px0" })
			d.reviewedTerm = 3
			got := hear(d).Unserved
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
