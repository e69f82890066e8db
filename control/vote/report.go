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

// note takes what the record and the proxies say, unless it knows of a later moment.
func (l *moveLog) note(in *decide.Input) {
	if in.Now.Before(l.at) {
		return
	}
	l.at, l.last = in.Now, published.Moved(l.last, in)
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
