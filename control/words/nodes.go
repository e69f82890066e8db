package words

import (
	"fmt"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// NodeState is a node's place in the agreement, in a word or two.
func NodeState(n api.Node) string {
	switch {
	case n.Active && n.Excluded:
		return "active, excluded"
	case n.Active && n.Going != "":
		return "active, going"
	case n.Active:
		return "active"
	case n.Excluded:
		return "excluded"
	case n.Going != "":
		return "going"
	case n.Eligible:
		return "ready"
	default:
		return "not eligible"
	}
}

// Votes counts the voters' verdicts, leaving out what nobody says.
func Votes(n api.Node) string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{n.Healthy, "healthy"}, {n.Down, "down"}, {n.Unknown, "unknown"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	if len(parts) == 0 {
		return "no votes"
	}
	return strings.Join(parts, ", ")
}

// Reason is the reason with what else the member has noticed.
func Reason(o api.Opinion) string {
	parts := []string{o.Reason}
	if o.Stuck != "" {
		parts = append(parts, "its commits hang: "+o.Stuck)
	}
	if o.Paused {
		parts = append(parts, "flow control holds it back")
	}
	if o.Going != "" {
		parts = append(parts, "it "+o.Going)
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

// Rank is how soon an operator should hear an opinion.
func Rank(o api.Opinion) int {
	switch {
	case o.Verdict == "down":
		return 5
	case o.Stuck != "":
		return 4
	case o.Verdict != "healthy":
		return 3
	case o.HAProxy == "down":
		return 2
	case o.Avoid || o.Refused || o.Paused || o.Going != "" || !o.Eligible:
		return 1
	}
	return 0
}

// HAProxy is the state of a node's server in one HAProxy.
func HAProxy(o api.Opinion) string {
	word := o.HAProxy
	if o.Refused {
		word += ", its check begins to refuse it"
	}
	if o.Moved != "" {
		word += ", at another address"
	}
	return word
}

// Saying is what members say of a node in the same words.
type Saying struct {
	// Who are the members, "all 3" where there is nothing else to be heard.
	Who  string
	Text string
	// Rank is the Rank of one of them.
	Rank int
}

// Sayings are the different words on a node with who says them, the worst first.
func Sayings(n api.Node) []Saying {
	type said struct {
		Saying
		who []string
	}
	var all []said
	for _, o := range n.Opinions {
		text := o.Verdict + ", " + Reason(o)
		if o.Reason == "" {
			text = o.Verdict
		}
		if o.HAProxy != "" && (o.HAProxy != "up" || o.Verdict != "healthy" || o.Refused) {
			text += " (HAProxy: " + HAProxy(o) + ")"
		}
		i := slices.IndexFunc(all, func(s said) bool { return s.Text == text })
		if i < 0 {
			i = len(all)
			all = append(all, said{Saying: Saying{Text: text, Rank: Rank(o)}})
		}
		all[i].who = append(all[i].who, o.Member)
	}
	slices.SortStableFunc(all, func(a, b said) int { return b.Rank - a.Rank })
	var out []Saying
	for _, s := range all {
		s.Who = strings.Join(s.who, ", ")
		if len(all) == 1 && len(s.who) > 1 {
			s.Who = fmt.Sprintf("all %d", len(s.who))
		}
		out = append(out, s.Saying)
	}
	return out
}

// Stall is what would stand still if a node died.
type Stall struct{ Node, Says string }

// StallLines say so of each node, once where it is the same for all.
func StallLines(all []Stall) []string {
	var out []string
	for _, s := range all {
		if s.Says != "" {
			out = append(out, "if "+s.Node+" died now: "+s.Says)
		}
	}
	if len(out) > 1 && !slices.ContainsFunc(all, func(s Stall) bool { return s.Says != all[0].Says }) {
		return []string{"if any of them died now: " + all[0].Says}
	}
	return out
}

// Stalls are those of nodes.
func Stalls(nodes []api.Node) []string {
	var all []Stall
	for _, n := range nodes {
		all = append(all, Stall{Node: n.Name, Says: n.Stall})
	}
	return StallLines(all)
}
