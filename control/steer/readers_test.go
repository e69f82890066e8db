package steer

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// readersHAProxy has a reader backend whose servers are running (0), draining or in
// maintenance.
type readersHAProxy struct {
	HAProxy
	admin map[string]runtimeapi.AdminState
	log   []string
}

func (h *readersHAProxy) SetServerState(_ context.Context, _, s string, m runtimeapi.ServerMode) error {
	h.log = append(h.log, s+" "+string(m))
	h.admin[s] = map[runtimeapi.ServerMode]runtimeapi.AdminState{runtimeapi.Drain: runtimeapi.AdminForcedDrain}[m]
	return nil
}

func (h *readersHAProxy) look() *runtimeapi.Snapshot {
	s := &runtimeapi.Snapshot{}
	for _, n := range []string{"pxc-0", "pxc-1", "pxc-2"} {
		state := runtimeapi.OpRunning
		if h.admin[n].Maint() {
			state = runtimeapi.OpStopped
		}
		s.Servers = append(s.Servers, runtimeapi.ServerState{Backend: "readers", Name: n, UserWeight: 1, OpState: state, Admin: h.admin[n]})
	}
	return s
}

func TestReadersFollow(t *testing.T) {
	p, r := newTestProxy(t), &readersHAProxy{admin: map[string]runtimeapi.AdminState{}}
	p.client, p.cfg.Readers = r, ReadersExcludeActive
	p.files.Readers = []plan.ReaderBackend{{Name: "readers", Servers: []string{"pxc-0", "pxc-1", "pxc-2"}}}
	look := func(want mandate.Want) []string {
		r.log = nil
		p.readers(context.Background(), &turn{now: time.Now(), want: want, snap: r.look(), client: r})
		return r.log
	}
	check := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	active := func(node string) mandate.Want { return mandate.Want{Known: true, MayWrite: true, Active: node} }

	check("without a majority", look(mandate.Want{Known: true, Active: "pxc-0"}))
	check("an order for this proxy alone", look(mandate.Want{Known: true, MayWrite: true, Active: "pxc-0", Local: "pxc-0"}))
	check("the active drains", look(active("pxc-0")), "pxc-0 drain")
	check("once", look(active("pxc-0")))

	// The daemon is killed and starts again; the active has moved meanwhile.
	p.undo = quietUndo(p.undo.path)
	check("the former active comes back", look(active("pxc-1")), "pxc-0 ready", "pxc-1 drain")

	// HAProxy was reloaded: the drain is gone.
	clear(r.admin)
	check("after a reload", look(active("pxc-1")), "pxc-1 drain")

	r.admin["pxc-2"] = runtimeapi.AdminForcedDrain // an operator's
	check("an operator's drain is left alone", look(active("pxc-1")))
	r.admin["pxc-0"] = runtimeapi.AdminForcedMaint
	check("readers are not left without a server", look(active("pxc-1")), "pxc-1 ready")
	check("and the active is not drained again as the last one", look(active("pxc-1")))
	r.admin["pxc-0"] = 0
	check("until another is there", look(active("pxc-1")), "pxc-1 drain")

	p.cfg.Readers = ReadersAll
	check("the policy is gone: only its own drain ends", look(active("pxc-1")), "pxc-1 ready")

	p.cfg.Readers = ReadersExcludeActive
	p.undo = quietUndo(filepath.Join(t.TempDir(), "nowhere", "changes.json"))
	check("nothing is drained that cannot be noted", look(active("pxc-1")))
}
