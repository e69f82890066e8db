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
)

// pollEvery is how often `active set` looks whether the proxies have followed:
// often enough to show the milliseconds that a move takes, and one small answer
// each.
const pollEvery = 50 * time.Millisecond

// localOnlyWarning is what an operator must hear who goes without a majority.
const localOnlyWarning = "two nodes may take writes now: the other proxies do not follow this; it is dropped when a majority returns, and then the majority's node counts"

func (a *app) set(ctx context.Context, o setOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	start := a.now()
	until, cancel := context.WithTimeout(ctx, o.timeout)
	if o.planned() {
		// The first Ctrl-C must not leave the answer behind: it tells what to roll back.
		cancel()
		until, cancel = a.untilAgain(o.timeout + moveMargin)
	}
	defer cancel()
	bar := a.newProgress()
	defer bar.clear()
	bar.show("asking for %s ...", o.req.Node)
	resp, err := a.ask(until, o)
	bar.clear()
	if err != nil {
		return setError(err, o)
	}
	if o.req.LocalOnly {
		resp.Warnings = append(resp.Warnings, localOnlyWarning)
	}
	if !o.wait || resp.DryRun || o.req.LocalOnly {
		return a.print(resp, func(w io.Writer) { a.setTable(w, resp, o, "so far") })
	}
	err = a.await(ctx, until, &resp, o, bar)
	bar.clear()
	took := a.now().Sub(start).Round(time.Millisecond)
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

// ask makes the request. A drain may have hours, its agreement has not.
func (a *app) ask(ctx context.Context, o setOptions) (api.SetResponse, error) {
	if o.planned() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, api.DefaultTimeout)
		defer cancel()
	}
	return a.client().Set(ctx, o.request())
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
		fmt.Fprintf(w, "Dry run: this machine's proxy alone would be sent to %s; nothing was changed.\n", r.To)
	case r.DryRun:
		fmt.Fprintf(w, "Dry run: the move from %s to %s would be accepted; nothing was changed.\n", orNone(r.From), r.To)
		for _, v := range r.Votes {
			fmt.Fprintf(w, "  %s\n", v)
		}
	case o.req.LocalOnly:
		fmt.Fprintf(w, "This machine's proxy alone goes to %s, without a majority.\n", r.To)
	case r.Changed:
		fmt.Fprintf(w, "%s is the active node, epoch %s (before: %s); %d of %d proxies go to it %s.\n",
			r.To, epoch(r.Active.Recovery, r.Epoch), orNone(r.From), r.Active.Converged, r.Active.Proxies, when)
	default:
		fmt.Fprintf(w, "%s was the active node already, epoch %s; %d of %d proxies go to it.\n",
			r.To, epoch(r.Active.Recovery, r.Epoch), r.Active.Converged, r.Active.Proxies)
	}
	for _, s := range append(slices.Clone(r.Warnings), r.Active.Astray...) {
		fmt.Fprintf(w, "Warning: %s\n", s)
	}
	switch {
	case r.Move == nil:
	case moveOver(*r.Move):
		a.moveReport(w, *r.Move)
	default:
		fmt.Fprintf(w, "The move goes on by itself (%s): look with `haproxyctl status`.\n", moveLine(*r.Move))
	}
}

func orNone(node string) string {
	return cmp.Or(node, "none")
}
