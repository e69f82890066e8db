package vote

import (
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// endWithin is how long after sessions have vanished the node's own end may be
// seen: it closes them first, and two probes must fail.
const endWithin = 2 * time.Second

// ending watches what an active that is about to end takes with it: the sessions
// that were in a transaction when its end, or the end of its time, came. Only the vote
// loop has one.
type ending struct {
	epoch model.Epoch
	node  string
	// inTrx sessions were in a transaction when any was last seen, at seen; drained
	// had been closed between transactions until then.
	inTrx, drained int
	seen           time.Time
	closing, told  bool
}

// endingTurn is what one turn knows of a move.
type endingTurn struct {
	epoch model.Epoch
	// move has the sums of the pending move or, where none is pending, of the last one.
	move *api.Move
	// departure: it is because the old node is about to end. closing: its time is over.
	departure, pending, closing bool
	// gone says what has ended the old node's sessions, "" for nothing.
	gone string
}

// note takes a turn. It returns a sentence, once a move at most, if transactions were cut.
func (e *ending) note(now time.Time, t *endingTurn) string {
	m := t.move
	if t.pending && t.departure && e.epoch != t.epoch {
		*e = ending{epoch: t.epoch, node: m.From}
	}
	if e.node == "" || e.told || m.At() != e.epoch {
		return ""
	}
	if t.closing && !e.closing {
		e.closing = true
		if n := max(m.InTransaction, e.recent(now)); n > 0 {
			e.told = true
			return fmt.Sprintf("%s was to be left and %s in a transaction when the time was over: cut", e.node, were(n))
		}
	}
	if t.gone != "" {
		// Those whose transaction ended in time were drained then.
		if n := e.recent(now) - (m.Drained - e.drained); n > 0 {
			e.told = true
			return fmt.Sprintf("%s %s and %s in a transaction: cut", e.node, t.gone, were(n))
		}
	}
	if m.InTransaction > 0 {
		e.inTrx, e.drained, e.seen = m.InTransaction, m.Drained, now
	}
	return ""
}

func (e *ending) recent(now time.Time) int {
	if now.Sub(e.seen) > endWithin {
		return 0
	}
	return e.inTrx
}

func were(n int) string {
	if n == 1 {
		return "1 session was"
	}
	return fmt.Sprintf("%d sessions were", n)
}

// endOf says what has ended a node's sessions, "" for nothing.
func endOf(n model.NodeView) string {
	switch {
	case n.Verdict == model.Down:
		return "has ended"
	case n.Server == model.ServerDown:
		return "was marked down by HAProxy's check"
	}
	return ""
}

// watchEnding reports what the active's end has cut.
func (v *Loop) watchEnding(sit *published.Situation, in *decide.Input) {
	m := published.Summed(v.lastMove(), in)
	rec := sit.Record
	text := v.ending.note(sit.At, &endingTurn{
		epoch: sit.Epoch(), move: &m, departure: rec.Last().Kind == model.KindDeparture, pending: rec.Move != nil,
		closing: rec.Move != nil && rec.Move.Phase == model.PhaseClose, gone: endOf(sit.Own.Node(m.From)),
	})
	if text == "" {
		return
	}
	v.cfg.Log.Warn("transactions were cut", "node", m.From, "epoch", m.Epoch, "reason", text)
	v.cfg.Events.Add(sit.At, text)
	v.cfg.Metrics.Cut.Inc()
	v.mu.Lock()
	v.moves.last.Cut = text
	v.mu.Unlock()
}
