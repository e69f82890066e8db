package steer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// queueHAProxy is a HAProxy with what a hold is made of: servers with a maxconn, a
// weight, a state and a queue, the private table, and a hold frontend on a unix
// socket. It does what 2.6 did: a limit of 0 does not wake a queue, and maint of a
// server that is up hands its queue to the server that balancing is left with.
type queueHAProxy struct {
	HAProxy
	t *testing.T

	lmu     sync.Mutex
	servers map[string]*queueServer // by name; one sticky backend
	keys    map[string]int          // the private table
	open    int                     // placeholders
	silent  bool                    // the nodes let their clients speak first
	way     string                  // the key by which placeholders come to their node
	log     []string
	fail    map[string]error // by the command's first word
	before  func(command string)
}

type queueServer struct {
	id, limit, weight, clients, queue int
	maint                             bool
}

const heldBackend = "galera-nodes"

func newQueueHAProxy(t *testing.T) *queueHAProxy {
	h := &queueHAProxy{t: t, way: "3", keys: map[string]int{}, fail: map[string]error{}, servers: map[string]*queueServer{
		"pxc-0": {id: 1, weight: 1}, "pxc-1": {id: 2, weight: 1}, "pxc-2": {id: 3, weight: 1},
	}}
	return h
}

// listen is the hold frontend: it greets, and its connection is one to the node of the hold key.
func (h *queueHAProxy) listen(network, address string) string {
	l, err := net.Listen(network, address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.lmu.Lock()
			h.open++
			silent := h.silent
			h.lmu.Unlock()
			go func() {
				if !silent {
					_, _ = c.Write([]byte("J"))
				}
				_, _ = io.Copy(io.Discard, c)
				h.lmu.Lock()
				h.open--
				h.lmu.Unlock()
			}()
		}
	}()
	return l.Addr().String()
}

// do notes a command; an error of the test's is the answer.
func (h *queueHAProxy) do(word, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if h.before != nil {
		h.before(text)
	}
	h.lmu.Lock()
	defer h.lmu.Unlock()
	if err := h.fail[word]; err != nil {
		return err
	}
	h.log = append(h.log, text)
	return nil
}

func (h *queueHAProxy) SetTable(_ context.Context, _, key string, id int) error {
	if err := h.do("key", "key %s = %d", key, id); err != nil {
		return err
	}
	h.keys[key] = id
	return nil
}

func (h *queueHAProxy) ClearSetTable(_ context.Context, _, key string, id int) error {
	if err := h.do("again", "key %s again = %d", key, id); err != nil {
		return err
	}
	h.keys[key] = id
	return nil
}

func (h *queueHAProxy) ClearTable(_ context.Context, _, key string) error {
	delete(h.keys, key)
	return h.do("key", "clear key %s", key)
}

func (h *queueHAProxy) SetServerMaxconn(_ context.Context, _, s string, n int) error {
	if err := h.do("maxconn", "maxconn %s %d", s, n); err != nil {
		return err
	}
	h.lmu.Lock()
	defer h.lmu.Unlock()
	h.servers[s].limit = n
	if n > holdMaxconn {
		h.servers[s].clients += h.servers[s].queue
		h.servers[s].queue = 0
	}
	return nil
}

func (h *queueHAProxy) SetServerWeight(_ context.Context, _, s string, w int) error {
	if err := h.do("weight", "weight %s %d", s, w); err != nil {
		return err
	}
	h.servers[s].weight = w
	return nil
}

func (h *queueHAProxy) SetServerState(_ context.Context, _, s string, m runtimeapi.ServerMode) error {
	if err := h.do("state", "state %s %s", s, m); err != nil {
		return err
	}
	h.servers[s].maint = m == runtimeapi.Maint
	return nil
}

func (h *queueHAProxy) HandOverQueue(_ context.Context, _, s string) error {
	if err := h.do("hand", "hand over %s", s); err != nil {
		return err
	}
	from := h.servers[s]
	from.maint = true
	for name, o := range h.servers {
		if name != s && !o.maint && o.weight > 0 {
			o.clients += from.queue
			from.queue = 0
		}
	}
	return nil
}

// look is what a snapshot says of the servers.
func (h *queueHAProxy) look() *plan.Observed {
	h.lmu.Lock()
	defer h.lmu.Unlock()
	servers := map[string]plan.ServerNow{}
	for name, s := range h.servers {
		now := plan.ServerNow{
			Running: !s.maint && s.weight > 0, Drain: !s.maint, Weight: s.weight, Limit: s.limit, Queue: s.queue, Sessions: s.clients,
		}
		switch {
		case s.id != h.keys[h.way]:
		case s.limit > 0 && s.clients >= s.limit:
			now.Queue += h.open
		default:
			now.Sessions += h.open
		}
		servers[name] = now
	}
	return &plan.Observed{Servers: map[string]map[string]plan.ServerNow{heldBackend: servers}}
}

func (h *queueHAProxy) commands() []string {
	h.lmu.Lock()
	defer h.lmu.Unlock()
	out := h.log
	h.log = nil
	return out
}

// holding is a hold on such a HAProxy, and what turns it.
type holding struct {
	*queueHAProxy
	hold   hold
	layout plan.Layout
	want   mandate.Want
	stands bool
	now    time.Time
	path   string
}

// newHolding moves from pxc-0 to pxc-1, with pxc-2 as the third.
func newHolding(t *testing.T) *holding {
	h := &holding{queueHAProxy: newQueueHAProxy(t), stands: true, now: time.Now(), path: filepath.Join(t.TempDir(), "changes.json")}
	h.layout = plan.Layout{
		Steer: &plan.Steer{Table: "steer", ActiveKey: "1", FenceKey: "2", HoldKey: "3"},
		Backends: []plan.Backend{{Name: heldBackend, Table: heldBackend, Keys: []string{"1"}, HoldSocket: h.listen("unix", filepath.Join(t.TempDir(), "hold.sock")), Servers: []plan.Server{
			{Name: "pxc-0", ID: 1}, {Name: "pxc-1", ID: 2, Backup: true}, {Name: "pxc-2", ID: 3, Backup: true},
		}}},
	}
	h.want = mandate.Want{
		Known: true, MayWrite: true, Active: "pxc-1", Version: cluster.Version{Epoch: 7, Revision: 1},
		Move: &model.Move{From: "pxc-0", To: "pxc-1", Hold: true, Phase: model.PhaseDrain, Drain: model.DrainTransactions, TimeoutMS: 10_000, MaxHoldMS: 2000},
	}
	h.start()
	t.Cleanup(func() { h.hold.drop() })
	return h
}

// start is what a daemon that starts does: it reads what an earlier one has left.
func (h *holding) start() {
	h.hold.drop()
	u := newUndo(h.path, slog.New(slog.DiscardHandler))
	h.hold = hold{undo: u, handsOver: true, proc: process{Pid: 7, Started: h.now}}
}

// at is a turn that sees obs.
func (h *holding) at(obs *plan.Observed, stands func() bool) *turn {
	return &turn{now: h.now, full: true, client: h, layout: &h.layout, want: h.want, obs: *obs, stands: stands}
}

// turn takes one look.
func (h *holding) turn() (bool, error) {
	h.t.Helper()
	h.now = h.now.Add(20 * time.Millisecond)
	return h.hold.turn(context.Background(), h.at(h.look(), func() bool { return h.stands }))
}

// held turns until new connections wait.
func (h *holding) held() {
	h.t.Helper()
	if held, err := h.turn(); held || err != nil {
		h.t.Fatalf("the look that places it cannot tell yet: %t, %v", held, err)
	}
	if held, err := h.turn(); !held || err != nil {
		h.t.Fatalf("not held: %t, %v (%v)", held, err, h.commands())
	}
	h.commands()
}

// over turns until nothing of a hold is left, and tells the commands.
func (h *holding) over() []string {
	h.t.Helper()
	for range 10 {
		if _, err := h.turn(); err != nil {
			h.t.Fatal(err)
		}
		if !h.hold.busy() {
			return h.commands()
		}
	}
	h.t.Fatalf("a hold is left behind: %+v, after %v", h.hold.undo.changes, h.commands())
	return nil
}
