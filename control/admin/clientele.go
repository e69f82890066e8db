package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// clientele is what becomes of the clients of the proxies that are heard.
type clientele struct {
	// total counts these proxies.
	total int
	// on are the proxies that serve, by the node to which all their new connections go, and
	// mixed those that serve on several.
	on    map[string][]string
	mixed []string
	// unserved are the proxies that serve nobody, doubt those of which it cannot be told.
	unserved, doubt []string
}

// clientele tells it of each. A node that is down for those who are heard serves nobody,
// whatever HAProxy's own check says of it: a node outside the primary component takes
// connections and refuses every query.
func (s *seen) clientele() *clientele {
	c := &clientele{on: map[string][]string{}}
	for i := range s.Members {
		m := &s.Members[i]
		p := m.Proxy
		if p == nil {
			continue
		}
		c.total++
		switch to := p.Effective; {
		case p.Fenced != "":
			c.unserved = append(c.unserved, m.Name)
		case !p.Reachable:
			c.doubt = append(c.doubt, m.Name)
		case to != "" && !s.dead(to):
			c.on[to] = append(c.on[to], m.Name)
		case to == "" && s.usable(m.Name):
			c.mixed = append(c.mixed, m.Name)
		default:
			c.unserved = append(c.unserved, m.Name)
		}
	}
	return c
}

// served counts the proxies that serve.
func (c *clientele) served() int {
	n := len(c.mixed)
	for _, members := range c.on {
		n += len(members)
	}
	return n
}

// words says who takes the writes, where somebody is served.
func (c *clientele) words(active string) string {
	type group struct {
		node string
		n    int
	}
	var groups []group
	for node, members := range c.on {
		groups = append(groups, group{node, len(members)})
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Or(b.n-a.n, strings.Compare(a.node, b.node)) })
	var parts []string
	for _, g := range groups {
		parts = append(parts, fmt.Sprintf("%s takes the writes on %d", g.node, g.n))
	}
	if n := len(c.mixed); n > 0 {
		parts = append(parts, fmt.Sprintf("several nodes take them on %d", n))
	}
	text := fmt.Sprintf("%s of %s", strings.Join(parts, ", "), count(c.total, "proxy", "proxies"))
	if len(groups) == 1 && active != "" && groups[0].node != active {
		text += ", and not " + active
	}
	return text
}

// dead tells whether a node of that name is down for those who are heard.
func (s *seen) dead(name string) bool {
	return slices.ContainsFunc(s.Nodes, func(n api.Node) bool { return n.Name == name && dead(&n) })
}

// dead tells whether more of those who are heard call a node down than healthy.
func dead(n *api.Node) bool {
	down, healthy := n.Down, n.Healthy
	if down+healthy == 0 { // there are no voters yet
		for _, o := range n.Opinions {
			switch o.Verdict {
			case "down":
				down++
			case "healthy":
				healthy++
			}
		}
	}
	return down > healthy
}

// allDead tells whether there is no node left.
func (s *seen) allDead() bool {
	return len(s.Nodes) > 0 && !slices.ContainsFunc(s.Nodes, func(n api.Node) bool { return !dead(&n) })
}

// usable tells whether a member's HAProxy has a server that is up, of a node that is not dead.
func (s *seen) usable(member string) bool {
	return slices.ContainsFunc(s.Nodes, func(n api.Node) bool {
		return !dead(&n) && slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool {
			return o.Member == member && (o.HAProxy == "up" || o.HAProxy == "drain")
		})
	})
}

// spares are the nodes that would do in place of the active.
func (s *seen) spares() []string {
	var out []string
	for i := range s.Nodes {
		if n := &s.Nodes[i]; !n.Active && !n.Excluded && n.Eligible && n.Going == "" && !dead(n) {
			out = append(out, n.Name)
		}
	}
	return out
}

// count writes "1 proxy", "2 proxies".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// list writes "a", "a and b", "a, b and c", and of many the first ones.
func list(names []string) string {
	const most = 6
	switch {
	case len(names) < 2:
		return join(names)
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", join(names[:most-1]), len(names)-most+1)
	}
	return join(names[:len(names)-1]) + " and " + names[len(names)-1]
}
