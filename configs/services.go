package configs

import (
	"fmt"
	"slices"
	"strings"
)

const twoServicesFix = "name those of the database: --backends NAME,... (haproxyd and `config lint`)"

// ours leaves out the sticky backends of other services: what --backends does not name or, without it, what has no server in
// common with the backends that can be the database's. These are the ones with a private table or, where none has one,
// those whose keys can be known: one that sticks by client is no way to a single node. Where that leaves several
// services it cannot be told which is the database's, and Topology.Services names them.
func (b *builder) ours(found []stickRules) []stickRules {
	if len(b.only) > 0 {
		for _, name := range b.only {
			if !slices.ContainsFunc(found, func(c stickRules) bool { return c.backend.Name == name }) {
				b.fail(Position{File: b.t.Files[0]}, "give names of backends with stick rules", "--backends names %s, which is no sticky backend here", name)
			}
		}
		if named := slices.DeleteFunc(slices.Clone(found), func(c stickRules) bool { return !slices.Contains(b.only, c.backend.Name) }); len(named) > 0 {
			return named
		}
		return found
	}
	services := byServers(found)
	for _, can := range []func(stickRules) bool{
		func(c stickRules) bool { return len(c.steer) > 0 },
		func(c stickRules) bool {
			return slices.ContainsFunc(c.natives, func(r stickRule) bool { return r.key.Kind != KeyOther })
		},
	} {
		might := slices.DeleteFunc(slices.Clone(services), func(list []stickRules) bool { return !slices.ContainsFunc(list, can) })
		if len(might) == 1 {
			return might[0]
		}
		if len(might) > 1 {
			services = might
		}
	}
	if len(services) < 2 {
		return found
	}
	for _, list := range services {
		var names []string
		for _, c := range list {
			names = append(names, c.backend.Name)
		}
		b.t.Services = append(b.t.Services, names)
	}
	return found
}

// byServers groups the backends that have servers in common, each group in file order.
func byServers(found []stickRules) [][]stickRules {
	var groups [][]stickRules
	for _, c := range found {
		mine := []stickRules{}
		shares := func(list []stickRules) bool {
			return slices.ContainsFunc(list, func(o stickRules) bool {
				return slices.ContainsFunc(o.backend.Servers, func(s Server) bool { _, ok := c.backend.server(s.Name); return ok })
			})
		}
		for _, list := range groups {
			if shares(list) {
				mine = append(mine, list...)
			}
		}
		groups = append(slices.DeleteFunc(groups, shares), append(mine, c))
	}
	return groups
}

// strange is the first backend of the second service.
func (t *Topology) strange() StickyBackend {
	s, _ := find(t.Sticky, func(s StickyBackend) bool { return s.Name == t.Services[1][0] })
	return s
}

func (t *Topology) twoServices() string {
	var names []string
	for _, list := range t.Services {
		names = append(names, strings.Join(list, ", "))
	}
	return fmt.Sprintf("the sticky backends %s have no server in common: which are the database's cannot be told", strings.Join(names, " and "))
}
