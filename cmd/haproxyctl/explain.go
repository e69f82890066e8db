package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain",
		Short: "Explain why the active node is what it is, and what would happen if a node died",
		Long: `Explain why the active node is what it is and what stands behind that now, with each
voter's word on it; then, for every node, what the members would do if it died now,
by the same rules that they would follow.`,
		Example: `  haproxyctl explain
  haproxyctl explain -o json | jq -r '.if_down[] | select(.moves) | .active'`,
		RunE: answer(a, func(ctx context.Context, _ []string) (api.Explanation, error) { return a.client().Explain(ctx) }, a.explanation),
	}
}

func (a *app) explanation(w io.Writer, e api.Explanation) {
	if e.Active == "" {
		a.field(w, "Active", a.paint(styleWarn, "none yet: HAProxy works natively"))
	} else {
		a.field(w, "Active", fmt.Sprintf("%s, epoch %d", a.paint(styleBold, e.Active), e.Epoch))
	}
	a.fields(w, "Why", e.Why)
	a.fields(w, "Votes", e.Votes)
	var all []words.Stall
	for _, i := range e.IfDown {
		all = append(all, words.Stall{Node: i.Node, Says: i.Stall})
	}
	a.fields(w, "Stall", words.StallLines(all))
	g := newGrid("IF THIS DIED NOW", "THE ACTIVE WOULD BE", "BECAUSE")
	for _, i := range e.IfDown {
		name, then := cell{i.Node, either(i.Node == e.Active, styleBold, styleNone)}, plainCell(i.Active)
		switch {
		case i.Active == "":
			then = cell{"none", styleBad}
		case i.Moves:
			then.style = styleGood
		case i.Node == e.Active:
			then = cell{i.Active + ", still", styleBad} // it died, and nothing moves away from it
		default:
			then.text += ", still"
		}
		g.add(name, then, plainCell(i.Reason))
	}
	a.below(w, g)
}
