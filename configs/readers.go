package configs

import "slices"

// Readers gives the reader backends: not sticky, of mode tcp, without backup servers, and with two or more servers
// that have the names of nodes of the sticky backends. The active node may be drained there. A backend with backup
// servers sends all connections to one node, as Percona's writers do, and is none.
func (t *Topology) Readers() []Backend {
	sticky, nodes := map[string]bool{}, map[string]bool{}
	for _, s := range t.Sticky {
		sticky[s.Name] = true
		for _, srv := range s.Servers {
			nodes[srv.Name] = true
		}
	}
	var out []Backend
	for _, b := range t.Backends {
		count, single := 0, false
		for _, s := range b.Servers {
			single = single || s.Backup
			if nodes[s.Name] {
				count++
			}
		}
		if !sticky[b.Name] && b.Mode == "tcp" && !single && count >= 2 {
			out = append(out, b)
		}
	}
	return out
}

// hasNode tells whether the backend is sticky, or has a server with the name of a node.
func (t *Topology) hasNode(b Backend) bool {
	return slices.ContainsFunc(t.Sticky, func(s StickyBackend) bool {
		return s.Name == b.Name || slices.ContainsFunc(s.Servers, func(srv Server) bool { _, ok := b.server(srv.Name); return ok })
	})
}
