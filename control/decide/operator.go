package decide

import (
	"fmt"
	"slices"
	"strings"

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
	// By names who asks, through which member.
	By string
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
	if in.Record.IsExcluded(req.Node) && !req.Force {
		return refuse("%s is excluded (haproxyctl include %s lifts that)", req.Node, req.Node)
	}
	for _, v := range in.Voices {
		if n := v.View.Node(req.Node); otherDatabase(in.Record, n) {
			return refuse("%s belongs to another database: %s reads state UUID %s there, the record has %s", req.Node, v.Member, n.UUID, in.Record.StateUUID)
		}
	}
	t := Count(in, req.Node)
	need := Majority(len(in.Voters))
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
	case t.Down > 0:
		warnings = append(warnings, fmt.Sprintf("%s is down for %d of %d voters (%s)", req.Node, t.Down, len(in.Voters), firstReason(in, req.Node)))
	}
	in2 := *in
	in2.By = req.By
	out := in2.move(req.Node, model.KindOperator, "asked for by "+req.By)
	if freeze {
		out.Propose.Frozen = true
		out.Propose.FrozenWhy = "forced to a node that the votes call down"
	}
	return out, warnings, nil
}

// Usable returns the nodes, other than the active and except, that a majority
// would choose, in the configured order.
func Usable(in *Input, except string) []string {
	var out []string
	for _, node := range in.Order {
		if node == except || in.Record != nil && (node == in.Record.Active || in.Record.IsExcluded(node)) {
			continue
		}
		if Count(in, node).Eligible >= Majority(len(in.Voters)) {
			out = append(out, node)
		}
	}
	return out
}

// Votes are sentences: what each voter says of node.
func Votes(in *Input, node string) []string {
	out := make([]string, 0, len(in.Voters))
	for _, voter := range in.Voters {
		view := in.voice(voter)
		if view == nil {
			out = append(out, fmt.Sprintf("%s: not heard lately", voter))
			continue
		}
		n := view.Node(node)
		s := fmt.Sprintf("%s: %s", voter, n.Verdict)
		if n.Reason != "" {
			s += " (" + n.Reason + ")"
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
	for _, voter := range in.Voters {
		view := in.voice(voter)
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
