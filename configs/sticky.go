package configs

import (
	"slices"
	"strings"
)

// sticky finds the backends with stick rules, and the steering layout in them.
func (b *builder) sticky() {
	var found []stickRules
	for _, be := range b.t.Backends {
		if be.Mode != "tcp" {
			continue // no database speaks HTTP: it is somebody else's, and left alone
		}
		if rules := b.sorted(be); len(rules.steer)+len(rules.natives) > 0 {
			found = append(found, rules)
		}
	}
	found = b.ours(found)
	for _, c := range found {
		for _, r := range c.steer {
			b.steering(r, c.backend.section)
		}
	}
	b.holdFrontends(found)
	if b.t.Steering != nil {
		b.fence()
	}
	for _, c := range found {
		if !b.sticks(c) {
			continue
		}
		if len(c.natives) == 0 {
			b.fail(c.steer[0].pos, "add `stick match` and `stick store-request` on the backend's own table", "backend %s has a private table and no native one: without the daemon nothing would stick", c.backend.Name)
			continue
		}
		b.t.Sticky = append(b.t.Sticky, b.stickyBackend(c.backend, c.natives, len(c.steer) > 0 && b.t.Steering != nil))
	}
	b.t.externalCheck = slices.ContainsFunc(b.t.Backends, func(be Backend) bool {
		_, on := b.optioned(be.section, "external-check")
		return on && be.Mode == "tcp" && (len(b.t.Sticky) == 0 || b.t.sticky(be.Name))
	})
	b.holds(found)
	b.keeps()
	b.ways(found)
}

// sticks tells whether the native rules both store and match: else no connection follows another one.
func (b *builder) sticks(c stickRules) bool {
	stores, matches := len(c.natives) == 0, len(c.natives) == 0
	for _, r := range c.natives {
		stores = stores || r.kind != "match"
		matches = matches || r.kind == "on" || r.kind == "match"
	}
	if stores && matches {
		return true
	}
	what := "stores and never matches: its connections are balanced, whatever the table says"
	if matches {
		what = "matches and never stores: without the daemon nothing sticks"
	}
	b.t.Halves = append(b.t.Halves, Way{Backend: c.backend.Name, Pos: c.natives[0].pos, Severity: SeverityError, Rule: RuleHalfSticky, Problem: "backend " + c.backend.Name + " " + what,
		Why: "it is no sticky backend, and the daemon does not steer it", Fix: "write `stick on`, or both `stick match` and `stick store-request`"})
	return false
}

// stickRules are the stick rules of a backend by their purpose: all of them that choose or store, in file order, and
// of those the private table's, the hold frontends' and the native ones.
type stickRules struct {
	backend                    Backend
	all, steer, holds, natives []stickRule
}

func (b *builder) sorted(be Backend) stickRules {
	out := stickRules{backend: be}
	for _, r := range b.stickRules(be.section) {
		if _, ok := b.t.table(r.table); !ok {
			b.fail(r.pos, "add the stick-table, or name one that is there", "the stick rule uses the table %s, which no section declares", r.table)
			continue
		}
		out.all = append(out.all, r)
	}
	// What is stored of an answer counts where a rule looks it up.
	rules := slices.Clone(out.all)
	out.all = slices.DeleteFunc(out.all, func(r stickRule) bool {
		return r.kind == "store-response" && !slices.ContainsFunc(rules, func(o stickRule) bool {
			return (o.kind == "on" || o.kind == "match") && o.key.Text == r.key.Text && o.table == r.table
		})
	})
	private := map[string]bool{}
	for _, r := range out.all {
		// A rule that only looks up, only while a server is up, is the private table's.
		if _, _, up, ok := r.beacon(be.section); ok && up && r.kind == "match" {
			out.steer = append(out.steer, r)
			private[r.table] = true
		}
	}
	for _, r := range out.all {
		name, held := r.frontend()
		switch _, _, up, ok := r.beacon(be.section); {
		case ok && up && r.kind == "match":
		case held && r.kind == "match" && (private[r.table] || strings.HasPrefix(name, holdPrefix)):
			out.holds = append(out.holds, r)
		default:
			out.natives = append(out.natives, r)
		}
	}
	return out
}

func (b *builder) stickyBackend(be Backend, rules []stickRule, steered bool) StickyBackend {
	main := rules[0]
	table, _ := b.t.table(main.table)
	s := StickyBackend{
		Name: be.Name, Table: table.Name,
		PeersSection: table.PeersSection, ByAddress: table.ByAddress, Key: main.key, Servers: b.ported(be), Steered: steered, Pos: main.pos,
		Keys: b.keysOf(main.key, table, be), Redispatch: b.redispatch(be.section),
	}
	s.Entrance, s.QueueTimeout = b.entrance(be)
	for _, r := range rules {
		if r.key.Text != main.key.Text || r.table != main.table {
			// Which of them decides depends on the connection.
			s.Keys = nil
		}
		if r.kind == "match" {
			continue
		}
		// Storing only while the beacon is not up leaves the table to the daemon meanwhile.
		backend, server, up, ok := r.beacon(be.section)
		st := b.t.Steering
		if !ok || up || st == nil || st.BeaconBackend != backend || st.BeaconServer != server {
			s.Stores = true
		}
	}
	return s
}

// steering takes the private table's rule. There is one private table with one key and one beacon: all sticky
// backends follow the one active node.
func (b *builder) steering(r stickRule, s *section) {
	backend, server, _, _ := r.beacon(s)
	if r.key.Kind != KeyInt && r.key.Kind != KeyStr {
		b.fail(r.pos, "use int(1)", "the private table %s is asked for %q, which is not one constant key", r.table, r.key.Text)
		return
	}
	table, _ := b.t.table(r.table)
	key, ok := asKey(r.key.Kind, r.key.Arg, table)
	if !ok {
		b.fail(r.pos, "use int(1) and `type integer`", "the private table %s of type %s cannot hold the key %s", r.table, table.Type, r.key.Text)
		return
	}
	be, ok := b.t.backend(backend)
	_, found := be.server(server)
	if !ok || !found {
		b.fail(r.pos, "declare the beacon, or name the one that is there", "the beacon %s/%s is not declared", backend, server)
		return
	}
	st := &Steering{
		Table: r.table, ActiveKey: key, BeaconBackend: backend, BeaconServer: server,
		PeersSection: table.PeersSection, Pos: r.pos,
	}
	old := b.t.Steering
	if old == nil {
		b.t.Steering = st
		return
	}
	if old.Table != st.Table || old.ActiveKey != st.ActiveKey || old.BeaconBackend != backend || old.BeaconServer != server {
		b.fail(r.pos, "use the same table, key and beacon everywhere", "backend %s is steered by key %s of table %s with the beacon %s/%s, and the rule at %s by key %s of %s with %s/%s",
			s.name, key, st.Table, backend, server, old.Pos, old.ActiveKey, old.Table, old.BeaconBackend, old.BeaconServer)
	}
}

// fence finds the rule that refuses connections while a key is in the private table and the daemon is alive.
func (b *builder) fence() {
	for _, f := range b.t.Frontends {
		g, ok := b.t.fenceRule(f.section)
		if !ok {
			continue
		}
		st := b.t.Steering
		if st.FenceKey == "" {
			st.FenceKey, st.AliveBackend, st.AliveServer = g.key, g.backend, g.server
		}
		if st.FenceKey != g.key || st.AliveBackend != g.backend || st.AliveServer != g.server {
			b.fail(f.Pos, "use the same key and server everywhere", "frontend %s is fenced by key %s and %s/%s, another one by key %s and %s/%s",
				f.Name, g.key, g.backend, g.server, st.FenceKey, st.AliveBackend, st.AliveServer)
		}
	}
}

// fenceRule reads a section's `tcp-request ... reject if { KEY,in_table(PRIVATE) } { srv_is_up(ALIVE/s) }`. A rule
// without the second part is not a fence: it would stay closed when the daemon dies.
func (t *Topology) fenceRule(s *section) (guard, bool) {
	for _, d := range s.all("tcp-request") {
		if g, ok := t.fenceOf(s, d); ok {
			return g, true
		}
	}
	return guard{}, false
}

func (t *Topology) fenceOf(s *section, d directive) (guard, bool) {
	if !strings.HasPrefix(d.word(2), "reject") && d.word(2) != "silent-drop" {
		return guard{}, false
	}
	return t.guard(s, d)
}

// guard is the condition `if { KEY,in_table(PRIVATE) } { srv_is_up(BACKEND/SERVER) }`.
type guard struct {
	key, backend, server string
	// bare tells that nothing stands beside KEY,in_table(PRIVATE).
	bare bool
}

// guard reads a line that depends on such a condition and on nothing else.
func (t *Topology) guard(s *section, d directive) (g guard, ok bool) {
	c, unless, found := parseClause(s, d.words)
	if !found || unless || len(c) != 1 || len(c[0]) != 2 {
		return guard{}, false
	}
	var tabled, alive bool
	for _, x := range c[0] {
		if key, table, is := x.inTable(); is && !x.neg && table == t.Steering.Table {
			g.key, g.bare, tabled = key, len(x.words) == 1, true
		} else if backend, server, is := x.srvUp(s); is && !x.neg {
			g.backend, g.server, alive = backend, server, true
		}
	}
	return g, tabled && alive
}
