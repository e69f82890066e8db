package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Validate checks the input and names each field that is wrong; defaults count as given.
func (in RenderInput) Validate() error {
	v := newValidator()
	in = in.withDefaults()
	v.nodes(in)
	v.proxies(in)
	v.services(in)
	v.check(in.Check)
	v.names("peers name", in.PeersName)
	if in.PeersName == "self" {
		v.fail("peers name: %q is the name of the local section; choose another", in.PeersName)
	}
	v.peersTLS(in)
	v.port("peers port", in.PeersPort)
	v.port("self peer port", in.SelfPeerPort)
	v.word("stats socket", in.StatsSocket)
	if !strings.HasPrefix(in.StatsSocket, "/") {
		v.fail("stats socket: %q is not an absolute path", in.StatsSocket)
	}
	v.socketPath("stats socket", in.StatsSocket)
	if mode, err := strconv.ParseUint(in.StatsSocketMode, 8, 32); err != nil || mode > 0o777 {
		v.fail("stats socket mode: %q is not an octal mode like 660", in.StatsSocketMode)
	}
	v.address("daemon", in.Daemon, false)
	v.address("health bind", in.HealthBind, true)
	v.word("health path", in.HealthPath)
	if !strings.HasPrefix(in.HealthPath, "/") {
		v.fail("health path: %q does not start with a slash", in.HealthPath)
	}
	if n, ok := parseSize(in.TableSize); !ok || n < minTableSize {
		v.fail("table size: %q is not a size of at least %d (use 100k)", in.TableSize, minTableSize)
	}
	if in.HAProxyVersion != "" {
		if _, ok := parseVersion(in.HAProxyVersion); !ok {
			v.fail("haproxy version: %q is not a version like 3.0 or 2.6.12", in.HAProxyVersion)
		}
	}
	if in.MaxConn < 1 {
		v.fail("max conn: %d is not above 0", in.MaxConn)
	}
	v.process(in)
	v.durations(in)
	v.resolvers(in.Resolvers)
	return errors.Join(v.errs...)
}

type validator struct {
	name, host *regexp.Regexp
	errs       []error
}

func newValidator() *validator {
	return &validator{name: regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`), host: regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)}
}

func (v *validator) fail(problem string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(problem, args...))
}

func (v *validator) names(field, value string) {
	if !v.name.MatchString(value) {
		v.fail("%s: %q is not a HAProxy name (letters, digits, - _ . :)", field, value)
	}
}

// word refuses what would end or change a line of the file.
func (v *validator) word(field, value string) {
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("\"'\\#$", r) }) {
		v.fail("%s: %q is not one plain word", field, value)
	}
}

// maxBindPath is what HAProxy can bind whatever its pid is: it binds PATH.PID.tmp first, within the 107 bytes of a unix
// socket's path, and a pid has up to 7 digits (sock_unix_bind_receiver in src/sock_unix.c; 2.6 refuses 98 in any case).
const maxBindPath = 95

func (v *validator) socketPath(field, path string) {
	if len(path) > maxBindPath {
		v.fail("%s: %q has %d bytes, more than the %d that HAProxy can bind; use a shorter directory for the stats socket", field, path, len(path), maxBindPath)
	}
}

func (v *validator) port(field string, port int) {
	if port < 1 || port > 65535 {
		v.fail("%s: %d is not a port (1 to 65535)", field, port)
	}
}

func (v *validator) hosts(field, host string) {
	if _, err := netip.ParseAddr(host); err != nil && !v.host.MatchString(host) {
		v.fail("%s: %q is neither an address nor a DNS name", field, host)
	}
}

func (v *validator) address(field, address string, anyHost bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		v.fail("%s: %q is not ADDRESS:PORT", field, address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil {
		v.fail("%s: %q has no port", field, address)
	} else {
		v.port(field, n)
	}
	if !anyHost || host != "" && host != "*" {
		v.hosts(field, host)
	}
}

func (v *validator) nodes(in RenderInput) {
	if len(in.Nodes) == 0 {
		v.fail("nodes: none given; name at least one database node")
	}
	ids, names := map[int]string{}, map[string]bool{}
	for i, n := range in.Nodes {
		field := fmt.Sprintf("nodes[%d]", i)
		v.names(field+".name", n.Name)
		v.hosts(field+".host", n.Host)
		switch other, taken := ids[n.ID]; {
		case n.ID == 0:
			v.fail("%s.id: %q does not end in a number; give an id", field, n.Name)
		case n.ID < 0:
			v.fail("%s.id: %d is not above 0", field, n.ID)
		case taken:
			v.fail("%s.id: %s and %s both have id %d; give each its own", field, other, n.Name, n.ID)
		}
		ids[n.ID] = n.Name
		if names[n.Name] {
			v.fail("%s.name: %s is given twice", field, n.Name)
		}
		names[n.Name] = true
	}
	if len(in.Nodes) > 0 && !names[in.Active] {
		v.fail("active: %q is none of the nodes", in.Active)
	}
}

func (v *validator) proxies(in RenderInput) {
	if in.Operator {
		if len(in.Proxies) > 0 || in.LocalProxy != "" || in.PeersBind != "" {
			v.fail("proxies: a text for the operator is the same for all and names none; leave them out")
		}
		return
	}
	if len(in.Proxies) == 0 {
		v.fail("proxies: none given; name every HAProxy, this one among them")
	}
	names := map[string]bool{}
	for i, p := range in.Proxies {
		field := fmt.Sprintf("proxies[%d]", i)
		v.names(field+".name", p.Name)
		v.hosts(field+".host", p.Host)
		v.port(field+".port", p.Port)
		if names[p.Name] {
			v.fail("%s.name: %s is given twice", field, p.Name)
		}
		names[p.Name] = true
	}
	if in.LocalProxy != "" && !names[in.LocalProxy] {
		v.fail("local proxy: %q is none of the proxies", in.LocalProxy)
	}
	if in.PeersBind == "" {
		return
	}
	if in.LocalProxy == "" {
		v.fail("peers bind: it stands on the local proxy's line, so name the local proxy")
	}
	if a, err := netip.ParseAddr(in.PeersBind); err != nil || a.Zone() != "" {
		v.fail("peers bind: %q is not an IP address (the port is the local proxy's)", in.PeersBind)
	}
}

// peersTLS refuses half of what TLS needs. That the files hold what they should is said by haproxy -c.
func (v *validator) peersTLS(in RenderInput) {
	if in.PeersCert == "" && in.PeersCA == "" {
		return
	}
	if in.Operator {
		v.fail("peers cert: the operator's text has no peers but the local one, on loopback")
	}
	for field, file := range map[string]string{"peers cert": in.PeersCert, "peers ca": in.PeersCA} {
		if !strings.HasPrefix(file, "/") {
			v.fail("%s: %q is not an absolute path; TLS between peers needs a certificate and its authority", field, file)
			continue
		}
		v.word(field, file)
	}
}

// process checks whom HAProxy becomes and where it locks itself in.
func (v *validator) process(in RenderInput) {
	if in.Operator && in.User+in.Group+in.Chroot != "" {
		v.fail("user, group, chroot: a pod has its own; leave them out of a text for the operator")
	}
	for field, name := range map[string]string{"user": in.User, "group": in.Group} {
		if name != "" {
			v.word(field, name)
		}
	}
	if in.Chroot == "" {
		return
	}
	v.word("chroot", in.Chroot)
	switch {
	case !strings.HasPrefix(in.Chroot, "/"):
		v.fail("chroot: %q is not an absolute path", in.Chroot)
	case in.Check.Method == CheckExternal:
		v.fail("chroot: the program of an external check is looked for inside %s, where it cannot run: give an empty chroot, or another check", in.Chroot)
	}
}

func (v *validator) services(in RenderInput) {
	if len(in.Services) == 0 {
		v.fail("services: none given")
	}
	used := map[string]string{"haproxyd": "the beacon", "haproxyd-alive": "the daemon's check", "haproxyd-steer": "the private table", "haproxy-health": "the health frontend"}
	binds := map[string]string{in.HealthBind: "the health frontend"}
	sticky := false
	for i, s := range in.Services {
		field := fmt.Sprintf("services[%d]", i)
		sticky = sticky || s.Sticky
		for what, name := range map[string]string{".frontend": s.Frontend, ".backend": s.Backend} {
			v.names(field+what, name)
			if strings.HasPrefix(name, holdPrefix) {
				v.fail("%s%s: %q begins like a hold frontend; choose another name", field, what, name)
			}
			if by, taken := used[name]; taken {
				v.fail("%s%s: %q is the name of %s", field, what, name, by)
			}
			used[name] = field + what
		}
		v.address(field+".bind", s.Bind, true)
		if by, taken := binds[s.Bind]; taken {
			v.fail("%s.bind: %s is bound by %s", field, s.Bind, by)
		}
		binds[s.Bind] = field
		if s.ProxyBind != "" {
			v.address(field+".proxy bind", s.ProxyBind, true)
		}
		v.port(field+".node port", s.NodePort)
		if s.Sticky {
			v.socketPath(field+".backend: its hold socket", in.holdSocket(s))
		}
	}
	if len(in.Services) > 0 && !sticky {
		v.fail("services: none of them is sticky; there is no active node without one")
	}
}

func (v *validator) check(c RenderCheck) {
	switch c.Method {
	case CheckTCP:
	case CheckMySQL:
		v.word("check user", c.User)
	case CheckExternal:
		v.word("check command", c.Command)
		v.word("check path", c.Path)
		if !strings.HasPrefix(c.Command, "/") {
			v.fail("check command: %q is not an absolute path", c.Command)
		}
	default:
		v.fail("check method: %q is none of tcp, mysql, external", c.Method)
	}
	if c.Port != 0 {
		v.port("check port", c.Port)
	}
	if c.Rise < 1 || c.Fall < 1 {
		v.fail("check rise and fall: %d and %d must be above 0", c.Rise, c.Fall)
	}
}

func (v *validator) durations(in RenderInput) {
	for _, d := range []struct {
		field string
		value time.Duration
		zero  bool
	}{
		{"check inter", in.Check.Inter, false}, {"check fastinter", in.Check.FastInter, false},
		{"timeout connect", in.Timeouts.Connect, false}, {"timeout client", in.Timeouts.Client, false},
		{"timeout server", in.Timeouts.Server, false}, {"timeout queue", in.Timeouts.Queue, false},
		{"timeout check", in.Timeouts.Check, true}, {"hard stop after", in.HardStopAfter, false},
	} {
		// HAProxy's timers are 32 bits of milliseconds, half of them the past.
		if d.zero && d.value == 0 {
			continue
		}
		if d.value < time.Millisecond || d.value > 24*24*time.Hour || d.value%time.Millisecond != 0 {
			v.fail("%s: %s is not between 1ms and 24 days in whole milliseconds", d.field, d.value)
		}
	}
}

func (v *validator) resolvers(r *RenderResolvers) {
	if r == nil {
		return
	}
	v.names("resolvers name", r.Name)
	if !r.ResolvConf && len(r.Nameservers) == 0 {
		v.fail("resolvers: give nameservers, or take those of /etc/resolv.conf")
	}
	for i, ns := range r.Nameservers {
		v.address(fmt.Sprintf("resolvers nameservers[%d]", i), ns, false)
	}
}
