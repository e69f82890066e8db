package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const twoServicesFix = "name those of the database: --backends NAME,... (haproxyd and `config lint`)"

// ours leaves out the sticky backends of other services: what --backends does not name or, without it, what has no server in
// common with the backends that can be the database's. These are the ones with a private table; where none or several have
// one, those with a name, a port or a check of MySQL's; then those whose keys can be known, because one that sticks by client
// is no way to a single node. Where that leaves several services, or one that nothing speaks for beside a database that does
// not stick, it cannot be told which is the database's, and Topology.Services names them.
func (b *builder) ours(found []stickRules) []stickRules {
	if len(b.only) > 0 {
		return b.named(found)
	}
	services := byServers(found)
	if len(services) == 0 {
		return found
	}
	for _, can := range []func(stickRules) bool{
		func(c stickRules) bool { return len(c.steer) > 0 },
		func(c stickRules) bool { return c.backend.isDatabase() },
		func(c stickRules) bool {
			return slices.ContainsFunc(c.natives, func(r stickRule) bool { return r.key.Kind != KeyOther })
		},
	} {
		might := slices.DeleteFunc(slices.Clone(services), func(list []stickRules) bool { return !slices.ContainsFunc(list, can) })
		if len(might) > 0 {
			services = might
		}
	}
	if len(services) == 1 {
		if b.t.unstuck = b.databaseBeside(services[0], found); b.t.unstuck != "" {
			b.t.Services = [][]string{{b.t.unstuck}, namesOf(services[0])}
		}
		return services[0]
	}
	for _, list := range services {
		b.t.Services = append(b.t.Services, namesOf(list))
	}
	return found
}

// named are those that --backends names.
func (b *builder) named(found []stickRules) []stickRules {
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

// databaseBeside is a backend in mode tcp that is a database's and does not stick, where nothing says that the service that
// sticks is one, "" if there is none.
func (b *builder) databaseBeside(service, found []stickRules) string {
	if slices.ContainsFunc(service, func(c stickRules) bool { return len(c.steer) > 0 || c.backend.isDatabase() }) {
		return ""
	}
	be, _ := find(b.t.Backends, func(be Backend) bool {
		return be.Mode == "tcp" && be.isDatabase() &&
			!slices.ContainsFunc(found, func(c stickRules) bool { return c.backend.Name == be.Name }) &&
			!slices.ContainsFunc(service, func(c stickRules) bool {
				return slices.ContainsFunc(c.backend.Servers, func(s Server) bool {
					return slices.ContainsFunc(be.Servers, func(o Server) bool {
						return o.Name == s.Name || sameHost(o.Host, s.Host) && (!loopback(s.Host) || o.Port == s.Port)
					})
				})
			})
	})
	return be.Name
}

var databaseName = regexp.MustCompile(`(?i)(^|[-_.])(db|sql)|mysql|maria|galera|percona|pxc|xtradb|database`)

// isDatabase tells whether something speaks for it: its name, a port of MySQL's, or MySQL's check.
func (b Backend) isDatabase() bool {
	return databaseName.MatchString(b.Name) || len(b.section.all("option", "mysql-check")) > 0 ||
		slices.ContainsFunc(b.Servers, func(s Server) bool { return isDatabasePort(s.Port) })
}

func namesOf(list []stickRules) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.backend.Name)
	}
	return names
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
	if t.unstuck != "" {
		return fmt.Sprintf("the sticky backends %s have no server in common with backend %s, which looks like the database and does not stick", strings.Join(t.Services[1], ", "), t.unstuck)
	}
	var names []string
	for _, list := range t.Services {
		names = append(names, strings.Join(list, ", "))
	}
	return fmt.Sprintf("the sticky backends %s have no server in common: which are the database's cannot be told", strings.Join(names, " and "))
}
