package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// firstMoved is the last octet of the first address that Readdress gives out.
const firstMoved = 101

// Readdress gives the host another address that nobody had before, as a pod gets that is deleted and comes back. The
// old one is gone, with every connection on it; what is configured with it elsewhere stays as it is. Loads follow the
// host, as the clients of a Service do. Nothing may run on the host. Reset gives the host its own address back.
func (h *Host) Readdress() error {
	l := h.lab
	l.mu.Lock()
	l.readdressed++
	to, home := fmt.Sprintf("%s%d", network, firstMoved+l.readdressed-1), h.home()
	l.mu.Unlock()
	// The loads follow in between: a connection attempt to an address that nobody has fails only after seconds.
	err := h.readdress(to, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.moved[home] = to
	})
	if err != nil {
		return fmt.Errorf("give %s another address: %w", h.Name, err)
	}
	l.log.Info("another address", "host", h.Name, "from", home, "to", to)
	return nil
}

func (h *Host) readdress(to string, between func()) error {
	ns := h.Namespace()
	// Without it the new address, a secondary one of the same network, would go with the old one.
	err := h.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/conf/"+hostLink+"/promote_secondaries", []byte("1"), 0)
	})
	if err == nil {
		err = ip("-n", ns, "addr", "add", to+prefixLen, "dev", hostLink)
	}
	if err != nil {
		return err
	}
	old := h.IP
	h.IP = to
	between()
	return ip("-n", ns, "addr", "del", old+prefixLen, "dev", hostLink)
}

// home is the address that the host was built with.
func (h *Host) home() string {
	for home, now := range h.lab.moved {
		if now == h.IP {
			return home
		}
	}
	return h.IP
}

// sendHome gives every host its own address back.
func (l *Lab) sendHome() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, h := range l.hosts {
		if home := h.home(); home != h.IP {
			errs = append(errs, h.readdress(home, func() { delete(l.moved, home) }))
		}
	}
	l.readdressed = 0
	return errors.Join(errs...)
}

// follow returns where the host now is that was built with, or had, an address.
func (l *Lab) follow(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now, ok := l.moved[host]; ok {
		return net.JoinHostPort(now, port)
	}
	return address
}
