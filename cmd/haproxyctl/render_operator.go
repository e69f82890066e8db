package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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

func (a *app) operatorCommand() *cobra.Command {
	o := renderOptions{forWhom: forOperator}
	cmd := &cobra.Command{
		Use:   "operator --cluster NAME --namespace NAMESPACE",
		Short: "Print what Percona's operator needs to run haproxyd beside its HAProxies",
		Long: `Print the patch of a PerconaXtraDBCluster (operator 1.15 and later) that gives its
HAProxies our configuration and haproxyd as a sidecar: haproxy.configuration and
haproxy.sidecars. No image and no script of the operator's is replaced; how to apply
the patch, how to see that HAProxy took it, and the way back stand at its head.

The patch names a Secret and holds no key. --print secret prints that Secret with a
new key, to be piped into kubectl and kept nowhere; --print network-policy a
NetworkPolicy for the daemons' ports, which you may do without.

When a patch is printed again, give all the flags that it was printed with before:
it replaces the whole sidecar and the whole configuration.`,
		Example: `  haproxyctl config operator --cluster cluster1 --namespace pxc --print secret | kubectl create -f -
  haproxyctl config operator --cluster cluster1 --namespace pxc > patch.yaml
  kubectl -n pxc patch pxc cluster1 --type merge --patch-file patch.yaml`,
	}
	cmd.RunE = runE(func(context.Context, []string) error { return a.renderOperator(o) })
	addGroups(cmd,
		flagGroup{"The cluster, and what is printed", o.operatorFlags},
		flagGroup{"HAProxy and its checks of the nodes", o.operatorHAProxyFlags},
		flagGroup{"Timeouts", o.timeoutFlags})
	o.ready(cmd)
	return cmd
}

func (o *renderOptions) operatorFlags(f *pflag.FlagSet) {
	p := &o.operator
	f.StringVar(&p.Cluster, "cluster", "cluster1", "the `NAME` of the PerconaXtraDBCluster")
	f.StringVar(&p.Namespace, "namespace", "default", "the `NAMESPACE` of the PerconaXtraDBCluster")
	f.StringVar(&p.Domain, "cluster-domain", "cluster.local", "the `DOMAIN` of the Kubernetes cluster")
	f.IntVar(&p.Nodes, "pxc-size", 3, "how many database pods are listed; more than there are do no harm")
	f.IntVar(&p.Proxies, "haproxy-size", 3, "how many HAProxy pods are the first voters; all of them must come for the first start")
	f.StringVar(&p.Image, "image", "ghcr.io/haproxy-peers/haproxyd:latest", "the `IMAGE` of haproxyd")
	f.StringVar(&o.printWhat, "print", printPatch, "`"+printPatch+"|"+printSecret+"|"+printPolicy+"`: the patch; the Secret that it names, with a new key; a NetworkPolicy")
	f.StringVar(&p.Encrypt, "gossip-encrypt", "", "haproxyd's --gossip-encrypt, `accept|send|require`, on the way from daemons without a key to daemons with one")
}

// operatorHAProxyFlags are what else may be chosen, with what is so under the operator, where a check forks and no file is
// replaced.
func (o *renderOptions) operatorHAProxyFlags(f *pflag.FlagSet) {
	o.checkFlags(f)
	o.limitFlags(f)
	o.tableFlags(f)
	o.versionFlag(f)
	for flag, d := range map[string]struct{ usage, value string }{
		"check":           {"", string(configs.CheckExternal)},
		"check-command":   {"the absolute `PATH` of the program of --check external (default: the operator's own)", ""},
		"check-inter":     {"", "5s"},
		"check-fastinter": {"", "1s"},
		"check-rise":      {"", "1"},
		"maxconn":         {"the connections that the whole process takes at once; it opens twice as many files and 100", strconv.Itoa(configs.DefaultMaxConn)},
		"haproxy-version": {"the `VERSION` of the operator's HAProxy; --hold depends on it", operatorHAProxy},
	} {
		fl := f.Lookup(flag)
		fl.Usage, fl.DefValue = cmp.Or(d.usage, fl.Usage), d.value
	}
}

// renderOperator prints the patch, or what --print says.
func (a *app) renderOperator(o renderOptions) error {
	if o.forWhom != forOperator {
		return usagef("--for %q: it is %s", o.forWhom, forOperator)
	}
	// Only the old spelling has these.
	for _, flag := range []string{"nodes", "proxies", "local", "peers-bind", "peers-cert", "peers-ca", "peer-list", "active", "out", "services", "proxy-bind", "stats-socket", "resolve-conf", "nameservers", "daemon", "health-bind", "health-path", "user", "group", "chroot"} {
		if o.given(flag) {
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
		if !o.given(flag) {
			zero()
		}
	}
	// The HAProxy that runs it is in the operator's image, not here.
	in.Render.HAProxyVersion = cmp.Or(in.Render.HAProxyVersion, operatorHAProxy)
	data, err := a.operatorText(o.printWhat, in)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if o.printWhat == printPatch {
		a.noteTwo(in.Proxies)
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
				return nil, errors.New("--print secret: its key belongs into no file; pipe it: haproxyctl config operator ... --print secret | kubectl create -f -")
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
