package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/configs"
)

// forOperator is the value of --for.
const forOperator = "percona-operator"

// Values of --print.
const (
	printPatch  = "patch"
	printSecret = "secret"
	printPolicy = "network-policy"
)

// operatorFlags declares the flags of --for percona-operator.
func (o *renderOptions) operatorFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	p := &o.operator
	f.StringVar(&o.forWhom, "for", "", "write something else than a haproxy.cfg: `"+forOperator+"` prints the patch of a PerconaXtraDBCluster, haproxy.configuration and haproxy.sidecars, or what --print says")
	f.StringVar(&o.printWhat, "print", printPatch, "with --for: `"+printPatch+"|"+printSecret+"|"+printPolicy+"`: the patch, which names a Secret and holds no key; that Secret with a new key, to be piped into kubectl create -f -; a NetworkPolicy for the daemons' ports, which you may do without")
	f.StringVar(&p.Encrypt, "gossip-encrypt", "", "with --for: haproxyd's --gossip-encrypt, `accept|send|require`, on the way from daemons without a key to daemons with one")
	f.StringVar(&p.Cluster, "cluster", "cluster1", "with --for: the `NAME` of the PerconaXtraDBCluster")
	f.StringVar(&p.Namespace, "namespace", "default", "with --for: its `NAMESPACE`")
	f.StringVar(&p.Domain, "cluster-domain", "cluster.local", "with --for: the `DOMAIN` of the Kubernetes cluster")
	f.IntVar(&p.Nodes, "pxc-size", 3, "with --for: how many database pods are listed; more than there are do no harm")
	f.IntVar(&p.Proxies, "haproxy-size", 3, "with --for: how many HAProxy pods are the first voters; all of them must come for the first start")
	f.StringVar(&p.Image, "image", "ghcr.io/haproxy-peers/haproxyd:latest", "with --for: the `IMAGE` of haproxyd")
	words(cmd, "print", printPatch, printSecret, printPolicy)
	words(cmd, "gossip-encrypt", "accept", "send", "require")
	words(cmd, "for", forOperator)
}

// renderOperator prints the patch, or what --print says.
func (a *app) renderOperator(cmd *cobra.Command, o renderOptions) error {
	if o.forWhom != forOperator {
		return usagef("--for %q: it is %s", o.forWhom, forOperator)
	}
	for _, flag := range []string{"nodes", "proxies", "local", "peers-bind", "peers-cert", "peers-ca", "peer-list", "active", "out", "services", "proxy-bind", "stats-socket", "resolve-conf", "nameservers", "daemon", "health-bind", "health-path"} {
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
	in.Render.HAProxyVersion = cmp.Or(in.Render.HAProxyVersion, operatorHAProxy)
	data, err := a.operatorText(o.printWhat, in)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	_, err = a.stdout.Write(data)
	return err
}

// operatorText is what --print asks for.
func (a *app) operatorText(what string, in configs.OperatorInput) ([]byte, error) {
	switch what {
	case printPatch:
		return configs.PerconaOperator(in)
	case printSecret:
		if f, ok := a.stdout.(*os.File); ok {
			if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
				return nil, errors.New("--print secret: its key belongs into no file; pipe it: haproxyctl config render ... --print secret | kubectl create -f -")
			}
		}
		return configs.PerconaSecret(in, gossip.NewKey())
	case printPolicy:
		return configs.PerconaNetworkPolicy(in)
	}
	return nil, fmt.Errorf("--print %q: it is %s, %s or %s", what, printPatch, printSecret, printPolicy)
}

// operatorHAProxy is the HAProxy of the operator 1.15 to 1.19.
const operatorHAProxy = "2.8"
