package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (a *app) lowerVersionCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "lower-version",
		Short: "Let older daemons take part again, before a rollback",
		Long: `New fields and formats are written only once every member reads them; the lowest
version in the record says so, and rises by itself a minute after the last member
was upgraded. Daemons of an earlier version are not heard any more then.

Before you go back to an earlier version, lower it here. What the earlier version
does not know is lost with that, and is named. It stays there until "register
raise-version".`,
		Example: `  haproxyctl register lower-version --dry-run
  haproxyctl register lower-version`,
		RunE: answer(a, func(ctx context.Context, _ []string) (api.LowerResponse, error) {
			return a.client().LowerVersion(ctx, api.LowerRequest{DryRun: dry})
		}, lowered),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only tell what would be lost")
	return cmd
}

func lowered(w io.Writer, r api.LowerResponse) {
	switch {
	case r.DryRun:
		fmt.Fprintf(w, "The lowest version would go from %d to %d. Lost with that:\n", r.From, r.Lowest)
	case r.Changed:
		fmt.Fprintf(w, "The lowest version is %d: earlier daemons may take part again. Lost with that:\n", r.Lowest)
	default:
		fmt.Fprintf(w, "The lowest version is %d already: nothing has changed.\n", r.Lowest)
		return
	}
	for _, l := range r.Lost {
		fmt.Fprintln(w, "  "+l)
	}
	if len(r.Lost) == 0 {
		fmt.Fprintln(w, "  nothing")
	}
}

func (a *app) raiseVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "raise-version",
		Short: "Undo lower-version",
		Long: `Let the lowest version rise again by itself, once every member reads a later one
and a minute has passed.`,
		Example: "  haproxyctl register raise-version",
		RunE:    answer(a, func(ctx context.Context, _ []string) (api.Register, error) { return a.client().RaiseVersion(ctx) }, a.registerTable),
	}
}
