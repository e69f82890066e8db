package vote

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/lograte"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/step"
)

// Loop shares this member's view and, on the leader, decides. What does not need the
// cluster answers from the start; Turn and Run come after Join.
type Loop struct {
	cfg     Config
	born    time.Time // when it was made
	wake    chan struct{}
	joined  atomic.Pointer[joined]
	mandate mandated
	decoded decoded
	applied applied
	uuid    atomic.Pointer[string] // the record's Galera state UUID
	two     atomic.Int64           // ns, see TwoWriters
	// situation is what was known and decided last, nil before there is a cluster.
	situation atomic.Pointer[published.Situation]

	// The loop's own.
	published   []byte // the significant part of the last published view
	publishedAt time.Time
	freshAt     time.Time // the last time that a majority was heard
	version     cluster.Version
	alert       string
	ending      ending
	debt        debt
	periods     evict.Periods
	stalls      map[string]time.Duration // that were told, by node
	foundAt     time.Time                // when this leader last ordered a left entry to be taken off
	downs       downs

	mu           sync.Mutex // guards what follows
	own          *model.View
	turned       time.Time // when the last turn began
	proposing    bool
	reviewedTerm uint64 // the term in which this leader has looked at rule 4
	// viewsFrom is when views count again after a pause of this process: what
	// waited in its sockets meanwhile is old and looks new.
	viewsFrom   time.Time
	leaderSince time.Time
	leaderTerm  uint64
	versions    versions
	autoMoves   autoMoves
	evictions   autoMoves // the same of these
	evictWhy    string
	executing   executing
	calm        untroubled
	moves       moveLog
	owed        []model.Order // not in the record yet, oldest first
}

// joined is what there is once haproxy.cfg could be read.
type joined struct {
	cluster Cluster
	prober  Prober
}

// New returns a loop that does nothing yet.
func New(cfg Config) *Loop {
	v := &Loop{cfg: cfg, born: cfg.Now(), wake: make(chan struct{}, 1)}
	v.mandate.rules = mandate.New(mandate.Policy{Name: cfg.Name, Observe: cfg.Observe, FenceAfter: cfg.Policy.FenceAfter}, v.born)
	v.mandate.last.Store(&mandate.Want{Why: "not started yet"})
	return v
}

// Join takes the cluster and the prober, nil without one, both before they run: what the
// disk knows holds from the first packet on.
func (v *Loop) Join(c Cluster, p Prober) {
	ag := c.Agreement()
	if rec, err := v.record(&ag); err == nil {
		setLowest(c, rec)
	}
	v.joined.Store(&joined{cluster: c, prober: p})
	v.Renew()
}

// Cluster is what Join was given, nil before.
func (v *Loop) Cluster() Cluster {
	if s := v.joined.Load(); s != nil {
		return s.cluster
	}
	return nil
}

// Wake turns the loop now.
func (v *Loop) Wake() { nudge.Send(v.wake) }

// StateUUID is the record's Galera state UUID, "" before it is known.
func (v *Loop) StateUUID() string {
	if uuid := v.uuid.Load(); uuid != nil {
		return *uuid
	}
	return ""
}

// TurnedWithin tells whether the loop began a turn within d.
func (v *Loop) TurnedWithin(d time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.turned.IsZero() && v.cfg.Now().Sub(v.turned) <= d
}

// TopologyChanged tells the probe which nodes there are now.
func (v *Loop) TopologyChanged(t *configs.Topology) {
	if s := v.joined.Load(); s != nil && s.prober != nil {
		s.prober.SetNodes(haproxycfg.Targets(t))
	}
}

// Run turns until ctx is done, and measures the two-writer time beside it.
func (v *Loop) Run(ctx context.Context) error {
	s := v.joined.Load()
	g, ctx := errgroup.WithContext(ctx)
	if s.prober != nil {
		g.Go(func() error {
			v.measure(ctx, s)
			return nil
		})
	}
	g.Go(func() error { return v.run(ctx, s) })
	return g.Wait()
}

func (v *Loop) run(ctx context.Context, s *joined) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var verdicts <-chan struct{}
	if s.prober != nil {
		verdicts = s.prober.Changed()
	}
	var pods <-chan struct{}
	if v.cfg.Pods != nil {
		pods = v.cfg.Pods.Changed()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-v.wake:
		case <-verdicts:
		case <-pods:
		case <-s.cluster.Changed():
		}
		v.Turn(ctx, v.cfg.Now())
		timer.Reset(v.untilTurn())
	}
}

// Turn takes into account what is heard by now.
func (v *Loop) Turn(ctx context.Context, now time.Time) {
	s := v.joined.Load()
	v.cfg.Metrics.Turns.Inc()
	v.mu.Lock()
	turned := v.turned
	v.mu.Unlock()
	if !turned.IsZero() && now.Sub(turned) > pausedAfter {
		v.Paused(now)
	}
	if v.cfg.Look == nil {
		// A witness has no proxy loop that would notice another haproxy.cfg.
		if err := v.cfg.Files.Refresh(now); err != nil {
			v.cfg.Log.Debug("haproxy.cfg cannot be used", "error", err)
		}
	}
	heard, _ := v.Hear(mandate.Facts{})
	ag, rec := heard.Agreement, heard.Record
	if err := heard.Unread; err != nil {
		sit := v.gather(s, &heard, now)
		v.say(sit, err.Error(), err.Error())
		v.mu.Lock()
		v.turned = now // the loop turns: a restart would not read it either
		v.mu.Unlock()
		v.situate(sit)
		return
	}
	v.followRecord(&ag, rec, now)
	v.followVersions(s, &ag, rec, now)
	v.review(&ag, now)

	view := v.buildView(s, &ag)
	v.periods.Note(view, rec, now)
	forgetNewer(view, rec)
	v.mu.Lock()
	v.own, v.turned = view, now
	if rec != nil {
		v.autoMoves.note(&ag, rec.AutoMoves, now)
		v.evictions.note(&ag, rec.Evictions, now)
	}
	v.mu.Unlock()
	v.publish(s, view, ag.Voting, now)

	sit := v.gather(s, &heard, now)
	in := sit.Input()
	v.mu.Lock()
	in.Untroubled = v.calm.note(sit.Epoch(), decide.Untroubled(in), now)
	if rec != nil {
		v.noteMoveLocked(in)
	}
	v.mu.Unlock()
	if rec != nil {
		v.watchEnding(sit, in)
	}
	if rec != nil && rec.Move != nil && rec.Move.Hold && ag.IsLeader && ag.Fresh {
		v.applied.ask(ctx, v, sit.Epoch(), rec.Move.From, rec.Move.To, decide.Drained(in))
	} else {
		v.applied.drop()
		in.Applied = false
	}
	v.carryOut(ctx, s, sit, in)
	v.decide(ctx, sit, in)
	sit.Untroubled, sit.Applied, sit.Move = in.Untroubled, in.Applied, v.lastMove()
	v.situate(sit)
}

// decide says what is decided in the situation, whose input in is, and proposes it on the
// leader.
func (v *Loop) decide(ctx context.Context, sit *published.Situation, in *decide.Input) {
	ag, rec, now := &sit.Agreement, sit.Record, sit.At
	if !ag.Fresh {
		v.noMajority(sit)
		return
	}
	v.freshAt = now
	if !ag.IsLeader {
		out := decide.Decide(in)
		v.say(sit, out.Reason, out.Alert)
		v.payOwed(ctx, ag, rec)
		v.payEviction(ctx, ag, rec)
		return
	}
	if in.Review && !v.readyToReview(in, now) {
		v.say(sit, "a new leader waits for the voters' views", "")
		if rec != nil {
			// A dead active is left all the same: that needs the votes only.
			now := *in
			now.Review = false
			if out := decide.Decide(&now); out.Propose != nil {
				v.propose(ctx, ag, out)
			}
		}
		return
	}
	out := v.withEviction(sit, in, decide.Decide(in))
	v.say(sit, out.Reason, out.Alert)
	if out.Propose != nil {
		if rec == nil {
			// Nothing older has ever written here.
			out.Propose.Lowest = v.firstLowest()
		}
		if rec != nil && rec.Move != nil && out.Propose.Move == nil && !out.NewEpoch {
			step.At(ctx, "ending")
		}
		v.propose(ctx, ag, out)
		return
	}
	if next, _ := sit.Raise(); next != nil {
		v.propose(ctx, ag, decide.Outcome{Propose: next, Reason: fmt.Sprintf("every member reads version %d", next.Lowest)})
		return
	}
	v.payOwed(ctx, ag, rec)
	v.payEviction(ctx, ag, rec)
	if in.Review {
		v.mu.Lock()
		v.reviewedTerm = ag.Term
		v.mu.Unlock()
		v.Wake() // publish the word at once
	}
}

// followRecord wakes the proxy loop when another record was committed.
func (v *Loop) followRecord(ag *cluster.Agreement, rec *model.Record, now time.Time) {
	if rec == nil || ag.Record.Version == v.version {
		return
	}
	before := v.version
	v.version = ag.Record.Version
	if old := v.uuid.Swap(&rec.StateUUID); old == nil || *old != rec.StateUUID {
		v.cfg.UUID(rec.StateUUID)
	}
	v.cfg.Wake()
	last := rec.Last()
	if mandate.EpochOf(before) != mandate.EpochOf(ag.Record.Version) {
		v.tellDecisions(mandate.EpochOf(before), rec)
		v.cfg.Events.Add(now, fmt.Sprintf("epoch %d: the active is %s (%s)", ag.Record.Epoch, rec.Active, last.Reason))
	}
	v.followOrders(before, rec, now)
}

// tellDecisions logs and counts those that came about since an epoch, also such that were missed in between. Of the first
// record that this member knows it logs the last one, and counts none.
func (v *Loop) tellDecisions(since model.Epoch, rec *model.Record) {
	log := lograte.Always(v.cfg.Log)
	for i := range slices.Backward(rec.History) {
		h, first := &rec.History[i], since == (model.Epoch{})
		if first && i > 0 || !since.Before(model.Epoch{Recovery: h.Recovery, N: h.Epoch}) {
			continue
		}
		log.Info("active node", "active", h.Active, "from", h.From, "kind", h.Kind, "recovery", h.Recovery, "epoch", h.Epoch, "reason", h.Reason, "by", h.By, "ordered_by", h.OrderedBy)
		if !first {
			v.cfg.Metrics.Decisions.WithLabelValues(h.Kind).Inc()
		}
	}
}

// forgetLocked takes back this leader's own word on what the HAProxies did.
func (v *Loop) forgetLocked() { v.leaderTerm, v.reviewedTerm = 0, 0 }

// review forgets the leader's word when its term or its majority is gone.
func (v *Loop) review(ag *cluster.Agreement, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !ag.IsLeader || !ag.Fresh {
		v.forgetLocked()
		return
	}
	if v.leaderTerm != ag.Term {
		v.leaderTerm, v.leaderSince, v.reviewedTerm = ag.Term, now, 0
	}
}

// readyToReview waits until every voter has told what it sees and does, but not
// for long: a dead voter never will. Where a majority steered all the time there
// is nothing to wait for: nobody can have moved by itself.
func (v *Loop) readyToReview(in *decide.Input, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !now.Before(v.viewsFrom) && decide.MayReview(in, now.Sub(v.leaderSince), reviewWait)
}

// say makes it the situation's sentence and alert.
func (v *Loop) say(sit *published.Situation, reason, alert string) {
	alert = cmp.Or(alert, v.unpaid(sit))
	sit.Turn, sit.Alert = reason, alert
	if alert != "" && alert != v.alert {
		v.cfg.Log.Warn("alert", "reason", alert)
		v.cfg.Events.Add(sit.At, alert)
	}
	v.alert = alert
}

func (v *Loop) noMajority(sit *published.Situation) {
	alert := ""
	if v.freshAt.IsZero() {
		v.freshAt = sit.At // counts from the start
	}
	if sit.At.Sub(v.freshAt) >= noMajorityAlert {
		alert = "no majority of the voters: HAProxy works natively, nothing is decided"
	}
	v.say(sit, "no majority, nothing is decided: "+sit.Agreement.Reason, alert)
}

// untilTurn is the time until the next turn, sooner where a pending move's time
// is over by then: a hold's reserve for closing is hardly longer than a turn.
func (v *Loop) untilTurn() time.Duration {
	want := v.Wanted()
	if want.Move == nil {
		return voteInterval
	}
	due := decide.Due(want.Move, want.Age(want.Version, v.cfg.Now()))
	if due == 0 {
		return voteInterval
	}
	return min(voteInterval, due+time.Millisecond)
}
