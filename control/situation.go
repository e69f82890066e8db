package control

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// answer is what one question is answered from.
type answer struct {
	cfg *Config
	*published.Situation
	look *published.Look // empty before the first, and on a witness
}

// asked is the present, for one answer.
func (d *Daemon) asked() *answer {
	now := d.clock.now()
	a := &answer{cfg: &d.cfg, look: &published.Look{}}
	if sit := d.situation.Load(); sit != nil {
		a.Situation = sit.AsOf(now)
	} else {
		a.Situation = d.unstarted(now)
	}
	if d.proxy != nil {
		if a.look = d.proxy.latest(); a.look == nil {
			a.look = &published.Look{Lost: d.proxy.undo.unread()}
		}
	}
	return a
}

// unstarted is the situation of a daemon without a cluster.
func (d *Daemon) unstarted(now time.Time) *published.Situation {
	sit := &published.Situation{
		At: now, Member: d.cfg.Name, Policy: d.cfg.Policy, Born: d.born, Want: d.wanted(),
		Topology: d.files.Topology(), FileProblem: d.files.Problem(),
	}
	if d.deps.Pods != nil {
		sit.PodsProblem = d.deps.Pods.Problem()
	}
	return sit
}

// gather is the situation of these facts, which were read at now or later, with the
// last turn's word.
func (d *Daemon) gather(s *started, f *mandate.Facts, now time.Time) *published.Situation {
	sit := d.unstarted(now)
	sit.Started, sit.Probing = true, s.prober != nil
	sit.Agreement, sit.Record, sit.Unread = f.Agreement, f.Record, f.Unread
	sit.Members, sit.Register, sit.Security = s.cluster.Members(), s.cluster.Register(), s.cluster.Security()
	heard, bad := d.heardOf(s.cluster.Views())
	sit.Heard = heard
	d.m.badViews.Add(float64(bad))
	if s.prober != nil {
		sit.ProbeProblem = shutOut(s.prober.Status())
	}
	ag, v := &sit.Agreement, &d.votes
	v.mu.Lock()
	sit.Own, sit.ReadSince = v.own, v.versions.since
	sit.Review = ag.IsLeader && v.reviewedTerm != ag.Term
	v.mu.Unlock()
	sit.Applied, sit.Untroubled = d.applied.yes(sit.Epoch()), d.calm.lasted(sit.Epoch())
	if sit.Record != nil {
		sit.OldMoves = d.autoMoves.old(ag, sit.Record.AutoMoves, now)
	}
	sit.Move = d.moves.now()
	if last := d.situation.Load(); last != nil {
		sit.Turn, sit.Alert = last.Turn, last.Alert
	}
	return sit
}

// situate publishes a situation, unless one of a later moment is there.
func (d *Daemon) situate(sit *published.Situation) {
	for {
		last := d.situation.Load()
		if last != nil && sit.At.Before(last.At) || d.situation.CompareAndSwap(last, sit) {
			return
		}
	}
}

// renew reads everything again and publishes it, where the vote loop's next turn is not
// to be waited for: an order is validated against the present, and its answer shows what
// it has changed.
func (d *Daemon) renew(s *started) *published.Situation {
	now := d.clock.now() // before the reading
	f := mandate.Facts{Agreement: s.cluster.Agreement()}
	f.Record, f.Unread = d.record(&f.Agreement)
	sit := d.gather(s, &f, now)
	d.moves.look(sit.Input())
	sit.Move = d.moves.now()
	d.situate(sit)
	return sit
}

// heardOf are the views of the others, and how many of those that count could not be
// understood.
func (d *Daemon) heardOf(views []cluster.View) (heard []published.Heard, bad int) {
	for i := range views {
		v := &views[i]
		if v.Self {
			continue
		}
		h := published.Heard{Member: v.Name, Voter: v.Voter, Live: v.Live, Age: v.Age}
		if published.Counts(v.Voter, v.Live, v.Age) {
			view, err := d.decoded.view(v)
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
func (d *Daemon) others(s *started) []decide.Voice {
	heard, _ := d.heardOf(s.cluster.Views())
	return published.Voices(heard)
}
