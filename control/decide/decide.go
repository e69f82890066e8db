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
	// Leave names the classes of the probe (galera.Class: donor, maintenance,
	// read-only) for which a serving active is left by a planned move, with
	// LeaveTimeout for its sessions' transactions to end.
	Leave        []string
	LeaveTimeout time.Duration
	// MinStay is how long after a decision a *serving* active is not left again
	// automatically. A dead one is left at once.
	MinStay time.Duration
	// Follow: where some proxies cannot reach the active, the cluster moves to a
	// node that everybody reaches.
	Follow bool
	// MaxLag is how many write sets a node may be behind the others and still be
	// chosen (0: no limit).
	MaxLag int64
	// FenceAfter, if not 0, is how long a proxy without a majority goes on before
	// it serves nobody: a failover waits for the proxies that are not heard.
	FenceAfter time.Duration
}

// fenceMargin is what a failover waits longer than Policy.FenceAfter, counted from
// a silent member's last view: that may be 0.75 s older than the last word of the
// majority that the member has heard, from which it counts itself, and the fence
// is to be written.
const fenceMargin = time.Second

// Voice is the fresh view of one member. Members that were not heard lately
// have none: silence is "unknown", never "down".
type Voice struct {
	Member string
	View   *model.View
}

// Input is everything the decision depends on.
type Input struct {
	// Now stamps a decision, for people: nothing is decided by it.
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
	// Witnesses are the members that have no proxy, heard or not.
	Witnesses []string
	// Silence is for how long each voter has not been heard; a fresh one has none.
	Silence map[string]time.Duration
	// MoveAge is how long this member has known the record's pending move, and
	// Applied that its To was seen to have applied what its From had committed
	// when nothing was left there.
	MoveAge time.Duration
	Applied bool
	// Untroubled is for how long, in this epoch, this member last saw nobody say
	// anything against the active (Untroubled): until now, or until the present words
	// against it began. 0: never in this epoch.
	Untroubled time.Duration
	// Ages are what this member's own clock says of the record's times.
	Ages *Ages
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

// Majority is the number of voters that is more than half of all.
func Majority(voters int) int { return voters/2 + 1 }

// Majority is the number of voters that decides.
func (in *Input) Majority() int { return Majority(len(in.Voters)) }

// Decide returns this turn's decision.
func Decide(in *Input) Outcome {
	if in.Record == nil {
		return adopt(in)
	}
	return in.forgetOld(in.decide())
}

// decide is the decision where there is a record.
func (in *Input) decide() Outcome {
	active := Count(in, in.Record.Active)
	dead := active.Down >= in.Majority()
	if !in.Record.Frozen {
		if in.Review {
			if out, ok := native(in); ok {
				return out
			}
		}
		if dead {
			if out, ok := refused(in); ok && in.Record.Move == nil {
				return out
			}
			if out := failover(in, active); out.Propose != nil || in.Record.Move == nil {
				return out
			}
		} else if out, ok := unreached(in); ok {
			return out
		}
	}
	switch {
	case in.Record.Move != nil:
		if out, ok := overtake(in); ok {
			return out
		}
		return pending(in)
	case in.Record.Frozen:
		return frozen(in)
	}
	if out, ok := depart(in); ok {
		return out
	}
	if out, ok := refused(in); ok {
		return out
	}
	if out, ok := leave(in); ok {
		return out
	}
	if out, ok := follow(in, active); ok {
		return out
	}
	return Outcome{Reason: keepReason(in, active)}
}

// failover leaves an active that a majority of all voters calls down.
func failover(in *Input, active Tally) Outcome {
	candidates := Candidates(in, active.Healthy)
	if len(candidates) == 0 {
		alert := fmt.Sprintf("%s is down for %d of %d voters and no other node is healthy for more of them: it stays the active",
			in.Record.Active, active.Down, len(in.Voters))
		return Outcome{Reason: alert, Alert: alert}
	}
	if wait := unfenced(in); wait != "" {
		return Outcome{Reason: fmt.Sprintf("%s is down for %d of %d voters; the failover waits until %s", in.Record.Active, active.Down, len(in.Voters), wait)}
	}
	// The sessions of a planned move are still on the old node, and with a hold
	// those who wait are handed back to it: no other node is as good. It is the
	// move that ends, not one more automatic one.
	if m := in.Record.Move; m != nil {
		i := slices.IndexFunc(candidates, func(t Tally) bool { return t.Node == m.From })
		if i >= 0 && candidates[i].Eligible == candidates[0].Eligible {
			return in.move(m.From, model.KindRollback, fmt.Sprintf("the move to %s was rolled back: it is down for %d of %d voters (%s)",
				m.To, active.Down, len(in.Voters), firstReason(in, m.To)))
		}
	}
	if tooMany(in) {
		return freeze(in)
	}
	best := candidates[0]
	reason := fmt.Sprintf("%s is down for %d of %d voters (%s); %s is healthy for %d",
		in.Record.Active, active.Down, len(in.Voters), firstReason(in, in.Record.Active), best.Node, best.Healthy)
	return in.move(best.Node, model.KindFailover, reason)
}

// freeze is what comes instead of one automatic move too many.
func freeze(in *Input) Outcome {
	next := in.Record.Clone()
	next.Frozen = true
	next.FrozenWhy = fmt.Sprintf("%d automatic moves within an hour: frozen until somebody looks (haproxyctl unfreeze)", in.Policy.MaxAutoMoves)
	return Outcome{Propose: next, Reason: next.FrozenWhy, Alert: next.FrozenWhy}
}

// unfenced names the proxies that may still serve the old active: those that are
// not heard and have not been silent for long enough to have fenced themselves.
func unfenced(in *Input) string {
	if in.Policy.FenceAfter <= 0 {
		return ""
	}
	var names []string
	for _, v := range in.Voters {
		if in.unheard(v) && in.Silence[v] < in.Policy.FenceAfter+fenceMargin {
			names = append(names, v)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, ", ") + ", not heard, must have fenced itself"
}

// move builds the outcome that makes node the active.
func (in *Input) move(node, kind, reason string) Outcome {
	d := model.Decision{
		Recovery: in.Recovery, Epoch: in.Epoch + 1, Active: node, Kind: kind,
		Reason: reason, By: in.By, At: in.Now.UTC().Truncate(time.Millisecond),
	}
	base := in.Record
	base = cmp.Or(base, &model.Record{})
	d.From = base.Active
	next := base.WithActive(d)
	next.StateUUID = cmp.Or(next.StateUUID, in.commonUUID(node))
	return Outcome{Propose: next, NewEpoch: true, Reason: reason}
}

func frozen(in *Input) Outcome {
	active := Count(in, in.Record.Active)
	reason := fmt.Sprintf("frozen: %s stays the active", in.Record.Active)
	if why := in.Record.FrozenWhy; why != "" {
		reason += " (" + why + ")"
	}
	out := Outcome{Reason: reason}
	if alert := frozenDeparture(in); alert != "" {
		out.Reason, out.Alert = alert, alert
	}
	if active.Down >= in.Majority() {
		out.Alert = fmt.Sprintf("frozen, and %s is down for %d of %d voters: HAProxy's own checks rule until somebody decides (haproxyctl active set, or unfreeze)",
			in.Record.Active, active.Down, len(in.Voters))
		out.Reason = out.Alert
	}
	return out
}
