package gossip

import (
	"sync"
	"time"
)

// What this member holds and does for others, whoever they are. A daemon at rest
// takes about 23 MiB; all of these together leave it below 64 MiB. The figures in
// the comments are what honest members need at most, from the scale that is
// supported: 1,000 members and 9 voters.
const (
	// maxDatagram is the largest datagram that is looked at. Ours are at most
	// packetSize and the label; what seals them adds less than 200 bytes.
	maxDatagram = 2048
	// viewLimit is the largest view, unpacked. Of three nodes it is about 1 KiB, of
	// nine nodes with a reason each some 4 KiB.
	viewLimit = 32 << 10
	// viewsBudget is what all views together may hold, packed and unpacked:
	// 1,000 of 3 KiB take it. Above it those of the latest members give way.
	viewsBudget = 4 << 20
	// earlyViews and earlySize bound the views that wait for their process to
	// become a member: a view may overtake the news of a member by a moment.
	earlyViews, earlySize = 64, packetSize
	// inboundBytes bounds the received messages that wait. One is a state of
	// 1,000 members at most.
	inboundBytes = 4 << 20
	// sizeMember and sizeStranger are the largest streams from the address
	// of a member, and from elsewhere. 1,000 members' state takes about 2 MiB.
	sizeMember, sizeStranger = 3 << 20, 1 << 20
	// userLimit is the largest direct message in a stream; a record or the
	// register's snapshot takes some kilobytes.
	userLimit = 1 << 20
	// stateNodes bounds the members in one state: the dead of a minute are in it.
	stateNodes = 2 * maxMembers
	// streamsMembers and streamsStrangers bound the streams that are open at the
	// same time, and the others those of one address: a member sends at most
	// streams at once.
	streamsMembers, streamsMember     = 32, streams
	streamsStrangers, streamsStranger = 16, 6
	// streamGrace is how long a stream that has not brought its message is safe
	// from having to make room for a new one.
	streamGrace = 100 * time.Millisecond
	// exchangesEach bounds the push/pulls that are answered at the same time,
	// for members and for others: each answer holds this member's whole state.
	exchangesEach = 2
	// maxMembers bounds the members that are taken, this one among them. Those
	// beyond it are refused, except at addresses of Config.Join.
	maxMembers = 1500
	// newPerSecond bounds the new processes, after a first maxMembers of them.
	newPerSecond = 2
	// maxCounter bounds the sequences and versions in messages. None that counts
	// in steps of one reaches it; one that leaps to the end of its range would
	// leave no room for the true ones.
	maxCounter = 1 << 48
	// offers bounds the records that wait for their owner's verdict.
	offers = 4
	// maxRivals bounds the processes of this one's name that are asked.
	maxRivals = 64
	// settleLimit bounds how long invented rivals may keep a member from settling.
	settleLimit = 10 * time.Second
)

// The rates at which datagrams are taken, per second and at once. A member
// receives 20 to 60 a second, with 1,000 members too; a leader under load some
// hundreds from each voter.
var (
	rateStranger = rate{1000, 1000}  // of all who are no members, together
	rateMember   = rate{1000, 1000}  // of each member's address
	rateAll      = rate{10000, 5000} // of all members together
	rateAttempts = rate{30000, 5000} // strangers' datagrams that are tried with the keys
	rateIndirect = rate{500, 500}    // indirect pings: memberlist starts a goroutine for each
	rateNews     = rate{500, 4 * maxMembers}
	rateReserved = rate{0.5, 8} // new processes at one address to join
)

// forgetAny makes room in a full map: what is forgotten is heard of anew.
func forgetAny[K comparable, V any](m map[K]V) {
	for k := range m {
		delete(m, k)
		return
	}
}

// rate is the events a second and those at once that a bucket lets through.
type rate struct{ perSecond, atOnce float64 }

// bucket is a token bucket. The zero value is full.
type bucket struct {
	mu    sync.Mutex // guards both
	used  float64
	since time.Time
}

// take reports whether one more event fits at now.
func (b *bucket) take(now time.Time, r rate) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.since.IsZero() {
		b.used = max(b.used-max(now.Sub(b.since).Seconds(), 0)*r.perSecond, 0)
	}
	b.since = now
	if b.used+1 > r.atOnce {
		return false
	}
	b.used++
	return true
}
