package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) peerListCommand() *cobra.Command {
	o := renderOptions{}
	cmd := &cobra.Command{
		Use:   "peer-list --proxies NAME=HOST,... --out FILE < HOSTS",
		Short: "Keep a haproxy.cfg at the database pods that Kubernetes' peer-list gives, and reload HAProxy",
		Long: `Write what "config render" writes for the database nodes that are hosts on standard
input, one per line, as Kubernetes' peer-list gives those that are ready. A node's id
is its ordinal plus one. Every node that was ever listed stays: the file that is
replaced names them, their checks tell which are down, and a name that does not
resolve is no obstacle to a start (names are resolved while HAProxy runs, by
/etc/resolv.conf unless --nameservers says otherwise). So a list that names fewer of
them changes nothing, and neither the file nor HAProxy is touched.

A node that is new (or another address, or another setting) is a change: the command
waits until HAProxy's process is --reload-window old and no move is under way (a
daemon that does not answer does not count), writes the file with the agreed active
first, reloads HAProxy through --master-socket, and sees that the new process is
there. When HAProxy does not take it the old file is put back. A HAProxy that does
not answer yet is waited for: it may have read the old file while it was starting.
Runs at the same time wait for each other, by FILE.lock. A run that may not reload
within --reload-wait changes nothing, ends with status 1, and wants to be run again.

What the replaced file says of maxconn, user, group and chroot stays, unless the
command line says otherwise.`,
		Example: `  # what peer-list -on-change runs
  haproxyctl config peer-list --proxies px0=10.0.0.20,px1=10.0.0.21,px2=10.0.0.22 --local px0 \
      --master-socket /run/haproxy/master.sock --out /etc/haproxy/haproxy.cfg
  # see what it would write
  echo db-pxc-0.db-pxc.ns.svc.cluster.local | haproxyctl config peer-list --proxies px0=10.0.0.20`,
	}
	cmd.RunE = runE(func(ctx context.Context, _ []string) error {
		o.stdin = cmd.InOrStdin()
		return a.renderPeerList(ctx, o)
	})
	addGroups(cmd, append([]flagGroup{
		{"HAProxies", o.proxyFlags},
		{"The list, and the reload", o.peerListFlags},
	}, o.renderGroups()...)...)
	o.ready(cmd)
	return cmd
}

func (o *renderOptions) peerListFlags(f *pflag.FlagSet) {
	f.StringVar(&o.peerDomain, "peer-domain", "", "the `DOMAIN` of hosts that are listed without one")
	f.IntVar(&o.nodePort, "node-port", 0, "the `PORT` of the listed database nodes instead of 3306")
	f.StringVar(&o.masterSocket, "master-socket", "", "the `PATH` of the socket of haproxy -W -S, through which it is reloaded; nothing is reloaded while it is not there")
	f.DurationVar(&o.reloadWindow, "reload-window", 10*time.Second, "the least time between two reloads, and between a start and a reload")
	f.DurationVar(&o.reloadWait, "reload-wait", 5*time.Minute, "how long to wait until HAProxy may be reloaded")
}

// checkPeerList checks what goes together, and adds what names in Kubernetes need: they
// come and go, so they are resolved while HAProxy runs.
func (o *renderOptions) checkPeerList() error {
	switch {
	case len(o.nodes) > 0: // of the old spelling
		return usagef("--nodes and --peer-list: the nodes come from standard input; give one of them")
	case o.masterSocket != "" && o.out == "-":
		return usagef("--master-socket: there is nothing to reload without --out FILE")
	case o.reloadWindow < 0 || o.reloadWait <= o.reloadWindow:
		return usagef("--reload-wait %s must be longer than --reload-window %s", o.reloadWait, o.reloadWindow)
	case o.nodePort < 0 || o.nodePort > 65535:
		return usagef("--node-port %d is not a port", o.nodePort)
	}
	if len(o.nameservers) == 0 {
		o.resolvConf = true
	}
	return nil
}
