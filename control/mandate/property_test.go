package mandate

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// past is one step of a history as the slow rules below read it: what of the facts
// they need, and when it was.
type past struct {
	at     time.Time
	fresh  bool
	heard  time.Time // when the majority stood behind it
	age    time.Duration
	closes bool
	word   bool // the leader's, that opens
	order  string
	unread bool
	record bool
	of     cluster.Version
}

// history is every step so far, the newest last. Its rules look back over all of it
// and remember nothing.
type history []past

// open tells whether the gate is, as the newest step left it: since the last closing there was a step with the leader's
// word, on a majority that was heard after it.
func (h history) open() bool {
	for i := len(h) - 1; i >= 0 && !h[i].closes; i-- {
		closing, ever := h[:i].lastClosing()
		if p := h[i]; p.word && p.record && !p.unread && (!ever || p.heard.After(closing)) {
			return true
		}
	}
	return false
}

func (h history) lastClosing() (time.Time, bool) {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].closes {
			return h[i].at, true
		}
	}
	return time.Time{}, false
}

// order is the newest order since the last majority that could be read, and its number.
func (h history) order() (node string, n uint64) {
	for _, p := range h {
		if p.order != "" {
			node = p.order
			n++
		}
		if p.fresh && !p.unread {
			node = ""
		}
	}
	return node, n
}

// known is when the present decision was first seen, without another one in between.
func (h history) known() time.Time {
	i := len(h) - 1
	for i > 0 && EpochOf(h[i-1].of) == EpochOf(h[len(h)-1].of) {
		i--
	}
	return h[i].at
}

// overdue: no majority for so long that this proxy is cut off, as of the newest step.
func (h history) overdue(after time.Duration) bool {
	now := h[len(h)-1]
	touched := start
	for _, p := range h {
		if p.fresh && p.heard.After(touched) {
			touched = p.heard
		}
	}
	return after > 0 && !now.fresh && now.at.Sub(touched) >= after && (now.age < 0 || now.age >= after)
}

// draw changes the facts at random: mostly a little.
func draw(t *rapid.T, s *scene) {
	pick := func(n int, what string) bool { return rapid.IntRange(0, n).Draw(t, what) == 0 }
	ag := &s.Agreement
	if pick(3, "majority changes") {
		ag.Fresh = !ag.Fresh
	}
	ag.FreshAge = rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond, time.Second}).Draw(t, "age")
	if !ag.Fresh {
		ag.FreshAge = rapid.SampledFrom([]time.Duration{-1, 0, 2 * time.Second, time.Minute}).Draw(t, "age alone")
	}
	if pick(6, "leads") {
		ag.IsLeader = !ag.IsLeader
	}
	if pick(6, "term") {
		ag.Term = rapid.Uint64Range(0, 4).Draw(t, "term is")
	}
	if pick(6, "leader") {
		ag.Leader = rapid.SampledFrom([]string{"", "px0", "px1", "px2"}).Draw(t, "leader is")
	}
	if pick(9, "votes") {
		ag.Voting = !ag.Voting
	}
	if pick(6, "decided") {
		ag.Record.Version = cluster.Version{Recovery: rapid.Uint64Range(0, 1).Draw(t, "recovery"), Epoch: rapid.Uint64Range(3, 5).Draw(t, "epoch")}
	}
	ag.Record.Version.Revision++
	s.ReviewedTerm = rapid.Uint64Range(0, 4).Draw(t, "own word")
	for _, member := range []string{"px0", "px1", "px2"} {
		if pick(3, "word") {
			s.says(member, rapid.Uint64Range(0, 4).Draw(t, "of term"), rapid.Uint64Range(0, 1).Draw(t, "of recovery"), rapid.Uint64Range(3, 5).Draw(t, "of epoch"))
		}
	}
	s.Paused = pick(9, "paused")
	if pick(9, "order") {
		s.Order = rapid.SampledFrom([]string{"pxc-0", "pxc-2"}).Draw(t, "to")
	}
	s.Unread = nil
	if pick(12, "unread") {
		s.Unread = errors.New("broken")
	}
	if pick(12, "record") {
		if s.Record == nil {
			s.Record = (&model.Record{}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"})
		} else {
			s.Record = nil
		}
	}
}

// opensNow is the rule of whose word opens, written down once more in another way: by
// the first thing that is missing.
func opensNow(s *scene) bool {
	ag := s.Agreement
	if ag.IsLeader {
		return ag.Term > 0 && s.ReviewedTerm == ag.Term
	}
	for _, v := range s.Voices {
		w := v.View
		newer := cluster.Version{Recovery: w.Recovery, Epoch: w.Epoch}.Compare(cluster.Version{Recovery: ag.Record.Recovery, Epoch: ag.Record.Epoch}) > 0
		right := ag.Leader == "" || ag.Leader == v.Member
		if v.Member != "px0" && right && !newer && w.Agreed && w.ReviewedTerm > 0 && (w.ReviewedTerm == ag.Term || !ag.Voting) {
			return true
		}
	}
	return false
}

// Whatever happens in whatever order, a step says what the whole history says.
func TestStepsSayWhatTheHistorySays(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		policy := Policy{
			Observe:    rapid.IntRange(0, 4).Draw(t, "observe") == 0,
			FenceAfter: rapid.SampledFrom([]time.Duration{0, 3 * time.Second}).Draw(t, "fence after"),
		}
		s := newScene(policy)
		var h history
		cut := false
		orders := map[cluster.Version]uint64{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			draw(t, s)
			after := rapid.SampledFrom([]time.Duration{0, 1, 50 * time.Millisecond, time.Second, 4 * time.Second}).Draw(t, "after")
			ag := s.Agreement
			p := past{
				at: s.now.Add(after), fresh: ag.Fresh, heard: s.now.Add(after - ag.FreshAge), age: ag.FreshAge, closes: !ag.Fresh || s.Paused,
				word: opensNow(s), unread: s.Unread != nil, record: s.Record != nil, of: ag.Record.Version,
			}
			if !policy.Observe {
				p.order = s.Order
			}
			before, dropped := h, ""
			h = append(h, p)
			if node, _ := append(slices.Clone(before), past{order: p.order}).order(); ag.Fresh && !p.unread {
				dropped = node
			}
			again := s.m
			facts := s.Facts
			s.step(after)
			if w, e := again.Step(s.now, &facts); !reflect.DeepEqual(w, s.want) || !reflect.DeepEqual(e, s.events) {
				t.Fatalf("the same again is not the same: %+v %+v", w, s.want)
			}
			w := s.want
			node, n := h.order()
			closed := before.open() && p.closes
			wantEvents := 0
			if closed {
				wantEvents++
			}
			if dropped != "" {
				wantEvents++
			}
			may := h.open() && !p.unread && p.record && node == ""
			switch {
			case len(s.events) != wantEvents, closed && s.events[0].Kind != Closed, dropped != "" && s.events[len(s.events)-1] != Event{Kind: Dropped, Node: dropped}:
				t.Fatalf("events %+v, want closed %v, dropped %q", s.events, closed, dropped)
			case (w.Local != "") != (node != "" && !p.unread) || w.Local != "" && w.Local != node:
				t.Fatalf("local %q, want %q", w.Local, node)
			case w.MayWrite != (w.Local != "" || may && !policy.Observe):
				t.Fatalf("may write %v (%s), the history says %v", w.MayWrite, w.Why, may)
			case w.MayWrite && w.Local == "" && w.Why != "" || !w.MayWrite && w.Why == "":
				t.Fatalf("why %q", w.Why)
			case w.Known != (w.Local != "" || p.record && !p.unread):
				t.Fatalf("known %v", w.Known)
			case w.Known && (!w.Since.Equal(h.known()) || w.Age(ag.Record.Version, s.now) != s.now.Sub(h.known())):
				t.Fatalf("known since %v, the history says %v", w.Since, h.known())
			case w.KeepFence != (policy.FenceAfter > 0 && !ag.Fresh && w.Local == "" && !p.unread):
				t.Fatalf("keep the fence: %v", w.KeepFence)
			case !w.MayWrite && (w.Blind != "" || w.Unserved != "") && !policy.Observe:
				t.Fatalf("the probes count where nothing may be written: %+v", w)
			}
			if w.Local != "" {
				if m, ok := orders[w.Version]; ok && m != n || EpochOf(w.Version) != EpochOf(ag.Record.Version) || w.Version == ag.Record.Version {
					t.Fatalf("the version %v of order %d is that of %d too", w.Version, n, m)
				}
				orders[w.Version] = n
				seen["local"]++
			}
			// Cut off once it is overdue, and for as long as nothing may be enforced.
			if !p.unread && w.Local == "" {
				cut = h.overdue(policy.FenceAfter) || cut && !may
				if (w.Cut != "") != cut {
					t.Fatalf("cut %q, the history says %v", w.Cut, cut)
				}
			} else if w.Cut != "" {
				t.Fatalf("cut %q", w.Cut)
			}
			for what, is := range map[string]bool{"writes": may, "cut": w.Cut != "", "closed": closed, "dropped": dropped != "", "opens": may && p.word} {
				if is {
					seen[what]++
				}
			}
		}
	})
	for _, what := range []string{"local", "writes", "cut", "closed", "dropped", "opens"} {
		if seen[what] == 0 {
			t.Errorf("never %s: %v", what, seen)
		}
	}
}
