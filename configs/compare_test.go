package configs

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// asRunning gives what a HAProxy with exactly this file shows.
func asRunning(top *Topology) (servers []ObservedServer, tables []ObservedTable) {
	for _, b := range top.Backends {
		for _, s := range b.Servers {
			servers = append(servers, ObservedServer{Backend: b.Name, Name: s.Name, ID: s.ID, Addr: s.Host, Port: s.Port})
		}
	}
	for _, table := range top.Tables {
		tables = append(tables, ObservedTable{Name: table.Name, Type: table.Type, Size: table.Size})
	}
	return servers, tables
}

func TestCompare(t *testing.T) {
	top := load(t, "testdata/design.cfg")
	server := func(servers []ObservedServer, backend, name string) *ObservedServer {
		for i := range servers {
			if servers[i].Backend == backend && servers[i].Name == name {
				return &servers[i]
			}
		}
		t.Fatal("no server", name)
		return nil
	}
	table := func(tables []ObservedTable, name string) *ObservedTable {
		return &tables[slices.IndexFunc(tables, func(o ObservedTable) bool { return o.Name == name })]
	}
	for name, c := range map[string]struct {
		change   func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable)
		line     int
		what     string
		blocking bool
	}{
		"same": {},
		"an unresolved address is no difference": {change: func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "galera-nodes", "pxc-0").Addr = "-"
			return s, tb
		}},
		"another backend is not compared": {change: func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			return append(s, ObservedServer{Backend: "other", Name: "x", ID: 1}), append(tb, ObservedTable{Name: "other", Type: "ip", Size: 1})
		}},
		"the beacon's id means nothing": {change: func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "haproxyd", "local").ID = 7
			return s, tb
		}},
		"id": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "galera-nodes", "pxc-2").ID = 2
			return s, tb
		}, 40, "server galera-nodes/pxc-2 has id 3 here and 2 in the running HAProxy", true},
		"missing": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "galera-nodes", "pxc-2").Backend = "x"
			return s, tb
		}, 40, "server galera-nodes/pxc-2 is in the file and not in the running HAProxy", true},
		"extra": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			return append(s, ObservedServer{Backend: "galera-nodes", Name: "pxc-9", ID: 9}), tb
		}, 37, "the running HAProxy has server pxc-9 (id 9) in backend galera-nodes", true},
		"address": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "galera-nodes", "pxc-2").Addr = "10.0.1.99"
			return s, tb
		}, 40, "server galera-nodes/pxc-2 is 10.0.1.12:3306 here, which is probed and voted on, and 10.0.1.99:3306 in the running HAProxy", false},
		"port": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "galera-nodes", "pxc-2").Port = 3307
			return s, tb
		}, 40, "10.0.1.12:3307", false},
		"beacon": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "haproxyd", "local").Name = "x"
			return s, tb
		}, 24, "server haproxyd/local", true},
		"alive": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			server(s, "haproxyd-alive", "local").Name = "x"
			return s, tb
		}, 28, "server haproxyd-alive/local", true},
		"table": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			table(tb, "galera-nodes").Name = "x"
			return s, tb
		}, 35, "stick-table galera-nodes is in the file", true},
		"private table": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			table(tb, "haproxyd-steer").Name = "x"
			return s, tb
		}, 30, "stick-table haproxyd-steer is in the file", true},
		"type": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			table(tb, "galera-nodes").Type = "string"
			return s, tb
		}, 35, "has type integer here and string in the running HAProxy", true},
		"size": {func(s []ObservedServer, tb []ObservedTable) ([]ObservedServer, []ObservedTable) {
			table(tb, "galera-nodes").Size = 1
			return s, tb
		}, 35, "has size 102400 here and 1 in the running HAProxy", false},
	} {
		t.Run(name, func(t *testing.T) {
			servers, tables := asRunning(top)
			if c.change != nil {
				servers, tables = c.change(servers, tables)
			}
			got := Compare(top, servers, tables)
			if c.what == "" {
				if len(got) > 0 {
					t.Error(got)
				}
				return
			}
			if len(got) != 1 || got[0].Where != (Position{"testdata/design.cfg", c.line}) || got[0].Blocking != c.blocking || !strings.Contains(got[0].What, c.what) {
				t.Errorf("%+v, want %+v", got, c)
			}
			if s := got[0].String(); !strings.HasPrefix(s, "testdata/design.cfg:") || strings.Contains(s, "\n") {
				t.Errorf("%q", s)
			}
		})
	}
}

// A server keyword that config-parser does not know must not turn its value into another keyword.
func TestServerOptions(t *testing.T) {
	words := strings.Fields("check hash-key id inter 5 guid backup init-state up strict-maxconn id 7")
	_, unknown := serverOptions(words)
	o := options{}
	o.apply(words)
	if diff := cmp.Diff(options{"check": "", "inter": "5", "id": "7"}, o); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(strings.Fields("hash-key id guid backup init-state up strict-maxconn"), unknown); diff != "" {
		t.Error(diff)
	}
	o.apply(strings.Fields("no-check disabled backup no-backup"))
	if diff := cmp.Diff(options{"inter": "5", "id": "7", "disabled": ""}, o); diff != "" {
		t.Error(diff)
	}
}
