package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

const (
	// moveMargin is how long after its own time the end of a move is waited for: what
	// is left must be closed, or the move rolled back, on every proxy.
	moveMargin = 5 * time.Second
	// rollBackWithin is how long the end of a roll-back is waited for.
	rollBackWithin = 10 * time.Second
	// lookWithin bounds one look at the move.
	lookWithin = time.Second
	// forgottenAfter is for how many looks in a row the daemon must know of no move
	// before it counts as over: right after the decision it may not have begun.
	forgottenAfter = 20
)

// mover follows one planned move to its end.
type mover struct {
	*app
	o    setOptions
	resp *api.SetResponse
	bar  *progress
	lost error // the daemon does not answer just now
	// forgotten counts the looks in a row at which the daemon knew of no move.
	forgotten int
}

// follow waits for the end of the move, and rolls it back at the first Ctrl-C: the
// cluster is left in one of two clean states, never between. until is the end of
// the move's time, or the second Ctrl-C.
func (m *mover) follow(ctx, until context.Context) error {
	over := m.watch(ctx, until, "")
	rolling := !over && ctx.Err() != nil
	if rolling {
		var cancel context.CancelFunc
		until, cancel = m.untilAgain(rollBackWithin)
		defer cancel()
		if err := m.rollBack(until); err != nil {
			return err
		}
		// Nothing interrupts that.
		over = until.Err() == nil && m.watch(until, until, "rolling back, ")
	}
	m.bar.clear()
	if !over {
		return m.notOver(until, rolling)
	}
	return m.end(rolling)
}

// untilAgain is a context that lasts until the second Ctrl-C, for as long as d.
func (a *app) untilAgain(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	go func() {
		select {
		case <-a.again:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// watch looks until the move is over, and tells whether it is: ctx interrupts that, and
// until is the end of the time.
func (m *mover) watch(ctx, until context.Context, lead string) bool {
	both, cancel := context.WithCancel(until)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	for !moveOver(*m.resp.Move) {
		m.bar.say(lead + words.MoveLine(*m.resp.Move))
		if !sleep(both, pollEvery) {
			return false
		}
		m.look(until)
	}
	return true
}

// look keeps the latest state of the move in the response.
func (m *mover) look(until context.Context) {
	ctx, cancel := context.WithTimeout(until, lookWithin)
	defer cancel()
	ours := m.resp.Move
	move, err := m.client().Move(ctx)
	if err == nil && move.At() == ours.At() {
		*ours, m.lost, m.forgotten = move, nil, 0
		return
	}
	// Another move, or none: this daemon has not seen ours yet, or was restarted, or
	// something came after it. The agreement tells which.
	act, err := m.client().Active(ctx)
	if until.Err() != nil {
		return // that is no word on the daemon
	}
	if m.lost = err; err != nil {
		return
	}
	m.resp.Active = act
	switch {
	case overtaken(act, *m.resp) && act.Active == ours.From:
		ours.State, ours.Reason = api.MoveRolledBack, act.Reason
	case overtaken(act, *m.resp):
		ours.State, ours.Reason = api.MoveOvertaken, act.Reason
	case act.Epoch == m.resp.Epoch && act.Move == nil:
		if m.forgotten++; m.forgotten >= forgottenAfter {
			ours.State, ours.Reason = api.MoveDone, "haproxyd was restarted meanwhile and does not know the figures"
		}
	}
}

func moveOver(m api.Move) bool {
	return m.State == api.MoveDone || m.State == api.MoveRolledBack || m.State == api.MoveOvertaken
}

// rollBack asks for it. That there is nothing to roll back is no error: the move has
// ended meanwhile, and the next look shows how. Nor is an answer that did not come.
func (m *mover) rollBack(ctx context.Context) error {
	move := m.resp.Move
	m.bar.clear()
	fmt.Fprintf(m.stderr, "haproxyctl: rolling back to %s ... (Ctrl-C again leaves it to haproxyd)\n", move.From)
	now, err := m.client().CancelMove(ctx, api.CancelRequest{Epoch: move.Epoch})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that is no word on the move
	}
	if errors.Is(err, api.ErrUnreachable) || refusedFor(err, api.CodeNoMajority, api.CodeUnavailable, api.CodeInternal, api.CodeBadRequest) {
		return fmt.Errorf("interrupted, but nothing was rolled back (%w): the move to %s (epoch %d) goes on by itself; look with `haproxyctl status`", err, move.To, move.Epoch)
	}
	if err == nil && now.At() == move.At() {
		*move = now
	}
	return nil
}

// refusedFor tells whether err is the daemon's answer with one of the codes.
func refusedFor(err error, codes ...string) bool {
	refusal, ok := errors.AsType[*api.Error](err)
	return ok && slices.Contains(codes, refusal.Code)
}

// end says how the move ended, where that is not as it was asked for.
func (m *mover) end(rolling bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	if act, err := m.client().Active(ctx); err == nil {
		m.resp.Active = act
	}
	why := "interrupted: "
	if !rolling {
		why = ""
	}
	move, now := m.resp.Move, m.resp.Active
	switch {
	case move.State == api.MoveRolledBack:
		text := fmt.Sprintf("%srolled back: %s is the active node again", why, move.From)
		if now.Active == move.From {
			text += ", epoch " + epoch(now.Recovery, now.Epoch)
		}
		if move.Reason != "" {
			text += " (" + move.Reason + ")"
		}
		return errors.New(text)
	case move.State == api.MoveOvertaken:
		if overtaken(now, *m.resp) {
			return fmt.Errorf("%s%w", why, overtakenError(now, *m.resp))
		}
		return fmt.Errorf("%sovertaken: another decision came after %s (epoch %d): %s; look with `haproxyctl active`", why, move.To, move.Epoch, move.Reason)
	case rolling:
		return fmt.Errorf("interrupted too late to roll back: %s is the active node, epoch %d, and the move from %s is over", move.To, move.Epoch, move.From)
	}
	return nil
}

// notOver says that the end was not waited for.
func (m *mover) notOver(until context.Context, rolling bool) error {
	move := m.resp.Move
	what, waited := fmt.Sprintf("the move from %s to %s (epoch %d)", move.From, move.To, move.Epoch), m.o.timeout+moveMargin
	if rolling {
		what, waited = fmt.Sprintf("the roll-back to %s (of epoch %d)", move.From, move.Epoch), rollBackWithin
	}
	if errors.Is(until.Err(), context.Canceled) {
		return fmt.Errorf("interrupted twice: %s goes on by itself; look with `haproxyctl status`", what)
	}
	state := move.WaitingFor
	if m.lost != nil {
		state = oneLine(m.lost.Error())
	}
	return &exitError{exitTimeout, fmt.Errorf("timed out after %s: %s is not over%s; it goes on by itself, look with `haproxyctl status`", waited, what, words.Colon(state))}
}
