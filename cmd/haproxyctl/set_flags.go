package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

type setOptions struct {
	req     api.SetRequest
	timeout time.Duration
	maxHold time.Duration
	// maxHoldGiven: --max-hold was on the command line.
	maxHoldGiven bool
	wait         bool
}

func (a *app) setCommand() *cobra.Command {
	o := setOptions{}
	cmd := &cobra.Command{
		Use:   "set NODE",
		Short: "Move the writes to NODE on every proxy",
		Long: `Make NODE the active node. The daemons check it (is it healthy for a majority, do
all proxies steer?), agree on it, and every proxy is moved. By default the command
waits until every proxy routes to NODE with every key, and says how long that took.

Sessions to the old node are closed at once, unless --drain gives them time: new
connections go to NODE then, and old sessions end by themselves (graceful), or each
is closed as soon as it is between two transactions (transactions). With --hold new
connections wait in HAProxy until nothing is left on the old node and NODE has
applied what the old one committed last, but not longer than --max-hold. What is left
at --timeout is closed or, with --keep, keeps its node: the move is rolled back.

Ctrl-C rolls such a move back and waits for that; a second Ctrl-C ends the command
only. At the end it says what became of the sessions; -o json has it per proxy.

Exit status: 0 every proxy has converged and the move is over (or, with --wait=false,
is agreed); 1 refused, rolled back or overtaken; 2 wrong usage; 3 not over in time:
look with "haproxyctl status".`,
		Example: `  haproxyctl active set pxc-2
  haproxyctl active set pxc-2 --dry-run          # would it be accepted?
  haproxyctl active set pxc-2 --drain transactions --timeout 30s --reason "kernel update, ask Ana"
  haproxyctl active set pxc-2 --drain transactions --hold --keep
  haproxyctl active set pxc-2 --wait=false -o json
  haproxyctl active set pxc-2 --local-only       # break-glass: no majority is left`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.nodeNames(func(n api.Node) bool { return !n.Active }),
	}
	f := cmd.Flags()
	f.StringVar(&o.req.Drain, "drain", model.DrainImmediate,
		"how sessions to the old node end: immediate closes them at once, graceful lets them end by themselves, transactions closes each between two transactions")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second,
		"with --drain or --hold, how long sessions may take to end; else how long to wait for the proxies (an agreed move goes on without us)")
	f.BoolVar(&o.req.Hold, "hold", false,
		"let new connections wait until nothing is left on the old node and NODE has caught up with it")
	f.DurationVar(&o.maxHold, "max-hold", 2*time.Second,
		"the longest that --hold lets a new connection wait; every daemon keeps to it by itself")
	f.BoolVar(&o.req.Keep, "keep", false,
		"with --drain or --hold, roll the move back at --timeout instead of closing the sessions that are left")
	f.BoolVar(&o.req.Force, "force", false,
		"move although not every proxy steers or the votes do not call NODE healthy; to a node that the votes call down it also freezes")
	f.BoolVar(&o.req.LocalOnly, "local-only", false,
		"send this machine's proxy alone to NODE, when there is no majority: others may write elsewhere meanwhile; dropped when a majority returns")
	f.BoolVar(&o.req.DryRun, "dry-run", false,
		"check everything, print the votes, change nothing")
	f.BoolVar(&o.wait, "wait", true,
		"wait for the end; --wait=false returns once the move is agreed")
	words(cmd, "drain", model.Drains...)
	cmd.RunE = runE(func(ctx context.Context, args []string) error {
		o.req.Node, o.req.Reason, o.maxHoldGiven = args[0], a.reason, f.Changed("max-hold")
		return a.set(ctx, o)
	})
	return a.order(cmd)
}

// planned tells whether the move lasts: it waits for sessions, or holds connections.
func (o setOptions) planned() bool { return o.req.Drain != model.DrainImmediate || o.req.Hold }

// validate refuses what makes no sense; of two flags that do not go together it
// names both.
func (o setOptions) validate() error {
	switch {
	case !slices.Contains(model.Drains, o.req.Drain):
		return usagef("--drain %q: it is one of %s", o.req.Drain, strings.Join(model.Drains, ", "))
	case o.timeout <= 0:
		return usagef("--timeout %s: it must be longer than nothing", o.timeout)
	case o.maxHold <= 0:
		return usagef("--max-hold %s: it must be longer than nothing", o.maxHold)
	case o.req.LocalOnly && o.req.Drain != model.DrainImmediate:
		return usagef("--local-only with --drain %s: without a majority nothing can be planned; leave one of them out", o.req.Drain)
	case o.req.LocalOnly && o.req.Hold:
		return usagef("--local-only with --hold: without a majority nothing can be planned; leave one of them out")
	case o.req.Keep && !o.planned():
		return usagef("--keep without --drain graceful, --drain transactions or --hold: sessions are closed at once, so there is nothing to roll back")
	case o.maxHoldGiven && !o.req.Hold:
		return usagef("--max-hold without --hold: no connection is held")
	}
	return nil
}

// request is what goes over the wire. The bounds of a planned move are in the record,
// so that they hold without this command.
func (o setOptions) request() api.SetRequest {
	req := o.req
	if o.planned() {
		req.TimeoutMS = o.timeout.Milliseconds()
	}
	if req.Hold {
		req.MaxHoldMS = o.maxHold.Milliseconds()
	}
	return req
}
