package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip/memnet"
)

// TestWaitingMessagesAreBounded in bytes too: some are whole states.
func TestWaitingMessagesAreBounded(t *testing.T) {
	g := newQuiet(t, nil)
	for range 5 {
		(*delegate)(g).NotifyMsg(make([]byte, inboundBytes/2))
	}
	if n := len(g.inbound); n != 2 {
		t.Errorf("%d messages of %d bytes wait", n, inboundBytes/2)
	}
	if _, err := decodeState(reader{b: encodeState(make([][]byte, maxStateMessages+1))[3:]}); !errors.Is(err, errField) {
		t.Errorf("a state of too many messages: %v", err)
	}
}

// TestExchangesAreBounded: each answer holds the whole state of this member.
func TestExchangesAreBounded(t *testing.T) {
	p := pool{exchange: make(chan struct{}, 1)}
	open := func(state bool) *stream {
		c, other := net.Pipe()
		t.Cleanup(func() { _ = other.Close() })
		return &stream{Conn: c, pool: &p, state: state}
	}
	first, second, message := open(true), open(true), open(false)
	soon := func() time.Time { return time.Now().Add(20 * time.Millisecond) }
	if err := errors.Join(first.exchange(soon()), message.exchange(soon())); err != nil {
		t.Fatal(err)
	}
	if err := second.exchange(soon()); !errors.Is(err, errRate) {
		t.Errorf("two at once: %v", err)
	}
	_, _, _ = second.Close(), message.Close(), first.Close()
	if err := open(true).exchange(soon()); err != nil {
		t.Errorf("after the first: %v", err)
	}
}

// TestMembersHaveSocketsOfTheirOwn: what a member sends finds a buffer that
// strangers do not fill.
func TestMembersHaveSocketsOfTheirOwn(t *testing.T) {
	for _, bind := range []string{addresses(1)[0], "0.0.0.0:0"} {
		host, port, _ := splitHostPort(bind)
		common, err := listenUDP(net.ParseIP(host), port)
		if err != nil {
			t.Fatal(err)
		}
		defer common.Close()
		to := &net.UDPAddr{IP: net.ParseIP(host), Port: common.LocalAddr().(*net.UDPAddr).Port}
		if to.IP.IsUnspecified() {
			to.IP = net.IPv4(127, 0, 0, 1)
		}
		dial := func() *net.UDPConn {
			c, err := net.DialUDP("udp", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		member, stranger := dial(), dial()
		d := net.Dialer{LocalAddr: common.LocalAddr(), Control: shared}
		own, err := d.Dial("udp", member.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		for range 2000 { // more than the common one's buffer holds
			_, _ = stranger.Write(make([]byte, 1000))
		}
		if _, err := member.Write([]byte("true")); err != nil {
			t.Fatal(err)
		}
		_ = own.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 2000)
		if n, err := own.Read(b); err != nil || string(b[:n]) != "true" {
			t.Errorf("bound to %s: %d bytes, %v", bind, n, err)
		}
	}
}

// TestVotersAreFavoured, and those that were there first: a crowd of invented
// members takes no socket from them.
func TestVotersAreFavoured(t *testing.T) {
	w := newWorld(t)
	all, addrs := trio(w, nil)
	g := all[0].Gossip
	for i := range 100 {
		n := nodeOf(fmt.Sprintf("x-%08x", i), Meta{Name: "x", Voter: true})
		n.Addr, n.Port = net.IPv4(127, 0, 0, 1).To4(), uint16(20000+i)
		(*delegate)(g).NotifyJoin(n)
	}
	for i := range 100 { // no voters, although they have been there for long
		n := nodeOf(fmt.Sprintf("y-%08x", i), Meta{Name: "y"})
		n.Addr, n.Port = net.IPv4(127, 0, 0, 1).To4(), uint16(21000+i)
		(*delegate)(g).NotifyJoin(n)
		g.mu.Lock()
		old := *g.members[n.Name] // the loop may be reading the one in the map
		old.Since = time.Now().Add(-time.Hour)
		g.members[n.Name] = &old
		g.mu.Unlock()
	}
	g.favour()
	g.sockets.directMu.Lock()
	defer g.sockets.directMu.Unlock()
	if n := len(g.sockets.direct); n != directSockets {
		t.Errorf("%d sockets", n)
	}
	for _, a := range addrs[1:] {
		if g.sockets.direct[netip.MustParseAddrPort(a)] == nil {
			t.Errorf("%s has no socket of its own", a)
		}
	}
}

// TestSilentRivalsDoNotKeepAMemberFromSettling, although new ones come all the time.
func TestSilentRivalsDoNotKeepAMemberFromSettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		transport, err := network.Listen("10.0.0.1:7946")
		if err != nil {
			t.Fatal(err)
		}
		g := newQuiet(t, func(c *Config) { c.Bind, c.Transport = "10.0.0.1:7946", transport })
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		g.waitReady()
		start := time.Now()
		for i := 0; ; i++ {
			process := fmt.Sprintf("px0-%08x", i)
			n := nodeOf(process, Meta{Name: "px0", Settled: true})
			n.Name = process
			(*delegate)(g).NotifyJoin(n)
			time.Sleep(400 * time.Millisecond)
			select {
			case <-g.Settled():
			default:
				if time.Since(start) < 2*settleLimit {
					continue
				}
				t.Error("it never settled")
			}
			break
		}
		if took := time.Since(start); took < settleLimit {
			t.Errorf("settled after %s beside rivals that might answer", took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second) // memberlist's probes in flight
	})
}
