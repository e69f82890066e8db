package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// goingMargin is how long before a pod's end what is left there is closed: the
// deadline is known to a second, a view is up to 1.5 s old, and closing takes time.
const goingMargin = 2 * time.Second

// How many must say that a node is going?
//
// To leave it: one voter. It is no judgement, which a voter can get wrong where
// others are right, but a fact that one has heard and others have not yet, or
// cannot because their API server does not answer. A word too much costs one
// drained move, to a node that a majority calls eligible. A word too little cuts
// transactions.
//
// To be a target: nobody, of the voters or the other members with a view, may say
// so. So a member that lags behind, or lies, cannot make the active go to and fro:
// what one fresh voice calls going is not chosen again, and each word ends with its
// pod's deadline.

// isGoing tells whether any fresh voice says that the node is about to end.
func isGoing(in *Input, node string) bool {
	return slices.ContainsFunc(in.Voices, func(v Voice) bool { return v.View.Node(node).Going != nil })
}

// departure is what the voters say of a node that is about to end.
type departure struct {
	words, by string
	// left is the least that anybody gives it, if bounded.
	left    time.Duration
	bounded bool
}

// departs returns what is said of the node's end, nil where nothing is. A shutdown
// without a pod's deletion counts where policy leaves for maintenance, which it is.
func departs(in *Input, node string) *departure {
	var d *departure
	var by []string
	for v, n := range in.words(node) {
		g := n.Going
		if g == nil || g.Pod == "" && !slices.Contains(in.Policy.Leave, n.Class) {
			continue
		}
		if d == nil {
			d = &departure{}
		}
		by = append(by, v)
		left := time.Duration(g.LeftMS) * time.Millisecond
		switch {
		case g.Pod == "":
			if !d.bounded {
				d.words = g.Words()
			}
		case !d.bounded || left < d.left:
			d.left, d.bounded, d.words = left, true, g.Words()
		}
	}
	if d != nil {
		d.by = strings.Join(by, ", ")
	}
	return d
}

// depart leaves an active that is about to end, at once: it stops serving anyway, so
// that MinStay protects nothing, and it is not counted as a sign of flapping: a
// rolling update moves for each of its nodes.
func depart(in *Input) (Outcome, bool) {
	node := in.Record.Active
	d := departs(in, node)
	if d == nil {
		return Outcome{}, false
	}
	because := fmt.Sprintf("%s %s, says %s", node, d.words, d.by)
	to := successor(in, node)
	if to == "" {
		alert := because + "; no other node would do: it stays the active, and its end is an outage"
		return Outcome{Reason: alert, Alert: alert}, true
	}
	return plannedMove(in, to, model.KindDeparture, because, d.timeout(in)), true
}

// timeout is how long its transactions may take: the time that the pod has is the
// operator's word on that, and where there is none, policy's.
func (d *departure) timeout(in *Input) time.Duration {
	switch {
	case !d.bounded:
		return in.Policy.LeaveTimeout
	case len(lacking(in, in.Record.Active)) > 0:
		// Nobody can tell transactions apart: sessions would write there until the end.
		return min(in.Policy.LeaveTimeout, d.left-goingMargin)
	}
	return d.left - goingMargin
}

// successor is the node that takes over from one that ends, "" for none. One whose
// pod was made from another template than the ending one's goes before the order:
// a StatefulSet never deletes it in the same update, so that an update of three
// moves twice at most. But not before as many HAProxies call it up as any other: it
// has just come back, and one that cannot use the active serves nobody. One that
// lags is better than the outage.
func successor(in *Input, node string) string {
	var good, behind []Tally
	reached := 0
	for _, t := range Candidates(in, in.Majority()-1) {
		switch {
		case t.Eligible < in.Majority():
		case lags(in, t.Node):
			behind = append(behind, t)
		default:
			good = append(good, t)
			reached = max(reached, t.Reached)
		}
	}
	if old := revision(in, node); old != "" {
		for _, t := range good {
			if r := revision(in, t.Node); r != "" && r != old && t.Reached == reached {
				return t.Node
			}
		}
	}
	all := slices.Concat(good, behind)
	if len(all) == 0 {
		return ""
	}
	return all[0].Node
}

// revision is the template of a node's pod, "" where nobody knows it.
func revision(in *Input, node string) string {
	for _, v := range in.Voices {
		if r := v.View.Node(node).Revision; r != "" {
			return r
		}
	}
	return ""
}

// overtake leaves an active that is about to end although a move to it is not over,
// once it has hardly more time left than a move takes.
func overtake(in *Input) (Outcome, bool) {
	d := departs(in, in.Record.Active)
	if in.Record.Frozen || d == nil || d.bounded && d.left > in.Policy.LeaveTimeout+goingMargin {
		return Outcome{}, false
	}
	out, _ := depart(in)
	return out, out.Propose != nil
}

// frozenDeparture says what comes of an active that ends while nothing may move it.
func frozenDeparture(in *Input) string {
	d := departs(in, in.Record.Active)
	if d == nil {
		return ""
	}
	return fmt.Sprintf("frozen, and %s %s: it is not moved; with its end its sessions are cut and HAProxy's own checks rule until somebody decides (haproxyctl active set, or unfreeze)",
		in.Record.Active, d.words)
}

// goingReason joins the distinct words on a node's end.
func goingReason(in *Input, node string) string {
	for _, v := range in.Voices {
		if w := v.View.Node(node).Going.Words(); w != "" {
			return v.Member + ": it " + w
		}
	}
	return ""
}
