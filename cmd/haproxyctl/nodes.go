package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
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
				if lines := words.Stalls(nodes); len(lines) > 0 {
					fmt.Fprintln(w)
					a.fields(w, "Stall", lines)
				}
			}),
	}
}

// nodeCells are a node's name, state and votes in their colours.
func nodeCells(n api.Node) (name, state, vote cell) {
	name, state, vote = plainCell(n.Name), cell{words.NodeState(n), styleNone}, cell{words.Votes(n), styleGood}
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
		said := []cell{{"nobody has looked yet", styleWarn}}
		if all := words.Sayings(n); len(all) > 0 {
			said = nil
			for _, s := range all {
				said = append(said, cell{s.Who + ": " + s.Text, rankStyle(s.Rank)})
			}
		}
		for _, s := range said {
			g.add(name, state, vote, sessions, s)
			name, state, vote, sessions = cell{}, cell{}, cell{}, cell{}
		}
	}
	a.below(w, g)
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
		r := words.Rank(o)
		if r <= rank {
			continue
		}
		worst, rank = o.Member+": "+words.Reason(o), r
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
			g.add(plainCell(n.Name), plainCell(member), wordCell(o.Verdict, "healthy"), wordCell(words.HAProxy(o), "up"), plainCell(strconv.Itoa(o.Sessions)),
				plainCell(seqno), plainCell(words.Roughly(time.Duration(o.AgeMS)*time.Millisecond)), cell{words.Reason(o), rankStyle(words.Rank(o))})
		}
	}
	a.below(w, g)
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
