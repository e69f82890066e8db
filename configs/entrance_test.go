package configs

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// stickOnFile is a file without anything of ours; %s are more lines of the frontend and of the backend.
const stickOnFile = `global
	stats socket /run/s level admin
defaults
	mode tcp
	timeout connect 3s
	timeout client 1h
	timeout server 1h
frontend in
	bind 10.0.0.7:3306
%s
	default_backend galera-nodes
backend galera-nodes
	stick-table type integer size 100k
	stick on int(1)
%s
	server pxc-0 10.0.0.1:3306 id 1 check
`

func TestEntrance(t *testing.T) {
	for name, tt := range map[string]struct {
		front, back, bind, want string
		timeout                 time.Duration
	}{
		"as clients come":        {want: "10.0.0.7:3306", timeout: 3 * time.Second},
		"every address":          {bind: "*:3306", want: "127.0.0.1:3306", timeout: 3 * time.Second},
		"every IPv6 address":     {bind: ":::3306", want: "[::1]:3306", timeout: 3 * time.Second},
		"its own queue's":        {back: "timeout queue 1m", want: "10.0.0.7:3306", timeout: time.Minute},
		"milliseconds":           {back: "timeout queue 1500", want: "10.0.0.7:3306", timeout: 1500 * time.Millisecond},
		"the proxy protocol":     {bind: "10.0.0.7:3306 accept-proxy"},
		"TLS":                    {bind: "10.0.0.7:3306 ssl crt /c"},
		"rules of who may enter": {front: "tcp-request connection reject if { src 10.9.9.9 }"},
		"another way":            {front: "use_backend other if { src 10.9.9.9 }\n"},
		"a unix socket":          {bind: "unix@/run/in"},
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf(stickOnFile, "\t"+tt.front, "\t"+tt.back)
			if tt.bind != "" {
				text = strings.Replace(text, "10.0.0.7:3306", tt.bind, 1)
			}
			if strings.Contains(text, "use_backend") {
				text += "backend other\n\tserver o 10.0.0.9:1\n"
			}
			s := load(t, write(t, text)).Sticky[0]
			if s.Entrance != tt.want || tt.want != "" && s.QueueTimeout != tt.timeout {
				t.Errorf("%q with %v in the queue, want %q with %v", s.Entrance, s.QueueTimeout, tt.want, tt.timeout)
			}
		})
	}
	s := load(t, write(t, strings.Replace(fmt.Sprintf(stickOnFile, "", ""), "timeout connect 3s", "", 1))).Sticky[0]
	if s.QueueTimeout < 24*time.Hour {
		t.Errorf("without any timeout: %v", s.QueueTimeout)
	}
}

// In a file that has only `stick on` new connections wait for the new node too: the bound first, then the table, and a
// connection that takes the place. One who comes before it is served, and it waits for its turn.
func TestStickOnWaits(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := startLive(t, binary)
			_, port, _ := net.SplitHostPort(l.nodes["pxc-0"].addr)
			plain := fmt.Sprintf(`global
	stats socket %s level admin
defaults
	mode tcp
	timeout connect 3s
	timeout client 1h
	timeout server 1h
frontend in
	bind %s
	default_backend galera-nodes
backend galera-nodes
	stick-table type integer size 100k
	stick on int(1)
	option redispatch
	default-server check inter 200 on-marked-down shutdown-sessions
`, l.input.StatsSocket, l.services[heldBackend])
			backup := ""
			for i, n := range l.input.Nodes {
				plain += fmt.Sprintf("\tserver %s %s:%s id %d%s\n", n.Name, n.Host, port, i+1, backup)
				backup = " backup"
			}
			if err := os.WriteFile(l.cfg, []byte(plain), 0o600); err != nil {
				t.Fatal(err)
			}
			l.start()
			s := load(t, l.cfg).Sticky[0]
			if s.Entrance != l.services[heldBackend] {
				t.Fatalf("the way in is %q", s.Entrance)
			}
			l.until("the nodes are up", 5*time.Second, func() bool {
				return l.up(heldBackend, "pxc-0") && l.up(heldBackend, "pxc-1") && l.up(heldBackend, "pxc-2")
			})
			for i, early := range []bool{false, true} {
				from, to := l.input.Nodes[i].Name, l.input.Nodes[i+1].Name
				l.do(fmt.Sprintf("clear table galera-nodes key 1;set table galera-nodes key 1 data.server_id %d", i+1))
				l.expect(1, from, heldBackend)
				l.do(fmt.Sprintf("set maxconn server %s/%s 1", heldBackend, to))
				l.do(fmt.Sprintf("clear table galera-nodes key 1;set table galera-nodes key 1 data.server_id %d", i+2))
				var first net.Conn
				if early {
					name, c := l.open(heldBackend)
					if name != to {
						t.Fatalf("the first one got %q", name)
					}
					first = c
				}
				placeholder := l.waiting()
				if early {
					l.until("the placeholder waits", time.Second, func() bool { return l.stat(to, queueColumn) == 1 })
				} else if got := greeting(placeholder, time.Second); got != to {
					t.Fatalf("the placeholder got %q", got)
				}
				clients := []net.Conn{l.waiting(), l.waiting(), l.waiting()}
				if early {
					_ = first.Close()
					if got := greeting(placeholder, time.Second); got != to {
						t.Fatalf("the placeholder got %q after the first one", got)
					}
				}
				for _, c := range clients {
					l.stillOpen(c)
				}
				l.do(fmt.Sprintf("set maxconn server %s/%s 65535", heldBackend, to))
				l.wantAll(clients, to)
				_ = placeholder.Close()
				l.do(fmt.Sprintf("set maxconn server %s/%s 0", heldBackend, to))
			}
		})
	}
}

// waiting is a connection that has said and been told nothing yet.
func (l *live) waiting() net.Conn {
	l.t.Helper()
	c, err := net.Dial("tcp", l.services[heldBackend])
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return c
}
