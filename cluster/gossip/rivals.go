package gossip

import (
	"fmt"
	"maps"
	"time"
)

// NameTakenError is what Run returns in a process that has to stop because
// another live process has its stable name.
type NameTakenError struct {
	// Name is the stable name.
	Name string
	// Process and Address (ADDR:PORT of its gossip) are the other process's.
	Process, Address string
}

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("another live daemon is named %q: it answers at %s (%s); stop that one or give this one another name", e.Name, e.Address, e.Process)
}

const (
	// askEvery is the time between two challenges of the same rival.
	askEvery = 300 * time.Millisecond
	// askTimes is how many challenges stay unanswered until a rival counts as
	// dead: a crashed process remains a member for up to 2.5 s, and its
	// successor should not have to wait for that.
	askTimes = 3
	// askAgain is when a rival that did not answer, but remains a member, is asked again.
	askAgain = 5 * time.Second
)

// rivals decides which of several live processes of one stable name remains. It
// is a state machine: time and messages come in, challenges go out.
//
// A process that is settled beats one that is not: the later of two is the one
// to stop. Between equals (both just started, or both settled on two sides of a
// partition) the smaller process name stays. The asked process decides for
// both, and each side keeps the rank that it first took towards a rival, so that
// both sides always reach the same verdict and exactly one remains.
//
// A verdict is one sender's word, though, and whoever can send can invent a
// process of any name. So it is not obeyed at once: see insists.
type rivals struct {
	self  string
	known map[string]*rival
}

type rival struct {
	settled bool // our rank towards it
	nonce   uint64
	asked   int
	next    time.Time
	beaten  bool // it answered that it will be the one to stop
	silent  bool // it did not answer askTimes challenges
	stops   int  // fresh challenges that it answered with: you have to stop
	first   time.Time
}

// rankWins reports whether process a with its rank remains beside process b.
func rankWins(aSettled bool, a string, bSettled bool, b string) bool {
	if aSettled != bSettled {
		return aSettled
	}
	return a < b
}

// sync takes the live processes of the same name: address is theirs, own ours.
// A rival at our own address is dead, since we hold the address.
func (r *rivals) sync(now time.Time, live map[string]string, own string, settled bool) {
	maps.DeleteFunc(r.known, func(p string, _ *rival) bool {
		_, ok := live[p]
		return !ok
	})
	for p, address := range live {
		if r.known[p] == nil && len(r.known) >= maxRivals {
			continue
		}
		v := r.get(p, settled, now)
		if address == own {
			v.silent, v.next = true, now.Add(askAgain)
		}
	}
}

func (r *rivals) get(process string, settled bool, now time.Time) *rival {
	v := r.known[process]
	if v == nil {
		v = &rival{settled: settled, next: now}
		if r.known == nil {
			r.known = map[string]*rival{}
		}
		r.known[process] = v
	}
	return v
}

// tick returns the processes to challenge now, with what to ask them. nonce returns
// a number that is not 0.
func (r *rivals) tick(now time.Time, nonce func() uint64) map[string]challenge {
	out := map[string]challenge{}
	for p, v := range r.known {
		if v.beaten || now.Before(v.next) {
			continue
		}
		if v.asked >= askTimes {
			v.asked = 0
			if !v.silent {
				v.silent, v.nonce, v.next = true, 0, now.Add(askAgain)
				continue
			}
		}
		if v.nonce == 0 {
			v.nonce = nonce()
		}
		v.asked++
		v.next = now.Add(askEvery)
		if v.silent && v.asked >= askTimes {
			v.next = now.Add(askAgain)
		}
		out[p] = challenge{From: r.self, Nonce: v.nonce, Settled: v.settled}
	}
	return out
}

// pending reports whether a rival may still turn out to be alive.
func (r *rivals) pending() bool {
	for _, v := range r.known {
		if !v.beaten && !v.silent {
			return true
		}
	}
	return false
}

// next returns when tick has something to do, zero for never.
func (r *rivals) next() time.Time {
	var t time.Time
	for _, v := range r.known {
		if !v.beaten && (t.IsZero() || v.next.Before(t)) {
			t = v.next
		}
	}
	return t
}

// challenged answers a challenge of another process of our name.
func (r *rivals) challenged(now time.Time, c challenge, settled bool) answer {
	v := r.get(c.From, settled, now)
	return answer{From: r.self, Nonce: c.Nonce, Stop: rankWins(v.settled, r.self, c.Settled, c.From)}
}

// answered takes an answer and reports whether this process has to stop.
// Answers to anything but the open challenge are ignored.
func (r *rivals) answered(a answer) (stop bool) {
	v := r.known[a.From]
	if v == nil || v.nonce == 0 || v.nonce != a.Nonce {
		return false
	}
	if a.Stop {
		return true
	}
	v.beaten, v.silent = true, false
	return false
}

const (
	// insistYoung is how many fresh challenges a rival must have answered for a
	// process that has not settled to stop: a start that fails.
	insistYoung = 2
	// insistSettled and insistFor are how many it must have answered, and for how
	// long, for a settled process to ask who has the better right.
	insistSettled, insistFor = 5, 5 * time.Second
)

// insists notes that process answered a challenge with: you have to stop, and
// reports whether it has done so often enough. The next challenge is a new one.
func (r *rivals) insists(now time.Time, process string, settled bool) bool {
	v := r.get(process, settled, now)
	if v.stops == 0 {
		v.first = now
	}
	v.stops++
	v.nonce, v.asked, v.silent, v.next = 0, 0, false, now.Add(askEvery)
	if !settled {
		return v.stops >= insistYoung
	}
	if v.stops >= insistSettled {
		v.next = now.Add(askAgain)
	}
	return v.stops >= insistSettled && now.Sub(v.first) >= insistFor
}

// insisting returns the number of live rivals that say that this process has to stop.
func (r *rivals) insisting() int {
	n := 0
	for _, v := range r.known {
		if v.stops > 0 {
			n++
		}
	}
	return n
}
