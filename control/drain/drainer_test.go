package drain

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// drainHAProxy has sessions to pxc-0; its own port towards the node is the id's number.
type drainHAProxy struct {
	list    []runtimeapi.Session
	closed  []string
	details int                       // commands that asked for all
	change  func(*runtimeapi.Session) // what a look at one session finds changed
	gone    func(id string) bool      // ended meanwhile
}

func session(n int) runtimeapi.Session {
	port := strconv.Itoa(4000 + n)
	return runtimeapi.Session{ID: "0x" + strconv.Itoa(n), Source: "10.1.1.1:" + port, Backend: "w", Server: "pxc-0", LocalAddr: "10.0.0.9:" + port}
}

func (h *drainHAProxy) Sessions(context.Context) ([]runtimeapi.Session, error) {
	out := slices.Clone(h.list)
	for i := range out {
		out[i].LocalAddr = "" // the list does not tell
	}
	return out, nil
}

func (h *drainHAProxy) SessionDetails(context.Context, string, string) ([]runtimeapi.Session, error) {
	h.details++
	return slices.Clone(h.list), nil
}

func (h *drainHAProxy) SessionDetail(_ context.Context, id string) (runtimeapi.Session, error) {
	for _, s := range h.list {
		if s.ID == id && (h.gone == nil || !h.gone(id)) {
			if h.change != nil {
				h.change(&s)
			}
			return s, nil
		}
	}
	return runtimeapi.Session{}, runtimeapi.ErrSessionNotFound
}

func (h *drainHAProxy) ShutdownSession(_ context.Context, id string) error {
	h.closed = append(h.closed, id)
	h.list = slices.DeleteFunc(h.list, func(s runtimeapi.Session) bool { return s.ID == id })
	return nil
}

// fakeInspector has a client for each of HAProxy's sessions.
type fakeInspector struct {
	mu     sync.Mutex
	list   []sessions.ClientSession
	again  func(*sessions.ClientSession) error // what the second look finds
	failed error
}

func client(n int, busy bool) sessions.ClientSession {
	return sessions.ClientSession{ID: uint64(n), Host: "10.0.0.9:" + strconv.Itoa(4000+n), Busy: busy}
}

func (f *fakeInspector) Sessions(context.Context) ([]sessions.ClientSession, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list, f.failed
}

func (f *fakeInspector) Session(_ context.Context, id uint64) (sessions.ClientSession, error) {
	for _, c := range f.list {
		if c.ID != id {
			continue
		}
		var err error
		if f.again != nil {
			err = f.again(&c)
		}
		return c, err
	}
	return sessions.ClientSession{}, sessions.ErrNoSession
}

func TestDrainerCloses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*drainHAProxy, *fakeInspector, *Drainer)
		want   []string
		busy   int
		lost   int // not found in the process list
		err    error
	}{
		{name: "an idle one, not a busy one", change: func(_ *drainHAProxy, i *fakeInspector, _ *Drainer) { i.list[1].Busy = true }, want: []string{"0x1"}, busy: 1},
		{name: "not one that turns busy between the list and the look", change: func(_ *drainHAProxy, i *fakeInspector, _ *Drainer) {
			i.again = func(c *sessions.ClientSession) error { c.Busy = c.ID == 1; return nil }
		}, want: []string{"0x2"}},
		{name: "not one that the database does not know any more", change: func(_ *drainHAProxy, i *fakeInspector, _ *Drainer) {
			i.again = func(c *sessions.ClientSession) error {
				if c.ID == 1 {
					return sessions.ErrNoSession
				}
				return nil
			}
		}, want: []string{"0x2"}},
		{name: "not one whose number is another client's now", change: func(_ *drainHAProxy, i *fakeInspector, _ *Drainer) {
			i.again = func(c *sessions.ClientSession) error { c.Host = "10.0.0.9:9999"; return nil }
		}},
		{name: "not one that has ended in HAProxy", change: func(h *drainHAProxy, _ *fakeInspector, d *Drainer) {
			d.known = map[string]runtimeapi.Session{"0x1": session(1), "0x2": session(2)}
			h.gone = func(id string) bool { return id == "0x1" }
		}, want: []string{"0x2"}},
		{name: "not one that went to another server", change: func(h *drainHAProxy, _ *fakeInspector, d *Drainer) {
			d.known = map[string]runtimeapi.Session{"0x1": session(1), "0x2": session(2)}
			h.change = func(s *runtimeapi.Session) { s.Server = "pxc-1" }
		}},
		{name: "not one whose pointer is another session now", change: func(h *drainHAProxy, _ *fakeInspector, d *Drainer) {
			d.known = map[string]runtimeapi.Session{"0x1": session(1), "0x2": session(2)}
			h.change = func(s *runtimeapi.Session) { s.LocalAddr = "10.0.0.9:9999" }
		}},
		{name: "not one that is not in the process list", change: func(_ *drainHAProxy, i *fakeInspector, _ *Drainer) { i.list = i.list[:1] }, want: []string{"0x1"}, lost: 1},
		{name: "not one of another backend or node", change: func(h *drainHAProxy, _ *fakeInspector, _ *Drainer) {
			h.list[0].Backend, h.list[1].Server = "readers", "pxc-2"
		}},
		{name: "none where the decision does not stand any more", change: func(_ *drainHAProxy, _ *fakeInspector, d *Drainer) { d.May = func() bool { return false } }, err: errNotNow},
		{name: "none where the decision falls during the look", change: func(_ *drainHAProxy, i *fakeInspector, d *Drainer) {
			stands := true
			d.May = func() bool { return stands }
			i.again = func(*sessions.ClientSession) error { stands = false; return nil }
		}, err: errNotNow},
		{name: "not one that was looked at before this process was stopped", change: func(_ *drainHAProxy, i *fakeInspector, _ *Drainer) {
			i.again = func(c *sessions.ClientSession) error {
				if c.ID == 1 {
					time.Sleep(mandate.WriteWithin + time.Millisecond) // the bubble's time
				}
				return nil
			}
		}, want: []string{"0x2"}},
		{name: "none where the node does not tell", change: func(_ *drainHAProxy, i *fakeInspector, _ *Drainer) { i.failed = errSilent }, err: errSilent},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &drainHAProxy{list: []runtimeapi.Session{session(1), session(2)}}
			i := &fakeInspector{list: []sessions.ClientSession{client(1, false), client(2, false)}}
			g := &Progress{of: model.Epoch{N: 7}, view: &model.MoveView{Epoch: 7}}
			d := &Drainer{
				Epoch: model.Epoch{N: 7}, From: "pxc-0", Backends: map[string]bool{"w": true}, HAProxy: h, Inspector: i, Progress: g,
				Proxied: func(*runtimeapi.Session) bool { return false }, May: func() bool { return true },
				Log: slog.New(slog.DiscardHandler), known: map[string]runtimeapi.Session{},
			}
			tt.change(h, i, d)
			if err := d.pass(t.Context()); !errors.Is(err, tt.err) {
				t.Errorf("%s: got %v", tt.name, err)
			}
			v := g.Report()
			if !slices.Equal(h.closed, tt.want) || v.Drained != len(tt.want) || v.InTrx != tt.busy || v.Unmatched != tt.lost {
				t.Errorf("%s: closed %v, want %v; %+v", tt.name, h.closed, tt.want, v)
			}
		})
	}
}

var errSilent = errors.New("no answer")

// Many unknown sessions are asked for with one command, and known ones not again.
func TestDrainerAsksForManyAtOnce(t *testing.T) {
	h, i := &drainHAProxy{}, &fakeInspector{}
	for n := range detailsAtOnce {
		h.list = append(h.list, session(n))
		i.list = append(i.list, client(n, true))
	}
	d := &Drainer{
		From: "pxc-0", Backends: map[string]bool{"w": true}, HAProxy: h, Inspector: i, Progress: &Progress{},
		Proxied: func(*runtimeapi.Session) bool { return false }, May: func() bool { return true }, known: map[string]runtimeapi.Session{},
	}
	h.change = func(*runtimeapi.Session) { t.Error("asked for one by one") }
	for range 2 {
		if err := d.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if h.details != 1 || len(h.closed) > 0 {
		t.Errorf("asked %d times for all, closed %v", h.details, h.closed)
	}
}
