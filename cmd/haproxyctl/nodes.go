package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

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
		Args: exactly(),
		RunE: runE(func(ctx context.Context, _ []string) error {
			nodes, err := a.client().Nodes(ctx)
			if err != nil {
				return err
			}
			return a.print(nodes, func(w io.Writer) {
				a.nodesTable(w, nodes)
				fmt.Fprintln(w)
				a.opinionsTable(w, nodes)
			})
		}),
	}
}

// nodeState is a node's place in the agreement, in a word or two.
func nodeState(n api.Node) string {
	switch {
	case n.Active && n.Excluded:
		return "active, excluded"
	case n.Active:
		return "active"
	case n.Excluded:
		return "excluded"
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

func (a *app) nodesTable(w io.Writer, nodes []api.Node) {
	g := newGrid("NODE", "STATE", "VOTES", "SESSIONS", "ADDRESS", "NOTE")
	for _, n := range nodes {
		name, state, vote := plainCell(n.Name), cell{nodeState(n), styleNone}, cell{votes(n), styleGood}
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
		g.add(name, state, vote, plainCell(strconv.Itoa(n.Sessions)), plainCell(n.Address), plainCell(nodeNote(n)))
	}
	a.write(w, g)
}

// nodeNote is the opinion that an operator should hear first: the worst one.
func nodeNote(n api.Node) string {
	worst, rank := "", 0
	for _, o := range n.Opinions {
		text, r := o.Member+": "+o.Reason, 0
		switch {
		case o.Verdict == "down":
			r = 4
		case o.Verdict == "unknown":
			r = 3
		case o.HAProxy == "down":
			text, r = o.Member+": its HAProxy says down, its probe says "+o.Verdict, 2
		case o.Avoid || !o.Eligible:
			r = 1
		}
		if r > rank {
			worst, rank = text, r
		}
	}
	return worst
}

func (a *app) opinionsTable(w io.Writer, nodes []api.Node) {
	g := newGrid("NODE", "MEMBER", "PROBE", "HAPROXY", "SESSIONS", "AGE", "REASON")
	for _, n := range nodes {
		for _, o := range n.Opinions {
			member := o.Member
			if !o.Voter {
				member += " (no voter)"
			}
			g.add(plainCell(n.Name), plainCell(member), verdictCell(o.Verdict), haproxyCell(o.HAProxy),
				plainCell(strconv.Itoa(o.Sessions)), plainCell(fmt.Sprintf("%dms", o.AgeMS)), plainCell(o.Reason))
		}
	}
	a.write(w, g)
}

func verdictCell(v string) cell {
	switch v {
	case "healthy":
		return cell{v, styleGood}
	case "down":
		return cell{v, styleBad}
	default:
		return cell{v, styleWarn}
	}
}

func haproxyCell(state string) cell {
	switch state {
	case "up":
		return cell{state, styleGood}
	case "down":
		return cell{state, styleBad}
	default:
		return cell{state, styleWarn}
	}
}

func (a *app) excludeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "exclude NODE",
		Short: "Never choose NODE automatically",
		Long: `Keep NODE from being chosen automatically, until "include" undoes it. All daemons
remember it, also through restarts. If NODE is the active, it stays the active.`,
		Example:           "  haproxyctl exclude pxc-1",
		Args:              exactly("NODE"),
		ValidArgsFunction: a.nodeNames(func(n api.Node) bool { return !n.Excluded }),
		RunE: runE(func(ctx context.Context, args []string) error {
			act, err := a.client().Exclude(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(act, func(w io.Writer) {
				fmt.Fprintf(w, "%s is excluded: it is not chosen until `haproxyctl include %s`.\n", args[0], args[0])
				if act.Active == args[0] {
					fmt.Fprintln(w, "It stays the active node for now: `haproxyctl active set NODE` moves the writes.")
				}
			})
		}),
	}
}

func (a *app) includeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "include NODE",
		Short:             "Undo exclude",
		Long:              `Let NODE be chosen again. This moves nothing by itself.`,
		Example:           "  haproxyctl include pxc-1",
		Args:              exactly("NODE"),
		ValidArgsFunction: a.nodeNames(func(n api.Node) bool { return n.Excluded }),
		RunE: runE(func(ctx context.Context, args []string) error {
			act, err := a.client().Include(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(act, func(w io.Writer) {
				fmt.Fprintf(w, "%s is included: it may be chosen again. The active node is still %s.\n", args[0], orNone(act.Active))
			})
		}),
	}
}
