package drain

import (
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

func TestJoinSessions(t *testing.T) {
	const none = uint64(0)
	for _, tt := range []struct {
		name    string
		local   string // HAProxy's own address towards the server
		source  string
		proxied bool
		hosts   []string // of the process list; the ids are 1, 2, ...
		want    uint64
	}{
		{name: "its own address", local: "10.0.0.9:4000", source: "10.1.1.1:5000", hosts: []string{"10.1.1.1:5000", "10.0.0.9:4000"}, want: 2},
		{name: "with send-proxy the client's", local: "10.0.0.9:4000", source: "10.1.1.1:5000", proxied: true, hosts: []string{"10.1.1.1:5000", "10.0.0.9:4000"}, want: 1},
		{name: "another port is another session", local: "10.0.0.9:4000", hosts: []string{"10.0.0.9:4001"}, want: none},
		{name: "the same port of another host", local: "10.0.0.9:4000", hosts: []string{"10.0.0.8:4000"}, want: none},
		{name: "IPv6 in brackets", local: "[fd00::9]:4000", hosts: []string{"[fd00:0:0::9]:4000"}, want: 1},
		{name: "IPv4 mapped into IPv6", local: "[::ffff:10.0.0.9]:4000", hosts: []string{"10.0.0.9:4000"}, want: 1},
		{name: "a name: the port tells", local: "10.0.0.9:4000", hosts: []string{"px0.example:3999", "px0.example:4000"}, want: 2},
		{name: "two names with that port", local: "10.0.0.9:4000", hosts: []string{"px0.example:4000", "px1.example:4000"}, want: none},
		{name: "the address beats a name", local: "10.0.0.9:4000", hosts: []string{"px1.example:4000", "10.0.0.9:4000"}, want: 2},
		{name: "the same address twice", local: "10.0.0.9:4000", hosts: []string{"10.0.0.9:4000", "10.0.0.9:4000"}, want: none},
		{name: "no connection to the server yet", local: "", hosts: []string{"", "localhost"}, want: none},
		{name: "a socket of the database's host", local: "10.0.0.9:4000", hosts: []string{"localhost"}, want: none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var clients []sessions.ClientSession
			for i, h := range tt.hosts {
				clients = append(clients, sessions.ClientSession{ID: uint64(i + 1), Host: h})
			}
			sessions := []runtimeapi.Session{{ID: "0x1", LocalAddr: tt.local, Source: tt.source}}
			matched, unmatched := joinSessions(sessions, clients, func(*runtimeapi.Session) bool { return tt.proxied })
			got := none
			if len(matched) == 1 {
				got = matched[0].client.ID
			}
			if got != tt.want || len(matched)+len(unmatched) != 1 {
				t.Errorf("matched %+v, unmatched %+v, want session %d", matched, unmatched, tt.want)
			}
		})
	}
}
