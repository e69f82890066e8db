package main

import "github.com/spf13/cobra"

func (a *app) configCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use:   "config",
		Short: "Check or write HAProxy's configuration",
		Long: `Check an existing haproxy.cfg for what would send writes to two nodes, or write the
whole configuration that haproxyd steers best. Both work without a daemon.`,
	})
	cmd.AddCommand(a.lintCommand(), a.renderCommand())
	return cmd
}
