package evict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Usual is about how long no commit goes through after a node has died that is evicted: 0.12 to 0.27 s were measured, on
// machines of two processors with everything on them.
const Usual = 150 * time.Millisecond

// Forecast is why a node's process would not be evicted if it were killed now, "" if it would be: the decision itself is asked, with
// all the evidence that the voters could give.
func Forecast(in *Input, node string) string {
	then := *in
	inner := *in.Input
	then.Input = &inner
	inner.Voices = slices.Clone(in.Voices)
	var deaf []string
	met := 0
	for i := range inner.Voices {
		v := &inner.Voices[i]
		view := *v.View
		view.Nodes = slices.Clone(view.Nodes)
		v.View = &view
		for j := range view.Nodes {
			n := &view.Nodes[j]
			if n.Group == nil {
				continue
			}
			g := *n.Group
			n.Group = &g
			if n.Name != node {
				lacks := g.Lacks
				if in.Last && g.Size == 2 {
					lacks = g.LacksLast
				}
				g.Hangs, g.Late = lacks == "", lacks
				continue
			}
			if g.Speaks, n.Verdict = false, model.Down; g.Met {
				g.End = model.EndGone
			}
		}
		if !slices.Contains(in.Voters, v.Member) {
			continue
		}
		if g := view.Node(node).Group; g != nil && g.Met {
			met++
		} else {
			deaf = append(deaf, v.Member)
		}
	}
	switch is := judge(&then); {
	case is.Order != nil:
		return ""
	case in.Mode != ModeOff && met < in.Majority():
		why := "the others are not heard"
		if len(deaf) > 0 {
			why = "not heard at its group port: " + strings.Join(deaf, ", ")
		}
		return fmt.Sprintf("only %d of %d voters could tell (%s)", met, len(in.Voters), why)
	default:
		who, why, _ := strings.Cut(is.Why, " is not evicted: ")
		// Of two that have ended either may be the one that is judged.
		if other, _, found := strings.Cut(who, " ("); found && other != node {
			return (&charge{others: []string{other}}).notAlone()
		}
		return why
	}
}

// Stall is about how long no commit goes through on any node after this one's process was killed, and a sentence on that; 0 and
// "" where nothing is known.
func Stall(in *Input, node string) (time.Duration, string) {
	why := Forecast(in, node)
	if why == "" {
		return Usual, "writes go on after about 0.1 s: Galera is told"
	}
	d, says := decide.Stall(in.Input, node)
	if d > 0 {
		says += "; it is not told: " + why
	}
	return d, says
}
