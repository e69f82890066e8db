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
	// timeoutGiven and maxHoldGiven: the flag was on the command line.
	timeoutGiven, maxHoldGiven bool
	wait, yes                  bool
}

func (a *app) setCommand() *cobra.Command {
	o := setOptions{}
	cmd := &cobra.Command{
		Use:   "set NODE",
		Short: "Move the writes to NODE on every proxy",
		Long: `Make NODE the active node. The daemons check it (is it healthy for a majority, do
all proxies steer?), agree on it, and every proxy is moved. By default the command
waits until every proxy routes to NODE with every key, and says how long that took.

New connections go to NODE at once. Sessions to the old node have the time that
--drain gives them: none (immediate), until they end by themselves (graceful), or
each until it is between two transactions (transactions). Without it the daemon
takes transactions, for 5s, where the old node is healthy and every daemon may look
at its sessions, else immediate, and names the GRANT that is missing. --force and
--local-only do not wait. With --hold new connections wait in HAProxy until nothing
is left on the old node and NODE has applied what the old one committed last, but
not longer than --max-hold. What is left at --timeout is closed or, with --keep,
keeps its node: the move is rolled back.

On a terminal it shows what would happen and asks, unless --yes is given.

Ctrl-C rolls such a move back and waits for that; a second Ctrl-C ends the command
only. At the end it says what became of the sessions, what was cut, and for how long
both nodes could be written to; -o json has it per proxy.

Exit status: 0 every proxy has converged and the move is over (or, with --wait=false,
is agreed); 1 refused, rolled back or overtaken; 2 wrong usage; 3 not over in time:
look with "haproxyctl status".`,
		Example: `  haproxyctl active set pxc-2
  haproxyctl active set pxc-2 --dry-run          # would it be accepted, and what would it cut?
  haproxyctl active set pxc-2 --drain immediate  # wait for nobody
  haproxyctl active set pxc-2 --drain transactions --timeout 30s --reason "kernel update, ask Ana"
  haproxyctl active set pxc-2 --drain transactions --hold --keep
  haproxyctl active set pxc-2 --wait=false -o json
  haproxyctl active set pxc-2 --local-only       # break-glass: no majority is left`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.nodeNames(func(n api.Node) bool { return !n.Active }),
	}
	f := cmd.Flags()
	f.StringVar(&o.req.Drain, "drain", model.DrainAuto,
		"how sessions to the old node end: immediate closes them at once, graceful lets them end by themselves, transactions closes each between two transactions, auto is transactions where that can be told and else immediate (graceful with --keep)")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second,
		"how long sessions may take to end where they may (5s for --drain auto, unless given); else how long to wait for the proxies (an agreed move goes on without us)")
	f.BoolVar(&o.req.Hold, "hold", false,
		"let new connections wait until nothing is left on the old node and NODE has caught up with it")
	f.DurationVar(&o.maxHold, "max-hold", 2*time.Second,
		"the longest that --hold lets a new connection wait; every daemon keeps to it by itself")
	f.BoolVar(&o.req.Keep, "keep", false,
		"unless sessions are closed at once, roll the move back at --timeout instead of closing the sessions that are left")
	f.BoolVar(&o.req.Force, "force", false,
		"move although not every proxy steers or the votes do not call NODE healthy; to a node that the votes call down it also freezes")
	f.BoolVar(&o.req.LocalOnly, "local-only", false,
		"send the proxy of the daemon that is asked, this machine's or that of one --endpoint, alone to NODE, when there is no majority: others may write elsewhere meanwhile; dropped when a majority returns")
	f.BoolVar(&o.req.DryRun, "dry-run", false,
		"check everything, print the votes, change nothing")
	f.BoolVar(&o.wait, "wait", true,
		"wait for the end; --wait=false returns once the move is agreed")
	f.BoolVarP(&o.yes, "yes", "y", false,
		"do not ask on a terminal; elsewhere, and with -o json or yaml, nothing is ever asked")
	oneOf(cmd, "drain", drains...)
	cmd.RunE = runE(func(ctx context.Context, args []string) error {
		o.req.Node, o.req.Reason, o.maxHoldGiven = args[0], a.reason, f.Changed("max-hold")
		o.timeoutGiven = f.Changed("timeout")
		return a.set(ctx, o)
	})
	return a.order(cmd)
}

// drains are what --drain takes, the default first.
var drains = append([]string{model.DrainAuto}, model.Drains...)

// auto tells whether the daemon is to choose how sessions end.
func (o setOptions) auto() bool { return o.req.Drain == model.DrainAuto }

// mayLast tells whether the move may last: it waits for sessions, or holds connections.
func (o setOptions) mayLast() bool {
	if o.auto() && !o.req.Hold {
		return !o.req.Force && !o.req.LocalOnly
	}
	return o.req.Drain != model.DrainImmediate || o.req.Hold
}

// validate refuses what makes no sense; of two flags that do not go together it
// names both.
func (o setOptions) validate() error {
	switch {
	case !slices.Contains(drains, o.req.Drain):
		return usagef("--drain %q: it is one of %s", o.req.Drain, strings.Join(drains, ", "))
	case o.timeout <= 0:
		return usagef("--timeout %s: it must be longer than nothing", o.timeout)
	case o.maxHold <= 0:
		return usagef("--max-hold %s: it must be longer than nothing", o.maxHold)
	case o.req.LocalOnly && !o.auto() && o.req.Drain != model.DrainImmediate:
		return usagef("--local-only with --drain %s: without a majority nothing can be planned; leave one of them out", o.req.Drain)
	case o.req.LocalOnly && o.req.Hold:
		return usagef("--local-only with --hold: without a majority nothing can be planned; leave one of them out")
	case o.req.Keep && o.auto() && (o.req.Force || o.req.LocalOnly):
		return usagef("--keep with --force or --local-only: these wait for no session, so there is nothing to roll back; leave it out, or give --drain too")
	case o.req.Keep && o.req.Drain == model.DrainImmediate && !o.req.Hold:
		return usagef("--keep with --drain immediate: sessions are closed at once, so there is nothing to roll back")
	case o.maxHoldGiven && !o.req.Hold:
		return usagef("--max-hold without --hold: no connection is held")
	}
	return nil
}

// request is what goes over the wire. The bounds of a planned move are in the record,
// so that they hold without this command. A daemon that knows no auto takes none for
// immediate: rather that than refuse a move because haproxyctl was upgraded first.
func (o setOptions) request() api.SetRequest {
	req := o.req
	if o.auto() {
		req.Drain = ""
	}
	if o.mayLast() && (!o.auto() || o.timeoutGiven) {
		req.TimeoutMS = o.timeout.Milliseconds()
	}
	if req.Hold {
		req.MaxHoldMS = o.maxHold.Milliseconds()
	}
	return req
}
