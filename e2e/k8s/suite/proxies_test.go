package suite

import (
	"maps"
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func TestParseTable(t *testing.T) {
	// As HAProxy 2.6 and 3.0 print it: by key where the table has learnt one, else by id.
	got := parseTable(`# table: galera-nodes, type: integer, size:102400, used:2
0x5628: key=1 use=0 exp=0 shard=0 server_id=2 server_key=pxc-1
0x5629: key=7 use=0 exp=0 server_id=3

`, []string{"pxc-0", "pxc-1", "pxc-2"})
	if want := map[string]string{"1": "pxc-1", "7": "pxc-2"}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Each thing that is not as agreed is found by itself.
func TestWrong(t *testing.T) {
	good := func() look {
		return look{pod: "haproxy-0", tables: map[string]map[string]string{private: {"1": "pxc-1"}, writers: {"1": "pxc-1"}},
			status: api.Status{Active: api.Active{Active: "pxc-1", Epoch: 3, Agreed: true},
				Members: []api.Member{{Name: "haproxy-1"}, {Self: true, Proxy: &api.Proxy{Effective: "pxc-1", Converged: true, Sessions: map[string]int{"pxc-1": 4, "pxc-0": 0}}}}}}
	}
	record := api.Active{Active: "pxc-1", Epoch: 3}
	if wrong := good().wrong(record); wrong != "" {
		t.Error(wrong)
	}
	for want, spoil := range map[string]func(*look){
		"not agreed":     func(l *look) { l.status.Active.Agreed = false },
		"another record": func(l *look) { l.status.Active.Epoch = 2 },
		"routes to":      func(l *look) { l.self().Effective = "pxc-0" },
		"sessions on":    func(l *look) { l.self().Sessions["pxc-0"] = 1 },
		"fenced":         func(l *look) { l.self().Fenced = "no majority" },
		"private table":  func(l *look) { l.tables[private]["1"] = "pxc-2" },
		"native table":   func(l *look) { l.tables[writers]["9"] = "pxc-2" },
		"its own proxy":  func(l *look) { l.status.Members[1].Self = false },
	} {
		l := good()
		spoil(&l)
		if wrong := l.wrong(record); !strings.Contains(wrong, want) {
			t.Errorf("%s: %q", want, wrong)
		}
	}
}
