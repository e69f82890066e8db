package configs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// overflow are servers that hand their clients on when their queue is full (run on 2.6 to 3.4: of five clients that come
// at once to a server with `maxconn 1 maxqueue 1` three go elsewhere, whatever the table says).
func (b *builder) overflow(s *StickyBackend) {
	for _, srv := range s.Servers {
		if n := srv.opts["maxqueue"]; s.Redispatch && n != "" && n != "0" && srv.opts["maxconn"] != "" {
			b.way(s, directive{pos: srv.Pos, words: []string{"maxqueue", n}}, RuleMaxQueue, fmt.Sprintf("server %s/%s has `maxqueue %s`, and backend %s `option redispatch`", s.Name, srv.Name, n, s.Name),
				"when that many wait, further connections go to another server", "remove `maxqueue`")
		}
	}
}

// order finds a native rule that looks up its table before the private one is asked: the first that finds a server decides.
func (b *builder) order(s *StickyBackend, c stickRules) {
	for _, r := range c.all {
		if slices.ContainsFunc(c.steer, func(o stickRule) bool { return o.pos == r.pos }) {
			return
		}
		if len(c.steer) > 0 && (r.kind == "on" || r.kind == "match") && slices.ContainsFunc(c.natives, func(o stickRule) bool { return o.pos == r.pos }) {
			b.way(s, directive{pos: r.pos, words: []string{"stick", r.kind, r.key.Text}}, RuleStickOrder, fmt.Sprintf("backend %s asks its native table before the private one", s.Name),
				"what peers and traffic have written there goes before what the daemon says", "move the rule behind the one of the private table")
			return
		}
	}
}

// foreign are stick rules of other backends that store their servers in a table of ours: whoever comes there once moves
// the writers.
func (b *builder) foreign(s *StickyBackend) {
	for _, be := range b.t.Backends {
		for _, d := range be.section.all("stick") {
			if d.word(1) != "on" && !strings.HasPrefix(d.word(1), "store-") {
				continue
			}
			name := be.Name
			if i := slices.Index(d.words, "table"); i > 0 {
				name = d.word(i + 1)
			}
			private := b.t.Steering != nil && name == b.t.Steering.Table
			if !private && (name != s.Table || b.t.sticky(be.Name)) {
				continue
			}
			if private && !s.Steered {
				continue
			}
			b.way(s, d, RuleTableShared, fmt.Sprintf("backend %s stores its servers in the table %s", be.Name, name),
				"one connection there, and those of "+s.Name+" go to the server of the same name or id", "give it a table of its own")
		}
	}
}

// unfenced are rules that let connections in before the fence is asked.
func (b *builder) unfenced(s *StickyBackend) {
	if b.t.Steering == nil || !s.Steered {
		return
	}
	for _, f := range b.t.Frontends {
		if !f.leadsTo(s.Name) {
			continue
		}
		var before []directive
		for _, part := range b.withDefaults(f.section) {
			before = append(before, part.all("tcp-request")...)
		}
		at := slices.IndexFunc(before, func(d directive) bool { _, fence := b.t.fenceOf(f.section, d); return fence })
		if at < 0 {
			continue // the linter tells that there is none
		}
		for _, d := range before[:at] {
			if d.word(1) == before[at].word(1) && d.word(2) == "accept" {
				b.way(s, d, RuleFencePassed, fmt.Sprintf("frontend %s lets connections in before its fence", f.Name),
					"while this HAProxy cannot reach the active node they go to another one", "move the fence before it")
			}
		}
	}
}

// sharedBinds are addresses of the writers at which another frontend listens, too: the kernel gives each connection to
// either.
func (b *builder) sharedBinds(s *StickyBackend) {
	for _, f := range b.t.Frontends {
		if !f.leadsTo(s.Name) {
			continue
		}
		for _, o := range b.t.Frontends {
			if o.Name == f.Name || o.leadsTo(s.Name) {
				continue
			}
			if bind, ok := find(o.Binds, func(bind Bind) bool {
				return slices.ContainsFunc(f.Binds, func(mine Bind) bool { return mine.sharedWith(bind) })
			}); ok {
				b.way(s, directive{pos: bind.Pos, words: []string{"bind"}}, RuleBindShared, fmt.Sprintf("frontends %s and %s listen at one address", f.Name, o.Name),
					"HAProxy starts with both, and each connection goes to either", "give them different addresses")
			}
		}
	}
}

// sharedWith tells whether two lines listen at one address. One that names an address goes before one for every address,
// and `::` and `*` are two families.
func (b Bind) sharedWith(o Bind) bool {
	if b.Port == 0 || b.Port != o.Port {
		return false
	}
	v6 := func(bind Bind) bool { return strings.Contains(bind.Host, ":") }
	if everyAddress(b.Host) && everyAddress(o.Host) {
		return v6(b) == v6(o)
	}
	x, err1 := netip.ParseAddr(b.Host)
	y, err2 := netip.ParseAddr(o.Host)
	return b.Host == o.Host || err1 == nil && err2 == nil && x == y
}
