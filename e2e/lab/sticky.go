package lab

import (
	"fmt"
	"strings"
)

// Sticky varies StickyConfig.
type Sticky struct {
	// Key is the key expression. Default "int(1)".
	Key string
	// Size is the stick-table's size. Default "100k".
	Size string
	// CheckInterval is the servers' `inter`. Default "1000" (ms).
	CheckInterval string
	// Order is the order of the servers by name; the first is the main one, the others are backups. Default: db0, db1, ...
	Order []string
	// Check is the absolute path of an external check's command. Default: HAProxy connects, and no more.
	Check string
	// NoID leaves the ids to HAProxy, which numbers the servers by their place in the file, as in the predecessor's.
	NoID bool
}

// StickyConfig returns a plain configuration for a proxy: peers, one sticky backend with all nodes, an admin socket
// and no daemon's parts. Server ids are explicit and the same on every proxy, whatever the order: db0 has 1.
// Sticky.NoID does without.
func (l *Lab) StickyConfig(p *Proxy, s Sticky) string {
	order := s.Order
	if len(order) == 0 {
		for _, n := range l.DB {
			order = append(order, n.Name)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `global
	stats socket %s mode 600 level admin
	maxconn 2000
`, p.AdminSocket)
	check := ""
	if s.Check != "" {
		b.WriteString("\texternal-check\n\tinsecure-fork-wanted\n")
		check = "\toption external-check\n\texternal-check path /usr/bin:/bin\n\texternal-check command " + s.Check + "\n"
	}
	b.WriteString(`defaults
	mode tcp
	timeout connect 3s
	timeout client 1h
	timeout server 1h
	retries 1
peers mypeers
`)
	for _, other := range l.PX {
		fmt.Fprintf(&b, "\tpeer %s %s:10000\n", other.Name, other.IP)
	}
	fmt.Fprintf(&b, `frontend galera-in
	bind %s:%d
	default_backend galera-nodes
backend galera-nodes
	option srvtcpka
	option redispatch
	stick-table type integer size %s peers mypeers
	stick on %s
%s	default-server check inter %s rise 1 fall 2 on-marked-down shutdown-sessions
`, p.IP, MySQLPort, firstOf(s.Size, "100k"), firstOf(s.Key, "int(1)"), check, firstOf(s.CheckInterval, "1000"))
	backup := ""
	for _, name := range order {
		if n := l.Node(name); n != nil {
			id := fmt.Sprintf(" id %d", n.index+1)
			if s.NoID {
				id = ""
			}
			fmt.Fprintf(&b, "\tserver %s %s%s%s\n", n.Name, n.Address(), id, backup)
			backup = " backup"
		}
	}
	return b.String()
}
