package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// RefusedError is a "no" to an operator, with the nodes that would do.
type RefusedError struct {
	Reason     string
	Candidates []string
}

// Error returns the reason as one line.
func (r *RefusedError) Error() string {
	switch len(r.Candidates) {
	case 0:
		return r.Reason + "; no other node would do now"
	case 1:
		return r.Reason + "; " + r.Candidates[0] + " would do"
	}
	return r.Reason + "; these would do: " + strings.Join(r.Candidates, ", ")
}

// Request is what an operator asks for.
type Request struct {
	Node  string
	Force bool
	// By names who asks, through which member; Owner is that member. OrderedBy is
	// who that is there, Reason why; "" where it is not known.
	By, Owner, OrderedBy, Reason string
	// Drain, Hold, Keep, Timeout and MaxHold are those of model.Move; Drain is never
	// model.DrainAuto.
	Drain            string
	Hold, Keep       bool
	Timeout, MaxHold time.Duration
}

// Planned tells whether more is asked for than a decision: a drain or a hold.
func (r *Request) Planned() bool {
	return r.Hold || r.Drain != "" && r.Drain != model.DrainImmediate
}

// Operator checks an operator's wish against the same votes as the automatic
// decision. It returns the outcome to propose (Propose nil: the node is the
// active already) and warnings, or a *RefusedError.
//
// Force overrides unknowns and donors, and also "down", in which case the
// record is frozen too: or the next turn would move away again. It never
// overrides another state UUID: that is another database.
func Operator(in *Input, req Request) (Outcome, []string, error) {
	refuse := func(format string, args ...any) (Outcome, []string, error) {
		return Outcome{}, nil, &RefusedError{Reason: fmt.Sprintf(format, args...), Candidates: Usable(in, req.Node)}
	}
	if in.Record == nil {
		return refuse("there is no decision yet that could be changed")
	}
	if !slices.Contains(in.Order, req.Node) {
		return refuse("%s is not a node of this configuration", req.Node)
	}
	if req.Node == in.Record.Active {
		return Outcome{Reason: req.Node + " is the active already"}, nil, nil
	}
	if m := in.Record.Move; m != nil && !req.Force {
		return refuse("the move from %s to %s is not over (see `haproxyctl status`)", m.From, m.To)
	}
	if in.Record.IsExcluded(req.Node) && !req.Force {
		return refuse("%s is excluded (haproxyctl include %s lifts that)", req.Node, req.Node)
	}
	for _, v := range in.Voices {
		if n := v.View.Node(req.Node); otherDatabase(in.Record, n) {
			return refuse("%s belongs to another database: %s reads state UUID %s there, the record has %s", req.Node, v.Member, n.UUID, in.Record.StateUUID)
		}
	}
	t := Count(in, req.Node)
	need := in.Majority()
	var warnings []string
	freeze := false
	switch {
	case t.Down >= need && !req.Force:
		return refuse("%s is down for %d of %d voters (%s)", req.Node, t.Down, len(in.Voters), firstReason(in, req.Node))
	case t.Down >= need:
		freeze = true
		warnings = append(warnings, fmt.Sprintf("%s is down for %d of %d voters: forced, and frozen so that nobody moves away again (haproxyctl unfreeze)", req.Node, t.Down, len(in.Voters)))
	case t.Eligible < need && !req.Force:
		return refuse("%s is not healthy for a majority: %d of %d voters would choose it (%s)", req.Node, t.Eligible, len(in.Voters), whyNotEligible(in, req.Node))
	case t.Eligible < need:
		warnings = append(warnings, fmt.Sprintf("%s would be chosen by %d of %d voters only (%s): forced", req.Node, t.Eligible, len(in.Voters), whyNotEligible(in, req.Node)))
		if freeze = departs(in, req.Node) != nil; freeze {
			warnings = append(warnings, "frozen, or the next turn would leave it again (haproxyctl unfreeze)")
		}
	case t.Down > 0:
		warnings = append(warnings, fmt.Sprintf("%s is down for %d of %d voters (%s)", req.Node, t.Down, len(in.Voters), firstReason(in, req.Node)))
	}
	if lags(in, req.Node) && !req.Hold {
		if !req.Force {
			return refuse("%s is %d write sets behind: its clients would not find what they have just written; wait, or give --hold", req.Node, Lag(in, req.Node))
		}
		warnings = append(warnings, fmt.Sprintf("%s is %d write sets behind: forced, its clients may miss what they have just written", req.Node, Lag(in, req.Node)))
	}
	in2 := *in
	in2.By = req.By
	out := in2.move(req.Node, model.KindOperator, because("asked for by "+req.By, req.Reason))
	out.Propose.History[0].OrderedBy = req.OrderedBy
	if req.Planned() {
		more, why := checkMove(in, &req)
		if why != "" {
			return refuse("%s", why)
		}
		warnings = append(warnings, more...)
		out.Propose.Move = req.move(in.Record.Active)
	}
	if freeze {
		out.Propose.Frozen = true
		out.Propose.FrozenWhy = "forced to a node that the votes call down"
		if t.Down < need {
			out.Propose.FrozenWhy = "forced to a node that is about to end"
		}
	}
	return out, warnings, nil
}

// because adds an operator's reason to a sentence.
func because(sentence, reason string) string {
	if reason == "" {
		return sentence
	}
	return sentence + ": " + reason
}

// checkMove tells why a planned move cannot be made as it is asked for, or what
// there is to know about it.
func checkMove(in *Input, req *Request) (warnings []string, refusal string) {
	from := in.Record.Active
	t := Count(in, from)
	switch dead := t.Down >= in.Majority(); {
	case dead:
		// Nothing answers for its sessions, and nothing is committed there any more.
		warnings = append(warnings, fmt.Sprintf("%s is down for %d of %d voters: nothing is drained or held", from, t.Down, len(in.Voters)))
		req.Drain, req.Hold = model.DrainImmediate, false
	case req.Drain == model.DrainTransactions:
		if lacks := lacking(in, from); len(lacks) > 0 {
			return nil, fmt.Sprintf("it cannot be told which sessions are in a transaction on %s: %s; or give --drain graceful", from, strings.Join(lacks, "; "))
		}
	}
	if !req.Hold {
		return warnings, ""
	}
	for _, v := range in.Voices {
		if v.View.Proxy != nil && v.View.Node(from).Lacks == model.LacksProbe {
			return nil, fmt.Sprintf("--hold must read what %s committed last, and %s has no probe user (--probe-user)", from, v.Member)
		}
	}
	if cannot := cannotHold(in); len(cannot) > 0 {
		return nil, fmt.Sprintf("--hold needs a haproxy.cfg with hold frontends for this very HAProxy (haproxyctl config render --haproxy-version), and %s have none", strings.Join(cannot, ", "))
	}
	return warnings, ""
}

// cannotHold names the members whose HAProxy cannot let new connections wait.
func cannotHold(in *Input) []string {
	var names []string
	for _, v := range in.Voices {
		if v.steers() && !v.View.Proxy.CanHold {
			names = append(names, v.Member)
		}
	}
	slices.Sort(names)
	return names
}

// move is the pending move that is asked for, nil where only a decision is left of it.
func (r *Request) move(from string) *model.Move {
	if !r.Planned() {
		return nil
	}
	m := &model.Move{
		From: from, To: r.Node, Drain: cmp.Or(r.Drain, model.DrainImmediate), Phase: model.PhaseDrain, Hold: r.Hold, Keep: r.Keep,
		TimeoutMS: r.Timeout.Milliseconds(), Owner: r.Owner, By: r.By,
	}
	if r.Hold {
		m.MaxHoldMS = r.MaxHold.Milliseconds()
	}
	return m
}

// Usable returns the nodes, other than the active and except, that a majority
// would choose, in the configured order.
func Usable(in *Input, except string) []string {
	var out []string
	for _, node := range in.Order {
		if node == except || in.Record != nil && (node == in.Record.Active || in.Record.IsExcluded(node)) {
			continue
		}
		if Count(in, node).Eligible >= in.Majority() {
			out = append(out, node)
		}
	}
	return out
}

// Votes are sentences: what each voter says of node.
func Votes(in *Input, node string) []string {
	out := make([]string, 0, len(in.Voters))
	for _, voter := range in.Voters {
		view := in.Voice(voter)
		if view == nil {
			out = append(out, fmt.Sprintf("%s: not heard lately", voter))
			continue
		}
		n := view.Node(node)
		s := fmt.Sprintf("%s: %s", voter, n.Verdict)
		if n.Reason != "" {
			s += " (" + n.Reason + ")"
		}
		if w := n.Going.Words(); w != "" {
			s += "; it " + w
		}
		out = append(out, s)
	}
	return out
}

func whyNotEligible(in *Input, node string) string {
	var reasons []string
	add := func(r string) {
		if !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	if w := goingReason(in, node); w != "" {
		add(w)
	}
	for _, voter := range in.Voters {
		view := in.Voice(voter)
		if view == nil {
			add(voter + " is not heard")
			continue
		}
		if n := view.Node(node); !n.Eligible {
			if n.Reason == "" {
				add(voter + " says " + string(n.Verdict))
			} else {
				add(voter + ": " + n.Reason)
			}
		}
	}
	return strings.Join(reasons, "; ")
}
