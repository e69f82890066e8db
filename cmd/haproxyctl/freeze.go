package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// order makes cmd one that takes --reason.
func (a *app) order(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.reason, "reason", "",
		"why, in a sentence of 200 bytes at most; the history keeps it with who gave the order")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if err := api.CheckReason(a.reason); err != nil {
			return usagef("--reason: %w", err)
		}
		return nil
	}
	return cmd
}

func (a *app) freezeCommand() *cobra.Command {
	return a.order(&cobra.Command{
		Use:   "freeze",
		Short: "Stop automatic changes of the active node",
		Long: `Stop automatic changes of the active node, on every member and through restarts,
until "unfreeze". "active set" still works. If the active node dies while frozen,
HAProxy's own checks decide where connections go. A second time with another reason
replaces the reason.`,
		Example: `  haproxyctl freeze --reason "upgrade of pxc-0, ask Ana"`,
		RunE: answer(a, func(ctx context.Context, _ []string) (api.Active, error) { return a.client().Freeze(ctx, a.reason) },
			func(w io.Writer, act api.Active) {
				fmt.Fprintf(w, "Frozen: the active node stays %s until `haproxyctl unfreeze` or `haproxyctl active set`.\n", orNone(act.Active))
			}),
	})
}

func (a *app) unfreezeCommand() *cobra.Command {
	return a.order(&cobra.Command{
		Use:   "unfreeze",
		Short: "Undo freeze",
		Long: `Allow automatic changes of the active node again. If it is down, the members move
away from it at once.`,
		Example: "  haproxyctl unfreeze",
		RunE: answer(a, func(ctx context.Context, _ []string) (api.Active, error) { return a.client().Unfreeze(ctx, a.reason) },
			func(w io.Writer, act api.Active) {
				fmt.Fprintf(w, "Not frozen: the members move away from a dead node by themselves again. The active node is %s.\n", orNone(act.Active))
			}),
	})
}
