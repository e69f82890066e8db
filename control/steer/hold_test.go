package steer

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
)

// Everything of a hold is in place before a client could be sent to the new node:
// the third servers out, the placeholder there, and then nobody else passes.
func TestHoldIsPlaced(t *testing.T) {
	h := newHolding(t)
	if held, err := h.turn(); held || err != nil {
		t.Fatalf("%t, %v", held, err)
	}
	if got, want := h.commands(), []string{"weight pxc-2 0", "key 3 = 2", "maxconn pxc-1 1"}; !slices.Equal(got, want) {
		t.Errorf("commands %q, want %q", got, want)
	}
	if held, err := h.turn(); !held || err != nil {
		t.Errorf("%t, %v", held, err)
	}
	if n := h.look().Servers[heldBackend]["pxc-1"].Sessions; n != 1 {
		t.Errorf("%d placeholders", n)
	}
}

// MySQL's X protocol has the client speak first: the placeholder has its place all the same.
func TestHoldWithoutAGreeting(t *testing.T) {
	h := newHolding(t)
	h.silent = true
	if held, err := h.turn(); held || err != nil {
		t.Fatalf("%t, %v", held, err)
	}
	if held, err := h.turn(); !held || err != nil {
		t.Errorf("%t, %v", held, err)
	}
}

func TestHoldIsReleased(t *testing.T) {
	for _, before := range []int{0, 50} {
		h := newHolding(t)
		h.servers["pxc-1"].limit = before
		h.held()
		h.servers["pxc-1"].queue = 9
		h.want.Move = nil
		h.over()
		if s := h.servers["pxc-1"]; s.queue != 0 || s.clients != 9 || s.limit != before {
			t.Errorf("maxconn %d before: %+v", before, s)
		}
		if w := h.servers["pxc-2"].weight; w != 1 {
			t.Errorf("the third server's weight is %d", w)
		}
		if _, up := h.keys["3"]; up {
			t.Error("the hold key is left")
		}
		if len(h.hold.conns) != 0 {
			t.Error("a placeholder is left")
		}
	}
}

// A hold that is given back hands those who wait to the old node, not to a third
// one, and not to the one that they waited for.
func TestHoldIsGivenBack(t *testing.T) {
	h := newHolding(t)
	h.held()
	h.servers["pxc-1"].queue = 9
	h.want.Active, h.want.Move, h.want.Version.Epoch = "pxc-0", nil, 8
	h.over()
	if h.servers["pxc-0"].clients != 9 || h.servers["pxc-1"].clients != 0 || h.servers["pxc-2"].clients != 0 {
		t.Errorf("pxc-0 %+v, pxc-1 %+v, pxc-2 %+v", h.servers["pxc-0"], h.servers["pxc-1"], h.servers["pxc-2"])
	}
	if s := h.servers["pxc-1"]; s.maint || s.limit != 0 {
		t.Errorf("left behind: %+v", s)
	}
	if w := h.servers["pxc-2"].weight; w != 1 {
		t.Errorf("the third server's weight is %d", w)
	}
}

// Nothing is written on a decision that does not stand any more: not the next
// command of a hold that is being placed, nor the queue to another node.
func TestHoldStopsWhereTheDecisionDoesNotStand(t *testing.T) {
	h := newHolding(t)
	h.before = func(command string) {
		if command == "key 3 = 2" {
			h.stands = false // no majority from here on
		}
	}
	if _, err := h.turn(); !errors.Is(err, errStale) {
		t.Errorf("got %v", err)
	}
	if got := h.commands(); slices.Contains(got, "maxconn pxc-1 1") {
		t.Errorf("a hold was placed without a majority: %q", got)
	}
	h.before, h.want.MayWrite = nil, false
	h.over()
	if w := h.servers["pxc-2"].weight; w != 1 {
		t.Errorf("the third server's weight is %d", w)
	}

	h = newHolding(t)
	h.held()
	h.servers["pxc-1"].queue = 9
	h.want.Active, h.want.Move, h.stands = "pxc-0", nil, false
	if _, err := h.turn(); !errors.Is(err, errStale) || len(h.commands()) > 0 || h.servers["pxc-1"].queue != 9 {
		t.Errorf("got %v, %+v", err, h.servers["pxc-1"])
	}
}

// Without the majority's word, or past its bound, a hold ends by itself.
func TestHoldEndsByItself(t *testing.T) {
	for name, change := range map[string]func(*holding){
		"no majority":       func(h *holding) { h.want.MayWrite = false },
		"its bound is over": func(h *holding) { h.want.MoveAge = 2*time.Second + mandate.HoldGrace },
	} {
		h := newHolding(t)
		h.held()
		h.servers["pxc-1"].queue = 9
		change(h)
		h.over()
		if s := h.servers["pxc-1"]; s.limit != 0 || s.queue != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A daemon that was killed while it held takes all of it back when it starts.
func TestHoldOfAKilledDaemon(t *testing.T) {
	h := newHolding(t)
	h.servers["pxc-1"].limit = 50
	h.held()
	h.servers["pxc-1"].queue = 3
	h.start()
	h.want.MayWrite, h.want.Move = false, nil // it knows nothing yet
	h.over()
	if s := h.servers["pxc-1"]; s.limit != 50 || s.queue != 0 || h.servers["pxc-2"].weight != 1 {
		t.Errorf("%+v, %+v", s, h.servers["pxc-2"])
	}
	h.start()
	if h.hold.busy() {
		t.Error("it is not forgotten on disk")
	}
}

// One that was killed twice, the second time while it placed a hold over what the
// first had left, still goes back to what was there before the first.
func TestHoldOverALeftover(t *testing.T) {
	h := newHolding(t)
	h.servers["pxc-1"].limit = 50
	h.held()
	h.start()
	h.now = h.now.Add(time.Second)
	h.held()
	h.want.Move = nil
	h.over()
	if s := h.servers["pxc-1"]; s.limit != 50 || h.servers["pxc-2"].weight != 1 {
		t.Errorf("%+v, %+v", s, h.servers["pxc-2"])
	}
}

// What an operator has set meanwhile is not undone.
func TestHoldLeavesWhatAnOperatorHasSet(t *testing.T) {
	h := newHolding(t)
	h.held()
	h.servers["pxc-1"].limit, h.servers["pxc-2"].weight = 200, 7
	h.want.Move = nil
	h.over()
	if h.servers["pxc-1"].limit != 200 || h.servers["pxc-2"].weight != 7 {
		t.Errorf("%+v, %+v", h.servers["pxc-1"], h.servers["pxc-2"])
	}
}

// HAProxy was restarted: the new process has nothing of the hold, and gets it again.
func TestHoldOverARestart(t *testing.T) {
	h := newHolding(t)
	h.held()
	h.servers["pxc-1"].limit, h.servers["pxc-2"].weight = 0, 1
	h.hold.drop()
	h.hold.proc = process{Pid: 8, Started: h.now}
	h.hold.undo.restarted(h.hold.proc)
	h.now = h.now.Add(time.Second)
	h.held()
	h.want.Move = nil
	h.over()
	if s := h.servers["pxc-1"]; s.limit != 0 || h.servers["pxc-2"].weight != 1 {
		t.Errorf("%+v, %+v", s, h.servers["pxc-2"])
	}
}

// A placeholder that still keeps its place is not let go for the sake of another.
func TestHoldKeepsAPlaceholderThatHolds(t *testing.T) {
	h := newHolding(t)
	second := h.layout.Backends[0]
	second.Name = "galera-admin-nodes"
	h.layout.Backends = append(h.layout.Backends, second)
	obs := h.look()
	obs.Servers[second.Name] = obs.Servers[heldBackend]
	if err := h.hold.place(t.Context(), h.at(obs, func() bool { return true })); err != nil {
		t.Fatal(err)
	}
	first := h.hold.conns[heldBackend]
	obs = h.look() // the second backend's server has lost its limit
	obs.Servers[second.Name] = newQueueHAProxy(t).look().Servers[heldBackend]
	if err := h.hold.place(t.Context(), h.at(obs, func() bool { return true })); err != nil {
		t.Fatal(err)
	}
	if first == nil || h.hold.conns[heldBackend] != first {
		t.Error("the placeholder that held was dropped: a client went to the new node")
	}
}

// A hold that cannot be placed is not tried at every look: each try is a connection
// that never logs in, and the database counts these.
func TestHoldIsNotTriedTooOften(t *testing.T) {
	h := newHolding(t)
	h.fail["maxconn"] = errors.New("no")
	for range 50 {
		if held, err := h.turn(); held || err == nil {
			t.Fatalf("%t, %v", held, err)
		}
	}
	n := 0
	for _, c := range h.commands() {
		if c == "key 3 = 2" {
			n++
		}
	}
	if limit := int(time.Second/placeAgain) + 1; n < 2 || n > limit {
		t.Errorf("%d tries in a second", n)
	}
	h.fail["maxconn"] = nil
	h.want.Move = nil
	h.over()
}

// Nothing is changed that could not be noted before.
func TestHoldNotesFirst(t *testing.T) {
	h := newHolding(t)
	h.path = h.path + "/nowhere/changes.json"
	h.start()
	if held, err := h.turn(); held || err == nil || len(h.commands()) > 0 {
		t.Errorf("%t, %v", held, err)
	}
	if _, err := os.Stat(h.path); err == nil {
		t.Error("written after all")
	}
}

// Where the file does not name a server any more that runs, what was changed there
// is not forgotten.
func TestHoldRemembersWhatTheFileDoesNotName(t *testing.T) {
	h := newHolding(t)
	h.held()
	h.want.MayWrite, h.hold.differs = false, true
	obs := h.look()
	delete(obs.Servers[heldBackend], "pxc-2")
	for range 3 {
		if _, err := h.hold.turn(t.Context(), h.at(obs, func() bool { return false })); err != nil {
			t.Fatal(err)
		}
	}
	if !h.hold.undo.mine(changeWeight, heldBackend, "pxc-2") {
		t.Error("the weight of pxc-2 is 0 for ever")
	}
	h.hold.differs = false
	h.over()
	if w := h.servers["pxc-2"].weight; w != 1 {
		t.Errorf("the third server's weight is %d", w)
	}
}

// A file that differs from what runs stops the daemon's writing, and not the end of
// its own hold: nobody would end it otherwise.
func TestHoldEndsWhereTheFileDiffers(t *testing.T) {
	d, _, h := withProxy(t, clustertest.Config)
	p := d.Proxy
	p.Turn(t.Context())
	x := change{Kind: changeMaxconn, Backend: "galera-nodes", Server: "pxc-1", Before: 50}
	if err := p.undo.begin(p.proc, x); err != nil {
		t.Fatal(err)
	}
	h.limits = map[string]int{"galera-nodes/pxc-1": holdMaxconn}
	p.differs, p.compared = "it differs", p.cfg.Now()
	p.Turn(t.Context())
	if h.calls["maxconn galera-nodes/pxc-1 50"] != 1 || p.hold.busy() {
		t.Errorf("one client at a time until somebody reloads: %v", h.calls)
	}
}
