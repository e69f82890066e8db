package configs

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Facts of percona/percona-xtradb-cluster-operator, by its files:
//   - build/haproxy-global.cfg, which haproxy.configuration replaces, has the frontends: 3306 and 3309 (accept-proxy), 3307,
//     33062, 33060, and 8404 for Prometheus. So ours take these ports, and the operator's Services lead to them.
//   - build/haproxy_add_pxc_nodes.sh writes backends alone into the second file. Their servers name `resolvers kubernetes`,
//     and it finds the admin socket as the third word of the line with "stats socket" in our text.
//   - build/haproxy-entrypoint.sh ignores our text if `haproxy -c` refuses it together with the second file.
//   - build/haproxy_check_pxc.sh is what both check the nodes with, always on port 33062.
//   - pkg/pxc/app/statefulset/haproxy.go names the volumes, and has the pods start one after the other (OrderedReady).
const (
	operatorSocket    = "/etc/haproxy/pxc/haproxy.sock"
	operatorCheck     = "/opt/percona/haproxy_check_pxc.sh"
	operatorResolvers = "kubernetes"
)

// dnsLabel is the name of a custom resource or a namespace.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// OperatorInput is what a PerconaXtraDBCluster's patch depends on.
type OperatorInput struct {
	// Cluster is the custom resource's name, Namespace where it is, Domain the cluster's DNS domain (cluster.local).
	Cluster, Namespace, Domain string
	// Nodes and Proxies are the sizes of pxc and haproxy. More nodes than there are do no harm: their checks fail.
	Nodes, Proxies int
	// Image is haproxyd's.
	Image string
	// Encrypt is --gossip-encrypt on the way from daemons without a key to daemons with one: accept, then send. "" is
	// haproxyd's own default, require.
	Encrypt string
	// Render is what else may be chosen: Check, Timeouts, MaxConn, HardStopAfter, HAProxyVersion, TableSize.
	Render RenderInput
}

// PerconaOperator writes the patch of a PerconaXtraDBCluster of the operator 1.15 or later: haproxy.configuration and
// haproxy.sidecars. Nothing else is replaced: neither an image nor a script.
func PerconaOperator(in OperatorInput) ([]byte, error) {
	if in.Nodes < 1 || in.Proxies < 1 {
		return nil, fmt.Errorf("operator: %d database nodes and %d HAProxies: there is at least one of each", in.Nodes, in.Proxies)
	}
	if err := in.validate(); err != nil {
		return nil, err
	}
	text, err := Render(in.configuration())
	if err != nil {
		return nil, err
	}
	view := struct {
		OperatorInput
		Configuration, Voters, Join string
	}{OperatorInput: in, Configuration: string(text)}
	var voters, join []string
	for i := range in.Proxies {
		name := in.Cluster + "-haproxy-" + strconv.Itoa(i)
		voters = append(voters, name)
		join = append(join, net.JoinHostPort(name+"."+in.Cluster+"-haproxy", "7946"))
	}
	view.Voters, view.Join = strings.Join(voters, ","), strings.Join(join, ",")
	return execute("percona-operator.yaml.tmpl", view)
}

// validate checks what is not checked by Render.
func (in OperatorInput) validate() error {
	v := validator{name: dnsLabel, host: dnsLabel}
	v.names("cluster", in.Cluster)
	v.names("namespace", in.Namespace)
	v.word("image", in.Image)
	v.word("domain", in.Domain)
	switch in.Encrypt {
	case "", "accept", "send", "require":
	default:
		v.fail("gossip encrypt: %q is none of accept, send, require", in.Encrypt)
	}
	if len(v.errs) > 0 {
		return v.errs[0]
	}
	return nil
}

// configuration is the input of the global file.
func (in OperatorInput) configuration() RenderInput {
	r := in.Render
	r.Operator = true
	r.Nodes = nil
	for i := range in.Nodes {
		name := in.Cluster + "-pxc-" + strconv.Itoa(i)
		// HAProxy's own resolver knows no search list, so the name is whole.
		host := strings.Join([]string{name, in.Cluster + "-pxc", in.Namespace, "svc", in.Domain}, ".")
		r.Nodes = append(r.Nodes, RenderNode{Name: name, Host: host})
	}
	r.StatsSocket, r.StatsSocketMode = operatorSocket, "660"
	r.Resolvers = &RenderResolvers{Name: operatorResolvers, ResolvConf: true}
	r.Services = operatorServices()
	if r.Check.Method == "" || r.Check.Method == CheckTCP {
		r.Check.Method, r.Check.Command = CheckExternal, operatorCheck
	}
	// Each check forks a shell and a client, twelve of them for three nodes; the daemon's own probe is what is fast.
	or(&r.Check.Inter, 5*time.Second)
	or(&r.Check.FastInter, time.Second)
	or(&r.Check.Rise, 1)
	return r
}

// operatorServices have the operator's ports and names of frontends, in front of backends of our own.
func operatorServices() []RenderService {
	services := AllServices()
	for i, backend := range []string{"agreed-nodes", "agreed-admin-nodes", "agreed-mysqlx-nodes", "reader-nodes"} {
		services[i].Backend = backend
	}
	services[0].ProxyBind = ":3309"
	return services
}
