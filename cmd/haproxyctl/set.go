package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// pollEvery is how often `active set` looks whether the proxies have followed:
// often enough to show the milliseconds that a move takes, and one small answer
// each.
const pollEvery = 50 * time.Millisecond

// figuresWithin bounds the wait for the figures of a move that is made.
const figuresWithin = time.Second

// localOnlyWarning is what an operator must hear who goes without a majority.
const localOnlyWarning = "two nodes may take writes now: the other proxies do not follow this; it is dropped when a majority returns, and then the majority's node counts"

func (a *app) set(ctx context.Context, o setOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	if all := a.client().Remote(); o.req.LocalOnly && len(all) > 1 {
		return usagef("--local-only is for one proxy, and %d endpoints are given: name that of its daemon alone", len(all))
	}
	if a.mayAsk() && !o.yes && !o.req.DryRun {
		if err := a.confirm(ctx, &o); err != nil {
			return err
		}
	}
	start := a.now()
	bar := a.newProgress()
	defer bar.clear()
	bar.show("asking for %s ...", o.req.Node)
	resp, err := a.ask(ctx, o)
	bar.clear()
	if err != nil {
		return setError(err, o)
	}
	resp.Warnings = append(resp.Warnings, ownWarnings(resp, o)...)
	if !o.wait || resp.DryRun || o.req.LocalOnly {
		return a.print(resp, func(w io.Writer) { a.setTable(w, resp, o, "so far") })
	}
	var until context.Context
	var cancel context.CancelFunc
	if resp.Move != nil {
		until, cancel = a.untilAgain(o.timeout + moveMargin)
	} else {
		until, cancel = context.WithTimeout(ctx, o.timeout-a.now().Sub(start))
	}
	defer cancel()
	err = a.await(ctx, until, &resp, o, bar)
	took := a.now().Sub(start).Round(time.Millisecond)
	if err == nil {
		a.figures(until, &resp)
	}
	bar.clear()
	warnOfCut(&resp)
	if err != nil {
		if a.format != formatTable {
			if perr := a.print(resp, nil); perr != nil {
				return perr
			}
		}
		return err
	}
	return a.print(resp, func(w io.Writer) { a.setTable(w, resp, o, fmt.Sprintf("after %s", took)) })
}

// ownWarnings are what haproxyctl has to say to an answer besides the daemon.
func ownWarnings(r api.SetResponse, o setOptions) []string {
	switch {
	case o.req.LocalOnly:
		return []string{localOnlyWarning}
	case r.Drain == "" && o.auto() && o.mayLast() && r.From != r.To:
		return []string{"this haproxyd is older than haproxyctl and knows no --drain auto: sessions are closed at once; or give --drain transactions"}
	}
	return nil
}

// ask makes the request. A drain may have hours, its agreement has not; and the first
// Ctrl-C must not leave the answer behind, which tells what to roll back.
func (a *app) ask(ctx context.Context, o setOptions) (api.SetResponse, error) {
	within := o.timeout
	if o.mayLast() {
		if !o.auto() || within > api.DefaultTimeout {
			within = api.DefaultTimeout
		}
		var cancel context.CancelFunc
		ctx, cancel = a.untilAgain(within)
		defer cancel()
		return a.client().Set(ctx, o.request())
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return a.client().Set(ctx, o.request())
}

// figures waits a moment for what became of the sessions of a move that waits for none:
// every proxy looks twice before it says that nothing is left.
func (a *app) figures(ctx context.Context, resp *api.SetResponse) {
	if !resp.Changed || resp.Move != nil || resp.Drain == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, figuresWithin)
	defer cancel()
	for {
		m, err := a.client().Move(ctx)
		if err != nil || m.Epoch != resp.Epoch {
			return
		}
		resp.Move = &m
		if moveOver(m) || !sleep(ctx, pollEvery) {
			return
		}
	}
}

// warnOfCut says what was closed although it may have been in a transaction; of a move that
// waits for nobody in place of what the daemon knew when it was asked for.
func warnOfCut(r *api.SetResponse) {
	switch m := r.Move; {
	case m == nil || m.Cut == "":
	case r.Drain == model.DrainImmediate && r.Open != nil:
		before := r.ClosedAtOnce(r.Open.Sessions)
		r.Warnings = append(slices.DeleteFunc(r.Warnings, func(w string) bool { return w == before }), r.ClosedAtOnce(m.Killed))
	default:
		r.Warnings = append(r.Warnings, m.Cut)
	}
}

// await waits for the end of a planned move, then for every proxy; that one ends at
// the first Ctrl-C, since nothing is left to roll back.
func (a *app) await(ctx, until context.Context, resp *api.SetResponse, o setOptions, bar *progress) error {
	if resp.Move != nil {
		m := &mover{app: a, o: o, resp: resp, bar: bar}
		if err := m.follow(ctx, until); err != nil {
			return err
		}
	}
	until, cancel := context.WithCancel(until)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return a.awaitProxies(until, resp, o, bar)
}

// setError sorts what came instead of a SetResponse: an answer that did not come
// in time is a timeout, because the move may have been agreed all the same.
func setError(err error, o setOptions) error {
	switch {
	case refusedFor(err, api.CodeUnknown):
		return &exitError{exitTimeout, err}
	case errors.Is(err, api.ErrNoAnswer) && !o.req.DryRun:
		return &exitError{exitTimeout, fmt.Errorf("%w; the move to %s may have been agreed or not: look with `haproxyctl active`", err, o.req.Node)}
	}
	return err
}

// awaitProxies polls until every proxy has converged to the decision in resp,
// and keeps the latest state in it.
func (a *app) awaitProxies(ctx context.Context, resp *api.SetResponse, o setOptions, bar *progress) error {
	var lost error // the daemon does not answer just now
	for {
		now := resp.Active
		if overtaken(now, *resp) {
			return overtakenError(now, *resp)
		}
		if lost == nil && now.Epoch == resp.Epoch && now.Active == resp.To && now.Converged >= now.Proxies {
			return nil
		}
		bar.show("%s is agreed, %d of %d proxies go to it ...", resp.To, now.Converged, now.Proxies)
		if !sleep(ctx, pollEvery) {
			return waitError(ctx, *resp, o, lost)
		}
		act, err := a.client().Active(ctx)
		if err == nil {
			resp.Active = act
			lost = nil
		} else if ctx.Err() == nil {
			lost = err
		}
	}
}

// overtaken tells whether another decision came after the one in resp.
func overtaken(now api.Active, resp api.SetResponse) bool {
	if now.Epoch == resp.Epoch {
		return now.Active != resp.To && now.Active != ""
	}
	return now.Epoch > resp.Epoch && now.Active != resp.To
}

func overtakenError(now api.Active, resp api.SetResponse) error {
	return fmt.Errorf("overtaken: the active node is %s since epoch %s%s (%s); %s was agreed as epoch %d before that",
		now.Active, epoch(now.Recovery, now.Epoch), by(now.By), now.Reason, resp.To, resp.Epoch)
}

func waitError(ctx context.Context, resp api.SetResponse, o setOptions, lost error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("interrupted: %s is agreed (epoch %d) and the move goes on; look with `haproxyctl status`", resp.To, resp.Epoch)
	}
	text := fmt.Sprintf("timed out after %s: %s is agreed (epoch %d), and %d of %d proxies go to it",
		o.timeout, resp.To, resp.Epoch, resp.Active.Converged, resp.Active.Proxies)
	switch {
	case lost != nil:
		text += "; then " + lost.Error()
	case len(resp.Active.NotConverged) > 0:
		text += "; not yet: " + strings.Join(resp.Active.NotConverged, "; ")
	}
	return &exitError{exitTimeout, errors.New(text + "; look with `haproxyctl status`")}
}

func (a *app) setTable(w io.Writer, r api.SetResponse, o setOptions, when string) {
	switch {
	case r.DryRun && o.req.LocalOnly:
		fmt.Fprintf(w, "Dry run: %s alone would be sent to %s; nothing was changed.\n", a.proxy(), r.To)
	case r.DryRun:
		fmt.Fprintf(w, "Dry run: the move from %s to %s would be accepted; nothing was changed.\n", orNone(r.From), r.To)
		for _, v := range r.Votes {
			fmt.Fprintf(w, "  %s\n", v)
		}
		a.before(w, r)
	case o.req.LocalOnly:
		fmt.Fprintf(w, "%s goes to %s, alone and without a majority.\n", upperFirst(a.proxy()), r.To)
	case r.Changed:
		fmt.Fprintf(w, "%s is the active node, epoch %s (before: %s); %d of %d proxies go to it %s.\n",
			r.To, epoch(r.Active.Recovery, r.Epoch), orNone(r.From), r.Active.Converged, r.Active.Proxies, when)
	default:
		fmt.Fprintf(w, "%s was the active node already, epoch %s; %d of %d proxies go to it.\n",
			r.To, epoch(r.Active.Recovery, r.Epoch), r.Active.Converged, r.Active.Proxies)
	}
	warn(w, append(slices.Clone(r.Warnings), r.Active.Astray...))
	if r.Move != nil && moveOver(*r.Move) {
		a.moveReport(w, r, o)
		return
	}
	if o.auto() && !o.req.LocalOnly && r.Changed && r.Drain != "" {
		a.field(w, "Drain", drainText(r)+words.After(": ", r.DrainWhy))
	}
	switch {
	case r.Move == nil:
	case r.Drain == model.DrainImmediate && !r.Move.Hold:
		fmt.Fprintf(w, "Not every proxy has said what became of its sessions: look with `haproxyctl status`.\n")
	default:
		fmt.Fprintf(w, "The move goes on by itself (%s): look with `haproxyctl status`.\n", words.MoveLine(*r.Move))
	}
}

func warn(w io.Writer, warnings []string) {
	for _, s := range warnings {
		fmt.Fprintf(w, "Warning: %s\n", s)
	}
}

func orNone(node string) string {
	return cmp.Or(node, "none")
}
