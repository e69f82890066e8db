package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// leave moves away from a serving active that is about to stop serving, or that
// should not serve, before it refuses anybody: a planned move, by policy.
func leave(in *Input) (Outcome, bool) {
	if len(in.Policy.Leave) == 0 {
		return Outcome{}, false
	}
	node, votes, why := in.Record.Active, 0, ""
	for _, n := range in.words(node) {
		if n.Verdict == model.Healthy && n.Avoid && slices.Contains(in.Policy.Leave, n.Class) {
			votes++
			why = n.Reason
		}
	}
	if votes < in.Majority() {
		return Outcome{}, false
	}
	because := fmt.Sprintf("%s should be left, say %d of %d voters (%s)", node, votes, len(in.Voters), why)
	return planned(in, model.KindPlanned, because, func(string) bool { return true })
}

// follow moves to a node that everybody reaches when some proxy cannot reach the
// active, by policy: such a proxy is fenced meanwhile.
func follow(in *Input, active Tally) (Outcome, bool) {
	if !in.Policy.Follow {
		return Outcome{}, false
	}
	var blind []string
	for _, v := range in.Voices {
		if v.steers() && !reaches(v.View, in.Record.Active) {
			blind = append(blind, v.Member)
		}
	}
	if len(blind) == 0 || active.Healthy == 0 {
		return Outcome{}, false
	}
	slices.Sort(blind)
	because := fmt.Sprintf("%s cannot be reached by %s", in.Record.Active, strings.Join(blind, ", "))
	return planned(in, model.KindFollow, because, func(node string) bool {
		return !slices.ContainsFunc(in.Voices, func(v Voice) bool { return v.View.Proxy != nil && !reaches(v.View, node) })
	})
}

// unreached leaves an active that the probes call healthy and that no HAProxy
// can use: all are blind, so all would be fenced, and nobody would be served
// although another node could be. HAProxies that cannot be asked do not count.
func unreached(in *Input) (Outcome, bool) {
	proxies, blind := 0, 0
	for _, v := range in.Voices {
		if v.answers() {
			proxies++
			if v.View.Node(in.Record.Active).Server == model.ServerDown {
				blind++
			}
		}
	}
	expected := 0 // voters with a proxy
	for _, v := range in.Voters {
		if !slices.Contains(in.Witnesses, v) {
			expected++
		}
	}
	if blind < proxies || blind == 0 || 2*blind <= expected {
		return Outcome{}, false
	}
	for _, t := range Candidates(in, in.Majority()-1) {
		if t.Reached < blind {
			continue
		}
		if tooMany(in) {
			return freeze(in), true
		}
		reason := fmt.Sprintf("%s is called down by all %d HAProxies, whatever the probes say; %s is up for all of them", in.Record.Active, blind, t.Node)
		return in.move(t.Node, model.KindFailover, reason), true
	}
	return Outcome{}, false
}

// reaches tells whether a member's proxy can use a node, as far as it knows.
func reaches(v *model.View, node string) bool {
	n := v.Node(node)
	return n.Verdict != model.Down && !shut(n.Server)
}

// shut tells whether a HAProxy sends nobody to a server in that state.
func shut(s model.ServerState) bool { return s == model.ServerDown || s == model.ServerMaint }

// planned is an automatic move away from an active that serves: never within
// MinStay of the last decision, and only to a node that a majority would choose.
func planned(in *Input, kind, because string, ok func(node string) bool) (Outcome, bool) {
	to := in.best(ok)
	if to == "" {
		return Outcome{Reason: because + "; no other node would do: it stays the active"}, true
	}
	if stayed := in.stayed(); stayed >= 0 && stayed < in.Policy.MinStay {
		return Outcome{Reason: fmt.Sprintf("%s; it stays for %v more: the last decision is too fresh", because, (in.Policy.MinStay - stayed).Round(time.Second))}, true
	}
	if tooMany(in) {
		return freeze(in), true
	}
	return plannedMove(in, to, kind, because, in.Policy.LeaveTimeout), true
}

// plannedMove makes to the active; the sessions of the present one end between
// transactions, or by themselves where nobody can tell those.
func plannedMove(in *Input, to, kind, because string, timeout time.Duration) Outcome {
	out := in.move(to, kind, because+"; "+to+" would do")
	out.Propose.Move = &model.Move{
		From: in.Record.Active, To: to, Drain: model.DrainTransactions, Phase: model.PhaseDrain,
		TimeoutMS: max(timeout, time.Second).Milliseconds(), Owner: in.By, By: in.By,
	}
	if len(lacking(in, in.Record.Active)) > 0 {
		out.Propose.Move.Drain = model.DrainGraceful
	}
	return out
}

// lacking names what members with a proxy lack to tell which of a node's sessions are in a
// transaction, each with who lacks it.
func lacking(in *Input, node string) []string {
	who := map[string][]string{}
	for _, v := range in.Voices {
		if lacks := v.View.Node(node).Lacks; v.steers() && lacks != "" {
			who[lacks] = append(who[lacks], v.Member)
		}
	}
	var out []string
	for lacks, members := range who {
		slices.Sort(members)
		verb := " needs "
		if len(members) > 1 {
			verb = " need "
		}
		out = append(out, strings.Join(members, ", ")+verb+lacks)
	}
	slices.Sort(out)
	return out
}
