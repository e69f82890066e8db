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
// one, those at a port of MySQL's or with its check; then those whose keys can be known, because one that sticks by client
// is no way to a single node. Where that leaves several services, or one that nothing speaks for beside what looks like a
// database, it cannot be told which is the database's, and Topology.Services names them.
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
		if b.t.unstuck = b.databaseBeside(services[0]); b.t.unstuck != "" {
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

// databaseBeside is another backend in mode tcp that looks like a database's, where nothing says that the service is one,
// "" if there is none.
func (b *builder) databaseBeside(service []stickRules) string {
	if slices.ContainsFunc(service, func(c stickRules) bool { return len(c.steer) > 0 || c.backend.looksLikeDatabase() }) {
		return ""
	}
	be, _ := find(b.t.Backends, func(be Backend) bool {
		// What does not stick may be a way to read from the same nodes, at another port.
		reads := len(be.section.all("stick")) == 0
		shares := func(s, o Server) bool {
			return o.Name == s.Name || o.isAt(s) || reads && sameHost(o.Host, s.Host) && !loopback(s.Host)
		}
		return be.Mode == "tcp" && be.looksLikeDatabase() && !slices.ContainsFunc(service, func(c stickRules) bool {
			return slices.ContainsFunc(c.backend.Servers, func(s Server) bool {
				return slices.ContainsFunc(be.Servers, func(o Server) bool { return shares(s, o) })
			})
		})
	})
	return be.Name
}

// isDatabase tells whether a port of MySQL's or its check speaks for it.
func (b Backend) isDatabase() bool {
	return len(b.section.all("option", "mysql-check")) > 0 || slices.ContainsFunc(b.Servers, func(s Server) bool { return isDatabasePort(s.Port) })
}

var databaseName = regexp.MustCompile(`(?i)(^|[-_.])(db|sql)|mysql|maria|galera|percona|pxc|xtradb|database`)

// looksLikeDatabase is isDatabase, or the name alone: enough to doubt that another one is it, and not to choose it.
func (b Backend) looksLikeDatabase() bool { return b.isDatabase() || databaseName.MatchString(b.Name) }

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
		return fmt.Sprintf("the sticky backends %s have no server in common with backend %s, which looks more like the database", strings.Join(t.Services[1], ", "), t.unstuck)
	}
	var names []string
	for _, list := range t.Services {
		names = append(names, strings.Join(list, ", "))
	}
	return fmt.Sprintf("the sticky backends %s have no server in common: which are the database's cannot be told", strings.Join(names, " and "))
}
