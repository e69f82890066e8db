package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

func (a *app) activeCommand() *cobra.Command {
	show := answer(a, func(ctx context.Context, _ []string) (api.Active, error) { return a.client().Active(ctx) }, a.activeTable)
	cmd := a.group(&cobra.Command{
		Use:   "active",
		Short: "Show or move the active node",
		Long: `The active node is the database node that every HAProxy sends its writes to.
Without a command below it, this is "active show".`,
		Example: `  haproxyctl active
  haproxyctl active set pxc-2
  haproxyctl active history`,
	})
	cmd.RunE = show
	cmd.AddCommand(
		&cobra.Command{
			Use:   "show",
			Short: "Show the active node and how many proxies follow it",
			Long: `Show the active node, since when and why it is, whether a majority of the voters
stands behind it now, and how many proxies route to it with every key of every
sticky backend ("converged").`,
			Example: `  haproxyctl active show
  haproxyctl active show -o json | jq -r .active`,
			RunE: show,
		},
		a.setCommand(),
		&cobra.Command{
			Use:   "history",
			Short: "List the decisions with their reasons, the newest first",
			Long: `List every change of the active node that this daemon remembers, with its reason
and who decided, the newest first; then what this daemon's own loop did or
noticed lately.`,
			Example: `  haproxyctl active history
  haproxyctl active history -o json | jq '.decisions[0]'`,
			RunE: answer(a, func(ctx context.Context, _ []string) (api.History, error) { return a.client().History(ctx) }, a.historyTable),
		},
	)
	return cmd
}

func (a *app) activeTable(w io.Writer, act api.Active) {
	if act.State != "" { // where the answer was judged
		a.verdict(w, act.State, act.Headline)
		fmt.Fprintln(w)
	}
	if act.Active == "" {
		a.field(w, "Active", a.paint(styleWarn, "none yet: HAProxy works natively"))
	} else {
		a.field(w, "Active", a.paint(styleBold, act.Active))
		a.field(w, "Epoch", epoch(act.Recovery, act.Epoch))
		a.field(w, "Since", a.when(act.Since)+by(act.By)+words.Colon(act.OrderedBy))
	}
	agreed := yesNo(act.Agreed)
	a.field(w, "Agreed", a.paint(agreed.style, agreed.text))
	a.some(w, "Reason", act.Reason)
	a.field(w, "Proxies", a.convergence(act))
	a.field(w, "Members", strconv.Itoa(act.Members))
	if act.Frozen {
		a.field(w, "Frozen", a.paint(styleWarn, "yes: nothing moves by itself until `haproxyctl unfreeze`"))
	}
	a.some(w, "Excluded", a.paint(styleWarn, strings.Join(act.Excluded, ", ")))
	if act.Move != nil {
		a.field(w, "Move", moveField(*act.Move))
	}
	if act.LocalOnly != "" {
		a.field(w, "Local only", a.paint(styleBad, act.LocalOnly+" on "+a.proxy()+" alone, until a majority returns: two nodes may take writes"))
	}
	for _, p := range act.Fenced {
		a.field(w, "Fenced", a.paint(styleBad, p))
	}
	for _, p := range act.NotConverged {
		a.field(w, "Not yet", a.paint(styleBad, p))
	}
	for _, p := range act.Moved {
		a.field(w, "Moved", a.paint(styleBad, p))
	}
	for _, p := range act.Astray {
		a.field(w, "Astray", a.paint(styleBad, p))
	}
}

// convergence says how many proxies follow.
func (a *app) convergence(act api.Active) string {
	if act.Active == "" {
		return fmt.Sprintf("%d, %s steered", act.Proxies, are(act.Steering))
	}
	s := either(act.Converged < act.Proxies, styleBad, styleGood)
	return a.paint(s, fmt.Sprintf("%d of %d go to it", act.Converged, act.Proxies)) +
		fmt.Sprintf(", %s steered", are(act.Steering))
}

func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}

// epoch writes a decision's number; the recovery generation is rare enough to
// be shown only when there was one.
func epoch(recovery, epoch uint64) string {
	if recovery == 0 {
		return strconv.FormatUint(epoch, 10)
	}
	return fmt.Sprintf("%d of recovery %d", epoch, recovery)
}

func by(who string) string { return words.After(" by ", who) }

// ordersTable shows the orders that changed no active.
func (a *app) ordersTable(w io.Writer, orders []api.Order) {
	g := newGrid("ORDER", "OF", "AT", "BY", "REASON")
	for _, o := range orders {
		g.add(plainCell(o.Kind), plainCell(o.What), plainCell(o.At.UTC().Format(time.RFC3339)), plainCell(o.By+words.Colon(o.OrderedBy)), plainCell(o.Reason))
	}
	a.below(w, g)
}

func (a *app) historyTable(w io.Writer, h api.History) {
	if len(h.Decisions) == 0 {
		fmt.Fprintln(w, "Nothing was decided yet.")
	} else {
		g := newGrid("EPOCH", "ACTIVE", "BEFORE", "KIND", "AT", "BY", "REASON")
		for _, d := range h.Decisions {
			g.add(plainCell(epoch(d.Recovery, d.Epoch)), cell{d.Active, styleBold}, plainCell(d.From),
				plainCell(d.Kind), plainCell(d.At.UTC().Format(time.RFC3339)), plainCell(d.By+words.Colon(d.OrderedBy)), plainCell(d.Reason))
		}
		a.write(w, g)
	}
	a.ordersTable(w, h.Orders)
	g := newGrid("AT", "WHAT THIS DAEMON DID OR NOTICED")
	for _, e := range h.Events {
		g.add(plainCell(e.At.UTC().Format("2006-01-02T15:04:05.000Z")), plainCell(e.Message))
	}
	a.below(w, g)
}
