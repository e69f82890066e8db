package control

import (
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// events keeps the last things that this member did or noticed.
type events struct {
	mu   sync.Mutex
	list []api.Event // oldest first
	max  int
}

func (e *events) add(at time.Time, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.list); n > 0 && e.list[n-1].Message == message {
		e.list[n-1].At = at // the same again: keep one line
		return
	}
	e.list = append(e.list, api.Event{At: at.UTC(), Message: message})
	if len(e.list) > e.max {
		e.list = append(e.list[:0], e.list[len(e.list)-e.max:]...)
	}
}

// newestFirst returns a copy.
func (e *events) newestFirst() []api.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]api.Event, 0, len(e.list))
	for i := len(e.list) - 1; i >= 0; i-- {
		out = append(out, e.list[i])
	}
	return out
}
