package gossip

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A flood fills the receive buffer of the socket, and the kernel then drops true
// members' datagrams with the strangers'. So each of the members that count most
// has a socket of its own: bound like the common one and connected to the
// member, which the kernel prefers for what comes from there. Sending goes
// through the common one.

const (
	// directSockets bounds the members with a socket of their own.
	directSockets = 32
	// breathAfter is after how many dropped datagrams the common socket's
	// receiver pauses: what a flood costs in processor time is then bounded, and
	// the kernel drops the rest for nothing.
	breathAfter = 64
	breath      = time.Millisecond
	// favourEvery is how soon a change of the members is followed; at the latest
	// it is with the next beat.
	favourEvery = 100 * time.Millisecond
)

// shared lets several sockets have one port. Only this user's may, and whoever
// starts a second daemon fails on TCP.
func shared(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// listenUDP opens the common socket.
func listenUDP(ip net.IP, port int) (*net.UDPConn, error) {
	c := net.ListenConfig{Control: shared}
	conn, err := c.ListenPacket(context.Background(), "udp", (&net.UDPAddr{IP: ip, Port: port}).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// prefer gives exactly the members at these addresses a socket each. An address
// where that fails shares the common one, as everybody else.
func (s *sockets) prefer(addresses []netip.AddrPort) {
	s.directMu.Lock()
	defer s.directMu.Unlock()
	select {
	case <-s.closed:
		return
	default:
	}
	for a, conn := range s.direct {
		if !slices.Contains(addresses, a) {
			_ = conn.Close()
			delete(s.direct, a)
		}
	}
	for _, a := range addresses {
		if s.direct[a] != nil {
			continue
		}
		d := net.Dialer{LocalAddr: s.udp.LocalAddr(), Control: shared}
		conn, err := d.Dial("udp", a.String())
		if err != nil {
			s.log.Debug("a member has no socket of its own", "address", a, "error", err)
			continue
		}
		udp := conn.(*net.UDPConn)
		if err := udp.SetReadBuffer(udpBuffer / 4); err != nil {
			s.log.Debug("the UDP receive buffer stays as it is", "error", err)
		}
		s.direct[a] = udp
		s.wg.Go(func() { s.receive(udp) })
	}
}

// closeDirect closes the members' own sockets; none is opened after it, since
// s.closed is.
func (s *sockets) closeDirect() (err error) {
	s.directMu.Lock()
	defer s.directMu.Unlock()
	for _, conn := range s.direct {
		err = errors.Join(err, conn.Close())
	}
	s.direct = nil
	return err
}

// favour chooses the members that get a socket of their own: voters first, and
// those that have been there longest, so that a crowd of invented ones comes last.
func (g *Gossip) favour() {
	if g.sockets == nil {
		return
	}
	g.mu.Lock()
	all := g.othersLocked()
	g.mu.Unlock()
	slices.SortFunc(all, func(a, b *memberState) int {
		return cmp.Or(trueFirst(a.Voter, b.Voter), a.Since.Compare(b.Since), cmp.Compare(a.Process, b.Process))
	})
	own, _ := netip.ParseAddrPort(g.address())
	var addresses []netip.AddrPort
	for _, m := range all {
		if a, ok := addrPort(&m.node); ok && a != own && len(addresses) < directSockets && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	g.sockets.prefer(addresses)
}
