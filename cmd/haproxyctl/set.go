package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// pollEvery is how often `active set` looks whether the proxies have followed:
// often enough to show the milliseconds that a move takes, and one small answer
// each.
const pollEvery = 50 * time.Millisecond

// drains are the values of --drain, the default first.
var drains = []string{"immediate", "graceful", "transactions"}

type setOptions struct {
	req     api.SetRequest
	timeout time.Duration
	wait    bool
}

func (a *app) setCommand() *cobra.Command {
	o := setOptions{}
	cmd := &cobra.Command{
		Use:   "set NODE",
		Short: "Move the writes to NODE on every proxy",
		Long: `Make NODE the active node. The daemons check it (is it healthy for a majority, do
all proxies steer?), agree on it, and every proxy is moved; open sessions to the
old node are closed. By default the command waits until every proxy routes to NODE
with every key, and says how long that took.

Exit status: 0 every proxy has converged (or, with --wait=false, the move is
agreed); 1 refused: nothing has changed; 2 wrong usage; 3 timed out before every
proxy had converged: look with "haproxyctl status".`,
		Example: `  haproxyctl active set pxc-2
  haproxyctl active set pxc-2 --dry-run          # would it be accepted?
  haproxyctl active set pxc-2 --timeout 30s
  haproxyctl active set pxc-2 --wait=false -o json`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.nodeNames(func(n api.Node) bool { return !n.Active }),
		RunE: runE(func(ctx context.Context, args []string) error {
			o.req.Node = args[0]
			return a.set(ctx, o)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.req.Drain, "drain", drains[0],
		"how sessions to the old node end: immediate closes them at once; graceful and transactions are not there yet")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second,
		"give up after this long, with exit status 3 (an agreed move goes on without us)")
	f.BoolVar(&o.req.Hold, "hold", false,
		"let new connections wait during the move instead of going on at once; not there yet")
	f.BoolVar(&o.req.Force, "force", false,
		"move although not every proxy steers or the votes do not call NODE healthy; to a node that the votes call down it also freezes")
	f.BoolVar(&o.req.DryRun, "dry-run", false,
		"check everything, print the votes, change nothing")
	f.BoolVar(&o.wait, "wait", true,
		"wait until every proxy has converged; --wait=false returns once the move is agreed")
	must(cmd.RegisterFlagCompletionFunc("drain", cobra.FixedCompletions(drains, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// validate refuses what makes no sense and what this version cannot do.
func (o setOptions) validate() error {
	switch {
	case !slices.Contains(drains, o.req.Drain):
		return usagef("--drain %q: it is one of %s", o.req.Drain, strings.Join(drains, ", "))
	case o.timeout <= 0:
		return usagef("--timeout %s: it must be longer than nothing", o.timeout)
	case o.req.Drain != drains[0]:
		return fmt.Errorf("not yet: this version cannot --drain %s; use --drain %s, which closes sessions to the old node at once", o.req.Drain, drains[0])
	case o.req.Hold:
		return errors.New("not yet: this version cannot --hold new connections; leave it out, and they go to the new node at once")
	}
	return nil
}

func (a *app) set(ctx context.Context, o setOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	start := a.now()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	bar := a.newProgress()
	defer bar.clear()
	bar.show("asking for %s ...", o.req.Node)
	resp, err := a.client().Set(ctx, o.req)
	bar.clear()
	if err != nil {
		return setError(err, o)
	}
	if !o.wait || resp.DryRun {
		return a.print(resp, func(w io.Writer) { setTable(w, resp, "so far") })
	}

	err = a.awaitProxies(ctx, &resp, o, bar)
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
	return a.print(resp, func(w io.Writer) { setTable(w, resp, fmt.Sprintf("after %s", took)) })
}

// setError sorts what came instead of a SetResponse: an answer that did not come
// in time is a timeout, because the move may have been agreed all the same.
func setError(err error, o setOptions) error {
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == api.CodeUnknown:
		return &exitError{exitTimeout, err}
	case errors.Is(err, api.ErrNoAnswer) && !o.req.DryRun:
		return &exitError{exitTimeout, fmt.Errorf("%w; the move to %s may have been agreed or not: look with `haproxyctl active`", err, o.req.Node)}
	}
	return err
}

// awaitProxies polls until every proxy has converged to the decision in resp,
// and keeps the latest state in it.
func (a *app) awaitProxies(ctx context.Context, resp *api.SetResponse, o setOptions, bar *progress) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var lost error // the daemon does not answer just now
	for {
		now := resp.Active
		if overtaken(now, *resp) {
			return fmt.Errorf("overtaken: the active node is %s since epoch %s%s (%s); %s was agreed as epoch %d before that",
				now.Active, epoch(now.Recovery, now.Epoch), by(now.By), now.Reason, resp.To, resp.Epoch)
		}
		if lost == nil && now.Epoch == resp.Epoch && now.Active == resp.To && now.Converged >= now.Proxies {
			return nil
		}
		bar.show("%s is agreed, %d of %d proxies go to it ...", resp.To, now.Converged, now.Proxies)
		select {
		case <-ctx.Done():
			return waitError(ctx, *resp, o, lost)
		case <-tick.C:
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

func setTable(w io.Writer, r api.SetResponse, when string) {
	switch {
	case r.DryRun:
		fmt.Fprintf(w, "Dry run: the move from %s to %s would be accepted; nothing was changed.\n", orNone(r.From), r.To)
		for _, v := range r.Votes {
			fmt.Fprintf(w, "  %s\n", v)
		}
	case r.Changed:
		fmt.Fprintf(w, "%s is the active node, epoch %s (before: %s); %d of %d proxies go to it %s.\n",
			r.To, epoch(r.Active.Recovery, r.Epoch), orNone(r.From), r.Active.Converged, r.Active.Proxies, when)
	default:
		fmt.Fprintf(w, "%s was the active node already, epoch %s; %d of %d proxies go to it.\n",
			r.To, epoch(r.Active.Recovery, r.Epoch), r.Active.Converged, r.Active.Proxies)
	}
	for _, s := range r.Warnings {
		fmt.Fprintf(w, "Warning: %s\n", s)
	}
}

func orNone(node string) string {
	if node == "" {
		return "none"
	}
	return node
}
