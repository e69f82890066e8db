package gossip

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxPeers bounds the addresses that packets were sent to and that are remembered.
	maxPeers = 1024
	// maxReads bounds the addresses of which the newest format is remembered.
	maxReads = 4096
	// maxWaiting bounds the packets that wait for a token, to all addresses
	// together, and maxWaitingEach those to one.
	maxWaiting, maxWaitingEach = 256, 64
	// waitingFor is how long a packet waits for a token; what is older is as good as lost.
	waitingFor = time.Second
	// askInterval is the least time between two questions for one address's token.
	askInterval = 100 * time.Millisecond
	// askAfter is the age at which a token that is in use is asked for again. The
	// receiver takes it for tokenFor at least after it has given it.
	askAfter = tokenFor / 2
)

// seal is the transport between memberlist and the sockets where there is a key.
// See doc.go, "Old packets are nothing", for what it promises and why it holds.
type seal struct {
	inner   memberlist.NodeAwareTransport
	mode    Encrypt
	label   string
	log     *slog.Logger
	metrics *metrics
	keys    atomic.Pointer[[]sealKey]
	strict  atomic.Bool
	guard   *guard // of what a packet held; nil where the sockets have none

	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
	plain   plainSenders

	mu       sync.Mutex // guards what follows; never held while a socket is used
	own      string     // the address that others are told
	inbox    *inbox
	peers    map[string]*peer // by address
	asking   map[uint64]*peer // by the nonce of the open question
	sessions map[uint64]*peer // by the session of what is sent to them
	reads    map[string]uint8 // newest format that the process at an address reads
	waiting  int              // packets, in all peers
}

// peer is an address that packets are sent to.
type peer struct {
	address  string
	token    uint64 // 0: not known yet
	learned  time.Time
	session  uint64
	counter  uint64
	nonce    uint64 // of the open question, 0: none
	asked    time.Time
	used     time.Time
	waiting  [][]byte
	earliest time.Time // when the first of waiting came
}

var _ memberlist.NodeAwareTransport = (*seal)(nil)

func newSeal(mode Encrypt, label string, keys [][]byte, log *slog.Logger, m *metrics) *seal {
	s := &seal{
		mode: mode, label: label, log: log, metrics: m,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), done: make(chan struct{}),
		inbox: newInbox(time.Now()), peers: map[string]*peer{}, asking: map[uint64]*peer{}, sessions: map[uint64]*peer{},
		reads: map[string]uint8{},
	}
	s.setKeys(keys)
	return s
}

func (s *seal) setKeys(ring [][]byte) {
	keys := sealKeys(s.label, ring)
	s.keys.Store(&keys)
}

// over puts the seal over a transport.
func (s *seal) over(inner memberlist.NodeAwareTransport) *seal {
	s.inner = inner
	s.wg.Go(s.receivePackets)
	s.wg.Go(s.acceptStreams)
	return s
}

// refusesOld reports whether what is not sealed is refused: only a member that
// refuses plain packets too may do so, since a neighbour that is a step behind on
// the way to a key sends without a seal.
func (s *seal) refusesOld() bool { return s.mode == EncryptRequire && s.strict.Load() }

// learn notes which format the process at an address reads: what memberlist says
// of the members, the newest word counts.
func (s *seal) learn(address string, reads uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.reads[address]; !ok && len(s.reads) >= maxReads {
		forgetAny(s.reads) // a wrong guess costs one plain packet
	}
	s.reads[address] = reads
}

// met notes that a process at an address has spoken sealed before memberlist
// knew of it.
func (s *seal) met(address string) {
	s.mu.Lock()
	_, known := s.reads[address]
	s.mu.Unlock()
	if !known && address != "" {
		s.learn(address, Reads)
	}
}

// seals reports whether to seal what goes to an address, and whether it is
// known what the process there reads.
func (s *seal) seals(address string) (yes, known bool) {
	if s.mode == EncryptAccept {
		return false, true // the others may have no key yet
	}
	if s.refusesOld() {
		return true, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reads, known := s.reads[address]
	return reads >= ReadsSealed, known
}

// WriteToAddress seals a packet and sends it. One for an address whose token is
// not known waits for it, up to waitingFor.
func (s *seal) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if yes, _ := s.seals(to.Addr); !yes {
		return s.inner.WriteToAddress(b, to)
	}
	now := time.Now()
	s.mu.Lock()
	if to.Addr == s.own { // see sender; nobody there would answer
		s.mu.Unlock()
		return now, nil
	}
	p := s.peerLocked(to.Addr, now)
	var out [][]byte
	age := now.Sub(p.learned)
	if p.token != 0 && age < tokenFor {
		out = append(out, s.packLocked(p, b))
	} else {
		s.waitLocked(p, b, now)
	}
	if p.token == 0 || age >= askAfter {
		out = append(out, s.askLocked(p, now)...)
	}
	s.mu.Unlock()
	return s.write(out, to.Addr)
}

func (s *seal) write(packets [][]byte, address string) (at time.Time, err error) {
	at = time.Now()
	for _, b := range packets {
		if at, err = s.inner.WriteToAddress(b, memberlist.Address{Addr: address}); err != nil {
			return at, err
		}
	}
	return at, nil
}

// primary is the key to seal with.
func (s *seal) primary() []byte { return (*s.keys.Load())[0].mac }

// peerLocked returns the state of an address.
func (s *seal) peerLocked(address string, now time.Time) *peer {
	p := s.peers[address]
	if p == nil {
		if len(s.peers) >= maxPeers {
			s.forgetOldestLocked()
		}
		p = &peer{address: address}
		s.peers[address] = p
	}
	p.used = now
	return p
}

// forgetOldestLocked makes room. What is forgotten costs a question when it is sent to
// again, and opens nothing: that memory is the receiver's.
func (s *seal) forgetOldestLocked() {
	var oldest *peer
	for _, p := range s.peers {
		if oldest == nil || p.used.Before(oldest.used) {
			oldest = p
		}
	}
	s.waiting -= len(oldest.waiting)
	delete(s.peers, oldest.address)
	delete(s.asking, oldest.nonce)
	delete(s.sessions, oldest.session)
}

// packLocked seals a packet to a peer whose token is known.
func (s *seal) packLocked(p *peer, b []byte) []byte {
	p.counter++
	return frame{kind: sealData, token: p.token, session: p.session, counter: p.counter, payload: b}.encode(s.primary())
}

// waitLocked keeps a packet until the token is known.
func (s *seal) waitLocked(p *peer, b []byte, now time.Time) {
	s.dropLocked(p, now)
	if s.waiting >= maxWaiting {
		for _, other := range s.peers {
			s.dropLocked(other, now)
		}
	}
	if s.waiting >= maxWaiting || len(p.waiting) >= maxWaitingEach {
		s.metrics.drop(ReasonUnreachable)
		return
	}
	if len(p.waiting) == 0 {
		p.earliest = now
	}
	p.waiting = append(p.waiting, append([]byte(nil), b...))
	s.waiting++
}

// dropLocked gives up what has waited for too long.
func (s *seal) dropLocked(p *peer, now time.Time) {
	if len(p.waiting) > 0 && now.Sub(p.earliest) > waitingFor {
		s.waiting -= len(p.waiting)
		p.waiting = nil
	}
}

// askLocked returns the question for a peer's token, none if it was asked a moment ago.
func (s *seal) askLocked(p *peer, now time.Time) [][]byte {
	if !p.asked.IsZero() && now.Sub(p.asked) < askInterval {
		return nil
	}
	p.asked = now
	if p.nonce == 0 {
		p.nonce = token()
		s.asking[p.nonce] = p
	}
	hello := frame{kind: sealHello, nonce: p.nonce, token: s.inbox.current(now), to: p.address, from: s.own}
	return [][]byte{hello.encode(s.primary())}
}

// FinalAdvertiseAddr is the inner transport's; the answer is what others send to.
func (s *seal) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	a, p, err := s.inner.FinalAdvertiseAddr(ip, port)
	if err == nil {
		s.mu.Lock()
		s.own = (&memberlist.Node{Addr: a, Port: uint16(p)}).Address()
		s.mu.Unlock()
	}
	return a, p, err
}

// WriteTo sends a packet.
func (s *seal) WriteTo(b []byte, address string) (time.Time, error) {
	return s.WriteToAddress(b, memberlist.Address{Addr: address})
}

// PacketCh returns the packets received.
func (s *seal) PacketCh() <-chan *memberlist.Packet { return s.packets }

// StreamCh returns the streams accepted.
func (s *seal) StreamCh() <-chan net.Conn { return s.streams }

// Shutdown closes the sockets.
func (s *seal) Shutdown() (err error) {
	s.once.Do(func() {
		err = s.inner.Shutdown()
		close(s.done)
		s.wg.Wait()
	})
	return err
}
