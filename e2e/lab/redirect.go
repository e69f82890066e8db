package lab

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// Redirect leads what a proxy's daemon opens to a TCP port of another host to another port there: a stub takes the
// place of what listens. Connections that stand are ended.
func (l *Lab) Redirect(ctx context.Context, from *Proxy, to *Host, port, stub int) (*Fault, error) {
	return l.inject(ctx, fmt.Sprintf("redirection of the daemon of %s to a stub on %s", from.Name, to.Name),
		rule{from.Host, "nat", "OUTPUT", []string{"-p", "tcp", "-d", to.IP, "--dport", strconv.Itoa(port), "-m", "owner",
			"--gid-owner", strconv.Itoa(daemonGroup), "-j", "DNAT", "--to-destination", net.JoinHostPort(to.IP, strconv.Itoa(stub))}},
		rule{from.Host, "filter", "OUTPUT", []string{"-p", "tcp", "-d", to.IP, "--dport", strconv.Itoa(port), "-m", "owner",
			"--gid-owner", strconv.Itoa(daemonGroup), "-j", "REJECT", "--reject-with", "tcp-reset"}})
}
