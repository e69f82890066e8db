package galera

// # What is in flight
//
// Every write set that the group has ordered is counted once on each node: its own in wsrep_replicated, another's in
// wsrep_received when an applier takes it, before it is certified. Once it is applied, or its certification has failed,
// wsrep_last_committed has passed it. So the sum of the two less the third is a base, and what is more than that is in flight
// here: delivered, and not yet applied.
//
// It is the only thing that shows a large transaction while it is certified: a million rows take seconds, in which causal reads hang
// on every node, the queue is empty and every applier looks idle (seen: a live node behind a firewall was evicted for it).
//
// The base is not given. It falls with every view, which has a number of its own; it rises by one now and then, when
// Galera tells how far all nodes are, about once in a hundred write sets; and there may be something in flight whenever one looks. What is
// in flight ends before wsrep_last_committed goes on, for that is in order. So the base is the least of a window in which it has gone
// on; and while it stands, a sum that rises is something in flight.

// flightReadings is how many readings are a window: two seconds of them.
const flightReadings = 20

// flight is what the readings of one process in one view say.
type flight struct {
	process string
	confID  int64
	window  []flown
	base    int64
	known   bool
}

type flown struct{ sum, committed int64 }

// sum is what a reading counts.
func (r *Reading) sum() int64 { return r.Received + r.Replicated - r.LastCommitted }

// add takes a reading.
func (f *flight) add(r *Reading) {
	if f.process != r.Gcomm || f.confID != r.ConfID {
		*f = flight{process: r.Gcomm, confID: r.ConfID}
	}
	f.window = append(f.window, flown{r.sum(), r.LastCommitted})
	f.window = f.window[max(len(f.window)-flightReadings, 0):]
	if len(f.window) < flightReadings {
		return
	}
	least := f.window[0].sum
	for _, w := range f.window {
		least = min(least, w.sum)
	}
	if !f.known || least < f.base || r.LastCommitted > f.window[0].committed {
		f.base, f.known = least, true
	}
}

// late says what a later sum shows, "" for nothing in flight.
func (f *flight) late(sum int64) string {
	switch {
	case !f.known:
		return "this view is too new to tell what is in flight"
	case sum > f.base:
		return "a write set is delivered and not yet applied"
	}
	return ""
}
