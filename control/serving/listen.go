package serving

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens ADDR:PORT for TCP. Where ADDR stands for every address, this host's
// loopback gets a listener of its own beside it: the kernel keeps the connections
// that wait to be accepted in one queue for each listener, in their order, and
// whoever fills that of the others must not keep a health check of this host
// waiting. An address that another process listens at is an error.
func Listen(ctx context.Context, address string) ([]net.Listener, error) {
	// Two listeners of one port need SO_REUSEPORT, which would let a second daemon in as
	// well: without it first, whoever is there is found.
	alone, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	a := alone.Addr().(*net.TCPAddr) //nolint:forcetypeassert // as "tcp" has
	if !a.IP.IsUnspecified() {
		return []net.Listener{alone}, nil
	}
	if err := alone.Close(); err != nil {
		return nil, err
	}
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, serr)
	}}
	port := strconv.Itoa(a.Port)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	all, err := shared.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	out := []net.Listener{all}
	loopbacks := []string{"127.0.0.1"}
	if ip, err := netip.ParseAddr(host); err != nil || ip.Is6() {
		loopbacks = append(loopbacks, "::1")
	}
	for _, ip := range loopbacks {
		// A host without one of them has no checks from there either.
		if l, err := shared.Listen(ctx, "tcp", net.JoinHostPort(ip, port)); err == nil {
			out = append(out, l)
		}
	}
	return out, nil
}
