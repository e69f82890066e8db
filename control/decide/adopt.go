package decide

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// adopt is the first decision: what the HAProxies do already.
func adopt(in *Input) Outcome {
	heard := 0
	for _, v := range in.Voters {
		if in.Voice(v) != nil {
			heard++
		}
	}
	if heard < in.Majority() {
		return Outcome{Reason: fmt.Sprintf("no decision yet: %d of %d voters have told what they see", heard, len(in.Voters))}
	}
	// busy counts the proxies whose sessions are mostly there: who has clients
	// is not moved for the sake of who has none.
	busy, routes, sessions := map[string]int{}, map[string]int{}, map[string]int{}
	proxies, answering := 0, 0
	for _, v := range in.Voices {
		p := v.View.Proxy
		if p == nil {
			continue
		}
		proxies++
		if !p.Reachable {
			continue
		}
		answering++
		if p.Effective != "" {
			routes[p.Effective]++
		}
		if node, ok := v.View.ServedNode(); ok {
			busy[node]++
		}
		for _, n := range v.View.Nodes {
			sessions[n.Name] += n.Sessions
		}
	}
	if answering == 0 || answering < Majority(proxies) {
		return Outcome{Reason: fmt.Sprintf("no decision yet: %d of %d HAProxies answer", answering, proxies)}
	}
	best, reason := "", ""
	for _, node := range in.Order {
		if sessions[node] == 0 && routes[node] == 0 {
			continue
		}
		if best == "" || cmp.Or(busy[node]-busy[best], routes[node]-routes[best], sessions[node]-sessions[best]) > 0 {
			best = node
			reason = fmt.Sprintf("adopted: %d of %d proxies use %s, with %d sessions", routes[node], proxies, node, sessions[node])
		}
	}
	if best == "" {
		for _, node := range in.Order {
			if Count(in, node).Eligible >= in.Majority() {
				best, reason = node, fmt.Sprintf("adopted: no proxy uses any node, %s is the first healthy one in the configured order", node)
				break
			}
		}
	}
	if best == "" {
		return Outcome{Reason: "no decision yet: no proxy uses any node and none is healthy"}
	}
	return in.move(best, model.KindAdopt, reason)
}

// native is rule 4.
func native(in *Input) (Outcome, bool) {
	m := wentBy(in)
	for _, node := range m.nodes {
		if t := Count(in, node); t.Eligible < in.Majority() {
			continue
		}
		reason := fmt.Sprintf("adopted: while nothing could be decided %s went down (seen by %s) and %d of %d proxies moved to %s by themselves",
			in.Record.Active, m.seenBy, m.on[node], m.proxies, node)
		return in.move(node, model.KindNative, reason), true
	}
	return Outcome{}, false
}

// Unprobed names the node to which most proxies have moved by themselves and of
// which too few voters have a verdict yet, as right after their start; "" if there
// is none. To decide without that verdict would be to move everybody back.
func Unprobed(in *Input) string {
	if in.Record == nil || in.Record.Frozen {
		return ""
	}
	for _, node := range wentBy(in).nodes {
		t := Count(in, node)
		if need := in.Majority(); t.Eligible < need && t.Eligible+t.Quiet >= need {
			return node
		}
	}
	return ""
}

// nativeMove is what the proxies have done by themselves.
type nativeMove struct {
	seenBy  string         // who saw the active down meanwhile
	nodes   []string       // where most proxies are instead, at least one with sessions; none if nobody saw it down
	on      map[string]int // proxies whose sessions are there, and the idle ones that would go there
	proxies int
}

func wentBy(in *Input) nativeMove {
	m := nativeMove{on: map[string]int{}}
	busy := map[string]int{}
	for _, v := range in.Voices {
		p := v.View.Proxy
		if p == nil {
			continue
		}
		m.proxies++
		if slices.Contains(p.WentDown, in.Record.Active) && m.seenBy == "" {
			m.seenBy = v.Member
		}
		if !p.Native {
			continue
		}
		if node, ok := v.View.ServedNode(); ok {
			m.on[node]++
			busy[node]++
		} else if v.View.Sessions() == 0 && p.Effective != "" {
			m.on[p.Effective]++
		}
	}
	if m.seenBy == "" {
		return m
	}
	for _, node := range in.Order {
		if node != in.Record.Active && !in.Record.IsExcluded(node) && busy[node] > 0 && m.on[node] >= Majority(m.proxies) {
			m.nodes = append(m.nodes, node)
		}
	}
	return m
}
