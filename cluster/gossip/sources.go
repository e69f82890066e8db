package gossip

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

// sources knows the addresses of the members, so that what comes from them goes
// before what comes from strangers. An address proves nothing; see guard.
type sources struct {
	mu     sync.RWMutex // guards both maps
	byPort map[netip.AddrPort]*neighbour
	byIP   map[netip.Addr]int

	// expected are the addresses of the configuration, of members that may not
	// have come yet.
	expected atomic.Pointer[map[netip.Addr]bool]
}

// neighbour is one address; several processes may have had it within a few seconds.
type neighbour struct {
	bucket
	processes int
}

func newSources() *sources {
	return &sources{byPort: map[netip.AddrPort]*neighbour{}, byIP: map[netip.Addr]int{}}
}

func addrPort(n *memberlist.Node) (netip.AddrPort, bool) {
	ip, ok := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port), ok
}

func (s *sources) add(n *memberlist.Node)    { s.count(n, 1) }
func (s *sources) remove(n *memberlist.Node) { s.count(n, -1) }

// count notes one process more or less at an address.
func (s *sources) count(n *memberlist.Node, by int) {
	a, ok := addrPort(n)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byPort[a]
	if p == nil {
		if by < 0 {
			return
		}
		p = &neighbour{}
		s.byPort[a] = p
	}
	if p.processes += by; p.processes == 0 {
		delete(s.byPort, a)
	}
	if s.byIP[a.Addr()] += by; s.byIP[a.Addr()] <= 0 {
		delete(s.byIP, a.Addr())
	}
}

// datagram returns the member at that address, nil if there is none.
func (s *sources) datagram(from netip.AddrPort) *neighbour {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byPort[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
}

// stream reports whether a stream from that address counts as a member's.
func (s *sources) stream(from netip.Addr) bool {
	from = from.Unmap()
	s.mu.RLock()
	n := s.byIP[from]
	s.mu.RUnlock()
	return n > 0 || s.reserved(from)
}

// reserved reports whether the configuration names that address.
func (s *sources) reserved(a netip.Addr) bool {
	m := s.expected.Load()
	return m != nil && (*m)[a.Unmap()]
}

// expect replaces the addresses of the configuration, as ADDR:PORTs.
func (s *sources) expect(addresses []string) {
	m := make(map[netip.Addr]bool, len(addresses))
	for _, a := range addresses {
		if ap, err := netip.ParseAddrPort(a); err == nil {
			m[ap.Addr().Unmap()] = true
		}
	}
	s.expected.Store(&m)
}

// ipOf returns the IP address of a stream's other end; it is not valid for a
// transport without addresses.
func ipOf(c net.Conn) netip.Addr {
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		if a, ok := netip.AddrFromSlice(t.IP); ok {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}
