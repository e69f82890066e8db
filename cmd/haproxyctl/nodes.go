package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (a *app) nodesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "nodes",
		Short: "List the database nodes and what each member says of them",
		Long: `List the database nodes with the voters' verdicts, then what each member says of
each node: its own probe's verdict and reason, and the server's state and sessions
in the HAProxy beside it.`,
		Example: `  haproxyctl nodes
  haproxyctl nodes -o json | jq -r '.[] | select(.eligible) | .name'`,
		RunE: answer(a, func(ctx context.Context, _ []string) ([]api.Node, error) { return a.client().Nodes(ctx) },
			func(w io.Writer, nodes []api.Node) {
				a.nodesTable(w, nodes)
				a.opinionsTable(w, nodes)
				a.lacking(w, nodes)
				if lines := stalls(nodes); len(lines) > 0 {
					fmt.Fprintln(w)
					a.fields(w, "Stall", lines)
				}
			}),
	}
}

// stall is what would stand still if a node died.
type stall struct{ node, says string }

// stallLines say so of each node, once where it is the same for all.
func stallLines(all []stall) []string {
	var out []string
	for _, s := range all {
		if s.says != "" {
			out = append(out, "if "+s.node+" died now: "+s.says)
		}
	}
	if len(out) > 1 && !slices.ContainsFunc(all, func(s stall) bool { return s.says != all[0].says }) {
		return []string{"if any of them died now: " + all[0].says}
	}
	return out
}

// stalls are those of nodes.
func stalls(nodes []api.Node) []string {
	var all []stall
	for _, n := range nodes {
		all = append(all, stall{n.Name, n.Stall})
	}
	return stallLines(all)
}

// nodeState is a node's place in the agreement, in a word or two.
func nodeState(n api.Node) string {
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

// votes counts the voters' verdicts, leaving out what nobody says.
func votes(n api.Node) string {
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

// nodeCells are a node's name, state and votes in their colours.
func nodeCells(n api.Node) (name, state, vote cell) {
	name, state, vote = plainCell(n.Name), cell{nodeState(n), styleNone}, cell{votes(n), styleGood}
	if n.Active {
		name.style, state.style = styleBold, styleGood
	}
	if n.Excluded {
		state.style = styleWarn
	}
	if n.Unknown > 0 {
		vote.style = styleWarn
	}
	if n.Down > 0 {
		vote.style = styleBad
	}
	return name, state, vote
}

func (a *app) nodesTable(w io.Writer, nodes []api.Node) {
	g := newGrid("NODE", "STATE", "VOTES", "SESSIONS", "ADDRESS", "NOTE")
	for _, n := range nodes {
		name, state, vote := nodeCells(n)
		g.add(name, state, vote, plainCell(strconv.Itoa(n.Sessions)), plainCell(n.Address), plainCell(nodeNote(n)))
	}
	a.write(w, g)
}

// healthTable is the nodes for the operator's screen: who says what of each, where
// those who say the same stand together.
func (a *app) healthTable(w io.Writer, nodes []api.Node) {
	g := newGrid("NODE", "STATE", "VOTES", "SESSIONS", "HEALTH BY MEMBER")
	for _, n := range nodes {
		name, state, vote := nodeCells(n)
		sessions := plainCell(strconv.Itoa(n.Sessions))
		said := sayings(n)
		if len(said) == 0 {
			said = []cell{{"nobody has looked yet", styleWarn}}
		}
		for _, s := range said {
			g.add(name, state, vote, sessions, s)
			name, state, vote, sessions = cell{}, cell{}, cell{}, cell{}
		}
	}
	a.below(w, g)
}

// sayings are the different words on a node with who says them, the worst first.
func sayings(n api.Node) []cell {
	type saying struct {
		who  []string
		text string
		rank int
	}
	var all []saying
	for _, o := range n.Opinions {
		text := o.Verdict + ", " + opinionReason(o)
		if o.Reason == "" {
			text = o.Verdict
		}
		if o.HAProxy != "" && (o.HAProxy != "up" || o.Verdict != "healthy" || o.Refused) {
			text += " (HAProxy: " + haproxyWord(o) + ")"
		}
		i := slices.IndexFunc(all, func(s saying) bool { return s.text == text })
		if i < 0 {
			i = len(all)
			all = append(all, saying{text: text, rank: opinionRank(o)})
		}
		all[i].who = append(all[i].who, o.Member)
	}
	slices.SortStableFunc(all, func(a, b saying) int { return b.rank - a.rank })
	var out []cell
	for _, s := range all {
		who := strings.Join(s.who, ", ")
		if len(all) == 1 && len(s.who) > 1 {
			who = fmt.Sprintf("all %d", len(s.who))
		}
		out = append(out, cell{who + ": " + s.text, rankStyle(s.rank)})
	}
	return out
}

// opinionReason is the reason with what else the member has noticed.
func opinionReason(o api.Opinion) string {
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

// opinionRank is how soon an operator should hear an opinion.
func opinionRank(o api.Opinion) int {
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

func rankStyle(rank int) style {
	switch {
	case rank >= 4:
		return styleBad
	case rank > 0:
		return styleWarn
	}
	return styleNone
}

// nodeNote is the opinion that an operator should hear first: the worst one.
func nodeNote(n api.Node) string {
	worst, rank := "", 0
	for _, o := range n.Opinions {
		r := opinionRank(o)
		if r <= rank {
			continue
		}
		worst, rank = o.Member+": "+opinionReason(o), r
		if r == 2 {
			worst = o.Member + ": its HAProxy says down, its probe says " + o.Verdict
		}
	}
	return worst
}

// lacking names the privileges that drains need and a probe's user does not have.
func (a *app) lacking(w io.Writer, nodes []api.Node) {
	var lines []string
	for _, n := range nodes {
		for _, o := range n.Opinions {
			if line := fmt.Sprintf("%s: %s", n.Name, o.Lacks); o.Lacks != "" && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, a.paint(styleWarn, "Missing for --drain transactions and --hold:"))
	for _, l := range lines {
		fmt.Fprintf(w, "  %s\n", l)
	}
}

func (a *app) opinionsTable(w io.Writer, nodes []api.Node) {
	g := newGrid("NODE", "MEMBER", "PROBE", "HAPROXY", "SESSIONS", "SEQNO", "AGE", "REASON")
	for _, n := range nodes {
		for _, o := range n.Opinions {
			member := o.Member
			if !o.Voter {
				member += " (no voter)"
			}
			seqno := ""
			if o.Seqno > 0 {
				seqno = strconv.FormatInt(o.Seqno, 10)
			}
			g.add(plainCell(n.Name), plainCell(member), wordCell(o.Verdict, "healthy"), wordCell(haproxyWord(o), "up"), plainCell(strconv.Itoa(o.Sessions)),
				plainCell(seqno), plainCell(roughly(time.Duration(o.AgeMS)*time.Millisecond)), cell{opinionReason(o), rankStyle(opinionRank(o))})
		}
	}
	a.below(w, g)
}

// haproxyWord is the state of a node's server in one HAProxy.
func haproxyWord(o api.Opinion) string {
	word := o.HAProxy
	if o.Refused {
		word += ", its check begins to refuse it"
	}
	if o.Moved != "" {
		word += ", at another address"
	}
	return word
}

// wordCell is a verdict or a server's state, in its colour.
func wordCell(word, good string) cell {
	switch word {
	case good:
		return cell{word, styleGood}
	case "down":
		return cell{word, styleBad}
	default:
		return cell{word, styleWarn}
	}
}
