package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (a *app) excludeCommand() *cobra.Command {
	return a.order(&cobra.Command{
		Use:   "exclude NODE",
		Short: "Never choose NODE automatically",
		Long: `Keep NODE from being chosen automatically, until "include" undoes it. All daemons
remember it, also through restarts. If NODE is the active, it stays the active.`,
		Example:           `  haproxyctl exclude pxc-1 --reason "its disk is slow"`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.nodeNames(func(n api.Node) bool { return !n.Excluded }),
		RunE: runE(func(ctx context.Context, args []string) error {
			act, err := a.client().Exclude(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(act, func(w io.Writer) {
				fmt.Fprintf(w, "%s is excluded: it is not chosen until `haproxyctl include %s`.\n", args[0], args[0])
				if act.Active == args[0] {
					fmt.Fprintln(w, "It stays the active node for now: `haproxyctl active set NODE` moves the writes.")
				}
			})
		}),
	})
}

func (a *app) includeCommand() *cobra.Command {
	return a.order(&cobra.Command{
		Use:               "include NODE",
		Short:             "Undo exclude",
		Long:              `Let NODE be chosen again. This moves nothing by itself.`,
		Example:           "  haproxyctl include pxc-1",
		Args:              exactly("NODE"),
		ValidArgsFunction: a.nodeNames(func(n api.Node) bool { return n.Excluded }),
		RunE: runE(func(ctx context.Context, args []string) error {
			act, err := a.client().Include(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(act, func(w io.Writer) {
				fmt.Fprintf(w, "%s is included: it may be chosen again. The active node is still %s.\n", args[0], orNone(act.Active))
			})
		}),
	})
}
