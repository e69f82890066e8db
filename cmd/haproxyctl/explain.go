package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain",
		Short: "Explain a decision (not there yet)",
		Long: `Will explain why the active node is what it is, from the votes that led to it. This
version cannot yet; "active history" and "status" give each decision's reason.`,
		Args: cobra.ArbitraryArgs,
		RunE: runE(func(context.Context, []string) error {
			return errors.New("not yet: this version cannot explain; `haproxyctl active history` gives the reason of every decision, `haproxyctl nodes` every vote")
		}),
	}
}
