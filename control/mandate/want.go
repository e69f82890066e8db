package mandate

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Want is what the agreement wants of this proxy at the moment of a step.
type Want struct {
	// Known: there is a record, or an order, and Active is its node.
	Known  bool
	Active string
	// Left is the node that the last decision has left, "" for none; Asked: an operator
	// asked for it.
	Left    string
	Asked   bool
	Version cluster.Version
	// MayWrite: a fresh majority stands behind it and nothing is waited for.
	MayWrite bool
	// Fresh is when the majority stood behind this record; Voting: a voter hears
	// that at every heartbeat, others less often.
	Fresh  time.Time
	Voting bool
	// Why says why not, in a sentence.
	Why string
	// Frozen is the record's; Move its pending move. The decision is known here since
	// Since, and was for MoveAge at the step.
	Frozen  bool
	Move    *model.Move
	Since   time.Time
	MoveAge time.Duration
	// Blind is what this member's own probe says where it calls the active down.
	Blind string
	// Unserved says why the probes do not find the active serving, "" where they do.
	Unserved string
	// Cut says that there has been no majority for so long that this proxy must
	// serve nobody, by policy.
	Cut string
	// KeepFence: there is no majority and policy fences then, so a fence that is up
	// stays up. A daemon that starts has yet to count how long it is alone.
	KeepFence bool
	// Local is the node that an operator forced on this proxy alone.
	Local string
}

const (
	// WriteWithin is how old the majority's word may be for a write: several
	// heartbeats. A daemon that stood still for half a second has not heard of a
	// move meanwhile.
	WriteWithin = 500 * time.Millisecond
	// DrainGrace is how long after its bound a proxy goes on draining where nobody
	// ends the move: more than an election takes. A leader of a version that knows of
	// no moves never ends one, and the old node would keep its sessions for ever.
	DrainGrace = 5 * time.Second
	// HoldGrace is how long after its bound a proxy ends a hold by itself, where
	// no word of the move's end has reached it.
	HoldGrace = 250 * time.Millisecond
)

// Epoch is which decision it is.
func (w *Want) Epoch() model.Epoch { return EpochOf(w.Version) }

// Heard tells whether the majority's word is fresh enough for a write at now.
func (w *Want) Heard(now time.Time) bool {
	return !w.Voting || now.Sub(w.Fresh) <= WriteWithin
}

// StillMayWrite tells whether what the last step allowed is allowed at now as well: it
// ends with the majority's word, however long no step is made.
func (w *Want) StillMayWrite(now time.Time) bool {
	return w.MayWrite && now.Sub(w.Fresh) <= cluster.FreshFor
}

// Age is for how long, at now, this member has known the decision that v is of, 0
// where it wants another one by now.
func (w *Want) Age(v cluster.Version, now time.Time) time.Duration {
	if w.Epoch() != EpochOf(v) || w.Since.IsZero() {
		return 0
	}
	return now.Sub(w.Since)
}

// Draining is the node whose sessions a planned move does not close yet, "" for none.
func (w *Want) Draining() string {
	if w.Move == nil || w.Move.Phase != model.PhaseDrain || w.Move.Drain == model.DrainImmediate ||
		w.MoveAge >= w.Move.Bound()+DrainGrace {
		return ""
	}
	return w.Move.From
}

// WantsHold tells whether new connections are to wait now.
func (w *Want) WantsHold() bool {
	return w.MayWrite && w.Local == "" && w.Move != nil && w.Move.Hold && w.Move.To == w.Active &&
		w.MoveAge < w.Move.Bound()+HoldGrace
}

// EpochOf is a version without its revision: which decision.
func EpochOf(v cluster.Version) model.Epoch { return model.Epoch{Recovery: v.Recovery, N: v.Epoch} }
