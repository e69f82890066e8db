package steer

import (
	"slices"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// newWaiting is a hold in a configuration without the private table.
func newWaiting(t *testing.T) *holding {
	h := newHolding(t)
	h.way, h.layout.Steer = "1", nil
	h.layout.Backends[0].Entrance = h.listen("tcp", "127.0.0.1:0")
	h.layout.Backends[0].HoldSocket = ""
	h.keys["1"] = 1
	return h
}

// Without a way of its own to the new node the daemon bounds the node first: nobody
// who follows the table before the placeholder can be followed by another.
func TestHoldByTheClientsWay(t *testing.T) {
	h := newWaiting(t)
	if held, err := h.turn(); held || err != nil {
		t.Fatalf("%t, %v", held, err)
	}
	if got, want := h.commands(), []string{"weight pxc-2 0", "maxconn pxc-1 1", "key 1 again = 2"}; !slices.Equal(got, want) {
		t.Errorf("commands %q, want %q", got, want)
	}
	if held, err := h.turn(); !held || err != nil {
		t.Errorf("%t, %v", held, err)
	}
	if n := h.look().Servers[heldBackend]["pxc-1"].Sessions; n != 1 {
		t.Errorf("%d placeholders", n)
	}
	h.servers["pxc-1"].queue = 9
	h.want.Move = nil
	h.over()
	if s := h.servers["pxc-1"]; s.queue != 0 || s.clients != 9 || s.limit != 0 {
		t.Errorf("after it %+v", s)
	}
	if w := h.servers["pxc-2"].weight; w != 1 {
		t.Errorf("the third server's weight is %d", w)
	}
	if h.keys["1"] != 2 {
		t.Errorf("the table leads to %d", h.keys["1"])
	}
}

// One who came first has the place; the placeholder waits and is not made again.
func TestHoldBehindAClient(t *testing.T) {
	h := newWaiting(t)
	h.silent = true
	h.before = func(command string) {
		if command == "key 1 again = 2" {
			h.servers["pxc-1"].clients = 1
		}
	}
	if held, err := h.turn(); held || err != nil {
		t.Fatalf("%t, %v", held, err)
	}
	h.commands()
	if held, err := h.turn(); !held || err != nil {
		t.Errorf("%t, %v", held, err)
	}
	if got := h.commands(); len(got) > 0 || len(h.hold.conns) != 1 {
		t.Errorf("commands %q, %d placeholders", got, len(h.hold.conns))
	}
}

// Where the queue of a server in maintenance stays, it is not put there: those who
// wait are let go, and whoever is then at the wrong node is closed.
func TestHoldThatCannotBeGivenBack(t *testing.T) {
	h := newWaiting(t)
	h.hold.handsOver = false
	h.held()
	h.servers["pxc-1"].queue = 9
	h.want.Active, h.want.Move, h.want.Version.Epoch = "pxc-0", nil, 8
	got := h.over()
	if h.servers["pxc-1"].clients != 9 || slices.Contains(got, "hand over pxc-1") {
		t.Errorf("%+v after %q", h.servers["pxc-1"], got)
	}
}

func TestCanWait(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*plan.Layout)
		want   bool
	}{
		"stick on":          {func(*plan.Layout) {}, true},
		"no frontend known": {func(l *plan.Layout) { l.Backends[0].Entrance = "" }, false},
		"no key known":      {func(l *plan.Layout) { l.Backends[0].Keys = nil }, false},
		"private table":     {func(l *plan.Layout) { l.Steer = &plan.Steer{} }, false},
	} {
		l := newWaiting(t).layout
		tt.change(&l)
		if got := canWait(&l); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
