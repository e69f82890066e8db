package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

// forOperator is the value of --for.
const forOperator = "percona-operator"

// operatorFlags declares the flags of --for percona-operator.
func (o *renderOptions) operatorFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	p := &o.operator
	f.StringVar(&o.forWhom, "for", "", "write something else than a haproxy.cfg: `"+forOperator+"` prints the patch of a PerconaXtraDBCluster, haproxy.configuration and haproxy.sidecars")
	f.StringVar(&p.Cluster, "cluster", "cluster1", "with --for: the `NAME` of the PerconaXtraDBCluster")
	f.StringVar(&p.Namespace, "namespace", "default", "with --for: its `NAMESPACE`")
	f.StringVar(&p.Domain, "cluster-domain", "cluster.local", "with --for: the `DOMAIN` of the Kubernetes cluster")
	f.IntVar(&p.Nodes, "pxc-size", 3, "with --for: how many database pods are listed; more than there are do no harm")
	f.IntVar(&p.Proxies, "haproxy-size", 3, "with --for: how many HAProxy pods are the first voters; all of them must come for the first start")
	f.StringVar(&p.Image, "image", "ghcr.io/haproxy-peers/haproxyd:latest", "with --for: the `IMAGE` of haproxyd")
	must(cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{forOperator}, cobra.ShellCompDirectiveNoFileComp)))
}

// renderOperator prints the patch.
func (a *app) renderOperator(ctx context.Context, cmd *cobra.Command, o renderOptions) error {
	if o.forWhom != forOperator {
		return usagef("--for %q: it is %s", o.forWhom, forOperator)
	}
	for _, flag := range []string{"nodes", "proxies", "local", "peers-bind", "peer-list", "active", "out", "services", "proxy-bind", "stats-socket", "resolve-conf", "nameservers", "daemon", "health-bind", "health-path"} {
		if cmd.Flags().Changed(flag) {
			return usagef("--%s does not go with --for %s: the operator has its own", flag, forOperator)
		}
	}
	in := o.operator
	in.Render = o.in
	in.Render.Check.Method = configs.CheckMethod(o.check)
	// The defaults of our own checks are too fast for a check that forks.
	for flag, zero := range map[string]func(){
		"check-inter": func() { in.Render.Check.Inter = 0 }, "check-fastinter": func() { in.Render.Check.FastInter = 0 },
		"check-rise": func() { in.Render.Check.Rise = 0 }, "check": func() { in.Render.Check.Method = "" },
	} {
		if !cmd.Flags().Changed(flag) {
			zero()
		}
	}
	// The HAProxy that runs it is in the operator's image, not here.
	if in.Render.HAProxyVersion == "" {
		in.Render.HAProxyVersion = operatorHAProxy
	}
	data, err := configs.PerconaOperator(in)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err = a.stdout.Write(data)
	return err
}

// operatorHAProxy is the HAProxy of the operator 1.15 to 1.19.
const operatorHAProxy = "2.8"
