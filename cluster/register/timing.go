package register

import "time"

// The times of the register. Elections follow the heartbeat: a voter votes for
// nobody else while the lease of the leader that it has heard lasts, two
// heartbeats at least, and campaigns after that.
const (
	// heartbeat is how often the leader is heard.
	heartbeat = 100 * time.Millisecond
	// patienceFirst is how long the first voter in rank waits for a silent leader
	// before it campaigns, patienceStep what each rank adds, so that voters do not
	// campaign at once.
	patienceFirst = 4 * heartbeat
	patienceStep  = 3 * heartbeat / 2
	// lease is how long after the leader was last heard a voter refuses to vote
	// for another.
	lease = 3 * heartbeat
	// FreshFor is how long an answer of the majority counts as current.
	FreshFor = 1500 * time.Millisecond
	// askEvery is how often a member that does not vote asks a voter.
	askEvery = 500 * time.Millisecond
	// retryAfter is how long a request waits for the leader's answer before it is sent
	// again.
	retryAfter = 300 * time.Millisecond
	// lazyFor is how long knowledge that nothing waits for (the commit index, what
	// others have promised) may stay unwritten.
	lazyFor = time.Second
	// probeEvery is how often a member that is out of the vote after a write error
	// tries whether writing works again.
	probeEvery = 10 * time.Second
)
