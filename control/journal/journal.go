// Package journal keeps what this daemon did and noticed, for people.
package journal

import (
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Journal keeps the last things that this member did or noticed.
type Journal struct {
	mu   sync.Mutex  // guards list
	list []api.Event // oldest first
	max  int
}

// New returns a journal of so many messages.
func New(most int) *Journal { return &Journal{max: most} }

// Add notes a message. The one that was noted last is not repeated: it gets the new time.
func (e *Journal) Add(at time.Time, message string) {
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

// NewestFirst returns a copy.
func (e *Journal) NewestFirst() []api.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]api.Event, 0, len(e.list))
	for i := len(e.list) - 1; i >= 0; i-- {
		out = append(out, e.list[i])
	}
	return out
}
