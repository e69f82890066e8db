package vote

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// moveLog remembers the last move, so that its report can be given when
// the record does not hold it any more. Loop.mu guards it.
type moveLog struct {
	at   time.Time // the newest moment that was looked at
	last api.Move
}

// note takes what the record and the proxies say, unless it knows of a later moment. It returns the move that was pending
// and has ended, if one has.
func (l *moveLog) note(in *decide.Input) (ended *api.Move) {
	if in.Now.Before(l.at) {
		return nil
	}
	before := l.last
	l.at, l.last = in.Now, published.Moved(l.last, in)
	switch is := l.last; {
	case !before.Pending():
		return nil
	case is.Epoch != before.Epoch || is.Recovery != before.Recovery:
		before.State = api.MoveOvertaken // by another that was planned
		return &before
	case !is.Pending():
		return &is
	}
	return nil
}

// noteMoveLocked keeps the report of the last move up to date, and counts a move that has ended.
func (v *Loop) noteMoveLocked(in *decide.Input) {
	if m := v.moves.note(in); m != nil {
		v.cfg.Metrics.MoveSeconds.WithLabelValues(m.State).Observe((time.Duration(m.ElapsedMS) * time.Millisecond).Seconds())
	}
}

// AtOnce begins the report of a move that was asked for here and waits for nobody: the record
// has no more of it than the decision.
func (v *Loop) AtOnce(m *api.Move) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.moves.last = *m
}

// lastMove is the report of the last move.
func (v *Loop) lastMove() api.Move {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.moves.last
}
