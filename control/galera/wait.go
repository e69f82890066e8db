package galera

import "time"

// hangsAfter is how long a causal read must at least hang in order to say something: one that returns takes 0.2 to 1.5 ms
// (measured, three nodes at rest), and with twelve writers less than 20; but not where the members are far from each other.
const hangsAfter = 50 * time.Millisecond

// mostHangs is the longest that a read has to hang, whatever the group's messages take: a view change or a large
// transaction within the last minute makes them seem slow for its rest.
const mostHangs = 500 * time.Millisecond

// Wait is what the causal reads on a node show, which are asked while another node's process looks as if it had ended. A
// causal read (any read with wsrep_sync_wait=1) ends once every member of the view has answered a message that was sent
// after it began, and this node has applied what was delivered before. It also returns at once, and says nothing,
// within a second after another one (evs.causal_keepalive_period).
//
// So one that hangs says that the group waits for a member, if this node is not itself late with applying: it is
// synced, its queue is empty, flow control does not hold it back, no applier is at work, and no client's DDL.
// Measured: with ALTER TABLE by a client causal reads on that node hang until its end, and no applier is seen.
type Wait struct {
	// Since is when the read that is under way began; zero if none is.
	Since time.Time
	// Clear is when the last look began if it found this node late with nothing, and First the one before it if that found nothing
	// either; zero if not. Late is what the last look found. One look is not enough: between two events of a
	// transaction an applier seems idle, and of a process that was stopped meanwhile the first may be as old as the read.
	First, Clear time.Time
	Late         string
	// Usual is how long the group's messages take as a rule, by any node's word: see Reading.Latency.
	Usual time.Duration
}

// Began is the wait once a read has begun.
func (w Wait) Began(now time.Time) Wait {
	w.Since = now
	return w
}

// Returned is the wait once a read has come back, for whatever reason.
func (w Wait) Returned() Wait {
	w.Since = time.Time{}
	return w
}

// Looked is the wait after a look at the node that began then: late says with what it is late, "" for nothing.
func (w Wait) Looked(began time.Time, late string) Wait {
	w.Late, w.First, w.Clear = late, w.Clear, began
	if late != "" {
		w.First, w.Clear = time.Time{}, time.Time{}
	}
	return w
}

// Hangs tells whether the group waits for a member, as this node shows it.
func (w Wait) Hangs() bool {
	return !w.Since.IsZero() && w.First.After(w.Since) && w.Clear.Sub(w.Since) >= min(max(hangsAfter, 4*w.Usual), mostHangs)
}
