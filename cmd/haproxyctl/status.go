package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show everything on one screen",
		Long: `Show what is not as agreed, the active node, the database nodes with their votes,
the proxies, and the record's voters.

With --watch the screen is redrawn every second. Where stdout is not a terminal,
--watch prints the status once and then a line for each change; with -o json or
yaml, the whole status again at each change.`,
		Example: `  haproxyctl status
  haproxyctl status --watch
  haproxyctl status -o json | jq -r '.problems[]'`,
		Args: exactly(),
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
	if act.Reason != "" {
		a.field(w, "Reason", act.Reason)
	}
	a.field(w, "Asked", fmt.Sprintf("%s (haproxyd %s, %s)", s.Member, s.Version, modeWords(s.Mode)))
	if s.Turn != "" {
		a.field(w, "Last turn", s.Turn)
	}
	fmt.Fprintln(w)
	if len(s.Nodes) > 0 {
		a.nodesTable(w, s.Nodes)
		fmt.Fprintln(w)
	}
	if len(s.Members) > 0 {
		a.proxiesTable(w, s.Members)
		fmt.Fprintln(w)
	}
	a.field(w, "Register", a.registerLine(s.Register))
}

func modeWords(mode string) string {
	switch mode {
	case "steer":
		return "steers"
	case "observe":
		return "only observes, never writes"
	case "witness":
		return "a witness without a HAProxy"
	default:
		return mode
	}
}

// banner says first of all whether everything is as agreed.
func (a *app) banner(w io.Writer, s api.Status) {
	problems := problems(s)
	if len(problems) == 0 {
		fmt.Fprintln(w, a.paint(styleGood, fmt.Sprintf("All as agreed: %d of %d proxies go to %s.",
			s.Active.Converged, s.Active.Proxies, s.Active.Active)))
		return
	}
	fmt.Fprintln(w, a.paint(styleBad, fmt.Sprintf("NOT AS AGREED: %s", problems[0])))
	for _, p := range problems[1:] {
		fmt.Fprintln(w, a.paint(styleBad, "          also: "+p))
	}
}

// problems are the daemon's, or what the figures say where it names none: a
// banner must never say that all is well while they do not.
func problems(s api.Status) []string {
	switch act := s.Active; {
	case len(s.Problems) > 0:
		return s.Problems
	case !act.Agreed:
		return []string{"no majority stands behind this now: " + act.Reason}
	case act.Converged < act.Proxies:
		return []string{fmt.Sprintf("%d of %d proxies go to %s", act.Converged, act.Proxies, act.Active)}
	}
	return nil
}
