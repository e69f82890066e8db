package configs

import (
	"maps"
	"net/netip"
	"strconv"
	"strings"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/types"
)

type option struct{ name, value string }

// options are the parameters that a server ends up with.
type options map[string]string

// apply adds the parameters of one line; the last word wins, as in HAProxy.
func (o options) apply(words []string) {
	list, _ := serverOptions(words)
	for _, opt := range list {
		if base, no := strings.CutPrefix(opt.name, "no-"); no {
			delete(o, base)
			continue
		}
		switch opt.name {
		case "enabled":
			delete(o, "disabled")
		case "stick":
			delete(o, "non-stick")
		default:
			o[opt.name] = opt.value
		}
	}
}

func (o options) has(name string) bool { _, ok := o[name]; return ok }

// sendsProxy tells whether any of the forms of send-proxy is on.
func (o options) sendsProxy() bool {
	return o.has("send-proxy") || o.has("send-proxy-v2") || o.has("send-proxy-v2-ssl") || o.has("send-proxy-v2-ssl-cn")
}

// maxTemplate bounds the servers that one server-template line makes here.
const maxTemplate = 4096

// servers reads the server lines of a proxy section, with what default-server lines before them (and in its
// defaults) say, and numbers them as HAProxy does.
func (b *builder) servers(s *section) []Server {
	base := options{}
	for _, d := range b.defaults[s] {
		for _, line := range d.all("default-server") {
			base.apply(line.words[1:])
		}
	}
	var list []Server
	for _, d := range s.dirs {
		switch d.word(0) {
		case "default-server":
			base.apply(d.words[1:])
		case "server":
			if srv, ok := b.server(d, base); ok {
				list = append(list, srv)
			}
		case "server-template":
			list = append(list, b.template(d, base)...)
		}
	}
	seen := map[string]Position{}
	for i := range list {
		if at, twice := seen[list[i].Name]; twice {
			b.fail(list[i].Pos, "give each server of a backend a name of its own", "server %s was already declared at %s", list[i].Name, at)
		}
		seen[list[i].Name] = list[i].Pos
	}
	b.number(list)
	return list
}

// number gives ids to the servers without one. HAProxy counts every server, explicit or not, and takes the next free
// id from there (check_config_validity in src/cfgparse.c; run on 2.6).
func (b *builder) number(list []Server) {
	used := map[int]Position{}
	for _, s := range list {
		if !s.ExplicitID {
			continue
		}
		if at, twice := used[s.ID]; twice {
			b.fail(s.Pos, "give each server of a backend an id of its own", "id %d is already used at %s", s.ID, at)
		}
		used[s.ID] = s.Pos
	}
	next := 1
	for i := range list {
		if !list[i].ExplicitID {
			for used[next] != (Position{}) {
				next++
			}
			used[next] = list[i].Pos
			list[i].ID = next
		}
		next++
	}
}

func (b *builder) server(d directive, base options) (Server, bool) {
	if len(d.words) < 3 {
		b.fail(d.pos, "write `server NAME ADDRESS:PORT ...`", "a server line needs a name and an address")
		return Server{}, false
	}
	name, address, rest := d.words[1], d.words[2], d.words[3:]
	if parsed, ok := first[types.Server](parser.Backends, "server", d.words); ok {
		name, address = parsed.Name, parsed.Address
	}
	return b.finish(d, name, address, rest, base)
}

// finish makes the server of a line whose parameters are rest.
func (b *builder) finish(d directive, name, address string, rest []string, base options) (Server, bool) {
	opts := maps.Clone(base)
	opts.apply(rest)
	srv := Server{Name: name, Backup: opts.has("backup"), SendProxy: opts.sendsProxy(), Pos: d.pos, opts: opts}
	b.unset(d.pos, d.unset)
	srv.Host, srv.Port, _ = b.address(d, address)
	srv.shift, srv.mapped = shiftOf(address)
	if srv.mapped {
		srv.Port = 0
	}
	if id, ok := opts["id"]; ok {
		n, err := strconv.Atoi(id)
		if err != nil || n <= 0 {
			b.fail(d.pos, "give a number above 0", "server %s has the id %q", name, id)
			return Server{}, false
		}
		srv.ID, srv.ExplicitID = n, true
	}
	return srv, true
}

// shiftOf tells whether an address leaves the port to the client: HAProxy connects to the one that the client came to, plus
// shift (section 5.2 of its manual, `server`).
func shiftOf(address string) (shift int, mapped bool) {
	colon := strings.LastIndexByte(address, ':')
	if strings.HasPrefix(address, "/") || strings.Contains(address, "unix@") || strings.Contains(address, "abns") {
		return 0, false
	}
	if colon < 0 || strings.HasSuffix(address, "]") {
		return 0, true
	}
	if port := address[colon+1:]; port == "" || port[0] == '+' || port[0] == '-' {
		shift, _ = strconv.Atoi(port)
		return shift, true
	}
	return 0, false
}

// template expands a server-template line: PREFIX and a number or range make the names.
func (b *builder) template(d directive, base options) []Server {
	const fix = "write `server-template PREFIX FIRST-LAST HOST:PORT ...`"
	if len(d.words) < 4 {
		b.fail(d.pos, fix, "a server-template line needs a prefix, a number or range, and an address")
		return nil
	}
	lowText, highText, ranged := strings.Cut(d.words[2], "-")
	if !ranged {
		lowText, highText = "1", lowText
	}
	low, err1 := strconv.Atoi(lowText)
	high, err2 := strconv.Atoi(highText)
	if err1 != nil || err2 != nil || low < 0 || high < low || high-low >= maxTemplate {
		b.fail(d.pos, fix, "server-template has the range %q", d.words[2])
		return nil
	}
	model, ok := b.finish(d, d.words[1], d.words[3], d.words[4:], base)
	if !ok {
		return nil
	}
	var list []Server
	for n := low; n <= high; n++ {
		srv := model
		srv.template = true
		srv.Name += strconv.Itoa(n)
		if n > low {
			// An id on a template is the first one's; HAProxy numbers the others (run on 2.2 to 3.4).
			srv.ID, srv.ExplicitID = 0, false
		}
		list = append(list, srv)
	}
	return list
}

// address expands and cuts an address. An unset variable is an error, because the daemon would look elsewhere than
// HAProxy does: a daemon beside HAProxy often has another environment.
func (b *builder) address(d directive, word string) (host string, port int, unix bool) {
	expanded, unset := expandAddress(word, d.env)
	b.unset(d.pos, unset)
	return cutAddress(expanded)
}

func (b *builder) unset(pos Position, names []string) {
	if len(names) > 0 {
		b.fail(pos, "start this program with the environment that HAProxy has", "the environment variable %s is not set here", strings.Join(names, ", "))
	}
}

// cutAddress cuts host and port as HAProxy does: the last colon starts the port (section 11 of its manual).
func cutAddress(in string) (host string, port int, unix bool) {
	for _, family := range []string{"ipv4@", "ipv6@", "tcp4@", "tcp6@", "tcp@"} {
		in = strings.TrimPrefix(in, family)
	}
	for _, family := range []string{"unix@", "uxst@"} {
		if path, ok := strings.CutPrefix(in, family); ok {
			return path, 0, true
		}
	}
	if strings.HasPrefix(in, "/") {
		return in, 0, true
	}
	for _, family := range []string{"abns@", "abnsz@", "fd@", "sockpair@", "uxdg@", "udp@", "udp4@", "udp6@", "quic4@", "quic6@", "rhttp@"} {
		if strings.HasPrefix(in, family) {
			return in, 0, false
		}
	}
	colon := strings.LastIndexByte(in, ':')
	if colon < 0 || strings.HasSuffix(in, "]") {
		return strings.Trim(in, "[]"), 0, false
	}
	port, err := strconv.Atoi(in[colon+1:])
	if err != nil || port < 0 || port > 65535 {
		port = 0
	}
	return strings.Trim(in[:colon], "[]"), port, false
}

// sameHost tells whether two hosts are the same by what is written, and not for certain different: names are not
// resolved.
func sameHost(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	if err1 == nil && err2 == nil {
		return x.Unmap() == y.Unmap()
	}
	return loopback(a) && loopback(b)
}

// everyAddress tells whether a host as written is every address of the machine.
func everyAddress(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || host == "*" || err == nil && ip.IsUnspecified()
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
