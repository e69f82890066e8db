package decide

import (
	"fmt"
	"time"
)

// autoMovesWithin is for how long an automatic move counts (Policy.MaxAutoMoves).
const autoMovesWithin = time.Hour

// Ages are what the deciding member's monotonic clock says of the times in the
// record, which other members have written by theirs. A clock that somebody sets
// changes none of them.
//
// Where they are nil the record's times are taken as they stand: one clock is
// everybody's then, and nobody sets it. Only a test may do without.
type Ages struct {
	// Stayed is for how long this member has known the present decision: never
	// longer than it stands.
	Stayed time.Duration
	// Old is how many of the record's AutoMoves, the first ones, are known to be
	// more than an hour old. A new leader knows it of none.
	Old int
}

// stayed is for how long the present decision has stood at least.
func (in *Input) stayed() time.Duration {
	if in.Ages != nil {
		return in.Ages.Stayed
	}
	return in.Now.Sub(in.Record.Last().At)
}

// oldMoves is how many of the record's automatic moves count no more.
func (in *Input) oldMoves() int {
	if in.Ages != nil {
		return min(in.Ages.Old, len(in.Record.AutoMoves))
	}
	old := 0
	for _, at := range in.Record.AutoMoves {
		if in.Now.Sub(at) >= autoMovesWithin {
			old++
		}
	}
	return old
}

// tooMany tells whether one more automatic move would be too many.
func tooMany(in *Input) bool {
	return in.Policy.MaxAutoMoves > 0 && len(in.Record.AutoMoves)-in.oldMoves() >= in.Policy.MaxAutoMoves
}

// forgetOld takes the automatic moves that count no more out of the record, with
// what is decided anyway or, in a quiet turn, alone. To the next leader all that are
// in it count again for an hour: those of last year must not freeze its first
// failover.
func (in *Input) forgetOld(out Outcome) Outcome {
	if in.Ages == nil || in.oldMoves() == 0 {
		return out
	}
	old := in.Record.AutoMoves[:in.oldMoves()]
	switch {
	case out.Propose == nil && in.Record.Move == nil && !in.Review:
		out.Propose = in.Record.Clone()
		out.Propose.AutoMoves = out.Propose.AutoMoves[len(old):]
		out.Reason = fmt.Sprintf("%d automatic moves are more than an hour old and count no more; %s", len(old), out.Reason)
	case out.Propose != nil && len(out.Propose.AutoMoves) > 0 && out.Propose.AutoMoves[0].Equal(old[0]):
		out.Propose.AutoMoves = out.Propose.AutoMoves[len(old):]
	}
	return out
}
