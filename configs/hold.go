package configs

import (
	"fmt"
	"slices"
	"strings"
)

// holdPrefix begins the name of every rendered hold frontend, the backend's name follows. A frontend with it is taken
// for one even if its stick rule is missing.
const holdPrefix = "haproxyd-hold-"

// hold is a frontend that is the daemon's own way to one server of a sticky backend. During a planned move its one
// connection takes the only slot of the new node (`set maxconn server ... 1`), so that clients wait in that server's
// queue until they are released together (run on 2.6 to 3.4).
type hold struct {
	frontend Frontend
	// problem tells why it cannot be used, and fix what to do; both are "" if it can.
	problem, fix string
	pos          Position
}

// frontend gives the name that the rule depends on: `if { fe_name F }`, and nothing else.
func (r stickRule) frontend() (name string, ok bool) {
	if r.unless || len(r.when) != 1 || len(r.when[0]) != 1 || r.when[0][0].neg {
		return "", false
	}
	words := r.when[0][0].words
	if len(words) == 4 && words[1] == "-m" && words[2] == "str" {
		words = slices.Delete(slices.Clone(words), 1, 3)
	}
	if len(words) != 2 || words[0] != "fe_name" {
		return "", false
	}
	return words[1], true
}

// holdFrontends takes the hold frontends out of those that clients use.
func (b *builder) holdFrontends(backends []stickRules) {
	named := map[string]bool{}
	for _, be := range backends {
		for _, r := range be.holds {
			name, _ := r.frontend()
			named[name] = true
		}
	}
	b.t.Frontends = slices.DeleteFunc(b.t.Frontends, func(f Frontend) bool {
		if !named[f.Name] && !strings.HasPrefix(f.Name, holdPrefix) {
			return false
		}
		b.t.holds = append(b.t.holds, hold{frontend: f, pos: f.Pos})
		return true
	})
}

// holds gives each sticky backend its hold frontend. One that cannot be used is no error: nothing but `--hold` needs it.
func (b *builder) holds(backends []stickRules) {
	for i := range b.t.holds {
		h := &b.t.holds[i]
		at := slices.IndexFunc(backends, func(be stickRules) bool { return h.frontend.leadsTo(be.backend.Name) })
		if at < 0 || len(backends[at].steer) == 0 || b.t.Steering == nil {
			h.problem, h.fix = "it leads to no backend with a private table", "name such a backend in its default_backend"
			continue
		}
		be := backends[at]
		bind := slices.IndexFunc(h.frontend.Binds, func(bind Bind) bool { return bind.Unix })
		if bind < 0 {
			h.problem, h.fix = "it binds no unix socket", "add `bind unix@PATH mode 660`"
			continue
		}
		key := b.holdRule(h, be)
		for j := range b.t.Sticky {
			s := &b.t.Sticky[j]
			if h.problem == "" && s.Name == be.backend.Name && s.HoldSocket == "" {
				s.HoldSocket = b.unixBindPrefix() + h.frontend.Binds[bind].Host
				b.t.Steering.HoldKey = key
			}
		}
	}
}

// holdRule finds the stick rule of a hold frontend and gives its key, or notes why there is none that works.
func (b *builder) holdRule(h *hold, be stickRules) (key string) {
	st := b.t.Steering
	right := fmt.Sprintf("stick match int(3) table %s if { fe_name %s }", st.Table, h.frontend.Name)
	at := slices.IndexFunc(be.all, func(r stickRule) bool {
		name, ok := r.frontend()
		return ok && name == h.frontend.Name && r.kind == "match"
	})
	if at < 0 {
		h.problem, h.fix = fmt.Sprintf("backend %s has no stick rule for it", be.backend.Name), fmt.Sprintf("add `%s` before the other stick rules", right)
		return ""
	}
	r := be.all[at]
	h.pos = r.pos
	table, _ := b.t.table(r.table)
	key, ok := asKey(r.key.Kind, r.key.Arg, table)
	notHold := func(before stickRule) bool {
		_, isHold := before.frontend()
		return !isHold
	}
	switch {
	case r.table != st.Table:
		h.problem = fmt.Sprintf("its stick rule asks the table %s, not the private one", r.table)
	case !ok || r.key.Kind != KeyInt && r.key.Kind != KeyStr:
		h.problem = fmt.Sprintf("its stick rule asks for %q, which is not one constant key", r.key.Text)
	case key == st.ActiveKey || key == st.FenceKey:
		h.problem = fmt.Sprintf("its stick rule asks for key %s, which means something else", key)
	case st.HoldKey != "" && st.HoldKey != key:
		h.problem = fmt.Sprintf("its stick rule asks for key %s, that of another hold frontend for key %s", key, st.HoldKey)
	case slices.ContainsFunc(be.all[:at], notHold):
		h.problem, h.fix = "its stick rule is not the first one", "move it before the other stick rules"
		return ""
	default:
		return key
	}
	h.fix = fmt.Sprintf("write `%s`", right)
	return ""
}

// unixBindPrefix is what HAProxy puts before the paths of bind lines, not before those of stats sockets.
func (b *builder) unixBindPrefix() string {
	for _, s := range b.t.sections {
		if s.kind != "global" {
			continue
		}
		for _, d := range s.all("unix-bind") {
			if i := slices.Index(d.words, "prefix"); i > 0 {
				return d.word(i + 1)
			}
		}
	}
	return ""
}

// hold finds hold frontends that hold nothing. A configuration without any is not worth a finding: it can do all but
// `--hold`.
func (l *linter) hold() {
	for _, h := range l.t.holds {
		if h.problem != "" {
			l.add(h.pos, SeverityWarning, RuleHoldUnusable, fmt.Sprintf("the hold frontend %s cannot be used: %s", h.frontend.Name, h.problem),
				"the daemon's own connection would not reach the node that it is to hold, so that `active set --hold` is refused", h.fix)
		}
	}
}
