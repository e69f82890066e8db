package main

import "github.com/spf13/cobra"

func (a *app) configCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use:   "config",
		Short: "Check, extend or write HAProxy's configuration",
		Long: `Check an existing haproxy.cfg for what would send writes to two nodes, add to it what
haproxyd needs, or write the whole configuration that haproxyd steers best. All of it
works without a daemon.

  what you have                                             use
  a haproxy.cfg of your own                                 lint, then adopt
  machines, or pods whose names you know                    render
  the image percona-haproxy: pods as peer-list lists them   peer-list
  Percona's operator 1.15 or later, as it is                operator`,
	})
	cmd.AddCommand(a.lintCommand(), a.adoptCommand(), a.renderCommand(), a.peerListCommand(), a.operatorCommand())
	return cmd
}
