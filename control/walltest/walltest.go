// Package walltest makes the times that a process sees when somebody sets the
// machine's clock: the wall moves, the monotonic reading goes on. The tests of "no
// wall clock decides anything" run on them.
package walltest

import (
	"sync"
	"time"
	"unsafe"
)

// layout is time.Time's, as it has been since Go 1.9 (time/time.go).
type layout struct {
	wall uint64 // 1 bit: a monotonic reading is there; 33 bits: seconds since 1885; 30 bits: nanoseconds
	ext  int64  // the monotonic reading
	loc  *time.Location
}

const (
	hasMonotonic = 1 << 63
	nsecShift    = 30
)

// Step moves the wall of t by d, in whole seconds, and leaves its monotonic
// reading. It panics where t has none or this Go lays times out in another way.
func Step(t time.Time, d time.Duration) time.Time {
	stepped := t
	l := (*layout)(unsafe.Pointer(&stepped)) //nolint:gosec // what time offers no way to make
	if unsafe.Sizeof(stepped) != unsafe.Sizeof(*l) || l.wall&hasMonotonic == 0 {
		panic("walltest: a time without a monotonic reading, or of another layout")
	}
	d = d.Truncate(time.Second)
	l.wall += uint64(d/time.Second) << nsecShift //nolint:gosec // a negative number of seconds wraps as it should
	if stepped.Sub(t) != 0 || stepped.Round(0).Sub(t.Round(0)) != d {
		panic("walltest: this Go lays times out in another way")
	}
	return stepped
}

// Clock is a machine's clock in a test: it goes on by Pass alone, and is set by Set.
type Clock struct {
	mu     sync.Mutex // guards what follows
	now    time.Time
	offset time.Duration
}

// New is a clock that shows what the machine's does.
func New() *Clock { return &Clock{now: time.Now()} }

// Now is what time.Now would give.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Step(c.now, c.offset)
}

// Pass lets d pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set steps the wall by d.
func (c *Clock) Set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}
