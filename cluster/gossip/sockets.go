package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// sockets is memberlist's transport over UDP and TCP. memberlist's own allocates
// and clears 64 KiB for every packet (net_transport.go of v0.7.0, udpListen),
// which at some dozen heartbeats a second is most of an idle daemon's work.
type sockets struct {
	log     *slog.Logger
	guard   *guard
	udp     *net.UDPConn
	tcp     *net.TCPListener
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
	once    sync.Once
	wg      sync.WaitGroup

	directMu sync.Mutex                      // guards direct
	direct   map[netip.AddrPort]*net.UDPConn // see prefer
}

var _ memberlist.NodeAwareTransport = (*sockets)(nil)

// udpBuffer is the size of the socket's receive buffer that is asked for; the
// kernel may give less.
const udpBuffer = 1 << 20

// listen opens both sockets on one port. With port 0 it looks for one that is
// free for both.
func listen(host string, port int, log *slog.Logger) (*sockets, error) {
	ip := net.ParseIP(host)
	for attempt := 0; ; attempt++ {
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port})
		if err != nil {
			return nil, err
		}
		udp, err := listenUDP(ip, tcp.Addr().(*net.TCPAddr).Port)
		if err != nil {
			_ = tcp.Close()
			if port == 0 && attempt < 10 {
				continue
			}
			return nil, err
		}
		if err := udp.SetReadBuffer(udpBuffer); err != nil {
			log.Debug("the UDP receive buffer stays as it is", "error", err)
		}
		s := &sockets{
			log: log, udp: udp, tcp: tcp, direct: map[netip.AddrPort]*net.UDPConn{},
			packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), closed: make(chan struct{}),
		}
		return s, nil
	}
}

// serve starts to receive, past g; nil lets everything pass.
func (s *sockets) serve(g *guard) {
	s.guard = g
	s.wg.Go(func() { s.receive(s.udp) })
	s.wg.Go(s.accept)
}

// receive takes what comes to one of the sockets.
func (s *sockets) receive(conn *net.UDPConn) {
	buf, plain := make([]byte, maxDatagram+1), make([]byte, 0, maxDatagram)
	for dropped := 0; ; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		now := time.Now()
		if err != nil {
			if conn != s.udp && !errors.Is(err, net.ErrClosed) {
				// A member's socket hears that its process has ended.
				time.Sleep(breath)
				continue
			}
			if s.stopped(err, "receive") {
				return
			}
			continue
		}
		if s.guard != nil && !s.guard.datagram(buf[:n], plain, from, now) {
			if dropped++; dropped%breathAfter == 0 && conn == s.udp {
				time.Sleep(breath)
			}
			continue
		}
		packet := &memberlist.Packet{Buf: slices.Clone(buf[:n]), From: net.UDPAddrFromAddrPort(from), Timestamp: now}
		select {
		case s.packets <- packet:
		case <-s.closed:
			return
		}
	}
}

func (s *sockets) accept() {
	for {
		conn, err := s.tcp.AcceptTCP()
		if err != nil {
			if s.stopped(err, "accept") {
				return
			}
			continue
		}
		select {
		case s.streams <- conn:
		case <-s.closed:
			_ = conn.Close()
			return
		}
	}
}

// stopped reports whether the sockets are closed; if not, it waits a little, so
// that an error that lasts (no file descriptors left) does not take a whole core.
func (s *sockets) stopped(err error, what string) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	if s.guard != nil {
		s.guard.lines.warn(s.log, what, "gossip socket", "operation", what, "error", err)
	}
	select {
	case <-s.closed:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// FinalAdvertiseAddr returns what the configuration says or, without, the bound
// address.
func (s *sockets) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	bound := s.tcp.Addr().(*net.TCPAddr)
	if ip == "" {
		if bound.IP.IsUnspecified() {
			return nil, 0, fmt.Errorf("bound to %s, and this machine has no address that others could reach: set the advertise address", bound)
		}
		return short(bound.IP), bound.Port, nil
	}
	a := net.ParseIP(ip)
	if a == nil {
		return nil, 0, fmt.Errorf("advertise address %q is no IP address", ip)
	}
	if port == 0 {
		port = bound.Port
	}
	return short(a), port, nil
}

// short returns an IPv4 address in 4 bytes, as memberlist compares them.
func short(ip net.IP) net.IP {
	if v4 := ip.To4(); v4 != nil {
		return v4
	}
	return ip
}

// WriteToAddress sends a packet.
func (s *sockets) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	a, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = s.udp.WriteToUDPAddrPort(b, a)
	return time.Now(), err
}

// WriteTo sends a packet.
func (s *sockets) WriteTo(b []byte, address string) (time.Time, error) {
	return s.WriteToAddress(b, memberlist.Address{Addr: address})
}

// DialAddressTimeout opens a stream.
func (s *sockets) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	// The others tell members from strangers by the address.
	if own := s.tcp.Addr().(*net.TCPAddr).IP; !own.IsUnspecified() {
		d.LocalAddr = &net.TCPAddr{IP: own}
	}
	return d.Dial("tcp", to.Addr)
}

// DialTimeout opens a stream.
func (s *sockets) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return s.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// PacketCh returns the packets received.
func (s *sockets) PacketCh() <-chan *memberlist.Packet { return s.packets }

// StreamCh returns the streams accepted.
func (s *sockets) StreamCh() <-chan net.Conn { return s.streams }

// Shutdown closes the sockets and waits for the receivers. memberlist calls it,
// in some failures of its start too, so that a second call does nothing.
func (s *sockets) Shutdown() (err error) {
	s.once.Do(func() {
		close(s.closed)
		err = errors.Join(s.udp.Close(), s.tcp.Close(), s.closeDirect())
		s.wg.Wait()
	})
	return err
}
