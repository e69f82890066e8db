package conn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// names is a name service that can be broken.
type names struct {
	addrs []netip.Addr
	err   error
}

func (n *names) lookup(context.Context, string) ([]netip.Addr, error) { return n.addrs, n.err }

func TestDialByName(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	dbtest.Must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	gone := &net.DNSError{Err: "no such host", IsNotFound: true}
	dns := &names{err: gone}
	d, err := NewDialer("pxc-0.pxc:"+port, dns.lookup)
	dbtest.Must(t, err)
	unresolved := func(err error) bool { return errors.Is(err, ErrName) }
	dial := func() (stale, err error) {
		conn, stale, err := d.dial(context.Background(), time.Second)
		if conn != nil {
			_ = conn.Close()
		}
		return stale, err
	}
	if _, err := dial(); !unresolved(err) {
		t.Errorf("a name that never resolved: %v", err)
	}
	// The first address refuses: the second is tried.
	dns.addrs, dns.err = []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
	if stale, err := dial(); err != nil || stale != nil {
		t.Errorf("a name that resolves: %v, %v", stale, err)
	}
	dns.addrs, dns.err = nil, gone
	stale, err := dial()
	if err != nil || !unresolved(stale) {
		t.Errorf("a name that is gone, of a server that is there: %v, %v", stale, err)
	}
	dbtest.Must(t, l.Close())
	if _, err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a name that is gone, of a server that is gone: %v", err)
	}
}
