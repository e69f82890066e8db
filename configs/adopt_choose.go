package configs

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

const (
	nameBackends   = "name those that take the writes: --backends NAME,..."
	beforeAdoption = "before it can be adopted: "
)

// choose finds the backends to adopt.
func (a *adopter) choose() error {
	list, err := a.chosen()
	if err != nil {
		return err
	}
	for _, be := range list {
		c := a.b.sorted(be)
		if i := slices.IndexFunc(be.Servers, func(s Server) bool { return s.template }); i >= 0 {
			return mend(be.Servers[i].Pos, "name the servers one by one, each with an `id`", "backend %s has its servers by a server-template: slots are no nodes", be.Name)
		}
		for _, r := range c.natives {
			if r.key.Kind == KeyOther {
				return mend(r.pos, "write `stick on int(1)` with a table of `type integer`, in all HAProxies",
					"backend %s sticks on %q: each client has a node of its own, so that several take writes", be.Name, r.key.Text)
			}
		}
		a.backends = append(a.backends, c)
	}
	if len(a.b.errs) > 0 {
		return a.b.errs[0]
	}
	for _, w := range a.t.Ways {
		switch w.Rule {
		case RulePersist, RuleAllBackups, RuleTableExpire: // adopt takes them away
		default:
			if a.has(w.Backend) {
				return mend(w.Pos, beforeAdoption+w.Fix, "%s", w.Problem)
			}
		}
	}
	return a.chooseMain()
}

func (a *adopter) chosen() (list []Backend, err error) {
	for _, name := range a.in.Backends {
		be, ok := a.t.backend(name)
		if !ok || be.Mode != "tcp" || len(be.Servers) == 0 {
			return nil, mend(a.t.whole(), a.candidatesText(), "--backends names %s, which is no backend of mode tcp with servers here", name)
		}
		list = append(list, be)
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(a.t.Services) > 0:
		return nil, mend(a.t.strange().Pos, nameBackends, "%s", a.t.twoServices())
	}
	for _, s := range a.t.Sticky {
		if s.Keys != nil {
			be, _ := a.t.backend(s.Name)
			list = append(list, be)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	// Without a stick rule: one main server and backups are a way to one node. Nothing else may be meant.
	candidates := a.candidates()
	for _, be := range candidates {
		if slices.ContainsFunc(be.Servers, func(s Server) bool { return s.Backup }) {
			list = append(list, be)
		}
	}
	if len(list) == 0 || len(byServers(ruleless(candidates))) > 1 {
		return nil, mend(a.t.whole(), nameBackends, "which backends take the writes cannot be told (%s)", a.candidatesText())
	}
	return list, nil
}

// candidates are the backends that could be meant: of mode tcp, with two servers or more.
func (a *adopter) candidates() []Backend {
	return slices.DeleteFunc(slices.Clone(a.t.Backends), func(b Backend) bool { return b.Mode != "tcp" || len(b.Servers) < 2 })
}

func (a *adopter) candidatesText() string {
	var names []string
	for _, be := range a.candidates() {
		names = append(names, be.Name)
	}
	if len(names) == 0 {
		return "there is no backend of mode tcp with two servers or more"
	}
	return "there is " + strings.Join(names, ", ")
}

// ruleless is what byServers wants to know of backends.
func ruleless(list []Backend) (out []stickRules) {
	for _, be := range list {
		out = append(out, stickRules{backend: be})
	}
	return out
}

// chooseMain finds the one server that is not to be backup.
func (a *adopter) chooseMain() error {
	of := ""
	for _, c := range a.backends {
		main := a.in.Active
		if main == "" {
			if i := slices.IndexFunc(c.backend.Servers, func(s Server) bool { return !s.Backup }); i >= 0 {
				main = c.backend.Servers[i].Name
			}
		} else if _, ok := c.backend.server(main); !ok {
			return mend(c.backend.Pos, "name one of "+strings.Join(serverNames(c.backend), ", "), "backend %s has no server %s", c.backend.Name, main)
		}
		if of != "" && main != a.main {
			return mend(c.backend.Pos, "name the node that takes the writes now (--active), or fewer backends (--backends)",
				"backend %s goes to %s and backend %s to %s", of, orNone(a.main), c.backend.Name, orNone(main))
		}
		of, a.main = c.backend.Name, main
	}
	return nil
}

func orNone(name string) string {
	if name == "" {
		return "the first backup"
	}
	return name
}

func serverNames(be Backend) (names []string) {
	for _, s := range be.Servers {
		names = append(names, s.Name)
	}
	return names
}

// choosePeers finds the peers section for tables that name none, and the one of the local peer alone.
func (a *adopter) choosePeers() error {
	a.self = "self"
	if st := a.t.Steering; st != nil {
		a.self = st.PeersSection
	} else if _, taken := a.t.PeersNamed(a.self); taken {
		a.self = a.free("haproxyd-self")
	}
	for _, c := range a.backends {
		for _, r := range c.natives {
			if table, _ := a.t.table(r.table); table.PeersSection != "" {
				a.peers = table.PeersSection
				return a.samePeers()
			}
		}
	}
	var named []string
	for _, p := range a.t.Peers {
		if !p.Disabled && p.Name != a.self && p.Has(a.t.LocalPeer) {
			named = append(named, p.Name)
		}
	}
	switch {
	case len(named) > 1:
		return mend(a.t.whole(), "name one of them on the stick-tables", "there are several peers sections (%s), and a stick-table names none", strings.Join(named, ", "))
	case len(named) == 1:
		a.peers = named[0]
		return a.samePeers()
	case len(a.in.Proxies) > 0:
		return a.peersOf()
	}
	if len(a.t.Peers) > 0 {
		p := a.t.Peers[0]
		return mend(p.Pos, "say how this HAProxy is called: --local NAME", "the local peer %q is not in the peers section %s", a.t.LocalPeer, p.Name)
	}
	return mend(a.t.whole(), "name all HAProxies, this one among them: --proxies NAME=ADDR:PORT,...", "there is no peers section, by which the HAProxies know each other")
}

// has tells whether a backend is adopted.
func (a *adopter) has(backend string) bool {
	return slices.ContainsFunc(a.backends, func(c stickRules) bool { return c.backend.Name == backend })
}

// samePeers: --proxies must not contradict the peers section that is there.
func (a *adopter) samePeers() error {
	p, _ := a.t.PeersNamed(a.peers)
	for _, proxy := range a.in.Proxies {
		if !p.Has(proxy.Name) {
			return mend(p.Pos, "leave --proxies out, or add the peer to the section", "the peers section %s is used, and it has no peer %s", p.Name, proxy.Name)
		}
	}
	return nil
}

// peersOf writes the section that --proxies names.
func (a *adopter) peersOf() error {
	names := []string{}
	for _, p := range a.in.Proxies {
		names = append(names, p.Name)
	}
	if !slices.Contains(names, a.t.LocalPeer) {
		return mend(Position{}, "say how this HAProxy is called: --local NAME", "the local peer %q (-L, `localpeer`, or the host's name) is none of --proxies (%s)", a.t.LocalPeer, strings.Join(names, ", "))
	}
	a.peers, a.newPeers = a.free("mypeers"), true
	a.end = append(a.end, "# Every HAProxy, this one among them: replicates the native tables.", "peers "+a.peers)
	for _, p := range a.in.Proxies {
		a.end = append(a.end, fmt.Sprintf("    peer %s %s", p.Name, net.JoinHostPort(p.Host, strconv.Itoa(cmp.Or(p.Port, peersPort)))))
	}
	a.end = append(a.end, "")
	return nil
}
