package vote

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
)

// autoMovesOld is from when on an automatic move counts no more.
const autoMovesOld = time.Hour

// autoMoves counts on a leader's own clock how long ago the automatic moves of the
// record were. Those that it finds when it begins to lead count as of then: by
// whose clock they were written down, and what became of that clock, nobody knows.
// Loop.mu guards it.
type autoMoves struct {
	term  uint64 // in which this member leads, 0 while it does not
	moves []seenMove
}

type seenMove struct {
	at   time.Time // as the record has it: which move it is
	seen time.Time // when this leader first saw it
}

// note takes what the record says now, if this member leads, and forgets all if not.
func (a *autoMoves) note(ag *cluster.Agreement, recorded []time.Time, now time.Time) {
	if !ag.IsLeader {
		a.term, a.moves = 0, nil
		return
	}
	if a.term != ag.Term {
		a.term, a.moves = ag.Term, nil
	}
	a.moves = seenMoves(a.moves, recorded, now)
}

// old is how many of the record's automatic moves, the first ones, are known to
// be more than an hour old.
func (a *autoMoves) old(ag *cluster.Agreement, recorded []time.Time, now time.Time) int {
	if !ag.IsLeader || a.term != ag.Term {
		return 0
	}
	old := 0
	for _, m := range seenMoves(a.moves, recorded, now) {
		if now.Sub(m.seen) < autoMovesOld {
			break
		}
		old++
	}
	return old
}

// seenMoves are the recorded moves: each as it is known, or first seen now.
func seenMoves(known []seenMove, recorded []time.Time, now time.Time) []seenMove {
	moves := make([]seenMove, 0, len(recorded))
	for _, at := range recorded {
		m := seenMove{at: at, seen: now}
		for i := range known {
			if known[i].at.Equal(at) {
				m.seen, known = known[i].seen, known[i+1:]
				break
			}
		}
		moves = append(moves, m)
	}
	return moves
}
