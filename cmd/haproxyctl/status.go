package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

func (a *app) statusCommand() *cobra.Command {
	var watch, check bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show everything on one screen",
		Long: `Show first of all how the clients are served, in one line: OK; DEGRADED, they are
served and something is broken; OUTAGE, nobody is served; or UNKNOWN, it cannot be
told. Below it stands what is wrong, the worst first, with what to type. Then the
active node and a planned move that is under way; of each database node what each
member says and why; of each proxy where it sends new connections, its sessions by
node, the epoch that it follows, and how it is steered; and the record's voters.

With --watch the screen is redrawn every second. Where stdout is not a terminal,
--watch prints the status once and then a line for each change; with -o json or
yaml, the whole status again at each change.

With --check it is a plugin for monitoring: one line on stdout with performance data,
and the exit status 0 for OK, 1 for DEGRADED, 2 for OUTAGE, 3 for UNKNOWN and for
every error, of usage too.`,
		Example: `  haproxyctl status
  haproxyctl status --watch
  haproxyctl status --check
  haproxyctl status -o json | jq -r '.problems[] | "\(.severity) \(.code): \(.text)"'`,
		RunE: runE(func(ctx context.Context, _ []string) error {
			client := a.client()
			switch {
			case check && (watch || a.format != formatTable):
				return usagef("--check prints one line, neither --watch nor -o goes with it")
			case check:
				return a.statusCheck(ctx, client.Status)
			}
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
	cmd.Flags().BoolVar(&check, "check", false, "print one line for monitoring, and end with 0, 1, 2 or 3 as its plugins do")
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
	a.fields(w, "Stall", words.Stalls(s.Nodes))
	a.field(w, "Register", a.registerLine(s.Register))
}

// modeWords says what a daemon does that has started in a mode.
var modeWords = map[string]string{
	"steer":   "steers",
	"observe": "only observes, never writes",
	"witness": "a witness without a HAProxy",
}

// banner says first of all how the clients are served, as the daemon judges it, and then
// what is wrong or should be known, each with what to type.
func (a *app) banner(w io.Writer, s api.Status) {
	a.verdict(w, s.State, cmp.Or(s.Headline, fmt.Sprintf("haproxyd %s does not judge how the clients are served: upgrade it", s.Version)))
	for _, p := range s.Problems {
		lead, style := p.Severity+": ", severityStyle(p.Severity)
		lines := a.foldIn(style, p.Text, len(lead))
		fmt.Fprintln(w, a.paint(style, lead)+strings.Join(lines, "\n"+strings.Repeat(" ", len(lead))))
		if p.Next != "" {
			fmt.Fprintf(w, "  try: %s\n", a.paint(styleBold, p.Next)) // never folded: it is to be copied
		}
	}
}

// verdict is the headline with its state.
func (a *app) verdict(w io.Writer, state, headline string) {
	lead := stateWord(state) + "  "
	style := map[string]style{api.StateOK: styleGood, api.StateDegraded: styleWarn}[state]
	style = cmp.Or(style, styleBad)
	lines := a.foldIn(style, headline, len(lead))
	fmt.Fprintln(w, a.paint(style, lead)+strings.Join(lines, "\n"+strings.Repeat(" ", len(lead))))
}

// stateWord is a state for people; a daemon that names none is too old to tell.
func stateWord(state string) string {
	return strings.ToUpper(cmp.Or(state, api.StateUnknown))
}

func severityStyle(severity string) style {
	switch severity {
	case api.SeverityInfo:
		return styleNone
	case api.SeverityWarning:
		return styleWarn
	}
	return styleBad
}
