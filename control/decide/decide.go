package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Policy is what an installation may choose about the decision.
type Policy struct {
	// MaxAutoMoves is how many automatic moves within an hour are allowed; one
	// more freezes instead (0: no limit).
	MaxAutoMoves int
	// LastResort allows a donor, desynced or read-only node to be chosen when
	// nothing else is left.
	LastResort bool
}

// Voice is the fresh view of one member. Members that were not heard lately
// have none: silence is "unknown", never "down".
type Voice struct {
	Member string
	View   *model.View
}

// Input is everything the decision depends on.
type Input struct {
	// Now stamps a decision and counts automatic moves within the last hour.
	Now time.Time
	// By names the member that decides.
	By string
	// Record is the present one, nil before the first decision.
	Record *model.Record
	// Recovery and Epoch are the record's.
	Recovery, Epoch uint64
	// Voters are all voters, heard or not: majorities are of these.
	Voters []string
	// Voices are the fresh views, of voters and of other members with a proxy.
	Voices []Voice
	// Order is the configured preference of nodes; no other node is ever chosen.
	Order []string
	// Review asks for rule 4: this leader has not yet looked, in its term, at
	// what the HAProxies did while nobody could decide.
	Review bool
	Policy Policy
}

// Outcome is the decision of one turn.
type Outcome struct {
	// Propose is the record to propose, nil to keep the present one.
	Propose *model.Record
	// NewEpoch: the active changes (or is decided for the first time).
	NewEpoch bool
	// Reason is the turn's sentence.
	Reason string
	// Alert is a sentence an operator must see, or empty.
	Alert string
}

// Tally is what the voters say of one node.
type Tally struct {
	Node                 string
	Healthy, Down, Quiet int // Quiet: unknown or not heard
	Eligible, Avoid      int
	Native               int // proxies that effectively use it now
}

// Count returns the tally of one node over all voters.
func Count(in *Input, node string) Tally {
	t := Tally{Node: node}
	for _, v := range in.Voters {
		view := in.voice(v)
		if view == nil {
			t.Quiet++
			continue
		}
		n := view.Node(node)
		switch {
		case n.Verdict == model.Down:
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
	for _, v := range in.Voices {
		if p := v.View.Proxy; p != nil && p.Effective == node {
			t.Native++
		}
	}
	return t
}

// otherDatabase tells whether the node was seen with another state UUID than
// the record's.
func otherDatabase(r *model.Record, n model.NodeView) bool {
	return r != nil && r.StateUUID != "" && n.UUID != "" && n.UUID != r.StateUUID
}

func (in *Input) voice(member string) *model.View {
	for _, v := range in.Voices {
		if v.Member == member {
			return v.View
		}
	}
	return nil
}

// Majority is the number of voters that is more than half of all.
func Majority(voters int) int { return voters/2 + 1 }

// Decide returns this turn's decision.
func Decide(in *Input) Outcome {
	if in.Record == nil {
		return adopt(in)
	}
	if in.Record.Frozen {
		return frozen(in)
	}
	if in.Review {
		if out, ok := native(in); ok {
			return out
		}
	}
	active := Count(in, in.Record.Active)
	if active.Down < Majority(len(in.Voters)) {
		return Outcome{Reason: keepReason(in, active)}
	}
	candidates := Candidates(in, active.Healthy)
	if len(candidates) == 0 {
		alert := fmt.Sprintf("%s is down for %d of %d voters and no other node is healthy for more of them: it stays the active",
			in.Record.Active, active.Down, len(in.Voters))
		return Outcome{Reason: alert, Alert: alert}
	}
	if tooMany(in) {
		next := in.Record.Clone()
		next.Frozen = true
		next.FrozenWhy = fmt.Sprintf("%d automatic moves within an hour: frozen until somebody looks (haproxyctl unfreeze)", in.Policy.MaxAutoMoves)
		return Outcome{Propose: next, Reason: next.FrozenWhy, Alert: next.FrozenWhy}
	}
	best := candidates[0]
	reason := fmt.Sprintf("%s is down for %d of %d voters (%s); %s is healthy for %d",
		in.Record.Active, active.Down, len(in.Voters), firstReason(in, in.Record.Active), best.Node, best.Healthy)
	return in.move(best.Node, model.KindFailover, reason)
}

// move builds the outcome that makes node the active.
func (in *Input) move(node, kind, reason string) Outcome {
	d := model.Decision{
		Recovery: in.Recovery, Epoch: in.Epoch + 1, Active: node, Kind: kind,
		Reason: reason, By: in.By, At: in.Now.UTC().Truncate(time.Millisecond),
	}
	base := in.Record
	if base == nil {
		base = &model.Record{}
	}
	d.From = base.Active
	next := base.WithActive(d)
	if next.StateUUID == "" {
		next.StateUUID = in.commonUUID(node)
	}
	return Outcome{Propose: next, NewEpoch: true, Reason: reason}
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
	slices.SortStableFunc(out, func(a, b Tally) int {
		if a.Eligible != b.Eligible {
			return b.Eligible - a.Eligible
		}
		if a.Healthy != b.Healthy {
			return b.Healthy - a.Healthy
		}
		return b.Native - a.Native // equal: the stable sort keeps the configured order
	})
	return out
}

// adopt is the first decision: what the HAProxies do already.
func adopt(in *Input) Outcome {
	heard := 0
	for _, v := range in.Voters {
		if in.voice(v) != nil {
			heard++
		}
	}
	if heard < Majority(len(in.Voters)) {
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
		if node, ok := v.View.SessionNode(); ok {
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
			if Count(in, node).Eligible >= Majority(len(in.Voters)) {
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
	wentDown := ""
	// on counts the proxies whose sessions are there, and the idle ones that
	// would go there; busy those with sessions.
	proxies, on, busy := 0, map[string]int{}, map[string]int{}
	for _, v := range in.Voices {
		p := v.View.Proxy
		if p == nil {
			continue
		}
		proxies++
		if slices.Contains(p.WentDown, in.Record.Active) && wentDown == "" {
			wentDown = v.Member
		}
		if !p.Native {
			continue
		}
		if node, ok := v.View.SessionNode(); ok {
			on[node]++
			busy[node]++
		} else if v.View.Sessions() == 0 && p.Effective != "" {
			on[p.Effective]++
		}
	}
	if wentDown == "" {
		return Outcome{}, false
	}
	for _, node := range in.Order {
		if node == in.Record.Active || in.Record.IsExcluded(node) || busy[node] == 0 || on[node] < Majority(proxies) {
			continue
		}
		if t := Count(in, node); t.Eligible < Majority(len(in.Voters)) {
			continue
		}
		reason := fmt.Sprintf("adopted: while nothing could be decided %s went down (seen by %s) and %d of %d proxies moved to %s by themselves",
			in.Record.Active, wentDown, on[node], proxies, node)
		return in.move(node, model.KindNative, reason), true
	}
	return Outcome{}, false
}

func frozen(in *Input) Outcome {
	active := Count(in, in.Record.Active)
	reason := fmt.Sprintf("frozen: %s stays the active", in.Record.Active)
	if why := in.Record.FrozenWhy; why != "" {
		reason += " (" + why + ")"
	}
	out := Outcome{Reason: reason}
	if active.Down >= Majority(len(in.Voters)) {
		out.Alert = fmt.Sprintf("frozen, and %s is down for %d of %d voters: HAProxy's own checks rule until somebody decides (haproxyctl active set, or unfreeze)",
			in.Record.Active, active.Down, len(in.Voters))
		out.Reason = out.Alert
	}
	return out
}

func tooMany(in *Input) bool {
	if in.Policy.MaxAutoMoves <= 0 {
		return false
	}
	recent := 0
	for _, at := range in.Record.AutoMoves {
		if d := in.Now.Sub(at); d >= 0 && d < time.Hour {
			recent++
		}
	}
	return recent >= in.Policy.MaxAutoMoves
}

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
		return fmt.Sprintf("%s is healthy for all %d voters", t.Node, len(in.Voters))
	case t.Down == 0:
		return fmt.Sprintf("%s is healthy for %d of %d voters, unknown to %d", t.Node, t.Healthy, len(in.Voters), t.Quiet)
	}
	return fmt.Sprintf("%s is down for %d of %d voters only (%s): no majority, it stays the active",
		t.Node, t.Down, len(in.Voters), firstReason(in, t.Node))
}

// firstReason joins the distinct reasons of the voters that call node down.
func firstReason(in *Input, node string) string {
	var reasons []string
	for _, v := range in.Voices {
		n := v.View.Node(node)
		if n.Verdict != model.Down || n.Reason == "" || slices.Contains(reasons, n.Reason) {
			continue
		}
		reasons = append(reasons, n.Reason)
	}
	if len(reasons) == 0 {
		return "no reason given"
	}
	return strings.Join(reasons, "; ")
}
