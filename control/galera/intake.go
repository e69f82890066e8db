package galera

import "time"

const (
	// largeFor is how long after a large write set a causal read on a node says nothing, once something has been committed
	// there since: what is left to do after it (the certification index is purged, its page is freed) stops the node, too.
	largeFor = 10 * time.Second
	// A write set is large from largeBytes on. What comes beside it may have smallBytes each.
	largeBytes = 256 << 10
	smallBytes = 64 << 10
)

// Intake is what a node has taken in from the group, as its counters say. The certification of a large write set takes from a
// tenth of a second to many, on all nodes at once; meanwhile causal reads hang everywhere, no applier is seen at work, the
// queue is empty (measured: 1,000,000 rows; MariaDB 10.11, Galera 26.4.23), and the group is well.
type Intake struct {
	// Count and Bytes are of the write sets that came from others and that the node has sent, once the group has ordered them;
	// 0 while they are not known. Committed is wsrep_last_committed.
	Count, Bytes, Committed int64
	// large is when a large one was last seen to have come, and done when a commit was first seen after it.
	large, done time.Time
}

// Read is the intake after its counters were read.
func (i Intake) Read(now time.Time, count, bytes, committed int64) Intake {
	before := i
	i.Count, i.Bytes, i.Committed = count, bytes, committed
	switch n := count - before.Count; {
	case before.Count == 0 || n < 0:
		i.large, i.done = time.Time{}, time.Time{} // another process, or the first look at it
	case bytes-before.Bytes > largeBytes+n*smallBytes:
		i.large, i.done = now, time.Time{}
	case !i.large.IsZero() && i.done.IsZero() && committed != before.Committed:
		i.done = now
	}
	return i
}

// Large tells whether the node may be late with a large write set.
func (i Intake) Large(now time.Time) bool {
	return !i.large.IsZero() && (i.done.IsZero() || now.Sub(i.done) < largeFor)
}
