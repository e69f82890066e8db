package steer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// readdressed is a HAProxy in which somebody has set a node's address at run time.
type readdressed struct {
	*fakeHAProxy
	port int
}

func (h *readdressed) Snapshot(ctx context.Context, q runtimeapi.SnapshotQuery) (runtimeapi.Snapshot, error) {
	s, err := h.fakeHAProxy.Snapshot(ctx, q)
	for i := range s.Servers {
		if s.Servers[i].Name == "pxc-2" {
			s.Servers[i].Port = h.port
		}
	}
	return s, err
}

// A node that has another address in HAProxy than where it is probed is told for as long as it is so, and stops nothing.
func TestMovedAddress(t *testing.T) {
	d, _, fake := withProxy(t, clustertest.Config)
	h := &readdressed{fakeHAProxy: fake, port: 3307}
	d.cfg.Dial = func(string) (HAProxy, error) { return h, nil }
	d.Turn(t.Context())
	d.Turn(t.Context())
	l := d.Look()
	if !strings.Contains(l.Moved, "pxc-2 is 10.0.0.3:3306 here, which is probed and voted on, and 10.0.0.3:3307 in the running HAProxy") {
		t.Errorf("%q", l.Moved)
	}
	if !l.Want.MayWrite || !l.Result.Converged || l.Problem != "" {
		t.Errorf("%+v", l)
	}
	h.port = 3306
	d.compared = time.Time{}
	if d.Turn(t.Context()); d.Look().Moved != "" {
		t.Errorf("%q", d.Look().Moved)
	}
}
