package vote

import (
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/galera"
)

func TestShutOut(t *testing.T) {
	node := func(v galera.Verdict, c galera.Class) galera.NodeStatus {
		return galera.NodeStatus{Node: "pxc-0", State: galera.State{Verdict: v, Class: c, Reason: "run GRANT"}}
	}
	tls, denied := node(galera.Unknown, galera.ClassTLS), node(galera.Unknown, galera.ClassAccessDenied)
	for _, c := range []struct {
		name   string
		probes []galera.NodeStatus
		want   bool
	}{
		{"no node", nil, false},
		{"all want TLS", []galera.NodeStatus{tls, tls, tls}, true},
		{"TLS here, a password there", []galera.NodeStatus{tls, denied}, true},
		{"one lets it in", []galera.NodeStatus{tls, node(galera.Healthy, galera.ClassSynced), tls}, false},
		{"one is down", []galera.NodeStatus{tls, node(galera.Down, galera.ClassRefused)}, false},
		{"one failure of two", []galera.NodeStatus{tls, node(galera.Unknown, galera.ClassRefused)}, false},
		{"not probed yet", []galera.NodeStatus{node(galera.Unknown, galera.ClassNotProbed)}, false},
		{"too many connections", []galera.NodeStatus{node(galera.Unknown, galera.ClassTooManyConns)}, false},
	} {
		got := shutOut(c.probes)
		if (got != "") != c.want || c.want && !strings.Contains(got, "pxc-0: run GRANT") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
