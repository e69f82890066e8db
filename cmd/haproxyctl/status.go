package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show everything on one screen",
		Long: `Show first of all whether everything is as agreed, and what is not; then the active
node and a planned move that is under way; of each database node what each member
says and why; of each proxy where it sends new connections, its sessions by node, the
epoch that it follows, and how it is steered; and the record's voters.

With --watch the screen is redrawn every second. Where stdout is not a terminal,
--watch prints the status once and then a line for each change; with -o json or
yaml, the whole status again at each change.`,
		Example: `  haproxyctl status
  haproxyctl status --watch
  haproxyctl status -o json | jq -r '.problems[]'`,
		RunE: runE(func(ctx context.Context, _ []string) error {
			client := a.client()
			if watch {
				return a.watch(ctx, client.Status)
			}
			s, err := client.Status(ctx)
			if err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) { a.statusTable(w, s) })
		}),
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep showing it until interrupted: the screen every second, or the changes where it is no terminal")
	return cmd
}

func (a *app) statusTable(w io.Writer, s api.Status) {
	a.banner(w, s)
	fmt.Fprintln(w)
	act := s.Active
	if act.Active == "" {
		a.field(w, "Active", "none yet: HAProxy works natively")
	} else {
		frozen := ""
		if act.Frozen {
			frozen = ", " + a.paint(styleWarn, "frozen")
		}
		a.field(w, "Active", fmt.Sprintf("%s, epoch %s%s, since %s%s",
			a.paint(styleBold, act.Active), epoch(act.Recovery, act.Epoch), frozen, a.when(act.Since), by(act.By)))
	}
	a.some(w, "Reason", act.Reason)
	if act.Move != nil {
		a.field(w, "Move", moveField(*act.Move))
		a.some(w, "", act.Move.WaitingFor)
	}
	a.some(w, "Excluded", a.paint(styleWarn, strings.Join(act.Excluded, ", ")))
	a.field(w, "Asked", fmt.Sprintf("%s (haproxyd %s, %s)", s.Member, s.Version, cmp.Or(modeWords[s.Mode], s.Mode)))
	a.some(w, "Last turn", s.Turn)
	for _, warning := range s.Warnings {
		a.field(w, "Warning", a.paint(styleWarn, warning))
	}
	a.healthTable(w, s.Nodes)
	fmt.Fprintln(w)
	if len(s.Members) > 0 {
		a.proxiesTable(w, s.Members)
		fmt.Fprintln(w)
	}
	a.field(w, "Register", a.registerLine(s.Register))
}

// modeWords says what a daemon does that has started in a mode.
var modeWords = map[string]string{
	"steer":   "steers",
	"observe": "only observes, never writes",
	"witness": "a witness without a HAProxy",
}

// banner says first of all whether everything is as agreed.
func (a *app) banner(w io.Writer, s api.Status) {
	problems := problems(s)
	switch move := s.Active.Move; {
	case len(problems) > 0:
		lead := "NOT AS AGREED: "
		for _, p := range problems {
			lines := a.foldIn(styleBad, p, len(lead))
			fmt.Fprintln(w, a.paint(styleBad, lead)+strings.Join(lines, "\n"+strings.Repeat(" ", len(lead))))
			lead = "         also: " // as wide as the first
		}
	case move != nil:
		fmt.Fprintln(w, a.paint(styleWarn, fmt.Sprintf("Moving from %s to %s: %d of %s left.",
			move.From, move.To, move.Left, count(move.Moved, "session"))))
	default:
		fmt.Fprintln(w, a.paint(styleGood, fmt.Sprintf("All as agreed: %d of %d proxies go to %s.",
			s.Active.Converged, s.Active.Proxies, s.Active.Active)))
	}
}

// problems are the daemon's, or what the figures say where it names none: a
// banner must never say that all is well while they do not. A planned move that is
// under way is none: until its end a proxy may hold its connections.
func problems(s api.Status) []string {
	act := s.Active
	switch {
	case len(s.Problems) > 0:
		return s.Problems
	case !act.Agreed && act.LocalOnly == "":
		return []string{"no majority stands behind this now: " + act.Reason}
	}
	var out []string
	if act.LocalOnly != "" {
		out = append(out, fmt.Sprintf("an operator forced %s on the proxy of %s alone, without a majority: two nodes may take writes", act.LocalOnly, s.Member))
	}
	for _, f := range act.Fenced {
		out = append(out, "a fenced proxy serves nobody: "+f)
	}
	out = append(append(out, act.Moved...), act.Astray...)
	if act.Converged < act.Proxies && act.Move == nil && len(out) == 0 {
		out = append(out, fmt.Sprintf("%d of %d proxies go to %s", act.Converged, act.Proxies, act.Active))
	}
	return out
}
