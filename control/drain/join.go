package drain

import (
	"net"
	"net/netip"

	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// pair is one HAProxy session with the same session as the database knows it.
type pair struct {
	session runtimeapi.Session
	client  sessions.ClientSession
}

// hostOf is the text that the process list has as HOST for a session of HAProxy:
// the session's own address towards the server or, where HAProxy announces its
// client (send-proxy), the client's.
func hostOf(s *runtimeapi.Session, proxied bool) string {
	if proxied {
		return s.Source
	}
	return s.LocalAddr
}

// joinSessions finds each HAProxy session's own row in the process list. One that has no
// row, or for which several rows would do, is not matched: it is never closed
// before the time is over.
//
// A server that resolves names (skip_name_resolve off) shows NAME:PORT. Then the
// port alone must tell, and does only where it is there once.
func joinSessions(proxy []runtimeapi.Session, clients []sessions.ClientSession, proxied func(*runtimeapi.Session) bool) (matched []pair, unmatched []runtimeapi.Session) {
	byHost := make(map[string][]int, len(clients))
	byPort := map[string][]int{}
	for i := range clients {
		host := canonical(clients[i].Host)
		byHost[host] = append(byHost[host], i)
		if name, port, err := net.SplitHostPort(clients[i].Host); err == nil {
			if _, err := netip.ParseAddr(name); err != nil {
				byPort[port] = append(byPort[port], i)
			}
		}
	}
	for i := range proxy {
		host := hostOf(&proxy[i], proxied(&proxy[i]))
		found := byHost[canonical(host)]
		if _, port, err := net.SplitHostPort(host); err == nil && len(found) == 0 {
			found = byPort[port]
		}
		if host == "" || len(found) != 1 {
			unmatched = append(unmatched, proxy[i])
			continue
		}
		matched = append(matched, pair{proxy[i], clients[found[0]]})
	}
	return matched, unmatched
}

// canonical writes an address and port in one way: HAProxy and the databases
// bracket and map IPv6 differently.
func canonical(host string) string {
	if a, err := netip.ParseAddrPort(host); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
	}
	return host
}
