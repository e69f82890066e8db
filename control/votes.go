package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/lograte"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/step"
)

// votes is the state of the vote loop.
type votes struct {
	// mu guards own, turned, proposing, versions and the leader's word on what the
	// HAProxies did (reviewedTerm, settled, leaderSince, leaderTerm); the rest is the loop's.
	mu           sync.Mutex
	own          *model.View
	published    []byte // the significant part of the last published view
	publishedAt  time.Time
	reviewedTerm uint64 // the term in which this leader has looked at rule 4
	// settled is when views count again after a pause of this process: what
	// waited in its sockets meanwhile is old and looks new.
	settled     time.Time
	leaderSince time.Time
	leaderTerm  uint64
	proposing   bool
	freshAt     time.Time // the last time that a majority was heard
	version     cluster.Version
	turned      time.Time
	alert       string
	versions    versions
}

// voteLoop shares this member's view and, on the leader, decides.
func (d *Daemon) voteLoop(ctx context.Context, s *started) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var verdicts <-chan struct{}
	if s.prober != nil {
		verdicts = s.prober.Changed()
	}
	var pods <-chan struct{}
	if d.deps.Pods != nil {
		pods = d.deps.Pods.Changed()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-d.wakeV:
		case <-verdicts:
		case <-pods:
		case <-s.cluster.Changed():
		}
		d.voteTurn(ctx, s, d.clock.now())
		timer.Reset(d.untilTurn())
	}
}

func (d *Daemon) voteTurn(ctx context.Context, s *started, now time.Time) {
	d.m.turns.WithLabelValues("vote").Inc()
	v := &d.votes
	v.mu.Lock()
	turned := v.turned
	v.mu.Unlock()
	if !turned.IsZero() && now.Sub(turned) > verifiedWithin {
		d.paused(now)
	}
	if d.proxy == nil {
		// A witness has no proxy loop that would notice another haproxy.cfg.
		if err := d.files.Refresh(now); err != nil {
			d.log.Debug("haproxy.cfg cannot be used", "error", err)
		}
	}
	heard, _ := d.hear(mandate.Facts{})
	ag, rec := heard.Agreement, heard.Record
	if err := heard.Unread; err != nil {
		sit := d.gather(s, &heard, now)
		d.say(sit, err.Error(), err.Error())
		v.mu.Lock()
		v.turned = now // the loop turns: a restart would not read it either
		v.mu.Unlock()
		d.situate(sit)
		return
	}
	d.followRecord(&ag, rec, now)
	d.followVersions(s, &ag, rec, now)
	d.review(&ag, now)

	view := d.buildView(s, &ag)
	if !rec.Speaks(2) {
		forgetNewer(view)
	}
	v.mu.Lock()
	v.own = view
	v.turned = now
	v.mu.Unlock()
	d.publish(s, view, ag.Voting, now)

	if rec != nil {
		d.autoMoves.look(&ag, rec.AutoMoves, now)
	}
	sit := d.gather(s, &heard, now)
	in := sit.Input()
	in.Untroubled = d.calm.look(sit.Epoch(), decide.Untroubled(in), now)
	if rec != nil {
		d.moves.look(in)
		d.watchEnding(sit, in)
	}
	if rec != nil && rec.Move != nil && rec.Move.Hold && ag.IsLeader && ag.Fresh {
		d.applied.ask(ctx, d, sit.Epoch(), rec.Move.From, rec.Move.To, decide.Drained(in))
	} else {
		d.applied.drop()
		in.Applied = false
	}
	d.decide(ctx, s, sit, in)
	sit.Untroubled, sit.Applied, sit.Move = in.Untroubled, in.Applied, d.moves.now()
	d.situate(sit)
}

// decide says what is decided in the situation, whose input in is, and proposes it on the
// leader.
func (d *Daemon) decide(ctx context.Context, s *started, sit *published.Situation, in *decide.Input) {
	v, ag, rec, now := &d.votes, &sit.Agreement, sit.Record, sit.At
	if !ag.Fresh {
		d.noMajority(sit)
		return
	}
	v.freshAt = now
	if !ag.IsLeader {
		out := decide.Decide(in)
		d.say(sit, out.Reason, out.Alert)
		d.payOwed(ctx, s, ag, rec)
		return
	}
	if in.Review && !d.readyToReview(in, now) {
		d.say(sit, "a new leader waits for the voters' views", "")
		if rec != nil {
			// A dead active is left all the same: that needs the votes only.
			now := *in
			now.Review = false
			if out := decide.Decide(&now); out.Propose != nil {
				d.propose(ctx, s, ag, out)
			}
		}
		return
	}
	out := decide.Decide(in)
	d.say(sit, out.Reason, out.Alert)
	if out.Propose != nil {
		if rec == nil {
			// Nothing older has ever written here.
			out.Propose.Lowest = d.firstLowest()
		}
		if rec != nil && rec.Move != nil && out.Propose.Move == nil && !out.NewEpoch {
			step.At(ctx, "ending")
		}
		d.propose(ctx, s, ag, out)
		return
	}
	if next, _ := sit.Raise(); next != nil {
		d.propose(ctx, s, ag, decide.Outcome{Propose: next, Reason: fmt.Sprintf("every member reads version %d", next.Lowest)})
		return
	}
	d.payOwed(ctx, s, ag, rec)
	if in.Review {
		v.mu.Lock()
		v.reviewedTerm = ag.Term
		v.mu.Unlock()
		nudge.Send(d.wakeV) // publish the word at once
	}
}

// followRecord wakes the proxy loop when another record was committed.
func (d *Daemon) followRecord(ag *cluster.Agreement, rec *model.Record, now time.Time) {
	v := &d.votes
	if rec == nil || ag.Record.Version == v.version {
		return
	}
	before := v.version
	v.version = ag.Record.Version
	if old := d.uuid.Swap(&rec.StateUUID); old == nil || *old != rec.StateUUID {
		d.writeHint(rec.StateUUID)
	}
	nudge.Send(d.wakeP)
	last := rec.Last()
	if mandate.EpochOf(before) != mandate.EpochOf(ag.Record.Version) {
		lograte.Always(d.log).Info("active node", "active", rec.Active, "from", last.From, "version", ag.Record.Version.String(), "reason", last.Reason, "by", last.By, "ordered_by", last.OrderedBy)
		d.events.Add(now, fmt.Sprintf("epoch %d: the active is %s (%s)", ag.Record.Epoch, rec.Active, last.Reason))
	}
	d.followOrders(before, rec, now)
}

// forgetLocked takes back this leader's own word on what the HAProxies did.
func (v *votes) forgetLocked() { v.leaderTerm, v.reviewedTerm = 0, 0 }

// review forgets the leader's word when its term or its majority is gone.
func (d *Daemon) review(ag *cluster.Agreement, now time.Time) {
	v := &d.votes
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
func (d *Daemon) readyToReview(in *decide.Input, now time.Time) bool {
	d.votes.mu.Lock()
	defer d.votes.mu.Unlock()
	return !now.Before(d.votes.settled) && decide.MayReview(in, now.Sub(d.votes.leaderSince), reviewWait)
}

// propose asks the register for the change; at most one at a time.
func (d *Daemon) propose(ctx context.Context, s *started, ag *cluster.Agreement, out decide.Outcome) {
	v := &d.votes
	v.mu.Lock()
	if v.proposing {
		v.mu.Unlock()
		return
	}
	v.proposing = true
	v.mu.Unlock()
	kind := "settings"
	if out.NewEpoch {
		kind = out.Propose.Last().Kind
	}
	cmd := cluster.Command{ID: d.commandID(), Expect: ag.Record.Version, NewEpoch: out.NewEpoch, Value: out.Propose.Encode()}
	d.log.Info("proposing", "kind", kind, "active", out.Propose.Active, "expect", cmd.Expect.String(), "reason", out.Reason)
	go func() {
		pctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := s.cluster.Propose(pctx, cmd)
		result := "committed"
		var refused *cluster.RefusedError
		switch {
		case errors.As(err, &refused):
			result = "refused"
		case err != nil:
			result = "failed"
			d.log.Warn("proposal without an answer", "kind", kind, "error", err)
		}
		d.m.proposals.WithLabelValues(kind, result).Inc()
		v.mu.Lock()
		v.proposing = false
		v.mu.Unlock()
		nudge.Send(d.wakeV)
	}()
}

// commandID is unique, and names the member for whoever reads a record.
func (d *Daemon) commandID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return d.cfg.Name + "-" + hex.EncodeToString(b[:])
}

// say makes it the situation's sentence and alert.
func (d *Daemon) say(sit *published.Situation, reason, alert string) {
	sit.Turn, sit.Alert = reason, alert
	if alert != "" && alert != d.votes.alert {
		d.log.Warn("alert", "reason", alert)
		d.events.Add(sit.At, alert)
	}
	d.votes.alert = alert
}

func (d *Daemon) noMajority(sit *published.Situation) {
	alert := ""
	v := &d.votes
	if v.freshAt.IsZero() {
		v.freshAt = sit.At // counts from the start
	}
	if sit.At.Sub(v.freshAt) >= noMajorityAlert {
		alert = "no majority of the voters: HAProxy works natively, nothing is decided"
	}
	d.say(sit, "no majority, nothing is decided: "+sit.Agreement.Reason, alert)
}
