package runtimeapi

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recordings are the files of testdata/X.Y and the lines that they answer. SESSION stands
// for the id of the recorder's own session.
var recordings = []struct{ file, socket, line string }{
	{"info.txt", "admin.sock", "show info"},
	{"tables.txt", "admin.sock", "show table"},
	{"table.txt", "admin.sock", "show table galera-nodes"},
	{"table-strings.txt", "admin.sock", "show table strings"},
	{"table-empty.txt", "admin.sock", "show table nothing"},
	{"table-key.txt", "admin.sock", "show table galera-nodes key 2"},
	{"table-key-missing.txt", "admin.sock", "show table galera-nodes key 9"},
	{"table-unknown.txt", "admin.sock", "show table nope"},
	{"table-hidden.txt", "user.sock", "show table galera-nodes"},
	{"servers-state.txt", "admin.sock", "show servers state"},
	{"servers-state-none.txt", "admin.sock", "show servers state nothing"},
	{"servers-state-unknown.txt", "admin.sock", "show servers state nope"},
	{"stat.txt", "admin.sock", "show stat -1 4 -1"},
	{"sess.txt", "admin.sock", "show sess"},
	{"sess-detail.txt", "admin.sock", "show sess SESSION"},
	{"sess-all.txt", "admin.sock", "show sess all"},
	{"sess-gone.txt", "admin.sock", "show sess 0x1"},
	{"set-ok.txt", "admin.sock", "set table galera-nodes key 2 data.server_id 3"},
	{"set-denied.txt", "user.sock", "set table galera-nodes key 2 data.server_id 3"},
	{"set-severity.txt", "severe.sock", "set table nope key 2 data.server_id 3"},
	{"shutdown-gone.txt", "admin.sock", "shutdown session 0x1"},
	{"unknown-command.txt", "admin.sock", "bogus"},
	{"clear-set.txt", "admin.sock", "clear table steer key 1;set table steer key 1 data.server_id 2"},
	{"clear-set-refused.txt", "admin.sock", "clear table nope key 1;set table nope key 1 data.server_id 2"},
	{"snapshot.txt", "admin.sock", snapshotLine},
	{"snapshot-refused.txt", "admin.sock", "show info;show table nope;show servers state;show stat -1 4 -1"},
}

// snapshotLine is what the query of the tests sends.
const snapshotLine = "show info;show table galera-nodes;show table steer;show table nothing;show servers state;show stat -1 4 -1"

// TestRecord writes testdata anew from real processes; doc.go says how to run it.
func TestRecord(t *testing.T) {
	if os.Getenv("RUNTIMEAPI_RECORD") == "" {
		t.Skip("a tool, not a test: set RUNTIMEAPI_RECORD=1 to write testdata anew")
	}
	for version, binary := range binaries(t) {
		if version == "installed" {
			continue // it has no fixed version
		}
		t.Run(version, func(t *testing.T) { record(t, version, binary) })
	}
}

func record(t *testing.T, version, binary string) {
	p, client := settled(t, binary)
	sessions, err := client.Sessions(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	for _, session := range sessions {
		if session.Server != "" {
			id = session.ID
		}
	}
	dir := filepath.Join("testdata", version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, r := range recordings {
		line := strings.ReplaceAll(r.line, "SESSION", id)
		reply, err := rawExchange(filepath.Join(p.Dir, r.socket), line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := os.WriteFile(filepath.Join(dir, r.file), []byte(reply), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// settled starts a HAProxy and its peer and brings them into the recorded state: one
// client session on pxc-0, an entry by traffic under key 1 and one by hand under key 2, a
// key with a blank, pxc-1 drained, the peer connected.
func settled(t *testing.T, binary string) (*process, *Client) {
	t.Helper()
	ctx := context.Background()
	p := start(t, binary)
	startPeer(t, p, binary)
	client := p.client(t, "admin.sock")
	// A server counts as up until its first check is done.
	eventually(t, func() (bool, string) {
		look, err := client.Snapshot(ctx, SnapshotQuery{Servers: true, Stats: true})
		if err != nil {
			return false, err.Error()
		}
		rising, falling := false, false
		for i, server := range look.Servers {
			rising = rising || server.Name == "pxc-1" && look.Stats[i].CheckHealth == 4
			falling = falling || server.Name == "local" && server.OpState == OpStopped
		}
		return rising && falling, "the checks' results"
	})
	p.connect(t)
	for _, line := range []string{
		"set table galera-nodes key 2 data.server_id 3",
		"set table steer key 1 data.server_id 2",
		`set table strings key a\ b data.server_id 1`,
	} {
		if reply, err := rawExchange(p.admin(), line); err != nil || reply != "\n" {
			t.Fatalf("%s: %q, %v", line, reply, err)
		}
	}
	if err := client.SetServerState(ctx, "galera-nodes", "pxc-1", Drain); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		peers, err := rawExchange(p.admin(), "show peers")
		if err != nil {
			return false, err.Error()
		}
		_, px1, _ := strings.Cut(peers, "id=px1(")
		return strings.Contains(px1, "last_status=ESTA") && strings.Contains(px1, "last_pushed=2"), px1
	})
	return p, client
}

// startPeer runs a second HAProxy as px1 of p's peers.
func startPeer(t *testing.T, p *process, binary string) *process {
	t.Helper()
	ports := freePorts(t, 2)
	peer := &process{
		Name: "px1", Front: ports[0], Self: ports[1], Dead: p.Dead,
		Peer0: p.Peer0, Peer1: p.Peer1, Node0: p.Node0, Node1: p.Node1,
	}
	dir, err := os.MkdirTemp("", "runtimeapi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	peer.Dir = dir
	if !peer.run(t, binary) {
		t.Fatalf("the peer does not start:\n%s", peer.log())
	}
	return peer
}
