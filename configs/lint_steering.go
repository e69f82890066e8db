package configs

import (
	"fmt"
	"slices"
	"strings"
)

func (l *linter) steering() {
	if len(l.t.Sticky) == 0 {
		if len(l.t.Halves) == 0 {
			l.unsticky()
		}
		return
	}
	for _, s := range l.t.Sticky {
		if s.Keys == nil {
			l.add(s.Pos, SeverityError, RuleKeyUnknowable, fmt.Sprintf("backend %s sticks on %q, whose keys cannot be known in advance", s.Name, s.Key.Text),
				"an entry can be set right only for a key that is known before a connection comes",
				"stick on int(1); or on fe_name with fixed use_backend names, fe_id with an explicit `id`, or dst with explicit addresses in bind")
		}
		if !s.Steered {
			l.unsteered(s)
		}
	}
	if l.t.Steering != nil {
		l.private()
		l.unfenced()
	}
}

// unsticky says what the writers do without a stick rule: those of the first backend that has a main server and backups
// or, without one, that has several servers.
func (l *linter) unsticky() {
	var several *Backend
	for i := range l.t.Backends {
		be := &l.t.Backends[i]
		if be.Mode != "tcp" || len(be.Servers) < 2 {
			continue
		}
		if slices.ContainsFunc(be.Servers, func(s Server) bool { return s.Backup }) {
			several = be
			break
		}
		if several == nil {
			several = be
		}
	}
	pos, problem := Position{}, "no backend in mode tcp has a stick rule"
	why := "every HAProxy goes to the first server that it believes to be up: they disagree whenever they see differently, and all go back when that node returns"
	if several != nil {
		pos = several.Pos
		var main []string
		for _, s := range several.Servers {
			if !s.Backup {
				main = append(main, s.Name)
			}
		}
		if len(main) > 1 {
			problem = fmt.Sprintf("backend %s spreads connections over %s", several.Name, strings.Join(main, ", "))
			why = "every HAProxy writes to all of them"
		}
	}
	l.add(pos, SeverityError, RuleNoSticky, problem, why,
		"add what is needed with `haproxyctl config adopt`, or render a configuration with `haproxyctl config render`")
}

func (l *linter) unsteered(s StickyBackend) {
	l.add(s.Pos, SeverityWarning, RuleNoPrivateTable, fmt.Sprintf("backend %s has no private table", s.Name),
		"peers write the native table as well: a HAProxy whose daemon is down keeps pushing its own choice to the others, and a move takes clear, set and verify on all of them",
		"add `stick match int(1) table haproxyd-steer if { srv_is_up(haproxyd/local) }` before the other stick rules, with the backends haproxyd-steer and haproxyd; `haproxyctl config adopt` adds them")
	if l.t.Steering != nil && s.Stores {
		l.add(s.Pos, SeverityWarning, RuleNoBeacon, fmt.Sprintf("backend %s stores entries also while the daemon steers", s.Name),
			"connections that matched the old node write it back after a move",
			"use `stick match` and `stick store-request ... unless` the beacon is up, instead of `stick on`")
	}
}

// private checks that the private table is private, and survives a reload.
func (l *linter) private() {
	st := l.t.Steering
	for _, s := range l.t.Sticky {
		if s.Table == st.Table {
			l.add(s.Pos, SeverityError, RuleNoPrivateTable, fmt.Sprintf("backend %s uses table %s both as the private and as the native one", s.Name, st.Table),
				"traffic and peers write into it, so that it does not steer", "give the native rules the backend's own table")
		}
	}
	for backend, server := range map[string]string{st.BeaconBackend: st.BeaconServer, st.AliveBackend: st.AliveServer} {
		be, _ := l.t.backend(backend)
		if srv, ok := be.server(server); ok && !srv.opts.has("check") {
			l.add(srv.Pos, SeverityError, RuleBeaconUnchecked, fmt.Sprintf("server %s/%s has no `check`", backend, server),
				"HAProxy takes the daemon for alive for ever: with a dead one nothing fails over", "add `check inter 200 fall 2 rise 1`")
		}
	}
	table, _ := l.t.table(st.Table)
	if st.PeersSection == "" {
		l.add(table.Pos, SeverityWarning, RuleNoPrivateTable, fmt.Sprintf("the private table %s names no peers section", st.Table),
			"a reload empties it, and connections follow the native table until the daemon has written it again",
			"add `peers self`, with a section `peers self` that holds the local peer alone")
		return
	}
	p, ok := l.t.PeersNamed(st.PeersSection)
	if !ok {
		return
	}
	for _, peer := range p.Peers {
		if peer.Name != l.t.LocalPeer {
			l.add(peer.Pos, SeverityError, RuleNoPrivateTable, fmt.Sprintf("the private table %s is shared with the peer %s", st.Table, peer.Name),
				"another HAProxy can write it, so that it is not private", "use a peers section that holds the local peer alone, on a loopback address")
		}
	}
}

// unfenced finds the ways to a steered backend that do not refuse while the proxy is fenced.
func (l *linter) unfenced() {
	for _, f := range l.t.Frontends {
		for _, s := range l.t.Sticky {
			if !s.Steered || !f.leadsTo(s.Name) {
				continue
			}
			if _, ok := l.t.fenceRule(f.section); !ok {
				l.add(f.Pos, SeverityWarning, RuleNoPrivateTable, fmt.Sprintf("frontend %s leads to %s and has no fence", f.Name, s.Name),
					"a HAProxy that cannot reach the active node goes elsewhere: two nodes take writes",
					fmt.Sprintf("add `tcp-request connection reject if { int(2),in_table(%s) } { srv_is_up(ALIVE/local) }`, where ALIVE checks the daemon's /healthz", l.t.Steering.Table))
				break
			}
		}
	}
}
