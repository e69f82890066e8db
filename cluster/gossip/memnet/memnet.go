// Package memnet is a network in memory for tests of what runs over memberlist.
// It opens no socket and starts no goroutine that outlives its work, so that it
// can be used inside a testing/synctest bubble, which memberlist's own
// MockNetwork cannot.
package memnet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Network connects transports. The zero value is a network without delay or loss.
type Network struct {
	// Delay is how long a packet takes; nil for none. It is called for every
	// packet and must be safe for concurrent use. A negative result loses the packet.
	Delay func(from, to string) time.Duration

	mu    sync.Mutex // guards what follows
	nodes map[string]*Transport
	cut   func(from, to string) bool
}

// Cut makes packets and new streams from one address to another disappear where
// cut returns true; nil heals everything. Addresses are ADDR:PORT.
func (n *Network) Cut(cut func(from, to string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

// Transport is one member's end of a Network.
type Transport struct {
	network *Network
	address *net.UDPAddr
	packets chan *memberlist.Packet
	streams chan net.Conn
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// Listen adds a transport at ADDR:PORT. An address in use is taken over, as by a
// process that replaces another one.
func (n *Network) Listen(address string) (*Transport, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("memnet: %w", err)
	}
	t := &Transport{network: n, address: a, packets: make(chan *memberlist.Packet, 4096), streams: make(chan net.Conn, 256)}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes == nil {
		n.nodes = map[string]*Transport{}
	}
	n.nodes[a.String()] = t
	return t, nil
}

// reach returns the transport at address, nil if nothing gets there.
func (t *Transport) reach(address string) *Transport {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	own := t.address.String()
	if t.network.nodes[own] != t || (t.network.cut != nil && t.network.cut(own, address)) {
		return nil
	}
	return t.network.nodes[address]
}

// FinalAdvertiseAddr returns the address of Listen.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.address.IP, t.address.Port, nil
}

// WriteToAddress sends a packet; it is lost where nothing listens.
func (t *Transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	packet := &memberlist.Packet{Buf: append([]byte(nil), b...), From: t.address}
	deliver := func() {
		// What counts is whether it gets through when it arrives.
		if target := t.reach(to.Addr); target != nil {
			packet.Timestamp = time.Now()
			select {
			case target.packets <- packet:
			default: // as a full socket buffer
			}
		}
	}
	var delay time.Duration
	if t.network.Delay != nil {
		delay = t.network.Delay(t.address.String(), to.Addr)
	}
	switch {
	case delay > 0:
		time.AfterFunc(delay, deliver)
	case delay == 0:
		deliver()
	}
	return time.Now(), nil
}

// WriteTo sends a packet.
func (t *Transport) WriteTo(b []byte, address string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: address})
}

// DialAddressTimeout opens a stream; where nothing listens it fails at once, and
// where the network is cut after the timeout.
func (t *Transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	target := t.reach(to.Addr)
	if target == nil {
		t.network.mu.Lock()
		cut := t.network.cut != nil && t.network.cut(t.address.String(), to.Addr)
		t.network.mu.Unlock()
		if cut {
			time.Sleep(timeout)
		}
		return nil, fmt.Errorf("memnet: dial %s: %w", to.Addr, errUnreachable)
	}
	here, there := net.Pipe()
	select {
	case target.streams <- there:
		return here, nil
	default:
		return nil, fmt.Errorf("memnet: dial %s: %w", to.Addr, errUnreachable)
	}
}

var errUnreachable = errors.New("nobody accepts the connection")

// DialTimeout opens a stream.
func (t *Transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// PacketCh returns what was sent here as packets.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh returns the streams that were opened to here.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown takes the transport off the network.
func (t *Transport) Shutdown() error {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	if own := t.address.String(); t.network.nodes[own] == t {
		delete(t.network.nodes, own)
	}
	return nil
}
