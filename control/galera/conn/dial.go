package conn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Dialer makes connections to one node, for one goroutine: it remembers what worked.
type Dialer struct {
	address string // HOST:PORT, as it was given
	host    string
	port    uint16
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
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	d := &Dialer{address: address, host: host, port: uint16(port), lookup: lookup}
	if ip, err := netip.ParseAddr(host); err == nil {
		d.known, d.lookup = []netip.Addr{ip}, nil
	}
	return d, nil
}

// dial connects within the budget, of which it spent some; resolving may take as
// long again.
//
// If the name does not resolve, the addresses of last time are tried, and stale is
// the resolver's error. They can show that the node is gone: in
// Kubernetes the name of a dead pod goes away with it, and that must not turn a
// dead node into an unknown one. They cannot show that it is healthy, for another pod
// may have the address now.
func (d *Dialer) dial(ctx context.Context, budget time.Duration) (conn *net.TCPConn, spent time.Duration, stale, err error) {
	if d.lookup != nil {
		stale = d.resolve(ctx, budget)
		if len(d.known) == 0 {
			return nil, 0, nil, stale
		}
	}
	began := time.Now()
	for i, ip := range d.known {
		// Every address gets its share of what is left: the first may be one that
		// swallows everything.
		share := (budget - time.Since(began)) / time.Duration(len(d.known)-i)
		if conn, err = d.dialOne(ctx, ip, max(share, grace)); err == nil {
			return conn, time.Since(began), stale, nil
		}
	}
	return nil, 0, nil, err
}

func (d *Dialer) resolve(ctx context.Context, budget time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	found, err := d.lookup(ctx, d.host)
	if err == nil && len(found) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return &NameError{Host: d.host, Err: err}
	}
	d.known = found[:min(len(found), mostAddresses)]
	return nil
}

func (d *Dialer) dialOne(ctx context.Context, ip netip.Addr, budget time.Duration) (*net.TCPConn, error) {
	began := time.Now()
	// No keep-alives: the probe itself is one.
	nd := net.Dialer{Timeout: budget, KeepAlive: -1}
	conn, err := nd.DialContext(ctx, "tcp", netip.AddrPortFrom(ip.Unmap(), d.port).String())
	if err == nil {
		return conn.(*net.TCPConn), nil
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && time.Since(began) > budget+lateness {
		return nil, ErrOwnPause
	}
	return nil, err
}
