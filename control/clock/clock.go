// Package clock paces the loops of this process.
//
// What time.Now gives carries the monotonic reading, by which Sub, Before and After
// count: whoever sets the machine's clock changes nothing that is decided. A time that was
// written down, in the record, a view or a file, carries none and is for people.
package clock

import (
	"context"
	"time"
)

// OnGrid is the time until the next full interval of the clock, where the probe
// looks too: this process mostly sleeps, and each waking costs more than what
// it then does. It is between a half and one and a half intervals, whatever is done
// to that clock.
func OnGrid(now time.Time, interval time.Duration) time.Duration {
	d := interval - time.Duration(now.UnixNano())%interval
	if d < interval/2 {
		d += interval
	}
	return d
}

// Loop calls turn until ctx is done; each turn says in how long the next one is.
func Loop(ctx context.Context, turn func() time.Duration) {
	for ctx.Err() == nil {
		next := turn()
		select {
		case <-ctx.Done():
		case <-time.After(next):
		}
	}
}
