package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
)

const (
	// mostQueued bounds what waits for one receiver. The oldest is given up first: what is true now is in the newest.
	mostQueued = 256
	// givenUpAfter is for how long an event is tried.
	givenUpAfter = 10 * time.Minute
	// firstPause and longestPause are the time between two attempts, which doubles.
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// Receiver takes events.
type Receiver interface {
	// Name is command or webhook.
	Name() string
	// Tell returns nil once the receiver has taken the event; ctx bounds it.
	Tell(ctx context.Context, e *Event) error
}

// Results of an event at a receiver, for Config.Count.
const (
	ResultTold    = "told"
	ResultFailed  = "failed" // an attempt: it is tried again
	ResultGivenUp = "given-up"
)

// errRefused is wrapped by the error of a receiver that will never take this event.
var errRefused = errors.New("refused")

// queue are the events that wait for one receiver, which gets them one after the other.
type queue struct {
	to    Receiver
	log   *slog.Logger
	count func(receiver, result string)
	wake  chan struct{}
	pause time.Duration // after the first failure

	mu  sync.Mutex
	all []queued
}

type queued struct {
	event Event
	since time.Time
}

func newQueue(to Receiver, log *slog.Logger, count func(receiver, result string)) *queue {
	return &queue{to: to, log: log.With("receiver", to.Name()), count: count, wake: make(chan struct{}, 1), pause: firstPause}
}

// add never waits.
func (q *queue) add(e *Event, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.all) >= mostQueued {
		q.giveUp(&q.all[0].event, "too many wait")
		q.all = q.all[1:]
	}
	q.all = append(q.all, queued{*e, now})
	nudge.Send(q.wake)
}

func (q *queue) giveUp(e *Event, why string) {
	q.count(q.to.Name(), ResultGivenUp)
	q.log.Error("an event was not told", "event", e.Data.Kind, "id", e.ID, "why", why)
}

// first is the oldest, nil for none.
func (q *queue) first() *queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.all) == 0 {
		return nil
	}
	f := q.all[0]
	return &f
}

// done takes the oldest out, unless it is another one by now.
func (q *queue) done(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.all) > 0 && q.all[0].event.ID == id {
		q.all = q.all[1:]
	}
}

// run tells until ctx is done.
func (q *queue) run(ctx context.Context) {
	pause := q.pause
	for {
		f := q.first()
		if f == nil {
			select {
			case <-ctx.Done():
				return
			case <-q.wake:
			}
			continue
		}
		err := q.to.Tell(ctx, &f.event)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			q.count(q.to.Name(), ResultTold)
			q.done(f.event.ID)
			pause = q.pause
			continue
		case errors.Is(err, errRefused), time.Since(f.since) > givenUpAfter:
			q.giveUp(&f.event, err.Error())
			q.done(f.event.ID)
			continue
		}
		q.count(q.to.Name(), ResultFailed)
		q.log.Warn("an event could not be told and is tried again", "event", f.event.Data.Kind, "id", f.event.ID, "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}
