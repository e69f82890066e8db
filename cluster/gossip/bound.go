package gossip

import (
	"cmp"
	"hash/maphash"
	"slices"
	"time"
)

const (
	// viewLeap is how far a process may have counted between two publications
	// that arrive here: some a second, and a minute of loss.
	viewLeap = 1 << 10
	// viewSilent is after how long without a word any number is taken: this
	// process, or the other one, was stopped or cut off meanwhile.
	viewSilent = 10 * time.Second
	// viewBack is how much later a publication with a lower number must have
	// been made to contradict the newest one. Relays deliver old ones late, but
	// with their age.
	viewBack = time.Second
	// sideTimes and sideFor are how many publications that contradict what is
	// known must have come, one after the other, and for how long, before they
	// are believed, if nothing that continues what is known came meanwhile.
	sideTimes, sideFor = 3, time.Second
	// earlyFor is how long a view waits for its process to become a member.
	earlyFor = 5 * time.Second
)

// sideline is a numbering that does not continue the one that is known.
type sideline struct {
	seq   uint64
	since time.Time
	times int
}

// hold reports whether a publication is not to be believed yet. The largest
// number wins, so one forged publication with a number far ahead would silence
// its process for ever. A number that leaps is held, as is one that is lower but
// was published later; when a process goes on counting there, and nobody goes on
// where it was, then that is its numbering and what was known was not.
func (s viewStore) hold(now time.Time, h Header, age time.Duration) bool {
	e := s[h.Process]
	if e == nil || e.header.Seq == 0 {
		return false
	}
	leaps := h.Seq > e.header.Seq+viewLeap && now.Sub(e.heard) < viewSilent
	back := h.Seq <= e.header.Seq && now.Add(-age).After(e.heard.Add(viewBack))
	if !leaps && !back {
		if h.Seq > e.header.Seq {
			e.side = sideline{}
		}
		return false
	}
	side := &e.side
	switch {
	case side.times > 0 && h.Seq == side.seq:
		return true // a repetition
	case side.times > 0 && h.Seq > side.seq && h.Seq <= side.seq+viewLeap:
		side.seq, side.times = h.Seq, side.times+1
	default:
		*side = sideline{seq: h.Seq, since: now, times: 1}
	}
	if side.times < sideTimes || now.Sub(side.since) < sideFor {
		return true
	}
	s[h.Process] = &viewEntry{gone: e.gone}
	return false
}

// trimLocked takes the data out of views until all together hold at most budget bytes:
// first those of processes that are no members, then of those that came last. A
// crowd of invented members so costs the true ones nothing. The headers stay.
func (g *Gossip) trimLocked(budget int) {
	type holder struct {
		e     *viewEntry
		since time.Time // zero: own
	}
	total := 0
	for _, e := range g.views {
		total += e.size()
	}
	if total <= budget {
		return
	}
	var all []holder
	for p, e := range g.views {
		if e.held == 0 || p == g.process {
			continue
		}
		h := holder{e: e, since: time.Now().Add(time.Hour)} // no member: first
		if m := g.members[p]; m != nil {
			h.since = m.Since
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b holder) int {
		return cmp.Or(b.since.Compare(a.since), cmp.Compare(b.e.size(), a.e.size()))
	})
	// Some more than needed, so that the next one does not sort again at once.
	for _, h := range all {
		if total <= budget-budget/16 {
			return
		}
		total -= h.e.size()
		h.e.empty()
	}
}

func (e *viewEntry) size() int { return len(e.packed) + len(e.data) }

func (e *viewEntry) empty() {
	e.packed, e.data, e.held, e.published = nil, nil, 0, time.Time{}
}

// early is a view that came before its process was a member.
type early struct {
	message []byte
	age     time.Duration
	at      time.Time
}

// keepEarlyLocked keeps the view of a process that is no member, for a moment and in
// a bounded number.
func (g *Gossip) keepEarlyLocked(process string, message []byte, age time.Duration, now time.Time) {
	if len(message) > earlySize {
		return
	}
	if _, ok := g.early[process]; !ok && len(g.early) >= earlyViews {
		forgetAny(g.early)
	}
	g.early[process] = early{slices.Clone(message), age, now}
}

// takeEarlyLocked returns the view that waited for process, nil if none did.
func (g *Gossip) takeEarlyLocked(process string) []byte {
	v, ok := g.early[process]
	if !ok {
		return nil
	}
	delete(g.early, process)
	setAge(v.message, v.age+time.Since(v.at))
	return v.message
}

// sane reports whether no number of o is beyond what anybody counts to.
func (o Order) sane() bool { return o[0] <= maxCounter && o[1] <= maxCounter && o[2] <= maxCounter }

// recordGate keeps the records that were offered to the owner from being offered
// again at once: with a thousand members the same one comes from many. Only loop
// uses it.
type recordGate struct {
	seed  maphash.Seed
	seen  [offers]offer
	next  int
	limit bucket
}

type offer struct {
	hash uint64
	at   time.Time
}

// offerAgain is when the same record is offered again.
const offerAgain = time.Second

// rateOffers bounds the records that the owner has to judge.
var rateOffers = rate{100, 50}

// admit reports whether a record's message is to be offered now.
func (r *recordGate) admit(message []byte, now time.Time) bool {
	hash := maphash.Bytes(r.seed, message)
	for _, o := range r.seen {
		if o.hash == hash && now.Sub(o.at) < offerAgain {
			return false
		}
	}
	if !r.limit.take(now, rateOffers) {
		return false
	}
	r.seen[r.next] = offer{hash, now}
	r.next = (r.next + 1) % len(r.seen)
	return true
}
