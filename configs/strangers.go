package configs

import (
	"fmt"
	"slices"
)

// strangers are words that this package does not know, in the sections through which writers pass: what they do is not in
// the route that it computes.
func (b *builder) strangers(s *StickyBackend, be Backend) {
	sections := b.withDefaults(be.section)
	for _, f := range b.t.Frontends {
		if f.leadsTo(s.Name) {
			sections = append(sections, b.withDefaults(f.section)...)
		}
	}
	seen := map[*section]bool{}
	for _, part := range sections {
		if seen[part] {
			continue
		}
		seen[part] = true
		for _, d := range part.dirs {
			if words := strange(d); words != "" {
				b.doubt(s, d, RuleUnknownWord, fmt.Sprintf("`%s` is not known here", words),
					"whether it sends connections past the tables cannot be told", "remove it, or ask for it to be taken up if HAProxy knows it")
			}
		}
	}
}

// beside are the other ways of the frontends that lead to a sticky backend: to another backend with a node among its
// servers, that is no way to read from several.
func (b *builder) beside(s *StickyBackend) {
	for _, f := range b.t.Frontends {
		if !f.Dynamic && !f.leadsTo(s.Name) {
			continue
		}
		for _, other := range b.t.Backends {
			if other.Mode != "tcp" || !f.Dynamic && !f.leadsTo(other.Name) || b.t.sticky(other.Name) || b.t.reads(other) {
				continue
			}
			has := "the node "
			node, ok := s.nodeIn(other)
			if !ok {
				i := slices.IndexFunc(other.Servers, func(o Server) bool { _, chained := b.t.frontendAt(o); return chained })
				if i < 0 {
					continue
				}
				has, node = "a frontend of this file as server ", other.Servers[i].Name
			}
			at := directive{pos: f.Pos, words: []string{f.section.kind, f.Name}}
			for _, d := range f.section.all("use_backend") {
				if d.word(1) == other.Name || f.Dynamic {
					at = d
					break
				}
			}
			b.doubt(s, at, RuleOtherBackend, fmt.Sprintf("frontend %s also leads to backend %s, which has %s%s and does not stick", f.Name, other.Name, has, node),
				"who comes that way may reach a node that no table names: whether it writes there cannot be told",
				"give these clients a frontend of their own, or stick rules to that backend")
		}
	}
}

// nodeIn is the first node of a sticky backend that is also a server there, by its name or its address.
func (s *StickyBackend) nodeIn(other Backend) (node string, ok bool) {
	for _, srv := range s.Servers {
		if slices.ContainsFunc(other.Servers, func(o Server) bool {
			return o.isAt(srv) || o.Name == srv.Name && isDatabasePort(o.Port)
		}) {
			return srv.Name, true
		}
	}
	return "", false
}
