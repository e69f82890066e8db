package evict

import (
	"fmt"
	"slices"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// rule is a condition of an eviction. It says why it fails, "" if it does not.
type rule struct {
	name  string
	fails func(*Input, *charge) string
}

// rules are the conditions, in the order in which they are told.
var rules = []rule{
	{"version", func(in *Input, _ *charge) string {
		if in.Record == nil {
			return "nothing is decided yet"
		}
		if !in.Record.Speaks(3) {
			return "not every voter's daemon knows evictions"
		}
		return ""
	}},
	{"mode", func(in *Input, c *charge) string {
		switch {
		case in.Mode == ModeSilent:
			return ""
		case in.Mode != ModeGone:
			return "--evict is off"
		case c.evidence != model.EndGone:
			return "--evict is gone, and a process that says nothing may go on"
		}
		return ""
	}},
	{"quiet times", func(in *Input, _ *charge) string {
		rec := in.Record
		switch {
		case rec.Frozen:
			return "frozen"
		case rec.Move != nil && rec.Move.Hold:
			return "new connections are held for a move"
		case rec.Evict != nil:
			return "the lists are not known to be empty after " + rec.Evict.Cause()
		case len(rec.Evictions)-min(in.Old, len(rec.Evictions)) >= mostPerHour:
			return fmt.Sprintf("%d evictions within an hour: somebody has to look", mostPerHour)
		}
		return ""
	}},
	{"one at a time", func(_ *Input, c *charge) string {
		return c.notAlone()
	}},
	{"nobody reaches it", reached},
	{"majority", func(in *Input, c *charge) string {
		if n := len(c.accusers); n < in.Majority() {
			return fmt.Sprintf("%d of %d voters say so", n, len(in.Voters))
		}
		return ""
	}},
	{"one view", oneView},
	{"last of two", lastOfTwo},
	{"weight", weight},
	{"all others", allOthers},
	{"rights", lacking},
	{"lists", func(_ *Input, c *charge) string {
		for _, s := range c.survivors {
			switch {
			case s.Evicted:
				return "the evict list of " + s.name + " is not empty"
			case s.AutoEvict:
				return "evs.auto_evict is on at " + s.name
			case s.Retrans == "":
				return "evs.join_retrans_period of " + s.name + " is not known, and could not be put back"
			}
		}
		return ""
	}},
	{"one period", func(_ *Input, c *charge) string {
		// What was read while a list was not empty is what an eviction had set, and would be put back for good.
		for _, s := range c.survivors {
			for _, v := range c.accusers {
				if g := v.View.Node(s.name).Group; g != nil && g.Retrans != s.Retrans {
					return fmt.Sprintf("evs.join_retrans_period of %s is %q for %s and %q for another", s.name, g.Retrans, v.Member, s.Retrans)
				}
			}
		}
		return ""
	}},
	{"the group waits", waits},
}

// lacking says what this member, which would carry the order out, lacks on the survivors.
func lacking(in *Input, c *charge) string {
	own := in.Voice(in.By)
	for _, s := range c.survivors {
		g := own.Node(s.name).Group
		if g == nil {
			return in.By + " does not know the process of " + s.name
		}
		of := func(g *model.Group) string { return g.Lacks }
		if c.lastOfTwo() {
			of = func(g *model.Group) string { return g.LacksLast }
		}
		if of(g) == "" {
			continue
		}
		where := s.name
		if !slices.ContainsFunc(own.Nodes, func(n model.NodeView) bool { return n.Group == nil || of(n.Group) != of(g) }) {
			where = "every node" // one sentence for all of them
		}
		return fmt.Sprintf("the account of %s lacks, on %s, %s", in.By, where, of(g))
	}
	return ""
}

// reached: nobody who is heard, voter or not, may reach the process or see another one in its place.
func reached(in *Input, c *charge) string {
	for _, v := range in.Voices {
		n := v.View.Node(c.node)
		switch g := n.Group; {
		case n.Verdict == model.Healthy:
			return v.Member + " is answered by it"
		case g != nil && g.UUID != c.uuid:
			return v.Member + " sees another process there (" + g.UUID + ")"
		case g != nil && g.Speaks:
			return v.Member + " hears one of its ports"
		}
	}
	return ""
}

// oneView: every survivor, as every accuser sees it, is in the view that the process was in.
func oneView(_ *Input, c *charge) string {
	if c.confID < 0 {
		return "it was not in a primary component"
	}
	if len(c.survivors) == 0 {
		return "no other node answers"
	}
	view := c.survivors[0] // a change of weight may have come to one of them only
	for _, s := range c.survivors {
		for _, v := range c.accusers {
			n := v.View.Node(s.name)
			switch g := n.Group; {
			case n.Verdict != model.Healthy || g == nil:
				return v.Member + " does not reach " + s.name
			case g.UUID != s.UUID || g.ConfID != c.confID || g.Size != view.Size || g.Total != view.Total:
				return fmt.Sprintf("%s is in another view (%d and not %d) for %s", s.name, g.ConfID, c.confID, v.Member)
			case g.State != "":
				return "a view is being made already (" + s.name + " is in " + g.State + ")"
			}
		}
	}
	return ""
}

// allOthers: each other member of the view answers, or is an arbitrator that speaks on its group port. A majority must hear those:
// one that hears fewer may be cut off from them.
func allOthers(in *Input, c *charge) string {
	view := c.survivors[0]
	arbitrators, hear := c.arbitrators(), 0
	for _, v := range c.accusers {
		if int64(len(v.View.Arbitrators)) == arbitrators {
			hear++
		}
	}
	switch {
	case arbitrators == 0, hear >= in.Majority():
		return ""
	case slices.ContainsFunc(c.accusers, func(v decide.Voice) bool { return len(v.View.Arbitrators) > 0 }):
		return fmt.Sprintf("%d of the other %d members of the view should be arbitrators, and %d of %d voters hear as many", arbitrators, view.Size-1, hear, len(in.Voters))
	}
	return fmt.Sprintf("%d of the other %d members of the view is not known here (an arbitrator is named by --arbitrator)", arbitrators, view.Size-1)
}

// lastOfTwo: where one is left of two it has no majority, and Galera makes it refuse all until somebody bootstraps it. Evicting the
// other one keeps it primary; but if that lives and is cut off, there are two clusters with different data. So an operator has
// to want it, and every voter has to say that the other one's process is gone, not only silent.
func lastOfTwo(in *Input, c *charge) string {
	switch {
	case !c.lastOfTwo():
		return ""
	case !in.Last:
		return "the view has 2 members, and the last of two is left to Galera (--evict-last)"
	case c.evidence != model.EndGone:
		return "the last of two is kept only if the other one's process is gone, and this one says nothing"
	case len(c.accusers) < len(in.Voters):
		return fmt.Sprintf("%d of %d voters say so, and for the last of two all have to", len(c.accusers), len(in.Voters))
	case c.accusers[0].View.Node(c.node).Group.Weight < 0:
		return "the weight of " + c.node + " is not known"
	}
	return ""
}

// weight: those who stay must be more than half of the view's weight, but for the last of two, which may be as much. An
// evicted member counts as partitioned in Galera's quorum, at its full weight; but a component that has lost quorum makes
// itself primary again once all members that are not evicted are there, which would make two of them.
func weight(_ *Input, c *charge) string {
	view, sum := c.survivors[0], int64(0)
	for _, s := range c.survivors {
		if s.Weight < 0 {
			return "the weight of " + s.name + " is not known"
		}
		sum += int64(s.Weight)
	}
	own, stay := int64(c.accusers[0].View.Node(c.node).Group.Weight), sum
	if c.arbitrators() > 0 {
		// What is left of the total is theirs: a weight of 0 or more each.
		if own < 0 {
			return "the weight of " + c.node + " is not known, nor with it that of the arbitrators"
		}
		stay = view.Total - own
	}
	switch {
	case c.lastOfTwo() && own <= stay: // see lastOfTwo
	case view.Total < 0 || 2*stay <= view.Total:
		return fmt.Sprintf("those who stay (%s) weigh %d of %d, which is not more than half", names(c.survivors), stay, view.Total)
	}
	if own >= 0 && (stay+own != view.Total || stay < sum) {
		// A weight is read once a minute, the total with every probe: an operator may have changed one meanwhile.
		return fmt.Sprintf("the weights that are known make %d of %d: one was changed", sum+own, view.Total)
	}
	return ""
}

// waits: causal reads hang on every survivor for a majority of all voters.
func waits(in *Input, c *charge) string {
	c.witnesses = nil
	why := ""
	for _, v := range c.accusers {
		hangs := true
		for _, s := range c.survivors {
			if g := v.View.Node(s.name).Group; !g.Hangs {
				hangs = false
				if why == "" {
					why = fmt.Sprintf("a causal read on %s does not hang for %s", s.name, v.Member)
					if g.Late != "" {
						why = fmt.Sprintf("%s cannot tell whether the group waits (%s: %s)", s.name, v.Member, g.Late)
					}
				}
			}
		}
		if hangs {
			c.witnesses = append(c.witnesses, v.Member)
		}
	}
	if len(c.witnesses) < in.Majority() {
		return why
	}
	return ""
}
