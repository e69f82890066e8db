package vote

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// unstarted is the situation of a daemon without a cluster.
func (v *Loop) unstarted(now time.Time) *published.Situation {
	sit := &published.Situation{
		At: now, Member: v.cfg.Name, Policy: v.cfg.Policy, Born: v.born, Want: v.Wanted(),
		Topology: v.cfg.Files.Topology(), FileProblem: v.cfg.Files.Problem(),
	}
	if v.cfg.Pods != nil {
		sit.PodsProblem = v.cfg.Pods.Problem()
	}
	return sit
}

// gather is the situation of these facts, which were read at now or later, with the
// last turn's word.
func (v *Loop) gather(s *joined, f *mandate.Facts, now time.Time) *published.Situation {
	sit := v.unstarted(now)
	sit.Started, sit.Probing, sit.EvictMode, sit.EvictLast = true, s.prober != nil, v.cfg.Evict, v.cfg.EvictLast
	if v.cfg.Observe {
		sit.EvictMode = evict.ModeOff
	}
	sit.Agreement, sit.Record, sit.Unread = f.Agreement, f.Record, f.Unread
	sit.Members, sit.Register, sit.Security = s.cluster.Members(), s.cluster.Register(), s.cluster.Security()
	heard, bad := v.heardOf(s.cluster.Views())
	sit.Heard = heard
	v.cfg.Metrics.BadViews.Add(float64(bad))
	if s.prober != nil {
		sit.ProbeProblem = shutOut(s.prober.Status())
	}
	sit.Applied = v.applied.yes(sit.Epoch())
	ag := &sit.Agreement
	v.mu.Lock()
	sit.Own, sit.ReadSince, sit.Move = v.own, v.versions.since, v.moves.last
	sit.Review = ag.IsLeader && v.reviewedTerm != ag.Term
	sit.Untroubled = v.calm.lasted(sit.Epoch())
	if sit.Record != nil {
		sit.OldMoves = v.autoMoves.old(ag, sit.Record.AutoMoves, now)
		sit.OldEvictions = v.evictions.old(ag, sit.Record.Evictions, now)
	}
	v.mu.Unlock()
	if last := v.situation.Load(); last != nil {
		sit.Turn, sit.Alert, sit.Evict = last.Turn, last.Alert, last.Evict
	}
	return sit
}

// situate publishes a situation, unless one of a later moment is there.
func (v *Loop) situate(sit *published.Situation) {
	for {
		last := v.situation.Load()
		if last != nil && sit.At.Before(last.At) || v.situation.CompareAndSwap(last, sit) {
			return
		}
	}
}

// Renew reads everything again and publishes it, where the next turn is not to be waited
// for: an order is validated against the present, and its answer shows what it has
// changed. It is nil before Join.
func (v *Loop) Renew() *published.Situation {
	s := v.joined.Load()
	if s == nil {
		return nil
	}
	now := v.cfg.Now() // before the reading
	f := mandate.Facts{Agreement: s.cluster.Agreement()}
	f.Record, f.Unread = v.record(&f.Agreement)
	sit := v.gather(s, &f, now)
	v.mu.Lock()
	v.noteMoveLocked(sit.Input())
	sit.Move = v.moves.last
	v.mu.Unlock()
	v.situate(sit)
	return sit
}

// Situation is the last one, as of now.
func (v *Loop) Situation() *published.Situation {
	now := v.cfg.Now()
	if sit := v.situation.Load(); sit != nil {
		return sit.AsOf(now)
	}
	return v.unstarted(now)
}

// heardOf are the views of the others, and how many of those that count could not be
// understood.
func (v *Loop) heardOf(views []cluster.View) (heard []published.Heard, bad int) {
	for i := range views {
		w := &views[i]
		if w.Self {
			continue
		}
		h := published.Heard{Member: w.Name, Voter: w.Voter, Live: w.Live, Age: w.Age}
		if published.Counts(w.Voter, w.Live, w.Age) {
			view, err := v.decoded.view(w)
			if err != nil {
				bad++
			} else {
				h.View = view
			}
		}
		heard = append(heard, h)
	}
	return heard, bad
}

// others are the views of the others that count.
func (v *Loop) others(s *joined) []decide.Voice {
	heard, _ := v.heardOf(s.cluster.Views())
	return published.Voices(heard)
}
