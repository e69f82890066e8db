package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

// renderServiceNames are the values of --services, in the order of configs.AllServices.
var renderServiceNames = []string{"writers", "admin", "mysqlx", "readers"}

// checkMethods are the values of --check.
var checkMethods = []string{string(configs.CheckTCP), string(configs.CheckMySQL), string(configs.CheckExternal)}

// renderOptions are the flags of `config render`, `config peer-list` and `config operator`.
type renderOptions struct {
	in          configs.RenderInput
	nodes       []string
	proxies     []string
	services    []string
	proxyBind   string
	check       string
	resolvConf  bool
	nameservers []string

	out         string
	force       bool
	haproxy     string
	fromMembers bool
	wait        time.Duration
	httpPort    int

	forWhom   string
	printWhat string
	operator  configs.OperatorInput

	peerList     bool
	peerDomain   string
	nodePort     int
	masterSocket string
	reloadWindow time.Duration
	reloadWait   time.Duration
	stdin        io.Reader

	// given tells whether a flag was on the command line.
	given func(flag string) bool
}

func (o *renderOptions) nodeFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.nodes, "nodes", nil, "the database nodes in the order of preference, each `NAME=HOST[:PORT][,id=N]`, with commas between them or the flag repeated; the id defaults to the number in the name plus one, and one PORT for all replaces 3306")
}

func (o *renderOptions) proxyFlags(f *pflag.FlagSet) {
	in := &o.in
	f.StringSliceVar(&o.proxies, "proxies", nil, "all HAProxies, this one among them, each `NAME=HOST[:PORT]` where PORT is its peers port; or dns:HOST[:PORT]: one at each address of HOST, named like 10-0-0-5")
	f.StringVar(&in.LocalProxy, "local", "", "the `NAME` of the HAProxy that the file is for (with dns: its address will do); without it HAProxy takes its name from -L or the hostname, and one file serves all")
	f.StringVar(&in.PeersBind, "peers-bind", "", "the `ADDR` at which the --local HAProxy listens for its peers, such as 0.0.0.0, where its HOST is not its own address")
}

func (o *renderOptions) activeFlags(f *pflag.FlagSet) {
	f.StringVar(&o.in.Active, "active", "", "the `NODE` that comes first (default: the one in the file that is replaced, else the first one)")
	f.BoolVar(&o.fromMembers, "from-members", false, "ask the daemons on the proxies' hosts for the agreed active node and put it first")
	f.DurationVar(&o.wait, "wait", 5*time.Second, "how long to ask the members before going on without them, and how long to wait for the addresses of dns:HOST")
	f.IntVar(&o.httpPort, "http-port", 9102, "the `PORT` of the members' --http-bind")
}

func (o *renderOptions) fileFlags(f *pflag.FlagSet) {
	f.StringVar(&o.out, "out", "-", "the `FILE` to replace; - prints it")
	f.BoolVar(&o.force, "force", false, "replace a file that was not rendered before")
	f.StringVar(&o.haproxy, "haproxy", "haproxy", "the haproxy `BINARY` that checks the file before it is replaced; skipped if there is none")
	o.versionFlag(f)
}

func (o *renderOptions) versionFlag(f *pflag.FlagSet) {
	f.StringVar(&o.in.HAProxyVersion, "haproxy-version", "", "the `VERSION` of the HAProxy that runs the file (default: that of --haproxy, else one before 3.0); --hold depends on it")
}

func (o *renderOptions) serviceFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.services, "services", renderServiceNames, "what to write a frontend and a backend for, some of "+strings.Join(renderServiceNames, ", "))
	f.StringVar(&o.proxyBind, "proxy-bind", "", "another `ADDR:PORT` of the writers, for clients that announce the address of theirs (PROXY protocol); Percona's is :3309")
	f.StringVar(&o.in.HealthBind, "health-bind", ":8404", "the `ADDR:PORT` where readiness probes ask this HAProxy")
	f.StringVar(&o.in.HealthPath, "health-path", "/ready", "the URL `PATH` that readiness probes ask for")
}

func (o *renderOptions) peersFlags(f *pflag.FlagSet) {
	in := &o.in
	f.StringVar(&in.PeersName, "peers-name", "mypeers", "the `NAME` of the peers section")
	f.IntVar(&in.PeersPort, "peers-port", 10000, "the `PORT` on which the HAProxies replicate their tables")
	f.StringVar(&in.PeersCert, "peers-cert", "", "replicate the tables under TLS: the `FILE` with this HAProxy's certificate and key; only who shows one of --peers-ca's is spoken to")
	f.StringVar(&in.PeersCA, "peers-ca", "", "with --peers-cert: the `FILE` with the authority that signed the certificates of all HAProxies")
	o.tableFlags(f)
}

func (o *renderOptions) tableFlags(f *pflag.FlagSet) {
	f.StringVar(&o.in.TableSize, "table-size", "100k", "the `SIZE` of the native tables; it must exceed the sessions that connect at once")
	f.IntVar(&o.in.SelfPeerPort, "self-peer-port", 10001, "the loopback `PORT` through which the private table outlives a reload")
}

func (o *renderOptions) processFlags(f *pflag.FlagSet) {
	in := &o.in
	o.limitFlags(f)
	f.StringVar(&in.User, "user", "", "the `USER` that HAProxy, started as root, becomes; the sockets are that user's, too (default: as in the file that is replaced; '' for none)")
	f.StringVar(&in.Group, "group", "", "the `GROUP` that it becomes; a daemon in it may open the sockets (default: as in the file that is replaced; '' for none)")
	f.StringVar(&in.Chroot, "chroot", "", "the `DIR` that HAProxy locks itself into after its start; not with --check external (default: as in the file that is replaced; '' for none)")
	f.StringVar(&in.StatsSocket, "stats-socket", "/run/haproxy/admin.sock", "the `PATH` of HAProxy's own admin socket, which the daemon uses")
	f.StringVar(&in.StatsSocketMode, "stats-socket-mode", "660", "the octal file `MODE` of that socket")
	f.StringVar(&in.Daemon, "daemon", "127.0.0.1:9102", "the `ADDR:PORT` of the daemon's --http-bind as HAProxy reaches it")
}

func (o *renderOptions) limitFlags(f *pflag.FlagSet) {
	f.IntVar(&o.in.MaxConn, "maxconn", 0, fmt.Sprintf("the connections that the whole process takes at once; it opens twice as many files and 100 (default: as in the file that is replaced, else %d)", configs.DefaultMaxConn))
	f.DurationVar(&o.in.HardStopAfter, "hard-stop-after", 30*time.Second, "how long sessions of the process before a reload may live on")
}

func (o *renderOptions) checkFlags(f *pflag.FlagSet) {
	c := &o.in.Check
	f.StringVar(&o.check, "check", checkMethods[0], "how HAProxy checks the nodes: tcp connects, mysql reads the handshake, external runs --check-command")
	f.StringVar(&c.User, "check-user", "", "the `USER` of --check mysql, an account without a password")
	f.StringVar(&c.Command, "check-command", "", "the absolute `PATH` of the program of --check external; it must find its credentials in a file of its own")
	f.StringVar(&c.Path, "check-path", "", "the PATH variable of that program (default /usr/local/bin:/usr/bin:/bin)")
	f.IntVar(&c.Port, "check-port", 0, "the `PORT` to check instead of the service's own")
	f.DurationVar(&c.Inter, "check-inter", time.Second, "the time between two checks of a node")
	f.DurationVar(&c.FastInter, "check-fastinter", 200*time.Millisecond, "the time between two checks while a node is changing state")
	f.IntVar(&c.Rise, "check-rise", 2, "how many good checks in a row bring a node up")
	f.IntVar(&c.Fall, "check-fall", 2, "how many bad checks in a row take a node down")
}

func (o *renderOptions) timeoutFlags(f *pflag.FlagSet) {
	t := &o.in.Timeouts
	f.DurationVar(&t.Connect, "timeout-connect", 2*time.Second, "how long connecting to a node may take")
	f.DurationVar(&t.Client, "timeout-client", 8*time.Hour, "how long a client may be idle")
	f.DurationVar(&t.Server, "timeout-server", 8*time.Hour, "how long a node may be idle")
	f.DurationVar(&t.Queue, "timeout-queue", time.Minute, "how long a connection may wait for a node; it must be longer than a planned move")
	f.DurationVar(&t.Check, "timeout-check", 0, "bounds a check after it has connected; 0 leaves it to HAProxy (the time between checks)")
}

func (o *renderOptions) resolverFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.resolvConf, "resolve-conf", false, "resolve the nodes' names while HAProxy runs, by the servers of /etc/resolv.conf")
	f.StringSliceVar(&o.nameservers, "nameservers", nil, "resolve the nodes' names while HAProxy runs, by these servers, each `ADDR:PORT`")
}

// renderGroups are the flags that say what is in a haproxy.cfg and where it goes.
func (o *renderOptions) renderGroups() []flagGroup {
	return []flagGroup{
		{"The node that comes first", o.activeFlags},
		{"The file", o.fileFlags},
		{"What clients and probes connect to", o.serviceFlags},
		{"Checks of the nodes", o.checkFlags},
		{"HAProxy's process", o.processFlags},
		{"Tables and peers", o.peersFlags},
		{"The nodes' names", o.resolverFlags},
		{"Timeouts", o.timeoutFlags},
	}
}

// ready completes the values of those of the flags that cmd has, which are all declared by now.
func (o *renderOptions) ready(cmd *cobra.Command) {
	for flag, values := range map[string][]string{
		"check": checkMethods, "services": renderServiceNames, "for": {forOperator},
		"print": {printPatch, printSecret, printPolicy}, "gossip-encrypt": {"accept", "send", "require"},
	} {
		if cmd.Flags().Lookup(flag) != nil {
			oneOf(cmd, flag, values...)
		}
	}
	for _, flag := range []string{"out", "master-socket", "haproxy", "check-command", "peers-cert", "peers-ca"} {
		if cmd.Flags().Lookup(flag) != nil {
			files(cmd, flag)
		}
	}
	o.given = cmd.Flags().Changed
}

// input turns the flags into the configuration's input. What is wrong in a value
// is said by configs.Render; here only what cannot be read at all.
func (o renderOptions) input(ctx context.Context) (configs.RenderInput, error) {
	in := o.in
	if len(o.nodes) == 0 {
		return in, usagef("--nodes is missing: name the database nodes as NAME=HOST,NAME=HOST")
	}
	nodes, nodePort, err := parseNodes(o.nodes)
	if err != nil {
		return in, err
	}
	return o.inputFor(ctx, nodes, nodePort)
}

// inputFor is the input with these nodes; nodePort is 0 for 3306.
func (o renderOptions) inputFor(ctx context.Context, nodes []configs.RenderNode, nodePort int) (configs.RenderInput, error) {
	in := o.in
	var err error
	if len(o.proxies) == 0 {
		return in, usagef("--proxies is missing: name every HAProxy, this one among them, as NAME=HOST,NAME=HOST")
	}
	in.Nodes = nodes
	if in.Proxies, in.LocalProxy, err = o.renderProxies(ctx); err != nil {
		return in, err
	}
	if in.Services, err = o.renderServices(nodePort); err != nil {
		return in, err
	}
	in.Check.Method = configs.CheckMethod(o.check)
	if o.resolvConf || len(o.nameservers) > 0 {
		in.Resolvers = &configs.RenderResolvers{ResolvConf: o.resolvConf, Nameservers: o.nameservers}
	}
	o.keep(&in)
	return in, nil
}

// keep takes from the file that is replaced, whoever wrote it, what the command line does not say of HAProxy's process.
// One that cannot be read says nothing; it is not replaced either.
func (o renderOptions) keep(in *configs.RenderInput) {
	if o.out == "-" {
		return
	}
	g, err := configs.ReadGlobal(o.out)
	if err != nil {
		return
	}
	if !o.given("maxconn") {
		in.MaxConn = g.MaxConn
	}
	for flag, v := range map[string]struct {
		to   *string
		kept string
	}{"user": {&in.User, g.User}, "group": {&in.Group, g.Group}, "chroot": {&in.Chroot, g.Chroot}} {
		if !o.given(flag) {
			*v.to = v.kept
		}
	}
}

func (o renderOptions) renderServices(nodePort int) ([]configs.RenderService, error) {
	var out []configs.RenderService
	for _, name := range o.services {
		i := slices.Index(renderServiceNames, name)
		if i < 0 {
			return nil, usagef("--services %q: it is some of %s", name, strings.Join(renderServiceNames, ", "))
		}
		service := configs.AllServices()[i]
		if nodePort != 0 && service.NodePort == configs.Writers().NodePort {
			service.NodePort = nodePort
		}
		if name == "writers" {
			service.ProxyBind = o.proxyBind
		}
		out = append(out, service)
	}
	return out, nil
}

// parseNodes reads the values of --nodes, which the flag has split at commas: an
// "id=N" belongs to the node before it. port is 0 where none was given.
func parseNodes(values []string) (nodes []configs.RenderNode, port int, err error) {
	for _, s := range values {
		if id, ok := strings.CutPrefix(s, "id="); ok {
			n, err := strconv.Atoi(id)
			if err != nil || n < 1 || len(nodes) == 0 {
				return nil, 0, usagef("--nodes %q: an id is a number above 0, after its node", s)
			}
			nodes[len(nodes)-1].ID = n
			continue
		}
		name, host, p, err := parseNamed("--nodes", s)
		if err != nil {
			return nil, 0, err
		}
		if p != 0 && port != 0 && p != port || len(nodes) > 0 && (p == 0) != (port == 0) {
			return nil, 0, usagef("--nodes %q: all nodes have the same port", s)
		}
		port = p
		nodes = append(nodes, configs.RenderNode{Name: name, Host: host})
	}
	return nodes, port, nil
}

// parseNamed reads NAME=HOST[:PORT]; an IPv6 address with a port is in brackets.
func parseNamed(flag, s string) (name, host string, port int, err error) {
	name, address, ok := strings.Cut(s, "=")
	if !ok || name == "" || address == "" {
		return "", "", 0, usagef("%s %q: it is NAME=HOST or NAME=HOST:PORT", flag, s)
	}
	if net.ParseIP(address) != nil || !strings.Contains(address, ":") {
		return name, strings.Trim(address, "[]"), 0, nil
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", 0, usagef("%s %q: %s", flag, s, fmt.Sprint(lastCause(err)))
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || n == 0 {
		return "", "", 0, usagef("%s %q: %q is not a port", flag, s, portText)
	}
	return name, host, int(n), nil
}
