package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Times of a pending move's end.
const (
	// closeWithin is how long closing what is left may take before the move ends
	// all the same: whatever is still open then is closed as a straggler.
	closeWithin = time.Second
	// holdReserve is what of a hold's time is kept for closing, so that the hold
	// itself never lasts longer than its bound.
	holdReserve = 300 * time.Millisecond
	// rollbackWithin bounds the drain of a move back.
	rollbackWithin = 2 * time.Second
)

// bounds returns when, counted from its beginning, a move is closed (or rolled
// back) and when it ends whatever has come of it.
func bounds(m *model.Move) (closing, end time.Duration) {
	b := m.Bound()
	if m.Hold {
		return b - min(holdReserve, b/4), b
	}
	return b, b + closeWithin
}

// Due returns in how much time a move of this age is to be closed, rolled back or
// ended whatever has come of it, 0 when that is over.
func Due(m *model.Move, age time.Duration) time.Duration {
	closing, end := bounds(m)
	for _, at := range []time.Duration{closing, appliedBy(closing, end), end} {
		if age < at {
			return at - age
		}
	}
	return 0
}

// appliedBy is when a hold is rolled back whose sessions are gone and whose new
// node has not caught up. Whether it has is asked only when the last session is
// gone, which may be at the closing: half of the reserve is left for the answer.
func appliedBy(closing, end time.Duration) time.Duration { return closing + (end-closing)/2 }

// pending carries a planned move on: it ends when nothing is left on the old
// node of any expected proxy, and with a hold when the new node has applied what
// the old one committed last; it is closed or rolled back when its time is over.
//
// It is called for as long as the record holds a move, by whoever leads, and
// depends on nothing else: a leader that dies loses nothing.
func pending(in *Input) Outcome {
	m := in.Record.Move
	waiting := unfinished(in)
	what := strings.Join(waiting, "; ")
	if len(waiting) == 0 {
		what = fmt.Sprintf("%s has not applied yet what %s committed last", m.To, m.From)
	}
	closing, end := bounds(m)
	oldGone := Count(in, m.From).Down >= in.Majority()
	applied := !m.Hold || in.Applied || oldGone
	// Nothing moves by itself to a dead node, to one that is about to end or that was left because it is refused, or to one that an operator has excluded since.
	departure := in.Record.Last().Kind == model.KindDeparture
	hangs := departure && len(refusals(in, m.From).blocked) >= in.Majority()
	if hangs {
		closing = min(closing, blockedTimeout) // seen only after the move had begun
	}
	mayReturn := !departure && !m.Rollback && !oldGone && !in.Record.IsExcluded(m.From) && !isGoing(in, m.From)
	switch {
	case len(waiting) == 0 && applied:
		return in.endMove(fmt.Sprintf("the move from %s to %s is complete", m.From, m.To), "")
	case in.MoveAge < closing, len(waiting) == 0 && in.MoveAge < appliedBy(closing, end):
		return Outcome{Reason: fmt.Sprintf("moving from %s to %s: %s", m.From, m.To, what)}
	case departure && m.Hold && len(waiting) > 0 && m.TimeoutMS > m.MaxHoldMS && !hangs:
		// Nobody waits longer; what is open on the old node may end beside them. Where it
		// has no time left (a donor whose commits hang) it is closed before anybody is let
		// go: commits that hang come through when the transfer ends, which may be now.
		next := in.Record.Clone()
		next.Move.Hold, next.Move.MaxHoldMS = false, 0
		return Outcome{Propose: next, Reason: fmt.Sprintf("moving from %s to %s: those who waited go to %s (%s)", m.From, m.To, m.To, what)}
	case !applied && len(waiting) == 0 && mayReturn:
		// Released now, a client could read on the new node what was before its own commit.
		return in.rollback(fmt.Sprintf("%s had not applied what %s committed last within %v", m.To, m.From, m.Bound()), in.By)
	case m.Keep && mayReturn && m.Phase == model.PhaseDrain:
		return in.rollback(fmt.Sprintf("not over within %v (%s)", m.Bound(), what), in.By)
	case m.Phase == model.PhaseDrain:
		next := in.Record.Clone()
		next.Move.Phase = model.PhaseClose
		out := Outcome{Propose: next, Reason: fmt.Sprintf("moving from %s to %s: the time is over, what is left is closed (%s)", m.From, m.To, what)}
		if departure {
			out.Alert = out.Reason // no policy has chosen this time, but the pod's end
		}
		return out
	case in.MoveAge >= end:
		alert := fmt.Sprintf("the move from %s to %s has ended after %v although it is not over everywhere: %s", m.From, m.To, end, what)
		return in.endMove(alert, alert)
	}
	return Outcome{Reason: fmt.Sprintf("moving from %s to %s: closing what is left (%s)", m.From, m.To, what)}
}

// endMove takes the move out of the record: holds are released.
func (in *Input) endMove(reason, alert string) Outcome {
	next := in.Record.Clone()
	next.Move = nil
	return Outcome{Propose: next, Reason: reason, Alert: alert}
}

// rollback makes the old node the active again. Its sessions on the node that
// was to be the new one are drained in the way they were to be on the old one.
func (in *Input) rollback(why, by string) Outcome {
	m := *in.Record.Move
	back := *in
	back.By = by
	out := back.move(m.From, model.KindRollback, fmt.Sprintf("the move to %s was rolled back: %s", m.To, why))
	out.Propose.Move = &model.Move{
		From: m.To, To: m.From, Drain: m.Drain, Phase: model.PhaseDrain, Rollback: true,
		TimeoutMS: min(m.TimeoutMS, rollbackWithin.Milliseconds()), Owner: m.Owner, By: by,
	}
	if m.Drain == model.DrainImmediate {
		out.Propose.Move = nil
	}
	return out
}

// Cancel rolls the pending move back on an operator's word. It is refused where
// the old node could not take the writes any more.
func Cancel(in *Input, by string) (Outcome, error) {
	if in.Record == nil || in.Record.Move == nil {
		return Outcome{}, &RefusedError{Reason: "no move is pending"}
	}
	m := in.Record.Move
	if m.Rollback {
		return Outcome{}, &RefusedError{Reason: "the pending move is a rollback itself"}
	}
	if t := Count(in, m.From); t.Eligible < in.Majority() {
		return Outcome{}, &RefusedError{Reason: fmt.Sprintf("%s cannot take the writes back: %d of %d voters would choose it (%s)",
			m.From, t.Eligible, len(in.Voters), whyNotEligible(in, m.From))}
	}
	return in.rollback("asked for by "+by, by), nil
}

// unfinished are sentences: what the pending move still waits for. A proxy counts
// as done only by its own word on this very epoch.
func unfinished(in *Input) []string {
	var out []string
	m := in.Record.Move
	for _, v := range in.Voices {
		if !v.steers() {
			continue
		}
		mv := v.View.Proxy.Move
		switch {
		case mv == nil || mv.At() != model.Epoch{Recovery: in.Recovery, N: in.Epoch}:
			out = append(out, v.Member+" has not begun")
		case mv.Done && (mv.Held || !m.Hold):
		case mv.Left > 0:
			s := fmt.Sprintf("%s has %d sessions left", v.Member, mv.Left)
			if mv.InTrx > 0 {
				s += fmt.Sprintf(", %d in a transaction", mv.InTrx)
			}
			if mv.Problem != "" {
				s += " (" + mv.Problem + ")"
			}
			out = append(out, s)
		case mv.Problem != "":
			out = append(out, v.Member+": "+mv.Problem)
		default:
			out = append(out, v.Member+" has not followed")
		}
	}
	out = append(out, in.notHeard()...)
	slices.Sort(out)
	return out
}

// Drained tells whether every expected proxy has said that nothing is left on
// the old node, and with a hold that new connections wait: from then on the new
// node may be asked what it has applied.
func Drained(in *Input) bool {
	return in.Record != nil && in.Record.Move != nil && len(unfinished(in)) == 0
}
