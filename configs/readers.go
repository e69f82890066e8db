package configs

import "slices"

// Readers gives the reader backends: not sticky, of mode tcp, without backup servers, and with two or more servers
// that are nodes of the sticky backends: by their names, and at a port of the database, because other services may run on
// the same hosts under the same names. The active node may be drained there. A backend with backup
// servers sends all connections to one node, as Percona's writers do, and is none.
func (t *Topology) Readers() []Backend {
	var out []Backend
	for _, b := range t.Backends {
		if t.reads(b) {
			out = append(out, b)
		}
	}
	return out
}

func (t *Topology) reads(b Backend) bool {
	count := 0
	for _, s := range b.Servers {
		if s.Backup {
			return false
		}
		if t.isNode(s) {
			count++
		}
	}
	return count >= 2 && b.Mode == "tcp" && !t.sticky(b.Name)
}

func (t *Topology) sticky(backend string) bool {
	return slices.ContainsFunc(t.Sticky, func(s StickyBackend) bool { return s.Name == backend })
}

func (t *Topology) isNode(other Server) bool {
	return slices.ContainsFunc(t.Sticky, func(s StickyBackend) bool {
		return slices.ContainsFunc(s.Servers, func(srv Server) bool {
			return srv.Name == other.Name && (srv.Port == other.Port || isDatabasePort(other.Port))
		})
	})
}

// isDatabasePort knows MySQL's ports: the classic protocol's, Percona's for administrators and the X protocol's.
func isDatabasePort(port int) bool { return port == 3306 || port == 33062 || port == 33060 }

// hasNode tells whether the backend is sticky, or has a node among its servers.
func (t *Topology) hasNode(b Backend) bool {
	return t.sticky(b.Name) || slices.ContainsFunc(b.Servers, t.isNode)
}
