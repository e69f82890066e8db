package gossip

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

// queue holds what memberlist piggybacks on its packets: at most one message per
// name, the newest, each sent a limited number of times. It differs from
// memberlist's TransmitLimitedQueue in two points: a record goes before any
// view, and a view's age is brought up to date when it is sent.
type queue struct {
	mu    sync.Mutex // guards items and what they point to
	items []*queued
}

type queued struct {
	name      string
	first     bool // goes before those that are not
	message   []byte
	published time.Time // of a view; zero: the message has no age
	sent      int
}

// retransmit is how often a message is sent by each member, times the decimal
// logarithm of the number of members: memberlist's rule with its multiplier 3.
const retransmit = 3

func transmitLimit(members int) int {
	return retransmit * int(math.Ceil(math.Log10(float64(members+1))))
}

// put queues a message in place of the one with the same name.
func (q *queue) put(item queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = slices.DeleteFunc(q.items, func(o *queued) bool { return o.name == item.name })
	q.items = append(q.items, &item)
}

// drop removes the message with that name.
func (q *queue) drop(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = slices.DeleteFunc(q.items, func(o *queued) bool { return o.name == name })
}

// trueFirst compares for an order in which what is so comes before what is not.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// take returns messages of at most limit bytes together, each costing overhead
// more: those marked first, then those sent the least.
func (q *queue) take(overhead, limit, members int, now time.Time) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil
	}
	slices.SortStableFunc(q.items, func(a, b *queued) int {
		return cmp.Or(trueFirst(a.first, b.first), a.sent-b.sent)
	})
	var out [][]byte
	for _, item := range q.items {
		need := overhead + len(item.message)
		if need > limit {
			continue
		}
		limit -= need
		m := slices.Clone(item.message)
		if !item.published.IsZero() {
			setAge(m, now.Sub(item.published))
		}
		out = append(out, m)
		item.sent++
	}
	most := transmitLimit(members)
	q.items = slices.DeleteFunc(q.items, func(o *queued) bool { return o.sent >= most })
	return out
}
