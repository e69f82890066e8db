package configs

import (
	"fmt"
	"slices"
	"strings"
)

// ported gives the servers of a sticky backend with the ports that its clients come to where a line has none, if they
// all come to one.
func (b *builder) ported(be Backend) []Server {
	servers := slices.Clone(be.Servers)
	port, one := b.entryPort(be)
	for i := range servers {
		if s := &servers[i]; s.mapped && one {
			s.Port = port + s.shift
		}
	}
	return servers
}

// entryPort is the port that all clients of a backend come to.
func (b *builder) entryPort(be Backend) (port int, one bool) {
	frontends, known := b.t.frontendsTo(be.Name)
	if !known {
		return 0, false
	}
	for _, f := range frontends {
		if b.rewrites(f, be, "set-dst-port") {
			return 0, false
		}
		for _, bind := range f.Binds {
			if bind.Unix || bind.Port == 0 || port != 0 && port != bind.Port {
				return 0, false
			}
			port = bind.Port
		}
	}
	return port, port != 0
}

// addressed finds servers whose line does not say where they are: nothing can be probed there, and a connection goes
// where its client wants.
func (b *builder) addressed(s *StickyBackend) {
	for i, srv := range s.Servers {
		d := directive{pos: srv.Pos, words: []string{"server", srv.Name}}
		switch {
		case everyAddress(srv.Host):
			b.way(s, d, RuleServerAddress, fmt.Sprintf("server %s/%s has no address", s.Name, srv.Name),
				"connections go to the address that the client came to, which no table names", "give it the node's address")
		case srv.mapped && srv.Port == 0:
			b.way(s, d, RuleServerAddress, fmt.Sprintf("server %s/%s has no port, and clients come to several", s.Name, srv.Name),
				"each goes to the port that it came to: which one the node has cannot be told, and it is not probed", "give it the node's port")
		}
		if same, ok := find(s.Servers[:i], func(o Server) bool { return o.isAt(srv) && o.Name != srv.Name }); ok && !srv.template {
			b.way(s, d, RuleServerAddress, fmt.Sprintf("servers %s and %s of backend %s have one address", same.Name, srv.Name, s.Name),
				"a move from one to the other moves nothing", "give each node one server")
		}
		if f, ok := b.t.frontendAt(srv); ok {
			b.doubt(s, d, RuleServerAddress, fmt.Sprintf("server %s/%s is %s %s of this HAProxy", s.Name, srv.Name, f.section.kind, f.Name),
				"which node its connections reach is decided there", "give it the node's address")
		}
	}
}

// isAt tells whether two servers are at one address, by what is written.
func (s Server) isAt(other Server) bool {
	return s.Port == other.Port && s.Port != 0 && sameHost(s.Host, other.Host)
}

// frontendAt is the frontend of this file that a server leads to.
func (t *Topology) frontendAt(srv Server) (Frontend, bool) {
	return find(t.Frontends, func(f Frontend) bool {
		return slices.ContainsFunc(f.Binds, func(bind Bind) bool {
			if bind.Unix || bind.Port == 0 || bind.Port != srv.Port {
				return false
			}
			every := everyAddress(bind.Host)
			return every && loopback(srv.Host) || !every && sameHost(bind.Host, srv.Host)
		})
	})
}

// Nodes are the database nodes, in file order, with the address by which each speaks MySQL's classic protocol: of the
// sticky backends that have it, one with port 3306 comes before others, and Percona's ports for administrators (33062)
// and for the X protocol (33060) come last, whatever stands first in the file.
func (t *Topology) Nodes() []Server {
	if len(t.Sticky) == 0 {
		return nil
	}
	out := slices.Clone(t.Sticky[0].Servers)
	for i := range out {
		best := lastChoice(t.Sticky[0].Name, out[i].Port)
		for _, s := range t.Sticky[1:] {
			other, ok := find(s.Servers, func(o Server) bool { return o.Name == out[i].Name })
			if rank := lastChoice(s.Name, other.Port); ok && rank < best {
				out[i], best = other, rank
			}
		}
	}
	return out
}

func lastChoice(backend string, port int) int {
	switch {
	case port == 3306:
		return 0
	case port == 0:
		return 4
	case port == 33060 || strings.Contains(backend, "mysqlx"):
		return 3
	case port == 33062:
		return 2
	}
	return 1
}
