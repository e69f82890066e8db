package configs

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/params"
	"github.com/haproxytech/config-parser/v5/types"
)

// builder makes the topology from the scanned sections. It goes on after a problem, so that the linter sees the rest.
type builder struct {
	t    *Topology
	errs []*Error
	// only are the sticky backends that count, all of them where it is empty.
	only []string
	// defaults holds, for each proxy section, the defaults sections that it inherits from, the furthest first.
	defaults map[*section][]*section
}

func (b *builder) fail(pos Position, fix, problem string, args ...any) {
	b.errs = append(b.errs, errorAt(pos, fix, problem, args...))
}

func (b *builder) run() {
	b.inherit()
	for _, s := range b.t.sections {
		switch s.kind {
		case "global":
			b.sockets(s)
		case "peers":
			b.peers(s)
		case "frontend", "backend", "listen":
			b.proxy(s)
		}
	}
	b.sticky()
}

// inherit finds each proxy's defaults: the section that it names with `from`, else the last one before it.
func (b *builder) inherit() {
	b.defaults = map[*section][]*section{}
	named := map[string]*section{}
	var last *section
	for _, s := range b.t.sections {
		switch s.kind {
		case "defaults", "frontend", "backend", "listen":
		default:
			continue
		}
		parent := last
		if s.kind == "defaults" {
			parent = nil
		}
		if s.from != "" {
			if parent = named[s.from]; parent == nil {
				b.fail(s.pos, "declare `defaults "+s.from+"` before it", "%s %s inherits from defaults %q, which is not there", s.kind, s.name, s.from)
			}
		}
		if parent != nil {
			b.defaults[s] = b.withDefaults(parent)
		}
		if s.kind == "defaults" {
			last = s
			if s.name != "" {
				named[s.name] = s
			}
		}
	}
}

// withDefaults gives the section behind the defaults that it inherits from, the furthest first.
func (b *builder) withDefaults(s *section) []*section { return append(slices.Clip(b.defaults[s]), s) }

// last gives the last directive that starts with the words, of the section or else of its defaults.
func (b *builder) last(s *section, words ...string) (directive, bool) {
	for _, part := range slices.Backward(b.withDefaults(s)) {
		if lines := part.all(words...); len(lines) > 0 {
			return lines[len(lines)-1], true
		}
	}
	return directive{}, false
}

func (b *builder) mode(s *section) string {
	if d, ok := b.last(s, "mode"); ok {
		return d.word(1)
	}
	return "tcp"
}

func (b *builder) sockets(s *section) {
	for _, d := range s.all("stats", "socket") {
		if len(d.words) < 3 {
			b.fail(d.pos, "write `stats socket PATH mode 660 level admin`", "a stats socket without an address")
			continue
		}
		address, level := d.words[2], ""
		if parsed, ok := first[types.Socket](parser.Global, "stats socket", d.words); ok {
			address = parsed.Path
			for _, p := range parsed.Params {
				if v, ok := p.(*params.BindOptionValue); ok && v.Name == "level" {
					level = v.Value
				}
			}
		}
		for i, w := range d.words[:len(d.words)-1] {
			if level == "" && i > 2 && w == "level" {
				level = d.words[i+1]
			}
		}
		b.unset(d.pos, d.unset)
		host, port, unix := b.address(d, address)
		socket := Socket{Path: host, Level: cmp.Or(level, "operator"), Unix: unix, Pos: d.pos}
		if port != 0 {
			socket.Path = host + ":" + strconv.Itoa(port)
		} else if !strings.Contains(address, "@") {
			// Without a port it can only be a path, relative to where HAProxy was started.
			socket.Unix = true
		}
		b.t.Sockets = append(b.t.Sockets, socket)
	}
}

func (b *builder) peers(s *section) {
	p := PeersSection{Name: s.name, Pos: s.pos}
	for _, d := range s.dirs {
		switch d.word(0) {
		case "disabled", "enabled":
			p.Disabled = d.word(0) == "disabled"
		case "shards":
			if parsed, ok := typed[*types.Int64C](parser.Peers, "shards", d.words); ok {
				p.Shards = int(parsed.Value)
			}
		case "peer", "server":
			if peer, ok := b.peer(d); ok {
				p.Peers = append(p.Peers, peer)
			}
		case "table":
			if len(d.words) > 1 {
				b.table(d, s.name+"/"+d.words[1], d.words[2:], s.name)
			}
		}
	}
	b.t.Peers = append(b.t.Peers, p)
}

func (b *builder) peer(d directive) (Peer, bool) {
	if d.word(1) == "" {
		b.fail(d.pos, "write `peer NAME ADDRESS:PORT`", "a peer without a name")
		return Peer{}, false
	}
	b.unset(d.pos, d.unset)
	peer := Peer{Name: d.word(1), Pos: d.pos}
	if d.word(2) == "" {
		// `server NAME` without an address is the local peer; its address is on a bind line.
		if d.word(0) == "peer" {
			b.fail(d.pos, "write `peer NAME ADDRESS:PORT`", "peer %s has no address", peer.Name)
		}
		return peer, d.word(0) == "server"
	}
	address := d.word(2)
	if parsed, ok := first[types.Peer](parser.Peers, "peer", d.words); ok {
		address = parsed.IP + ":" + strconv.FormatInt(parsed.Port, 10)
	}
	peer.Host, peer.Port, _ = b.address(d, address)
	return peer, true
}

func (b *builder) proxy(s *section) {
	if _, off := b.last(s, "disabled"); off && len(s.all("enabled")) == 0 {
		return
	}
	for _, d := range s.all("stick-table") {
		b.table(d, s.name, d.words[1:], "")
	}
	if s.kind != "backend" {
		b.frontend(s)
	}
	if s.kind != "frontend" {
		b.t.Backends = append(b.t.Backends, Backend{Name: s.name, Mode: b.mode(s), Servers: b.servers(s), Pos: s.pos, section: s})
	}
}

func (b *builder) frontend(s *section) {
	f := Frontend{Name: s.name, Mode: b.mode(s), Pos: s.pos, section: s}
	for _, d := range s.dirs {
		switch d.word(0) {
		case "id":
			n, err := strconv.Atoi(d.word(1))
			if err != nil {
				b.fail(d.pos, "give a number above 0", "the id %q is not a number", d.word(1))
			}
			f.ID = n
		case "bind":
			if d.word(1) == "" {
				b.fail(d.pos, "write `bind ADDRESS:PORT`", "a bind line without an address")
				continue
			}
			f.Binds = append(f.Binds, b.binds(d)...)
		case "use_backend":
			name := d.word(1)
			if parsed, ok := first[types.UseBackend](parser.Frontends, "use_backend", d.words); ok {
				name = parsed.Name
			}
			if strings.Contains(name, "%[") {
				f.Dynamic = true
			} else {
				f.UseBackends = append(f.UseBackends, name)
			}
		}
	}
	if d, ok := b.last(s, "default_backend"); ok {
		f.DefaultBackend = d.word(1)
		if parsed, ok := typed[*types.StringC](parser.Frontends, "default_backend", d.words); ok {
			f.DefaultBackend = parsed.Value
		}
	}
	b.t.Frontends = append(b.t.Frontends, f)
}

func (b *builder) binds(d directive) []Bind {
	list := d.word(1)
	if parsed, ok := first[types.Bind](parser.Frontends, "bind", d.words); ok {
		list = parsed.Path
	}
	b.unset(d.pos, d.unset)
	var binds []Bind
	for address := range strings.SplitSeq(list, ",") {
		host, port, unix := b.address(d, address)
		binds = append(binds, Bind{Host: host, Port: port, Unix: unix, Pos: d.pos})
	}
	return binds
}
