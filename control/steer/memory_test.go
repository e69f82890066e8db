package steer

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

func TestMemory(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(t.TempDir(), "seen.json")
	started := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	proc := process{Pid: 10, Started: started}
	nodes := func(downs0, downs1 int, state1 model.ServerState) map[string]published.Node {
		return map[string]published.Node{"pxc-0": {State: model.ServerUp, Downs: downs0}, "pxc-1": {State: state1, Downs: downs1}}
	}
	want := func(m *memory, names ...string) {
		t.Helper()
		if got := wentDown(m); !slices.Equal(got, names) && len(got)+len(names) > 0 {
			t.Fatalf("went down: %v, want %v", got, names)
		}
	}

	m := newMemory(path, log)
	m.note(proc, nodes(0, 3, model.ServerUp))
	want(m) // old counts prove nothing to a daemon that never steered this process
	m.steered(time.Now())
	m.save()
	m.note(proc, nodes(0, 3, model.ServerUp))
	want(m)
	m.note(proc, nodes(0, 4, model.ServerUp)) // it went down and came back between two looks
	want(m, "pxc-1")
	m.steered(time.Now())
	m.save()
	want(m)

	// The daemon is gone while pxc-1 goes down and comes back.
	m = newMemory(path, log)
	m.note(proc, nodes(0, 5, model.ServerUp))
	want(m, "pxc-1")

	// HAProxy was restarted meanwhile, so its counts begin at zero.
	m = newMemory(path, log)
	again := process{Pid: 11, Started: started.Add(time.Hour)}
	m.note(again, nodes(0, 0, model.ServerUp))
	want(m)
	m.note(again, nodes(0, 1, model.ServerUp))
	want(m, "pxc-1")

	m = newMemory(path, log)
	m.note(proc, nodes(0, 4, model.ServerDown)) // down now
	want(m, "pxc-1")

	if err := os.WriteFile(path, []byte(`{"process":{"pi`), 0o600); err != nil {
		t.Fatal(err)
	}
	m = newMemory(path, log) // cut in half: as if there were none
	m.note(proc, nodes(0, 9, model.ServerUp))
	want(m)
}
