package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

func (a *app) renderCommand() *cobra.Command {
	o := renderOptions{}
	cmd := &cobra.Command{
		Use:   "render --nodes NAME=HOST,... --proxies NAME=HOST,...",
		Short: "Write the haproxy.cfg of a machine, pod or sidecar, from names on the command line",
		Long: `Write the whole configuration of a HAProxy: for each service a frontend and a
backend, the peers, the private table through which haproxyd steers, and the native
stickiness that carries on without it. The active node comes first: connections go
there that arrive before any table is known.

With --from-members the daemons on the other proxies' hosts are asked for the
active node before it is written. Run it so before HAProxy's first start (an init
container, ExecStartPre). When nobody knows by the end of --wait it says so on stderr
and takes --active, else the order in the file that is replaced, else of --nodes:
HAProxy must start also when all proxies start at once.

A file is replaced whole and atomically, after "haproxy -c" has accepted it, and only
if it was rendered before (or with --force). What the replaced one says of maxconn,
user, group and chroot stays, unless the command line says otherwise.

HAProxy opens two files for each connection of --maxconn and some 100 beside them,
and does not start where its limit (ulimit -n, LimitNOFILE=) is below that, although
"haproxy -c" accepts the file.`,
		Example: `  haproxyctl config render --nodes pxc-0=10.0.0.11,pxc-1=10.0.0.12,pxc-2=10.0.0.13 \
      --proxies px0=10.0.0.20,px1=10.0.0.21,px2=10.0.0.22 --local px0 --out /etc/haproxy/haproxy.cfg
  # beside Debian's own service
  haproxyctl config render --nodes ... --proxies ... --user haproxy --group haproxy --chroot /var/lib/haproxy ...
  # a DaemonSet: every pod of a headless service is a HAProxy
  haproxyctl config render --nodes ... --proxies dns:haproxy-peers --local $POD_IP --out /cfg/haproxy.cfg
  # an init container: the agreed active node first
  haproxyctl config render --nodes ... --proxies ... --from-members --wait 5s --out /cfg/haproxy.cfg`,
	}
	cmd.RunE = runE(func(ctx context.Context, _ []string) error {
		if o.forWhom != "" {
			return a.renderOperator(o)
		}
		for _, flag := range []string{"print", "gossip-encrypt"} {
			if o.given(flag) {
				return usagef("--%s goes with --for %s alone", flag, forOperator)
			}
		}
		if o.peerList {
			o.stdin = cmd.InOrStdin()
			return a.renderPeerList(ctx, o)
		}
		return a.render(ctx, o)
	})
	first := flagGroup{"Nodes and HAProxies", func(f *pflag.FlagSet) { o.nodeFlags(f); o.proxyFlags(f) }}
	addGroups(cmd, append([]flagGroup{first}, o.renderGroups()...)...)
	// Until `config peer-list` and `config operator` were commands their flags were this one's.
	addHidden(cmd, o.peerListFlags, o.operatorFlags, func(f *pflag.FlagSet) {
		f.BoolVar(&o.peerList, "peer-list", false, "do what `config peer-list` does")
		f.StringVar(&o.forWhom, "for", "", "with "+forOperator+" do what `config operator` does")
	})
	o.ready(cmd)
	return cmd
}

// rendered is what `config render --out FILE` prints.
type rendered struct {
	File   string `json:"file"`
	Active string `json:"active"`
	// Why says where the active comes from.
	Why string `json:"why"`
	// Checked tells whether haproxy -c has accepted it.
	Checked bool `json:"checked"`
}

func (a *app) render(ctx context.Context, o renderOptions) error {
	in, err := o.input(ctx)
	if err != nil {
		return err
	}
	if err := in.Validate(); err != nil { // before the members are asked for seconds
		return &exitError{exitUsage, err}
	}
	a.noteTwo(len(in.Proxies))
	if in.HAProxyVersion == "" {
		in.HAProxyVersion = haproxyVersion(ctx, o.haproxy)
	}
	var why string
	in.Active, why = a.renderActive(ctx, o, in)
	data, err := configs.Render(in)
	if err != nil {
		return err
	}
	if o.out == "-" {
		_, err := a.stdout.Write(data)
		return err
	}
	checked, err := a.install(ctx, o, data)
	if err != nil {
		return err
	}
	result := rendered{File: o.out, Active: in.Active, Why: why, Checked: checked}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s: %s comes first (%s).\n", o.out, in.Active, why)
	})
}

// haproxyVersion is what the binary says of itself ("HAProxy version 2.6.12-1
// 2026/10/17 - ..."), "" where there is none.
func haproxyVersion(ctx context.Context, binary string) string {
	out, err := exec.CommandContext(ctx, binary, "-v").Output()
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(out), "version ")
	version, _, _ := strings.Cut(rest, " ")
	return version
}

// noteTwo says what two HAProxies mean without a witness, which cannot be seen from here.
func (a *app) noteTwo(proxies int) {
	if proxies == 2 {
		fmt.Fprintf(a.stderr, "haproxyctl: two HAProxies: without a witness, %s; %s\n", configs.TwoProxiesWhy, configs.TwoProxiesFix)
	}
}

func isNode(in configs.RenderInput, name string) bool {
	return slices.ContainsFunc(in.Nodes, func(n configs.RenderNode) bool { return n.Name == name })
}

// renderActive chooses the node that comes first, and says why it is that one.
func (a *app) renderActive(ctx context.Context, o renderOptions, in configs.RenderInput) (active, why string) {
	if o.fromMembers {
		var hosts []string
		for _, p := range in.Proxies {
			hosts = append(hosts, p.Host)
		}
		ctx, cancel := context.WithTimeout(ctx, o.wait)
		defer cancel()
		act, err := agreedActive(ctx, hosts, o.httpPort)
		switch {
		case err != nil:
			fmt.Fprintf(a.stderr, "haproxyctl: asked the members for %s: %s; going on without\n", o.wait, oneLine(err.Error()))
		case !isNode(in, act.Active):
			fmt.Fprintf(a.stderr, "haproxyctl: the members agree on %q, which is none of the nodes; going on without\n", act.Active)
		default:
			return act.Active, "agreed by the members, epoch " + epoch(act.Recovery, act.Epoch)
		}
	}
	if in.Active != "" {
		return in.Active, "--active"
	}
	// The daemon keeps the file at the last decision, which is the best guess when all
	// proxies restart together.
	if names := o.before().NodeNames(); len(names) > 0 && isNode(in, names[0]) {
		return names[0], "it did in the file before"
	}
	if len(o.nodes) == 0 {
		return in.Nodes[0].Name, "the first node"
	}
	return in.Nodes[0].Name, "first of --nodes"
}

// before is the file that is about to be replaced, an empty one if there is none.
func (o renderOptions) before() *configs.Topology {
	if o.out != "-" {
		if t, err := configs.Load(o.out); err == nil {
			return t
		}
	}
	return &configs.Topology{}
}

// install checks the text with haproxy, where there is one, and replaces the file.
func (a *app) install(ctx context.Context, o renderOptions, data []byte) (checked bool, err error) {
	var check func(string) error
	_, missing := exec.LookPath(o.haproxy)
	if errors.Is(missing, exec.ErrNotFound) {
		fmt.Fprintf(a.stderr, "haproxyctl: there is no %s on this machine, so the configuration is written unchecked\n", o.haproxy)
	} else {
		check = func(tmp string) error { return configs.CheckWithHAProxy(ctx, o.haproxy, tmp) }
	}
	err = configs.Install(ctx, o.out, data, check, o.force)
	if errors.Is(err, configs.ErrNotOurs) {
		return false, fmt.Errorf("%s was not written by `haproxyctl config render` and is not replaced: move it away, or use --force", o.out)
	}
	return check != nil, err
}
