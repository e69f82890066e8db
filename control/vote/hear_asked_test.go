package vote

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// An operator's order for this proxy alone.
func TestWishOfALocalOrder(t *testing.T) {
	s := newStood(t, func(c *Config) { c.Policy.FenceAfter = 3 * time.Second })
	move := model.Move{From: "pxc-0", To: "pxc-1", Drain: model.DrainGraceful}
	s.record(func(r *model.Record) { r.Frozen, r.Move, r.History[0].From = true, &move, "pxc-0" })
	s.majority(false)
	s.heard(-1)
	s.pass(time.Hour)
	if w := s.may(false, noMajorit); w.Cut == "" || !w.KeepFence {
		t.Fatalf("not cut off: %+v", w)
	}
	s.order("pxc-2")
	w := s.may(true, "an operator forced pxc-2 on this proxy alone")
	if !w.Known || w.Active != "pxc-2" || w.Local != "pxc-2" || w.Frozen || w.Move != nil || w.Left != "" || w.Cut != "" || w.KeepFence || w.Blind != "" || w.Unserved != "" {
		t.Errorf("%+v", w)
	}
	if w.Version.Epoch != 4 || w.Version.Revision == 9 || !w.Heard(s.clock.Now().Add(time.Hour)) {
		t.Errorf("%+v", w)
	}
	if s.Renew().Want.Local != "pxc-2" {
		t.Error("nobody is told")
	}
	s.pass(time.Hour)
	if again := s.may(true, "forced pxc-2"); again.Version != w.Version {
		t.Errorf("another order without one: %+v", again)
	}
	s.order("pxc-2")
	if second := s.may(true, "forced pxc-2"); second.Version == w.Version {
		t.Errorf("the second order is not seen: %+v", second)
	}
	s.set(func(ag *agreement) { ag.Known, ag.Record = false, cluster.Record{} })
	if w := s.may(true, "forced pxc-2"); !w.Known || w.Active != "pxc-2" {
		t.Errorf("without a record: %+v", w)
	}
	s.majority(true)
	s.heard(0)
	s.woken = 0
	if w := s.may(false, "nobody answers"); w.Local != "" || s.Renew().Want.Local != "" || s.woken != 1 {
		t.Errorf("a majority is back: %+v", w)
	}
	s.majority(false)
	s.may(false, "nobody answers")
	if n := strings.Count(s.said.String(), "is dropped"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if e := s.cfg.Events.NewestFirst(); len(e) != 1 || e[0].Message != "a majority is back: the order for pxc-2 on this proxy alone is dropped" {
		t.Errorf("events %+v", e)
	}
}

// Cut off for want of a majority, by policy, until the record may be enforced.
func TestWishWithoutAMajority(t *testing.T) {
	fence := func(c *Config) { c.Policy.FenceAfter = 3 * time.Second }
	t.Run("native", func(t *testing.T) {
		s := newStood(t, nil)
		s.majority(false)
		s.heard(-1)
		s.pass(time.Hour)
		if w := s.may(false, noMajorit); w.Cut != "" || w.KeepFence {
			t.Errorf("%+v", w)
		}
	})
	t.Run("fence", func(t *testing.T) {
		s := newStood(t, fence)
		cut := func(want bool) {
			t.Helper()
			if w := hear(s.Loop); (w.Cut == "no majority of the voters for more than 3s") != want || !want && w.Cut != "" || w.KeepFence == s.f.Agreement().Fresh {
				t.Fatalf("cut off %v wanted: %+v", want, w)
			}
		}
		s.opened()
		s.majority(false)
		s.heard(-1) // a leader that stepped down
		s.pass(2999 * time.Millisecond)
		cut(false)
		s.pass(time.Millisecond)
		cut(true)
		s.heard(100 * time.Millisecond) // heard lately, by another count
		cut(true)
		s.majority(true)
		s.heard(0)
		s.pass(time.Millisecond)
		s.f.Heard = nil
		s.may(false, waits)
		cut(true) // and nothing is enforced
		s.word("px1", 3, 0, 4)
		s.may(true, "")
		cut(false)
		s.majority(false)
		cut(false) // counted anew
		s.set(func(ag *agreement) { ag.Known, ag.Record = false, cluster.Record{} })
		s.heard(-1)
		s.pass(3 * time.Second)
		cut(true)
	})
	t.Run("from the start on", func(t *testing.T) {
		s := newStood(t, fence)
		s.majority(false)
		s.heard(time.Hour)
		if w := hear(s.Loop); w.Cut != "" || !w.KeepFence {
			t.Errorf("just started: %+v", w)
		}
		s.heard(time.Second)
		s.pass(time.Hour)
		if w := hear(s.Loop); w.Cut != "" {
			t.Errorf("heard a second ago: %+v", w)
		}
	})
}

// A move's age counts from when this member first knew the decision, whoever leads.
func TestAgeOfAMove(t *testing.T) {
	s := newStood(t, nil)
	age := func(want time.Duration) {
		t.Helper()
		if got := hear(s.Loop).MoveAge; got != want {
			t.Errorf("age %v, want %v", got, want)
		}
		if got := s.Renew().Input().MoveAge; got != want {
			t.Errorf("the decision is told %v, want %v", got, want)
		}
	}
	age(0)
	s.pass(time.Second)
	age(time.Second)
	s.set(func(ag *agreement) { ag.Term, ag.Leader = 9, "px2" })
	s.pass(time.Second)
	age(2 * time.Second)
	s.leads(10)
	s.majority(false)
	s.pass(time.Second)
	age(3 * time.Second)
	s.majority(true)
	s.Paused(s.clock.Now())
	s.version(cluster.Version{Epoch: 4, Revision: 10})
	s.pass(time.Second)
	age(4 * time.Second)
	s.version(cluster.Version{Epoch: 5, Revision: 11})
	age(0)
	s.pass(time.Second)
	age(time.Second)
	s.version(cluster.Version{Recovery: 1, Epoch: 5, Revision: 12})
	age(0)
}

// A majority's word that is older than a few heartbeats is no leave to write, for who hears it at each of them.
func TestWordOfAVoter(t *testing.T) {
	s := newStood(t, nil)
	s.opened()
	if w := s.may(true, ""); !w.Heard(s.clock.Now().Add(500*time.Millisecond)) || w.Heard(s.clock.Now().Add(501*time.Millisecond)) {
		t.Errorf("%+v", w)
	}
	s.heard(501 * time.Millisecond)
	if w := s.may(true, ""); w.Heard(s.clock.Now()) {
		t.Errorf("%+v", w)
	}
	s.set(func(ag *agreement) { ag.Voting = false })
	if w := s.may(true, ""); !w.Heard(s.clock.Now()) || !w.Heard(s.clock.Now().Add(time.Hour)) {
		t.Errorf("a member that only follows: %+v", w)
	}
}

// What the probes say of the active counts where the record may be enforced, and only there.
func TestWishAndTheProbes(t *testing.T) {
	s := newStood(t, nil)
	found := func(verdict galera.Verdict, class galera.Class) {
		s.joined.Store(&joined{cluster: s.f, prober: clustertest.Probes{
			{Node: "pxc-0", State: galera.State{Verdict: galera.Down, Class: galera.ClassRefused, Reason: "another"}},
			{Node: "pxc-1", State: galera.State{Verdict: verdict, Class: class, Reason: "because"}},
		}})
	}
	found(galera.Down, galera.ClassRefused)
	if w := s.may(false, waits); w.Blind != "" || w.Unserved != "" {
		t.Errorf("waiting: %+v", w)
	}
	s.opened()
	if w := s.may(true, ""); w.Blind != "because" || w.Unserved != "this daemon's probe does not find pxc-1 serving" {
		t.Errorf("down: %+v", w)
	}
	found(galera.Down, galera.ClassSilent)
	if w := s.may(true, ""); w.Blind != "" || w.Unserved == "" {
		t.Errorf("silent: %+v", w)
	}
	found(galera.Healthy, galera.ClassSynced)
	if w := s.may(true, ""); w.Blind != "" || w.Unserved != "" {
		t.Errorf("healthy: %+v", w)
	}
	down := clustertest.HealthyView()
	down.ReviewedTerm = 3
	down.Nodes[1].Verdict = model.Down
	s.f.Say("px1", 0, down)
	if w := s.may(true, ""); w.Unserved != "" {
		t.Errorf("two of three: %+v", w)
	}
	s.f.Say("px2", 0, down)
	if w := s.may(true, ""); w.Unserved != "1 of 3 voters' probes find pxc-1 serving, no majority" {
		t.Errorf("one of three: %+v", w)
	}
	s.f.Say("px2", time.Minute, clustertest.HealthyView())
	if w := s.may(true, ""); w.Unserved == "" {
		t.Errorf("one of three, and old news: %+v", w)
	}
	s.joined.Store(&joined{cluster: s.f})
	if w := s.may(true, ""); w.Blind != "" || w.Unserved != "this daemon's probe does not find pxc-1 serving" {
		t.Errorf("nobody probes: %+v", w)
	}
}
