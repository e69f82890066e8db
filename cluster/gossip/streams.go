package gossip

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// memberlist reads a stream as its other end announces it: 20 MB before it has
// tried a key, a place for each of a million members. So a stream's message is
// read here first, whole, in memory that is counted, and checked; memberlist then
// reads it from a copy. Each stream carries one message and at most one answer,
// so the side that reads is known: who accepts reads the message, who dials reads
// the answer.

// pool bounds the streams of one kind of others.
type pool struct {
	streams  int // open at the same time
	each     int // of them of one address
	size     int // of one message
	bytes    int // of all messages, beyond freeBytes of each
	exchange chan struct{}

	mu   sync.Mutex // guards what follows, and whole of each stream
	held int
	open []*stream // by age
}

// freeBytes of each message are not counted: a small message always finds room.
const freeBytes = 8 << 10

// streamGuard hands memberlist the streams that are in order.
type streamGuard struct {
	guard   *guard
	timeout time.Duration
	members pool
	others  pool
	dialled pool // answers
}

func newStreamGuard(g *guard, timeout time.Duration) *streamGuard {
	return &streamGuard{
		guard: g, timeout: timeout,
		members: pool{streams: streamsMembers, each: streamsMember, size: sizeMember, bytes: sizeMember + 1<<20, exchange: make(chan struct{}, exchangesEach)},
		others:  pool{streams: streamsStrangers, each: streamsStranger, size: sizeStranger, bytes: sizeStranger, exchange: make(chan struct{}, exchangesEach)},
		dialled: pool{size: sizeMember, bytes: sizeMember + 1<<20},
	}
}

// stream is a connection whose message, or answer, is read before memberlist
// sees a byte of it.
type stream struct {
	net.Conn
	guard  *guard
	pool   *pool
	from   netip.Addr
	since  time.Time
	answer bool // it is read when memberlist asks for it

	read    bool // b holds the message
	err     error
	b       []byte
	charged int
	state   bool // it is a push/pull
	slot    bool // it holds an exchange
	whole   bool // may not be closed for another; pool.mu guards it
	once    sync.Once
}

// admit takes a new connection; it returns nil, and has closed it, if there is no
// room for it.
func (s *streamGuard) admit(conn net.Conn) *stream {
	now := time.Now()
	v := &stream{Conn: conn, guard: s.guard, pool: &s.others, from: ipOf(conn), since: now}
	if s.guard.sources.stream(v.from) {
		v.pool = &s.members
	}
	if !v.pool.admit(v, now) {
		_ = conn.Close()
		s.guard.refuse("a stream", errRate)
		return nil
	}
	return v
}

// accepted reads v's message and passes v on. It returns when it has done so, or
// closed v.
func (s *streamGuard) accepted(v *stream, out chan<- net.Conn, closed <-chan struct{}) {
	deadline := v.since.Add(s.timeout)
	err := v.SetDeadline(deadline)
	if err == nil {
		err = v.fill()
	}
	if err == nil {
		err = v.exchange(deadline)
	}
	if err != nil {
		_ = v.Close()
		if errors.Is(err, io.EOF) && len(v.b) == 0 || errors.Is(err, errUnfit) {
			return // a port scan or a health check; what the seal has refused and counted
		}
		s.guard.refuse("a stream", err)
		return
	}
	select {
	case out <- v:
	case <-closed:
		_ = v.Close()
	}
}

// dial wraps a connection of this member's; its answer is read like a message.
// memberlist sets no deadline for a message without an answer.
func (s *streamGuard) dial(conn net.Conn, timeout time.Duration) (net.Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &stream{Conn: conn, guard: s.guard, pool: &s.dialled, answer: true}, nil
}

// close ends the streams whose message has not come.
func (s *streamGuard) close() {
	for _, p := range []*pool{&s.members, &s.others} {
		p.mu.Lock()
		for _, v := range p.open {
			if !v.whole {
				_ = v.Conn.Close()
			}
		}
		p.mu.Unlock()
	}
}

// admit makes room for v. Of the streams that have stopped in the middle the
// oldest has to go: an honest one has brought its message in some milliseconds.
func (p *pool) admit(v *stream, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	each := 0
	for _, o := range p.open {
		if o.from == v.from {
			each++
		}
	}
	if each >= p.each || len(p.open) >= p.streams {
		victim := slices.IndexFunc(p.open, func(o *stream) bool {
			stopped := !o.whole && now.Sub(o.since) >= streamGrace
			return stopped && (each < p.each || o.from == v.from)
		})
		if victim < 0 {
			return false
		}
		// Its reader fails, and gives back what it held.
		_ = p.open[victim].Conn.Close()
		p.open = slices.Delete(p.open, victim, victim+1)
	}
	p.open = append(p.open, v)
	return true
}

// charge counts n more bytes and reports whether there is room for them.
func (p *pool) charge(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held+n > p.bytes {
		return false
	}
	p.held += n
	return true
}

// exchange waits for a place among the push/pulls that are answered.
func (v *stream) exchange(deadline time.Time) error {
	v.pool.mu.Lock()
	v.whole = true
	v.pool.mu.Unlock()
	if !v.state {
		return nil
	}
	select {
	case v.pool.exchange <- struct{}{}:
		v.slot = true
		return nil
	case <-time.After(time.Until(deadline)):
		return errRate
	}
}

// broken reports whether a stream has ended or stood still, which its other end's
// death does to it: nothing was said that could be dropped.
func broken(err error) bool {
	_, n := errors.AsType[net.Error](err)
	return n || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Read returns the message and then io.EOF.
func (v *stream) Read(p []byte) (int, error) {
	if v.answer && !v.read && v.err == nil {
		if v.err = v.fill(); v.err != nil && !broken(v.err) {
			v.guard.drop(reasonOf(v.err))
		}
	}
	if v.err != nil {
		return 0, v.err
	}
	if len(v.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, v.b)
	if v.b = v.b[n:]; len(v.b) == 0 {
		v.b = nil
	}
	return n, nil
}

// Close gives back what the stream held.
func (v *stream) Close() error {
	err := v.Conn.Close()
	v.once.Do(func() {
		p := v.pool
		p.mu.Lock()
		p.held -= v.charged
		p.open = slices.DeleteFunc(p.open, func(o *stream) bool { return o == v })
		p.mu.Unlock()
		if v.slot {
			<-p.exchange
		}
	})
	return err
}

// fill reads and checks the message.
func (v *stream) fill() error {
	s := source{}
	s.more = func(n int) error {
		need := s.off + n
		if need > v.pool.size {
			return errSize
		}
		if need > cap(s.b) {
			size := min(max(need, 2*cap(s.b), 1<<10), max(v.pool.size, need))
			// What a length only announces is not allocated: at most as much
			// again as has come.
			size = min(size, max(2*len(s.b), 4<<10))
			if extra := max(size-freeBytes, 0) - v.charged; extra > 0 {
				if !v.pool.charge(extra) {
					return errRate
				}
				v.charged += extra
			}
			b := make([]byte, len(s.b), size)
			copy(b, s.b)
			s.b = b
		}
		for len(s.b) < need {
			got, err := v.Conn.Read(s.b[len(s.b):cap(s.b)])
			s.b = s.b[:len(s.b)+got]
			v.b = s.b
			if len(s.b) >= need {
				break
			}
			if err != nil {
				return err
			}
			if len(s.b) == cap(s.b) {
				return s.more(n)
			}
		}
		return nil
	}
	if err := v.check(&s); err != nil {
		return err
	}
	v.b, v.read = s.b[:s.off], true
	return nil
}
