package configs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/haproxytech/client-native/v5/misc"
)

// Way is a line by which HAProxy may choose a server that the tables of a sticky backend do not lead to.
type Way struct {
	Backend string
	Pos     Position
	// Severity is an error where clients can reach another node than the tables say, a warning where it cannot be told.
	Severity Severity
	// Rule is the linter's, Line what stands there.
	Rule, Line        string
	Problem, Why, Fix string
}

// String gives the way as one line, for status.
func (w Way) String() string { return fmt.Sprintf("%s: %s: %s", w.Pos, w.Problem, w.Why) }

// Passes is the first line by which connections of the backend may pass its tables, with its place, "" if there is none.
// One of which that is known comes before one of which it cannot be told.
func (t *Topology) Passes(backend string) string {
	for _, severity := range []Severity{SeverityError, SeverityWarning} {
		if w, ok := find(t.Ways, func(w Way) bool { return w.Backend == backend && w.Severity == severity }); ok {
			return fmt.Sprintf("`%s` at %s", w.Line, w.Pos)
		}
	}
	return ""
}

// DownAfter is how long HAProxy's checks may take to call a node down that has died: the longest of its servers, 0
// where nothing checks it.
func (t *Topology) DownAfter(node string) time.Duration {
	longest := time.Duration(0)
	for _, b := range t.Sticky {
		srv, ok := find(b.Servers, func(s Server) bool { return s.Name == node })
		if !ok || !srv.opts.has("check") {
			continue
		}
		inter, fall := 2*time.Second, 3 // HAProxy's own
		if ms := misc.ParseTimeout(srv.opts["inter"]); ms != nil {
			inter = time.Duration(*ms) * time.Millisecond
		}
		if n, err := strconv.Atoi(srv.opts["fall"]); err == nil {
			fall = n
		}
		longest = max(longest, time.Duration(fall)*inter+inter) // the first one may be late, and each may wait for its timeout
	}
	return longest
}

// ways finds, for each sticky backend, what chooses a server beside its tables or keeps connections from them. All of it
// was run on 2.6, 3.0, 3.2 and 3.4 (TestWays).
func (b *builder) ways(found []stickRules) {
	for i := range b.t.Sticky {
		s := &b.t.Sticky[i]
		c, _ := find(found, func(c stickRules) bool { return c.backend.Name == s.Name })
		b.passed(s, c.backend)
		b.persistence(s, c.backend)
		b.conditions(s, c)
		b.forgetful(s)
		b.overflow(s)
		b.addressed(s)
		b.order(s, c)
		b.foreign(s)
		b.unfenced(s)
		b.sharedBinds(s)
		b.beside(s)
		b.strangers(s, c.backend)
	}
	slices.SortStableFunc(b.t.Ways, func(x, y Way) int { return strings.Compare(x.Pos.File, y.Pos.File) })
}

func (b *builder) way(s *StickyBackend, d directive, rule, problem, why, fix string) {
	b.t.Ways = append(b.t.Ways, Way{Backend: s.Name, Pos: d.pos, Severity: SeverityError, Rule: rule, Line: strings.Join(d.words, " "), Problem: problem, Why: why, Fix: fix})
}

func (b *builder) doubt(s *StickyBackend, d directive, rule, problem, why, fix string) {
	b.way(s, d, rule, problem, why, fix)
	b.t.Ways[len(b.t.Ways)-1].Severity = SeverityWarning
}

// passed are the lines that choose the server before any table is asked, or whatever it says.
func (b *builder) passed(s *StickyBackend, be Backend) {
	for _, d := range be.section.all("use-server") {
		if c, unless, found := parseClause(be.section, d.words); found && c.never(unless) {
			continue
		}
		b.way(s, d, RuleUseServer, fmt.Sprintf("use-server sends connections of backend %s to %s", s.Name, d.word(1)),
			"it goes before every stick rule: such connections reach that server whichever node is the active one", "remove it, or give these clients a backend of their own")
	}
	backups := 0
	for _, srv := range s.Servers {
		if srv.Backup {
			backups++
		}
	}
	if d, on := b.optioned(be.section, "allbackups"); on && backups > 1 {
		b.way(s, d, RuleAllBackups, fmt.Sprintf("backend %s has `option allbackups`", s.Name),
			"where the table leads nowhere connections are spread over all backup servers: all of them take writes", "remove it, or write `no option allbackups`")
	}
	for _, words := range [][]string{{"dispatch"}, {"transparent"}, {"option", "transparent"}} {
		for _, d := range be.section.all(words...) {
			b.way(s, d, RuleNoServer, fmt.Sprintf("`%s` sends connections of backend %s past its servers", strings.Join(words, " "), s.Name),
				"where they go no table says", "remove it")
		}
	}
}

// persistence are the lines that send connections to a server that is down, or to one that a cookie names.
func (b *builder) persistence(s *StickyBackend, be Backend) {
	if d, on := b.optioned(be.section, "persist"); on {
		b.way(s, d, RulePersist, fmt.Sprintf("backend %s has `option persist`", s.Name),
			"connections stick to a server that is down, and nobody gets through until it is back", "remove it, or write `no option persist`")
	}
	if d, on := b.last(be.section, "persist", "rdp-cookie"); on {
		b.way(s, d, RulePersist, fmt.Sprintf("backend %s has `persist rdp-cookie`", s.Name),
			"a client that sends such a cookie chooses its server, whichever node is the active one", "remove it")
	}
	for i, d := range be.section.all("force-persist") {
		if i == 0 && s.KeepKey != "" {
			continue
		}
		b.way(s, d, RulePersist, fmt.Sprintf("`force-persist` sends connections of backend %s to a server that is down", s.Name),
			"clients for whom it holds stay with the node of the entry while it is down or in maintenance", "remove it; the line that `haproxyctl config render` writes holds only while the daemon says so")
	}
}

// optioned gives the line that decides about an option, and whether it is on.
func (b *builder) optioned(s *section, name string) (at directive, on bool) {
	for _, part := range b.withDefaults(s) {
		for _, d := range part.dirs {
			switch {
			case d.has("option", name):
				at, on = d, true
			case d.has("no", "option", name):
				on = false
			}
		}
	}
	return at, on
}

// conditions are native rules that do not hold for every connection. What depends on the beacon alone is the layout with
// a private table, which rules exactly when they do not.
func (b *builder) conditions(s *StickyBackend, c stickRules) {
	for _, r := range c.natives {
		if _, _, _, beacon := r.beacon(c.backend.section); len(r.when) == 0 || beacon || r.when.never(!r.unless) {
			continue
		}
		b.t.Ways = append(b.t.Ways, Way{Backend: s.Name, Pos: r.pos, Severity: SeverityError, Rule: RuleStickCondition, Line: "stick " + r.kind + " with a condition",
			Problem: fmt.Sprintf("the stick rule of backend %s has a condition", s.Name),
			Why:     "connections for which it does not hold are balanced, whichever node is the active one",
			Fix:     "remove the condition, or give the other clients a backend of their own"})
	}
}

// forgetful are tables that lose their entry.
func (b *builder) forgetful(s *StickyBackend) {
	names := []string{s.Table}
	if s.Steered {
		names = append(names, b.t.Steering.Table)
	}
	for _, name := range names {
		table, ok := b.t.table(name)
		if !ok || table.Expire == "" {
			continue
		}
		why := "after a quiet time the entry is gone, and everybody goes back to the first server"
		if name != s.Table {
			why = "nobody renews the daemon's entries: they are gone after that time, and the native table rules until the daemon has written them again"
		}
		b.way(s, directive{pos: table.Pos, words: []string{"stick-table", "expire", table.Expire}}, RuleTableExpire,
			fmt.Sprintf("the stick-table %s has `expire %s`", name, table.Expire), why, "remove `expire`")
	}
}
