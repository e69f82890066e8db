package decide

import (
	"fmt"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// commonUUID is the state UUID that most voters read on the node.
func (in *Input) commonUUID(node string) string {
	count := map[string]int{}
	best := ""
	for _, v := range in.Voices {
		u := v.View.Node(node).UUID
		if u == "" {
			continue
		}
		count[u]++
		if best == "" || count[u] > count[best] {
			best = u
		}
	}
	return best
}

func keepReason(in *Input, t Tally) string {
	switch {
	case t.Healthy == len(in.Voters):
		return fmt.Sprintf("%s is healthy for all %d voters", t.Node, len(in.Voters)) + slowReason(in, t.Node)
	case t.Down == 0:
		return fmt.Sprintf("%s is healthy for %d of %d voters, unknown to %d", t.Node, t.Healthy, len(in.Voters), t.Quiet) + slowReason(in, t.Node)
	}
	return fmt.Sprintf("%s is down for %d of %d voters only (%s): no majority, it stays the active",
		t.Node, t.Down, len(in.Voters), firstReason(in, t.Node))
}

// slowReason says why a healthy node is kept although its clients wait, "" if
// nobody sees that they do.
func slowReason(in *Input, node string) string {
	for _, v := range in.Voices {
		switch n := v.View.Node(node); {
		case n.Verdict != model.Healthy:
		case n.Stuck != "" && !n.Alone:
			return fmt.Sprintf("; %s, and no other node's proceed (seen by %s): moving would not help", n.Stuck, v.Member)
		case n.Paused:
			return fmt.Sprintf("; Galera's flow control holds it back (seen by %s): moving would not help", v.Member)
		}
	}
	return ""
}

// firstReason joins the distinct reasons of the voters that call node down.
func firstReason(in *Input, node string) string {
	var reasons []string
	for _, v := range in.Voices {
		n := v.View.Node(node)
		why := ""
		switch {
		case n.Verdict == model.Down:
			why = n.Reason
		case stuck(n):
			why = n.Stuck
		}
		if why != "" && !slices.Contains(reasons, why) {
			reasons = append(reasons, why)
		}
	}
	if len(reasons) == 0 {
		return "no reason given"
	}
	return strings.Join(reasons, "; ")
}
