package decide

import (
	"cmp"
	"iter"
	"slices"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Tally is what the voters say of one node.
type Tally struct {
	Node                 string
	Healthy, Down, Quiet int // Quiet: unknown or not heard
	Eligible, Avoid      int
	Native               int // proxies that effectively use it now
	Reached              int // proxies whose HAProxy calls it up
}

// Count returns the tally of one node over all voters.
func Count(in *Input, node string) Tally {
	t := Tally{Node: node}
	for _, v := range in.Voters {
		view := in.Voice(v)
		if view == nil {
			t.Quiet++
			continue
		}
		n := view.Node(node)
		switch {
		case n.Verdict == model.Down, stuck(n):
			t.Down++
		case n.Verdict == model.Healthy && otherDatabase(in.Record, n):
			// A node of another state UUID is another database: down for us,
			// whatever its own health.
			t.Down++
		case n.Verdict == model.Healthy:
			t.Healthy++
			if n.Eligible {
				t.Eligible++
			}
			if n.Avoid {
				t.Avoid++
			}
		default:
			t.Quiet++
		}
	}
	if isGoing(in, node) {
		t.Eligible = 0
	}
	for _, v := range in.Voices {
		p := v.View.Proxy
		if p == nil {
			continue
		}
		if p.Effective == node {
			t.Native++
		}
		if v.View.Node(node).Server == model.ServerUp {
			t.Reached++
		}
	}
	return t
}

// stuck tells whether a member sees the node's own commits hang while another
// node's proceed. Where everybody's hang (flow control, a slow network) it is not
// the node, and moving would not help.
func stuck(n model.NodeView) bool {
	return n.Verdict == model.Healthy && n.Stuck != "" && n.Alone
}

// otherDatabase tells whether the node was seen with another state UUID than
// the record's.
func otherDatabase(r *model.Record, n model.NodeView) bool {
	return r != nil && r.StateUUID != "" && n.UUID != "" && n.UUID != r.StateUUID
}

// Voice is the fresh view of a member, nil for one that is not heard.
func (in *Input) Voice(member string) *model.View {
	for _, v := range in.Voices {
		if v.Member == member {
			return v.View
		}
	}
	return nil
}

// words are what the voters that are heard say of a node, by voter.
func (in *Input) words(node string) iter.Seq2[string, model.NodeView] {
	return func(yield func(string, model.NodeView) bool) {
		for _, v := range in.Voters {
			if view := in.Voice(v); view != nil && !yield(v, view.Node(node)) {
				return
			}
		}
	}
}

// unheard tells whether a voter with a proxy is not heard: its HAProxy goes on.
func (in *Input) unheard(voter string) bool {
	return in.Voice(voter) == nil && !slices.Contains(in.Witnesses, voter)
}

// notHeard are sentences on those.
func (in *Input) notHeard() []string {
	var out []string
	for _, v := range in.Voters {
		if in.unheard(v) {
			out = append(out, v+" is not heard")
		}
	}
	return out
}

// steers tells whether the member has a proxy that does what is decided.
func (v *Voice) steers() bool { return v.View.Proxy != nil && !v.View.Observe }

// answers tells whether its HAProxy answers, too.
func (v *Voice) answers() bool { return v.steers() && v.View.Proxy.Reachable }

// best is the first candidate that a majority would choose, that does not lag and that
// ok is said of, "" for none.
func (in *Input) best(ok func(node string) bool) string {
	for _, t := range Candidates(in, in.Majority()-1) {
		if t.Eligible >= in.Majority() && !lags(in, t.Node) && ok(t.Node) {
			return t.Node
		}
	}
	return ""
}

// Candidates returns the nodes that may be chosen instead of the active and are
// healthy for strictly more voters than floor, the best first.
func Candidates(in *Input, floor int) []Tally {
	usable := func(lastResort bool) []Tally {
		var out []Tally
		for _, node := range in.Order {
			if in.Record != nil && (node == in.Record.Active || in.Record.IsExcluded(node)) {
				continue
			}
			t := Count(in, node)
			votes := t.Eligible
			if lastResort {
				votes = t.Healthy
			}
			if votes > floor {
				out = append(out, t)
			}
		}
		return out
	}
	out := usable(false)
	if len(out) == 0 && in.Policy.LastResort {
		out = usable(true)
	}
	behind := map[string]int{}
	for _, t := range out {
		if lags(in, t.Node) {
			behind[t.Node] = 1
		}
	}
	slices.SortStableFunc(out, func(a, b Tally) int {
		// Equal otherwise: the stable sort keeps the configured order.
		return cmp.Or(behind[a.Node]-behind[b.Node], b.Eligible-a.Eligible, b.Healthy-a.Healthy, b.Reached-a.Reached, b.Native-a.Native)
	})
	return out
}

// Lag is by how many write sets a node is behind the one that has applied most,
// as the voter sees it that sees the least of it: every voter reads all nodes at
// about the same moment, and what it read last of this one may be older. 0 where
// nobody could read both.
func Lag(in *Input, node string) int64 {
	least := int64(-1)
	for v, n := range in.words(node) {
		if n.Seqno == 0 {
			continue
		}
		most := n.Seqno
		for _, o := range in.Voice(v).Nodes {
			if o.Verdict == model.Healthy && !otherDatabase(in.Record, o) {
				most = max(most, o.Seqno)
			}
		}
		if lag := most - n.Seqno; least < 0 || lag < least {
			least = lag
		}
	}
	return max(least, 0)
}

// lags tells whether policy calls the node too far behind to be chosen while
// another would do.
func lags(in *Input, node string) bool {
	return in.Policy.MaxLag > 0 && Lag(in, node) > in.Policy.MaxLag
}
