package main

import (
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

func TestPeerListIsRead(t *testing.T) {
	tests := []struct{ name, in, domain, want, problem string }{
		{name: "as peer-list gives it", in: "db-pxc-1.db-pxc.ns.svc.cluster.local\ndb-pxc-0.db-pxc.ns.svc.cluster.local\n",
			want: "db-pxc-1@db-pxc-1.db-pxc.ns.svc.cluster.local#2 db-pxc-0@db-pxc-0.db-pxc.ns.svc.cluster.local#1"},
		{name: "CRLF, blanks, a final dot, capitals, no last newline", in: "\r\n  A-0.x.\r\n\n\tB-10.X ", want: "a-0@a-0.x#1 b-10@b-10.x#11"},
		{name: "twice the same", in: "a-0.x\na-0.x\n", want: "a-0@a-0.x#1"},
		{name: "bare", in: "a-0\n", want: "a-0@a-0#1"},
		{name: "bare with a domain", in: "a-0\na-1.x\n", domain: ".pxc.svc.", want: "a-0@a-0.pxc.svc#1 a-1@a-1.x#2"},
		{name: "nothing", in: "\n \r\n"},
		{name: "no ordinal", in: "a-0.x\nmysql.x\n", problem: `line 2: "mysql.x" has no ordinal`},
		{name: "an address", in: "10.0.0.5\n", problem: "line 1: \"10.0.0.5\" has no ordinal"},
		{name: "a name made of an address", in: "a-0.x\n10-244-0-12.db.ns.svc.cluster.local\n", problem: "line 2: \"10-244-0-12.db.ns.svc.cluster.local\" is a name made of an address"},
		{name: "a name made of an IPv6 address", in: "fd00-1--7.db.ns\n", problem: "is a name made of an address"},
		{name: "two with one ordinal", in: "a-0.x\nb-0.x\n", problem: "line 2: \"a-0.x\" and \"b-0.x\" have the same ordinal"},
		{name: "one host in two domains", in: "a-0.x\na-0.y\n", problem: "the same ordinal"},
		{name: "too large", in: "a-99999.x\n", problem: `the ordinal of "a-99999" is above 9999`},
		{name: "larger than any number", in: "a-99999999999999999999.x\n", problem: "is above 9999"},
		{name: "a line that would change the file", in: "a-0.x check backup\n", problem: "is neither an address nor a DNS name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts, err := parsePeerList(strings.NewReader(tt.in), tt.domain)
			if tt.problem != "" && err == nil {
				// What is not seen here is seen by the configuration's own check.
				in := configs.RenderInput{Proxies: []configs.RenderProxy{{Name: "a", Host: "b"}}}
				for _, h := range hosts {
					in.Nodes = append(in.Nodes, h.node)
				}
				err = in.Validate()
			}
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("got %v, want %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range hosts {
				got = append(got, h.node.Name+"@"+h.node.Host+"#"+itoa(h.node.ID))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestPeerListMergesWithTheFile(t *testing.T) {
	known := []configs.RenderNode{{Name: "a-2", Host: "a-2.x", ID: 3}, {Name: "a-0", Host: "a-0.x", ID: 1}}
	tests := []struct{ name, in, want, changes, absent, problem string }{
		{name: "fewer", in: "a-2.x", want: "a-0 a-2", absent: "a-0"},
		{name: "bare names change no address", in: "a-0\na-2", want: "a-0 a-2"},
		{name: "one more", in: "a-0.x\na-1.x\na-2.x", want: "a-0 a-2 a-1", changes: "a-1 is new"},
		{name: "two more", in: "a-4.x\na-3.x", want: "a-0 a-4 a-3 a-2", changes: "a-4 is new, a-3 is new", absent: "a-0 a-2"},
		{name: "another address", in: "a-0.y\na-2.x", want: "a-0 a-2", changes: "a-0 is at a-0.y now"},
		{name: "another cluster", in: "b-0.x", problem: "b-0 has the ordinal of a-0, which is in the file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			listed, err := parsePeerList(strings.NewReader(tt.in), "")
			if err != nil {
				t.Fatal(err)
			}
			nodes, changes, err := merged(known, listed)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("got %v, want %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, n := range nodes {
				names = append(names, n.Name)
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("nodes: got %q, want %q", got, tt.want)
			}
			if got := strings.Join(changes, ", "); got != tt.changes {
				t.Errorf("changes: got %q, want %q", got, tt.changes)
			}
			if got := strings.Join(absent(nodes, listed), " "); got != tt.absent {
				t.Errorf("absent: got %q, want %q", got, tt.absent)
			}
		})
	}
	if known[0].ID != 3 {
		t.Error("the known nodes were changed in place")
	}
}
