package configs

import (
	"fmt"
	"slices"
	"strings"
)

// servers checks the servers of the backends that have one writer: sticky ones, and those that reach it by `backup`
// alone, as Percona's own do.
func (l *linter) servers() {
	sticky := map[string]bool{}
	for _, s := range l.t.Sticky {
		sticky[s.Name] = true
	}
	slots := map[Position]bool{}
	for _, b := range l.t.Backends {
		if b.Mode != "tcp" || len(l.t.Sticky) > 0 && !l.t.hasNode(b) {
			continue // somebody else's
		}
		single := sticky[b.Name] || slices.ContainsFunc(b.Servers, func(s Server) bool { return s.Backup })
		for _, s := range b.Servers {
			if strings.Contains(s.opts["on-marked-up"], "shutdown-backup-sessions") {
				l.add(s.Pos, SeverityError, RuleMarkedUp, fmt.Sprintf("server %s/%s has `on-marked-up shutdown-backup-sessions`", b.Name, s.Name),
					"when the node comes back every session on the node that took over is cut: a second failover, in the middle of transactions",
					"remove it; let the stick-table keep the node that took over")
			}
			if single && s.opts["on-marked-down"] != "shutdown-sessions" {
				l.add(s.Pos, SeverityWarning, RuleMarkedDown, fmt.Sprintf("server %s/%s has no `on-marked-down shutdown-sessions`", b.Name, s.Name),
					"sessions to a node that is down stay open until a timeout, and if it comes back they write beside the new active node",
					"add `on-marked-down shutdown-sessions`")
			}
			if sticky[b.Name] {
				l.nodeLine(b, s)
			}
			switch {
			case !sticky[b.Name]:
			case s.template:
				if slots[s.Pos] {
					continue
				}
				slots[s.Pos] = true
				l.add(s.Pos, SeverityError, RuleServerTemplate, fmt.Sprintf("backend %s has its servers by a server-template", b.Name),
					"slots are no nodes: which node has which slot differs between HAProxies, and changes", "name the servers one by one, each with an `id`")
			case !s.ExplicitID:
				l.add(s.Pos, SeverityError, RuleServerIDMissing, fmt.Sprintf("server %s/%s has no explicit id (HAProxy gives it %d)", b.Name, s.Name, s.ID),
					"stick-tables and peers speak of servers by id, and HAProxy counts in file order: another order is another node. Any other id than today's would send the writers of the HAProxies that have it already to another node than those of the rest",
					fmt.Sprintf("add `id %d`", s.ID))
			}
		}
	}
	for _, s := range l.t.Sticky {
		l.severalActive(s)
	}
	l.unequalIDs()
}

// nodeLine checks one node's words.
func (l *linter) nodeLine(b Backend, s Server) {
	if s.opts.has("non-stick") {
		l.add(s.Pos, SeverityError, RuleNonStick, fmt.Sprintf("server %s/%s has `non-stick`", b.Name, s.Name),
			"connections to it are never stored: without the daemon nobody follows them there, and all go back when the first node returns", "remove it")
	}
	if !s.opts.has("check") && !s.opts.has("track") && !s.opts.has("agent-check") {
		l.add(s.Pos, SeverityWarning, RuleNoCheck, fmt.Sprintf("server %s/%s has no `check`", b.Name, s.Name),
			"HAProxy never calls it down: without the daemon its clients stay with a dead node", "add `check`")
	}
}

// severalActive finds a sticky backend that balances where its table leads nowhere.
func (l *linter) severalActive(s StickyBackend) {
	var main []string
	for _, srv := range s.Servers {
		if !srv.Backup {
			main = append(main, srv.Name)
		}
	}
	if len(main) > 1 && !slices.ContainsFunc(s.Servers, func(srv Server) bool { return srv.template }) {
		l.add(s.Pos, SeverityWarning, RuleSeveralActive, fmt.Sprintf("backend %s balances over %s where its table leads nowhere", s.Name, strings.Join(main, ", ")),
			"without the daemon each HAProxy chooses for itself after the active node's death, until the peers have told each other",
			"make all but one of them `backup`: the first without it is where everybody goes then")
	}
}

func (l *linter) unequalIDs() {
	type place struct {
		backend string
		server  Server
	}
	seen, byID := map[string]place{}, map[int]place{}
	for _, b := range l.t.Sticky {
		for _, s := range b.Servers {
			unequal := func(problem, fix string) {
				l.add(s.Pos, SeverityError, RuleServerIDUnequal, problem, "one entry of a stick-table then means different nodes in different backends", fix)
			}
			if old, ok := seen[s.Name]; ok && old.server.ID != s.ID {
				unequal(fmt.Sprintf("server %s has id %d in backend %s and id %d in backend %s (%s)", s.Name, s.ID, b.Name, old.server.ID, old.backend, old.server.Pos),
					fmt.Sprintf("give %s the same explicit id everywhere", s.Name))
			} else if !ok {
				seen[s.Name] = place{b.Name, s}
			}
			if old, ok := byID[s.ID]; ok && old.server.Name != s.Name {
				unequal(fmt.Sprintf("id %d is server %s in backend %s and server %s in backend %s (%s)", s.ID, s.Name, b.Name, old.server.Name, old.backend, old.server.Pos),
					fmt.Sprintf("give %s an explicit id of its own, the same everywhere", s.Name))
			} else if !ok {
				byID[s.ID] = place{b.Name, s}
			}
		}
	}
}
