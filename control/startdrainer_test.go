package control

import (
	"context"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// fakeInspector sees nobody, and lacks nothing.
type fakeInspector struct{}

func (fakeInspector) Sessions(context.Context) ([]sessions.ClientSession, error) { return nil, nil }
func (fakeInspector) Session(context.Context, uint64) (sessions.ClientSession, error) {
	return sessions.ClientSession{}, sessions.ErrNoSession
}
func (fakeInspector) Applied(context.Context) (int64, error) { return 0, nil }
func (fakeInspector) Lacks(context.Context) (string, error)  { return "", nil }
func (fakeInspector) Close()                                 {}

// connecting is a HAProxy with one session that is not connected yet: it is asked for
// again at every pass of a drainer.
type connecting struct {
	fakeHAProxy
	looked chan struct{}
}

func (h *connecting) Sessions(context.Context) ([]runtimeapi.Session, error) {
	return []runtimeapi.Session{{ID: "0x1", Source: "10.1.1.1:4001", Backend: "galera-nodes", Server: "pxc-0"}}, nil
}

func (h *connecting) SessionDetail(ctx context.Context, _ string) (runtimeapi.Session, error) {
	all, err := h.Sessions(ctx)
	nudge.Send(h.looked)
	return all[0], err
}

// The file may be read again while a drainer runs: a move rewrites it.
func TestDrainerWhileTheFileIsReadAgain(t *testing.T) {
	d, _, _ := withProxy(t, testConfig)
	d.proxy.inspect = func(string) (Inspector, error) { return &fakeInspector{}, nil }
	h := &connecting{looked: make(chan struct{}, 1)}
	d.proxy.client = h
	want := mandate.Want{Move: &model.Move{From: "pxc-0", To: "pxc-1"}}
	stop, err := d.proxy.startDrainer(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for range 3 { // go test -race sees it
		<-h.looked
		d.files.Use(d.files.Topo)
	}
}
