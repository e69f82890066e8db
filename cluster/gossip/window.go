package gossip

import "time"

// windowSize is how many numbers back a packet may come late: UDP reorders.
const windowSize = 1024

// window remembers which numbers of one session have come.
type window struct {
	top  uint64
	seen [windowSize / 64]uint64 // a ring: number n is bit n % windowSize
}

// take reports whether n comes for the first time, and notes it. A number too
// old to tell counts as one that came before.
func (w *window) take(n uint64) bool {
	switch {
	case n == 0:
		return false
	case n > w.top:
		if n-w.top >= windowSize {
			w.seen = [windowSize / 64]uint64{}
		} else {
			for i := w.top + 1; i < n; i++ {
				w.seen[i%windowSize/64] &^= 1 << (i % 64)
			}
		}
		w.top = n
	case w.top-n >= windowSize:
		return false
	case w.seen[n%windowSize/64]&(1<<(n%64)) != 0:
		return false
	}
	w.seen[n%windowSize/64] |= 1 << (n % 64)
	return true
}

const (
	// tokenFor is how long a token is given out; it is taken for as long again.
	// A packet that is held back on its way is therefore nothing after twice that,
	// by the receiver's monotonic clock, even one that never came before.
	tokenFor = 10 * time.Second
	// maxSessions bounds the sessions of one token. Every other process has one,
	// so that only who has the key can fill it.
	maxSessions = 1024
)

// inbox is a process's memory of what it has received. Nothing in it is forgotten
// while it could be sent again: a packet is good for one token, each life of each
// process has tokens of its own, and what came under a token is forgotten only
// together with the token.
type inbox struct {
	now, before life
	since       time.Time // when now became the token
}

type life struct {
	token    uint64
	sessions map[uint64]*window
}

func newInbox(now time.Time) *inbox {
	i := &inbox{}
	i.renew(now)
	return i
}

func (i *inbox) renew(now time.Time) {
	i.before, i.since = i.now, now
	i.now = life{token: token(), sessions: map[uint64]*window{}}
}

// current returns the token to give out.
func (i *inbox) current(now time.Time) uint64 {
	switch age := now.Sub(i.since); {
	case age >= 2*tokenFor: // a long silence: the one before is too old as well
		i.renew(now)
		i.renew(now)
	case age >= tokenFor:
		i.renew(i.since.Add(tokenFor))
	}
	return i.now.token
}

// take judges a packet whose tag is good, and returns the reason for which it is
// dropped, "" for none. It is ReasonReplayed for one that has come before or is too
// old to tell, ReasonStale for one that was made for another life of this process,
// for another process, or for a token that is not taken any more. ask says that its
// sender should ask for the token again.
func (i *inbox) take(now time.Time, token, session, counter uint64) (reason string, ask bool) {
	i.current(now)
	var in life
	switch token {
	case i.now.token:
		in = i.now
	case i.before.token:
		in, ask = i.before, true
	}
	w := in.sessions[session]
	if w == nil {
		if in.sessions == nil {
			return ReasonStale, true
		}
		if len(in.sessions) >= maxSessions {
			if !ask {
				i.renew(now)
			}
			return ReasonStale, true
		}
		w = &window{}
		in.sessions[session] = w
	}
	if !w.take(counter) {
		return ReasonReplayed, false
	}
	return "", ask
}
