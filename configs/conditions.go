package configs

import (
	"slices"
	"strings"
)

// term is one element of a condition: an anonymous ACL `{ ... }` or a named one, maybe negated.
type term struct {
	neg bool
	// words are the ACL's own words; nil for a name that is not declared once in the section.
	words []string
}

// clause is a condition: alternatives (||), each a list of terms that must all hold.
type clause [][]term

// parseClause reads `if COND` or `unless COND` at the end of a rule. With unless, unless is true.
func parseClause(s *section, words []string) (c clause, unless, found bool) {
	at := slices.IndexFunc(words, func(w string) bool { return w == "if" || w == "unless" })
	if at < 0 {
		return nil, false, false
	}
	unless = words[at] == "unless"
	words = words[at+1:]
	var group []term
	neg := false
	for i := 0; i < len(words); i++ {
		w := words[i]
		for strings.HasPrefix(w, "!") {
			neg = !neg
			w = w[1:]
		}
		switch w {
		case "":
			continue
		case "||", "or", "OR":
			c, group, neg = append(c, group), nil, false
			continue
		case "{":
			end := i + 1
			for end < len(words) && words[end] != "}" {
				end++
			}
			group = append(group, term{neg: neg, words: words[min(i+1, len(words)):end]})
			i = end
		default:
			group = append(group, term{neg: neg, words: s.acl(w)})
		}
		neg = false
	}
	return append(c, group), unless, true
}

// never tells whether the condition is one term that is false for every connection.
func (c clause) never(unless bool) bool {
	if len(c) != 1 || len(c[0]) != 1 || len(c[0][0].words) != 1 {
		return false
	}
	t := c[0][0]
	return t.words[0] == "always_true" && t.neg != unless || t.words[0] == "always_false" && t.neg == unless
}

// acl gives the words of a named ACL that is declared exactly once.
func (s *section) acl(name string) []string {
	lines := s.all("acl", name)
	if len(lines) == 0 && (name == "TRUE" || name == "FALSE") {
		return []string{"always_" + strings.ToLower(name)} // HAProxy's own
	}
	if len(lines) != 1 {
		return nil
	}
	return lines[0].words[2:]
}

// call reads a term of the form `fn(arg)`, optionally with `-m bool`, which is the default.
func (t term) call(fn string) (arg string, ok bool) {
	words := t.words
	if len(words) == 3 && words[1] == "-m" && words[2] == "bool" {
		words = words[:1]
	}
	if len(words) != 1 {
		return "", false
	}
	arg, ok = strings.CutPrefix(words[0], fn+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(arg, ")")
}

// srvUp reads `srv_is_up(BACKEND/SERVER)`; a server alone is one of the section's own.
func (t term) srvUp(s *section) (backend, server string, ok bool) {
	arg, ok := t.call("srv_is_up")
	if !ok {
		return "", "", false
	}
	backend, server, cut := strings.Cut(arg, "/")
	if !cut {
		return s.name, arg, true
	}
	return backend, server, true
}

// inTable reads `KEY,in_table(TABLE)` with a constant KEY, as the key is printed by `show table`.
func (t term) inTable() (key, table string, ok bool) {
	if len(t.words) == 0 {
		return "", "", false
	}
	expr, rest, cut := strings.Cut(t.words[0], ",in_table(")
	if !cut {
		return "", "", false
	}
	table, closed := strings.CutSuffix(rest, ")")
	if !closed {
		return "", "", false
	}
	k := parseKey(expr)
	if k.Kind != KeyInt && k.Kind != KeyStr {
		return "", "", false
	}
	return k.Arg, table, true
}

// mentions gives the backends whose servers' state the term asks about.
func (t term) mentions(s *section) []string {
	var out []string
	for _, w := range t.words {
		for _, fn := range []string{"srv_is_up(", "nbsrv(", "be_conn_free(", "connslots(", "avg_queue(", "srv_conn(", "srv_conn_free(", "srv_queue(", "queue("} {
			_, arg, found := strings.Cut(w, fn)
			if !found {
				continue
			}
			arg, _, _ = strings.Cut(arg, ")")
			backend, _, slash := strings.Cut(arg, "/")
			if !slash && strings.HasPrefix(fn, "srv") || backend == "" {
				backend = s.name
			}
			out = append(out, backend)
		}
	}
	return out
}
