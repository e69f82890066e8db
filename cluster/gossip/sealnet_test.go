package gossip

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip/memnet"
)

// tap records what a transport sends, as an observer on the network would.
type tap struct {
	memberlist.NodeAwareTransport
	mu      sync.Mutex
	packets []taken
	streams []*tappedConn
	lose    func(b []byte, to string) bool // of packets; they are recorded all the same
	detour  string                         // where every stream is brought to, if set
}

// taken is a recorded packet.
type taken struct {
	to string
	b  []byte
}

// tappedConn records what its dialling side writes.
type tappedConn struct {
	net.Conn
	to string
	mu sync.Mutex
	b  []byte
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.b = append(c.b, b...)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (t *tap) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	t.mu.Lock()
	t.packets = append(t.packets, taken{to.Addr, bytes.Clone(b)})
	lose := t.lose
	t.mu.Unlock()
	if lose != nil && lose(b, to.Addr) {
		return time.Now(), nil
	}
	return t.NodeAwareTransport.WriteToAddress(b, to)
}

func (t *tap) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.detour != "" {
		to.Addr = t.detour
	}
	conn, err := t.NodeAwareTransport.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	c := &tappedConn{Conn: conn, to: to.Addr}
	t.mu.Lock()
	t.streams = append(t.streams, c)
	t.mu.Unlock()
	return c, nil
}

// recorded returns the packets and the streams so far.
func (t *tap) recorded() (packets, streams []taken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.streams {
		c.mu.Lock()
		streams = append(streams, taken{c.to, bytes.Clone(c.b)})
		c.mu.Unlock()
	}
	return slices.Clone(t.packets), streams
}

// end is a seal on a network in memory, with what came out of it.
type end struct {
	*seal
	*tap
	address string
	inner   memberlist.Transport
	mu      sync.Mutex
	got     []string
}

// sealNet runs seals in virtual time.
type sealNet struct {
	t       *testing.T
	network memnet.Network
	ends    []*end
}

func (n *sealNet) start(address string, strict bool, keys ...[]byte) *end {
	n.t.Helper()
	inner, err := n.network.Listen(address)
	if err != nil {
		n.t.Fatal(err)
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		n.t.Fatal(err)
	}
	e := &end{address: address, inner: inner, tap: &tap{NodeAwareTransport: inner}}
	e.seal = newSeal(EncryptRequire, "test", keys, slog.New(slog.DiscardHandler), m).over(e.tap)
	e.seal.strict.Store(strict)
	if _, _, err := e.seal.FinalAdvertiseAddr("", 0); err != nil {
		n.t.Fatal(err)
	}
	e.seal.wg.Go(func() {
		for {
			select {
			case p := <-e.seal.PacketCh():
				e.mu.Lock()
				e.got = append(e.got, string(p.Buf))
				e.mu.Unlock()
			case <-e.seal.done:
				return
			}
		}
	})
	n.ends = append(n.ends, e)
	return e
}

func (e *end) send(to *end, text string) {
	_, _ = e.seal.WriteToAddress([]byte(text), memberlist.Address{Addr: to.address})
}

// count returns how often text came.
func (e *end) count(text string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.got {
		if g == text {
			n++
		}
	}
	return n
}

// virtually runs f in virtual time on an empty network.
func virtually(t *testing.T, f func(n *sealNet)) {
	synctest.Test(t, func(t *testing.T) {
		n := &sealNet{t: t}
		n.network.Delay = func(_, _ string) time.Duration { return time.Millisecond }
		f(n)
		for _, e := range n.ends {
			_ = e.seal.Shutdown()
		}
	})
}

const (
	hostA, hostB, hostC, stranger = "10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946", "10.0.0.9:9"
)

func settle() { time.Sleep(50 * time.Millisecond); synctest.Wait() }
