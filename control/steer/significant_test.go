package steer

import (
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// That a check begins to refuse a node is told at once.
func TestRefusedIsSignificant(t *testing.T) {
	l := &published.Look{Reachable: true, Nodes: map[string]published.Node{"pxc-0": {State: model.ServerUp, Refused: true}, "pxc-1": {State: model.ServerDown}}}
	other := *l
	other.Nodes = map[string]published.Node{"pxc-0": {State: model.ServerUp}, "pxc-1": l.Nodes["pxc-1"]}
	if !significant(&other, l) {
		t.Error("a look at which it begins wakes nobody")
	}
	if significant(l, l) {
		t.Error("nothing has changed, and the others are told")
	}
}
