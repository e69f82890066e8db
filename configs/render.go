package configs

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed templates/*.tmpl
var templates embed.FS

// Defaults of a rendered configuration, and of what is adopted.
const (
	peersPort     = 10000
	selfPeerPort  = 10001
	daemonAddress = "127.0.0.1:9102"
	tableSize     = "100k"
)

// filledLine is the begin of a line that is not empty.
var filledLine = regexp.MustCompile(`\n([^\n])`)

// RenderNode is a database node.
type RenderNode struct {
	// Name is the server's name, the same in every backend.
	Name string
	// Host is its address or DNS name.
	Host string
	// ID is the server's id; 0 means the number at the end of the name plus one (pxc-0 has 1). It must be the same in
	// every HAProxy's file and never change, because the private table holds ids.
	ID int
}

// RenderProxy is a HAProxy.
type RenderProxy struct {
	// Name is its name among the peers, Host its address or DNS name.
	Name, Host string
	// Port is its peers port; 0 means RenderInput.PeersPort.
	Port int
}

// RenderService is one frontend with its backend. Use Writers, Admin, MySQLX and Readers, and change what differs.
type RenderService struct {
	Frontend, Backend string
	// Bind is the address that the frontend listens on, as in a bind line (":3306").
	Bind string
	// ProxyBind is another one, for clients that announce the address of theirs (accept-proxy); "" for none.
	ProxyBind string
	// NodePort is the port on the database nodes.
	NodePort int
	// Sticky backends follow the active node; the others spread connections over all nodes.
	Sticky bool
}

// Writers is the service for the classic protocol on the active node: Percona's galera-nodes, port 3306.
func Writers() RenderService {
	return RenderService{Frontend: "galera-in", Backend: "galera-nodes", Bind: ":3306", NodePort: 3306, Sticky: true}
}

// Admin is the administrative port of the active node: Percona's galera-admin-nodes, port 33062.
func Admin() RenderService {
	return RenderService{Frontend: "galera-admin-in", Backend: "galera-admin-nodes", Bind: ":33062", NodePort: 33062, Sticky: true}
}

// MySQLX is the X protocol on the active node: Percona's galera-mysqlx-nodes, port 33060.
func MySQLX() RenderService {
	return RenderService{Frontend: "galera-mysqlx-in", Backend: "galera-mysqlx-nodes", Bind: ":33060", NodePort: 33060, Sticky: true}
}

// Readers spreads connections over all nodes: Percona's galera-replica-nodes, port 3307 in front of 3306.
func Readers() RenderService {
	return RenderService{Frontend: "galera-replica-in", Backend: "galera-replica-nodes", Bind: ":3307", NodePort: 3306}
}

// AllServices are the four of Percona's operator.
func AllServices() []RenderService {
	return []RenderService{Writers(), Admin(), MySQLX(), Readers()}
}

// CheckMethod is how HAProxy checks a database node.
type CheckMethod string

const (
	// CheckTCP only connects.
	CheckTCP CheckMethod = "tcp"
	// CheckMySQL reads the server's handshake as RenderCheck.User (`option mysql-check`), which must have no password.
	CheckMySQL CheckMethod = "mysql"
	// CheckExternal runs RenderCheck.Command. HAProxy gives it the proxy's and the server's address and port as
	// arguments and nothing of its own environment, so that the command must read its credentials from a file.
	CheckExternal CheckMethod = "external"
)

// RenderCheck says how database nodes are checked. Zero values are the defaults that the fields name.
type RenderCheck struct {
	// Method defaults to CheckTCP.
	Method CheckMethod
	// User is the account of CheckMySQL.
	User string
	// Command is the absolute path of CheckExternal's program, Path its PATH (default /usr/local/bin:/usr/bin:/bin).
	Command, Path string
	// Port is checked instead of the service's own port; 0 checks the service's.
	Port int
	// Inter is the time between checks: 1 s. FastInter is the one while a node is changing state: 200 ms.
	Inter, FastInter time.Duration
	// Rise and Fall are the checks in a row that bring a node up (default 2) or down (default 2).
	Rise, Fall int
}

// RenderTimeouts are HAProxy's timeouts. Zero values are the defaults that the fields name.
type RenderTimeouts struct {
	// Connect: 2 s. A node that hangs is left after it, by `option redispatch`.
	Connect time.Duration
	// Client and Server: 8 h, MySQL's own wait_timeout.
	Client, Server time.Duration
	// Queue: 60 s. It must be longer than the longest hold of a planned move (HAPROXY.md 16).
	Queue time.Duration
	// Check bounds a check after its connection; 0 leaves HAProxy's rule (the check interval).
	Check time.Duration
}

// RenderResolvers makes HAProxy resolve the nodes' names while it runs, which DNS names in Kubernetes need.
type RenderResolvers struct {
	// Name of the section; default dns.
	Name string
	// ResolvConf takes the servers of /etc/resolv.conf; Nameservers are ADDRESS:PORT. One of them must be given.
	ResolvConf  bool
	Nameservers []string
}

// RenderInput is everything that a rendered configuration depends on. Zero values are the defaults that the fields
// name; Nodes and Proxies must be given.
type RenderInput struct {
	// Nodes in the order of preference.
	Nodes []RenderNode
	// Active is the node that is listed first and is not backup: where connections go that come before any table is
	// known. Default: the first of Nodes.
	Active string
	// Proxies are all HAProxies, the local one among them.
	Proxies []RenderProxy
	// LocalProxy is the name of the HAProxy that this file is for. Empty makes a file that is the same for all:
	// then HAProxy takes its name from -L or from the host.
	LocalProxy string
	// PeersBind is the address that stands on the local peer's line, at which HAProxy listens for the others: for where
	// the local proxy's Host is not an address of this machine (a Kubernetes Service). It needs LocalProxy; "" means Host.
	// HAProxy resolves the name of every peer when it starts, without resolvers or init-addr, and ends if one fails.
	PeersBind string
	// Operator makes the text for a PerconaXtraDBCluster's haproxy.configuration, the same for all its HAProxies: see
	// PerconaOperator. Proxies and LocalProxy must then be empty.
	Operator bool
	// Services defaults to AllServices.
	Services []RenderService
	// PeersName is the name of the peers section; default mypeers. PeersPort: 10000. SelfPeerPort: 10001, on loopback.
	PeersName    string
	PeersPort    int
	SelfPeerPort int
	// PeersCert is the file with this HAProxy's certificate and its key, PeersCA the one with the authority that signed
	// those of all HAProxies: the peers then speak TLS, and only with who shows such a certificate. Both or neither; ""
	// means in the clear. The local section (SelfPeerPort) is on loopback and needs none.
	PeersCert, PeersCA string
	// StatsSocket: /run/haproxy/admin.sock. StatsSocketMode: 660.
	StatsSocket, StatsSocketMode string
	// Daemon is haproxyd's --http-bind as seen from HAProxy: 127.0.0.1:9102.
	Daemon string
	// HealthBind (":8404") and HealthPath ("/ready") are where readiness probes ask.
	HealthBind, HealthPath string
	// TableSize of the native tables: 100k. It must exceed the sessions that connect at once (HAPROXY.md 1).
	TableSize string
	// MaxConn of the whole process: DefaultMaxConn. HAProxy does not start where the limit of open files is below about
	// twice that.
	MaxConn int
	// User and Group are whom HAProxy, started as root, becomes; its sockets are theirs. Chroot is the directory that it
	// locks itself into when it has read and bound everything. "" leaves a line out, as a pod wants it.
	User, Group, Chroot string
	// HAProxyVersion is the version that will run the file, as `haproxy -v` prints it. It decides on `option
	// redispatch` in the sticky backends (see StickyBackend.HoldReverts); empty means one before 3.0.
	HAProxyVersion string
	// HardStopAfter bounds a reload's old process: 30 s.
	HardStopAfter time.Duration
	Check         RenderCheck
	Timeouts      RenderTimeouts
	// Resolvers is nil where names are resolved once, at the start.
	Resolvers *RenderResolvers
}

// DefaultMaxConn is the MaxConn of a file that says none: HAProxy starts with it where 20,000 files may be open, which some
// container runtimes and service managers have as their limit. It needs two for each connection and some 50 to 100 beside
// them: 10,000 is refused there at the start, and not yet by haproxy -c (TestDefaultMaxConn).
const DefaultMaxConn = 8000

// Render writes the whole configuration of a HAProxy with a private table, a beacon and native stickiness behind it.
// Its error joins one line for each field that is wrong. The result is deterministic.
func Render(in RenderInput) ([]byte, error) {
	in = in.withDefaults()
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return execute("haproxy.cfg.tmpl", in.view())
}

// execute writes one of the templates.
func execute(name string, view any) ([]byte, error) {
	t, err := template.New(name).Funcs(template.FuncMap{
		"join": strings.Join,
		"ms":   func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" },
		"indent": func(n int, s string) string {
			return filledLine.ReplaceAllString(strings.TrimSuffix(s, "\n"), "\n"+strings.Repeat(" ", n)+"$1")
		},
	}).ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, view)
	return out.Bytes(), err
}

func or[T comparable](value *T, fallback T) {
	*value = cmp.Or(*value, fallback)
}

func (in RenderInput) withDefaults() RenderInput {
	in.Nodes = slices.Clone(in.Nodes)
	for i := range in.Nodes {
		if n, ok := ordinal(in.Nodes[i].Name); ok {
			or(&in.Nodes[i].ID, n+1)
		}
	}
	if len(in.Nodes) > 0 {
		or(&in.Active, in.Nodes[0].Name)
	}
	or(&in.PeersPort, peersPort)
	or(&in.SelfPeerPort, selfPeerPort)
	in.Proxies = slices.Clone(in.Proxies)
	for i := range in.Proxies {
		or(&in.Proxies[i].Port, in.PeersPort)
	}
	if in.Services == nil {
		in.Services = AllServices()
	}
	or(&in.PeersName, "mypeers")
	or(&in.StatsSocket, "/run/haproxy/admin.sock")
	or(&in.StatsSocketMode, "660")
	or(&in.Daemon, daemonAddress)
	or(&in.HealthBind, ":8404")
	or(&in.HealthPath, "/ready")
	or(&in.TableSize, tableSize)
	or(&in.MaxConn, DefaultMaxConn)
	or(&in.HardStopAfter, 30*time.Second)
	or(&in.Check.Method, CheckTCP)
	or(&in.Check.Path, "/usr/local/bin:/usr/bin:/bin")
	or(&in.Check.Inter, time.Second)
	or(&in.Check.FastInter, min(200*time.Millisecond, in.Check.Inter))
	or(&in.Check.Rise, 2)
	or(&in.Check.Fall, 2)
	or(&in.Timeouts.Connect, 2*time.Second)
	or(&in.Timeouts.Client, 8*time.Hour)
	or(&in.Timeouts.Server, 8*time.Hour)
	or(&in.Timeouts.Queue, time.Minute)
	if in.Resolvers != nil {
		r := *in.Resolvers
		or(&r.Name, "dns")
		in.Resolvers = &r
	}
	return in
}

// ordinal gives the number at the end of a name, as a StatefulSet's pods have it.
func ordinal(name string) (int, bool) {
	digits := name[len(strings.TrimRight(name, "0123456789")):]
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

type renderView struct {
	RenderInput
	HeaderLine, HeaderNodes string
	Order                   []string
	SelfName, SocketOwner   string
	External, Redispatch    bool
	Proxies                 []peerView
	CheckLines              []string
	Services                []serviceView
}

type peerView struct{ Name, Address string }

type serviceView struct {
	RenderService
	HoldFrontend, HoldSocket string
	Servers                  []string
}

func (in RenderInput) view() renderView {
	v := renderView{RenderInput: in, HeaderLine: headerLine, HeaderNodes: headerNodes, SelfName: in.LocalProxy,
		SocketOwner: in.socketOwner(), Redispatch: holdRedispatch(in.HAProxyVersion)}
	v.HealthBind = in.anyAddress(in.HealthBind)
	if in.LocalProxy == "" {
		// HAProxy puts its own name among the peers into this variable.
		v.SelfName = `"${HAPROXY_LOCALPEER}"`
	}
	for _, n := range in.Nodes {
		v.Order = append(v.Order, n.Name)
	}
	for _, p := range in.Proxies {
		if in.PeersBind != "" && p.Name == in.LocalProxy {
			p.Host = in.PeersBind
		}
		v.Proxies = append(v.Proxies, peerView{p.Name, net.JoinHostPort(p.Host, strconv.Itoa(p.Port))})
	}
	switch in.Check.Method {
	case CheckMySQL:
		v.CheckLines = []string{"option mysql-check user " + in.Check.User}
	case CheckExternal:
		v.External = true
		v.CheckLines = []string{"option external-check", "external-check path " + in.Check.Path, "external-check command " + in.Check.Command}
	}
	for _, s := range in.Services {
		s.Bind, s.ProxyBind = in.anyAddress(s.Bind), in.anyAddress(s.ProxyBind)
		sv := serviceView{RenderService: s, HoldFrontend: holdPrefix + s.Backend, HoldSocket: in.holdSocket(s)}
		for _, n := range in.inOrder(s.Sticky) {
			line := in.serverLine(n, s.NodePort)
			if s.Sticky {
				line += " on-marked-down shutdown-sessions"
				if n.Name != in.Active {
					line += backupWord
				}
			}
			sv.Servers = append(sv.Servers, line)
		}
		v.Services = append(v.Services, sv)
	}
	return v
}

// anyAddress is a bind line's address without a host, for IPv6 as well where a node or a proxy has such an address: HAProxy
// takes `:3306` for IPv4 alone (run on 2.6 to 3.4), and clients of a cluster of IPv6 would not get in.
func (in RenderInput) anyAddress(bind string) string {
	port, every := strings.CutPrefix(bind, ":")
	six := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Is6() && !ip.Is4In6()
	}
	if !every || strings.Contains(port, ":") || !six(in.PeersBind) &&
		!slices.ContainsFunc(in.Nodes, func(n RenderNode) bool { return six(n.Host) }) &&
		!slices.ContainsFunc(in.Proxies, func(p RenderProxy) bool { return six(p.Host) }) {
		return bind
	}
	return "[::]:" + port + " v4v6"
}

// socketOwner is the rest of a socket's line. Without it the sockets would stay root's, and a daemon that runs as HAProxy's
// own user, or in its group, could not open them.
func (in RenderInput) socketOwner() (words string) {
	if in.User != "" {
		words = " user " + in.User
	}
	if in.Group != "" {
		words += " group " + in.Group
	}
	return words
}

// holdSocket is beside the admin socket: whoever can reach one can reach the other.
func (in RenderInput) holdSocket(s RenderService) string {
	return path.Join(path.Dir(in.StatsSocket), holdPrefix+s.Backend+".sock")
}

// backupWord stands at the end of a sticky server's line, so that ReorderActive can write the same line.
const backupWord = " backup"

// inOrder gives the nodes as given, or with the active one first.
func (in RenderInput) inOrder(activeFirst bool) []RenderNode {
	nodes := slices.Clone(in.Nodes)
	i := slices.IndexFunc(nodes, func(n RenderNode) bool { return n.Name == in.Active })
	if activeFirst {
		nodes = slices.Insert(slices.Delete(nodes, i, i+1), 0, in.Nodes[i])
	}
	return nodes
}

func (in RenderInput) serverLine(n RenderNode, port int) string {
	line := fmt.Sprintf("server %s %s id %d check", n.Name, net.JoinHostPort(n.Host, strconv.Itoa(port)), n.ID)
	if in.Check.Port != 0 {
		line += " port " + strconv.Itoa(in.Check.Port)
	}
	line += fmt.Sprintf(" inter %dms fastinter %dms rise %d fall %d", in.Check.Inter.Milliseconds(), in.Check.FastInter.Milliseconds(), in.Check.Rise, in.Check.Fall)
	if _, err := netip.ParseAddr(n.Host); err != nil && in.Resolvers != nil {
		// A name that does not resolve yet must not keep HAProxy from starting. Without resolvers it must: the server
		// would be disabled for good (run on 2.6).
		line += " resolvers " + in.Resolvers.Name + " init-addr last,libc,none"
	}
	return line
}
