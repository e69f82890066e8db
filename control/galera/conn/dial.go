package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Dialer makes connections to one node, for one goroutine: it remembers what worked.
type Dialer struct {
	address string // HOST:PORT, as it was given
	host    string
	port    string
	// lookup resolves a host name; nil where the address has none.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// known are the addresses that the name last had.
	known []netip.Addr
	// plainSince is when TLS failed and plain text worked; zero if that was not so.
	plainSince time.Time
}

// mostAddresses of a name are tried, each for a share of the budget.
const mostAddresses = 8

// NewDialer makes the dialer of HOST:PORT. lookup resolves a host name; nil asks the
// system.
func NewDialer(address string, lookup func(context.Context, string) ([]netip.Addr, error)) (*Dialer, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	d := &Dialer{address: address, host: host, port: port, lookup: lookup}
	if ip, err := netip.ParseAddr(host); err == nil {
		d.known, d.lookup = []netip.Addr{ip}, nil
	}
	return d, nil
}

// dial connects within the budget, of which the rest is the connection's first exchange's;
// resolving may take as long again.
//
// If the name does not resolve, the addresses of last time are tried, and stale is
// the resolver's error. They can show that the node is gone: in
// Kubernetes the name of a dead pod goes away with it, and that must not turn a
// dead node into an unknown one. They cannot show that it is healthy, for another pod
// may have the address now.
func (d *Dialer) dial(ctx context.Context, budget time.Duration) (w *wire, stale, err error) {
	if d.lookup != nil {
		stale = d.resolve(ctx, budget)
		if len(d.known) == 0 {
			return nil, nil, stale
		}
	}
	began := time.Now()
	for i, ip := range d.known {
		// Every address gets its share of what is left: the first may be one that
		// swallows everything.
		share := (budget - time.Since(began)) / time.Duration(len(d.known)-i)
		if w, err = d.dialOne(ctx, ip, max(share, grace)); err == nil {
			w.begin(max(budget-time.Since(began), grace))
			return w, stale, nil
		}
	}
	return nil, nil, err
}

func (d *Dialer) resolve(ctx context.Context, budget time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	found, err := d.lookup(ctx, d.host)
	if err == nil && len(found) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return fmt.Errorf("%w %q: %w", ErrName, d.host, err)
	}
	d.known = found[:min(len(found), mostAddresses)]
	return nil
}

func (d *Dialer) dialOne(ctx context.Context, ip netip.Addr, budget time.Duration) (*wire, error) {
	began := time.Now()
	// No keep-alives: the probe itself is one.
	nd := net.Dialer{Timeout: budget, KeepAlive: -1}
	conn, err := nd.DialContext(ctx, "tcp", net.JoinHostPort(ip.Unmap().String(), d.port))
	if err == nil {
		return newWire(conn.(*net.TCPConn))
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && time.Since(began) > budget+lateness {
		return nil, ErrOwnPause
	}
	return nil, err
}
