package steer

import (
	"context"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// fakeInspector sees nobody.
type fakeInspector struct{}

func (fakeInspector) Sessions(context.Context) ([]sessions.ClientSession, error) { return nil, nil }
func (fakeInspector) Session(context.Context, uint64) (sessions.ClientSession, error) {
	return sessions.ClientSession{}, sessions.ErrNoSession
}

// connecting is a HAProxy with one session that is not connected yet: it is asked for
// again at every pass of a drainer.
type connecting struct {
	HAProxy
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
	p := newTestProxy(t)
	p.cfg.Inspect = func(string) (drain.Inspector, error) { return &fakeInspector{}, nil }
	h := &connecting{looked: make(chan struct{}, 1)}
	p.client = h
	want := mandate.Want{Move: &model.Move{From: "pxc-0", To: "pxc-1"}}
	stop, err := p.startDrainer(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for range 3 { // go test -race sees it
		<-h.looked
		p.files.Use(p.files.Topo)
	}
}
