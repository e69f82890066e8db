package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

func TestTablesOfARealProcess(t *testing.T) {
	eachBinary(t, func(t *testing.T, binary string) {
		ctx := context.Background()
		p := start(t, binary)
		client := p.client(t, "operator.sock")

		tables, err := client.Tables(ctx)
		if err != nil || len(tables) != 4 {
			t.Fatalf("Tables: %+v, %v", tables, err)
		}
		if _, ok, err := client.TableKey(ctx, "galera-nodes", "1"); ok || err != nil {
			t.Errorf("a key before any traffic: %v, %v", ok, err)
		}
		if err := client.ClearTable(ctx, "galera-nodes", "1"); err != nil {
			t.Errorf("clearing a missing key: %v", err)
		}

		// An entry by traffic has the server's name, which beats an id that is set.
		p.connect(t)
		wantEntry(t, client, "galera-nodes", "1", 1, "pxc-0")
		if err := client.SetTable(ctx, "galera-nodes", "1", 2); err != nil {
			t.Error(err)
		}
		wantEntry(t, client, "galera-nodes", "1", 2, "pxc-0")
		if err := client.ClearSetTable(ctx, "galera-nodes", "1", 2); err != nil {
			t.Error(err)
		}
		wantEntry(t, client, "galera-nodes", "1", 2, "")
		if err := client.ClearTable(ctx, "galera-nodes", "1"); err != nil {
			t.Error(err)
		}
		if table, err := client.table(ctx, "galera-nodes"); err != nil || len(table.Entries) != 0 || table.Size != 102400 || table.Type != "integer" {
			t.Errorf("after the clear: %+v, %v", table, err)
		}
		if err := client.SetTable(ctx, "steer", "1", 3); err != nil {
			t.Error(err)
		}
		wantEntry(t, client, "steer", "1", 3, "")

		// Every character that checkKey lets through arrives as it was sent.
		for _, key := range []string{`a"b`, "a'b", "a#b", "<a", "a=b", "fe_1.x:y-z/", "[::1]", "data.server_id", "%41", "$x", "~!@^&*(){}|>?,`"} {
			if err := client.SetTable(ctx, "strings", key, 1); err != nil {
				t.Errorf("%s: %v", key, err)
				continue
			}
			wantEntry(t, client, "strings", key, 1, "")
		}

		for what, err := range map[string]error{
			"Table":         errOf(client.table(ctx, "nope")),
			"SetTable":      client.SetTable(ctx, "nope", "1", 1),
			"ClearTable":    client.ClearTable(ctx, "nope", "1"),
			"ClearSetTable": client.ClearSetTable(ctx, "nope", "1", 1),
			"Snapshot":      errOf(client.Snapshot(ctx, SnapshotQuery{Info: true, Tables: []string{"nope"}, Stats: true})),
		} {
			var refused *CommandError
			if !errors.As(err, &refused) || refused.Message != "No such table" || refused.Denied() {
				t.Errorf("%s of an unknown table: %v", what, err)
			}
		}
	})
}

// errOf drops a result.
func errOf[T any](_ T, err error) error { return err }

// wantEntry fails unless the key has this id and name, by all ways of asking.
func wantEntry(t *testing.T, client *Client, table, key string, id int, name string) {
	t.Helper()
	var entry Entry
	eventually(t, func() (bool, string) {
		var ok bool
		var err error
		if entry, ok, err = client.TableKey(context.Background(), table, key); err != nil {
			return false, err.Error()
		}
		return ok, "no entry " + key + " in " + table
	})
	if entry.Key != key || entry.ServerID != id || entry.ServerKey != name {
		t.Errorf("%s key %s: %+v, want id %d and name %q", table, key, entry, id, name)
	}
	whole, err := client.table(context.Background(), table)
	if err != nil {
		t.Error(err)
	}
	if found, ok := find(whole, key); !ok || found.ServerID != id || found.ServerKey != name {
		t.Errorf("%s whole: %+v", table, whole)
	}
}

func TestServersOfARealProcess(t *testing.T) {
	eachBinary(t, func(t *testing.T, binary string) {
		ctx := context.Background()
		p := start(t, binary)
		client := p.client(t, "admin.sock")
		server := func(backend, name string) (found ServerState) {
			servers, err := client.serversState(ctx, backend)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range servers {
				if s.Backend != backend {
					t.Errorf("asked for %s, got %s", backend, s.Backend)
				}
				if s.Name == name {
					found = s
				}
			}
			return found
		}
		for to, want := range map[ServerMode]func(nodes, follower ServerState) bool{
			Maint: func(n, f ServerState) bool {
				return n.Admin == AdminForcedMaint && f.Admin == AdminInheritedMaint && n.OpState == OpStopped && !n.Sticks()
			},
			Drain: func(n, f ServerState) bool {
				return n.Admin == AdminForcedDrain && f.Admin == AdminInheritedDrain && n.Sticks()
			},
			Ready: func(n, f ServerState) bool { return n.Admin == 0 && f.Admin == 0 && n.Sticks() },
		} {
			if err := client.SetServerState(ctx, "galera-nodes", "pxc-1", to); err != nil {
				t.Errorf("%s: %v", to, err)
			}
			eventually(t, func() (bool, string) {
				node, follower := server("galera-nodes", "pxc-1"), server("follow", "t1")
				return want(node, follower), fmt.Sprint(to, ": ", node.OpState, " ", mode(node.Admin))
			})
			if got := mode(server("galera-nodes", "pxc-1").Admin); got != string(to) {
				t.Errorf("%s reads as %s", to, got)
			}
		}
		for _, from := range []string{"health down", "health up"} {
			if reply, err := rawExchange(p.admin(), "set server galera-nodes/pxc-1 "+from); err != nil || reply != "\n" {
				t.Fatalf("%s: %q, %v", from, reply, err)
			}
			if err := client.HandOverQueue(ctx, "galera-nodes", "pxc-1"); err != nil {
				t.Errorf("%s: %v", from, err)
			}
			if got := server("galera-nodes", "pxc-1"); !got.Admin.Maint() || got.Sticks() {
				t.Errorf("%s: %s after HandOverQueue", from, mode(got.Admin))
			}
			if err := client.SetServerState(ctx, "galera-nodes", "pxc-1", Ready); err != nil {
				t.Error(err)
			}
		}
		if err := client.SetServerWeight(ctx, "galera-nodes", "pxc-1", 0); err != nil {
			t.Error(err)
		}
		if s := server("galera-nodes", "pxc-1"); s.UserWeight != 0 || s.ID != 2 {
			t.Errorf("after weight 0: %+v", s)
		}
		if err := client.SetServerWeight(ctx, "galera-nodes", "pxc-1", 1); err != nil {
			t.Error(err)
		}
		if s := server("galera-nodes", "pxc-1"); s.UserWeight != 1 {
			t.Errorf("the initial weight is not restored: %+v", s)
		}
		limit := func() int {
			stats, err := client.stats(ctx)
			if err != nil || len(stats) != 7 {
				t.Fatalf("%d stats, %v", len(stats), err)
			}
			return stats[1].SessionLimit
		}
		if got := limit(); got != 0 {
			t.Errorf("maxconn is %d before it was set", got)
		}
		for _, n := range []int{7, 0} {
			if err := client.SetServerMaxconn(ctx, "galera-nodes", "pxc-1", n); err != nil {
				t.Error(err)
			}
			if got := limit(); got != n {
				t.Errorf("maxconn is %d, set was %d", got, n)
			}
		}
		for what, err := range map[string]error{
			"state":    client.SetServerState(ctx, "galera-nodes", "nope", Maint),
			"weight":   client.SetServerWeight(ctx, "galera-nodes", "nope", 1),
			"queue":    client.HandOverQueue(ctx, "galera-nodes", "nope"),
			"maxconn":  client.SetServerMaxconn(ctx, "nope", "pxc-1", 1),
			"shutdown": client.ShutdownSessionsServer(ctx, "nope", "pxc-1"),
			"show":     errOf(client.serversState(ctx, "nope")),
		} {
			var refused *CommandError
			if !errors.As(err, &refused) || refused.Denied() {
				t.Errorf("%s of an unknown server: %v", what, err)
			}
		}
		operator := p.client(t, "operator.sock")
		for what, err := range map[string]error{
			"state":     operator.SetServerState(ctx, "galera-nodes", "pxc-1", Maint),
			"weight":    operator.SetServerWeight(ctx, "galera-nodes", "pxc-1", 1),
			"maxconn":   operator.SetServerMaxconn(ctx, "galera-nodes", "pxc-1", 1),
			"sessions":  operator.ShutdownSessionsServer(ctx, "galera-nodes", "pxc-1"),
			"session":   operator.ShutdownSession(ctx, "0x1"),
			"set table": p.client(t, "user.sock").SetTable(ctx, "steer", "1", 1),
			"table":     errOf(p.client(t, "user.sock").table(ctx, "steer")),
		} {
			var refused *CommandError
			if !errors.As(err, &refused) || !refused.Denied() {
				t.Errorf("%s without the level: %v", what, err)
			}
		}
	})
}

func TestSessionsOfARealProcess(t *testing.T) {
	eachBinary(t, func(t *testing.T, binary string) {
		ctx := context.Background()
		p := start(t, binary)
		client := p.client(t, "admin.sock")
		onNode := func() (found []Session) {
			sessions, err := client.Sessions(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sessions {
				if s.Backend == "galera-nodes" {
					found = append(found, s)
				}
			}
			return found
		}
		for _, closing := range []func(Session) error{
			func(s Session) error { return client.ShutdownSession(ctx, s.ID) },
			func(Session) error { return client.ShutdownSessionsServer(ctx, "galera-nodes", "pxc-0") },
		} {
			conn, atNode := p.connect(t)
			sessions := onNode()
			if len(sessions) != 1 || sessions[0].Source != conn.LocalAddr().String() || sessions[0].Server != "pxc-0" {
				t.Fatalf("got %+v", sessions)
			}
			detail, err := client.SessionDetail(ctx, sessions[0].ID)
			if err != nil || detail.LocalAddr != atNode.RemoteAddr().String() || detail.Source != conn.LocalAddr().String() {
				t.Errorf("%+v, %v; the node sees %v", detail, err, atNode.RemoteAddr())
			}
			detail.Age = 0
			for _, filter := range [][2]string{{"galera-nodes", "pxc-0"}, {"galera-nodes", ""}, {"", "pxc-0"}} {
				all, err := client.SessionDetails(ctx, filter[0], filter[1])
				if err != nil || len(all) != 1 {
					t.Fatalf("%v: %+v, %v", filter, all, err)
				}
				all[0].Age = 0
				if all[0] != detail {
					t.Errorf("%+v, one by one %+v", all[0], detail)
				}
			}
			if none, err := client.SessionDetails(ctx, "galera-nodes", "pxc-1"); err != nil || len(none) != 0 {
				t.Errorf("on another server: %+v, %v", none, err)
			}
			if all, err := client.SessionDetails(ctx, "", ""); err != nil || len(all) < 2 {
				t.Errorf("without a filter, the CLI's own session is missing: %+v, %v", all, err)
			}
			if stats, err := client.stats(ctx); err != nil || stats[0].CurrentSessions != 1 {
				t.Errorf("stats %+v, %v", stats, err)
			}
			if err := closing(sessions[0]); err != nil {
				t.Error(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the client still has its connection: %v", err)
			}
			eventually(t, func() (bool, string) { return len(onNode()) == 0, "the session stays" })
		}
		if _, err := client.SessionDetail(ctx, "0x1"); !errors.Is(err, ErrSessionNotFound) {
			t.Errorf("detail of no session: %v", err)
		}
		if err := client.ShutdownSession(ctx, "0x1"); !errors.Is(err, ErrSessionNotFound) {
			t.Errorf("shutdown of no session: %v", err)
		}
	})
}

func TestSnapshotOfARealProcess(t *testing.T) {
	eachBinary(t, func(t *testing.T, binary string) {
		ctx := context.Background()
		p := start(t, binary)
		client := p.client(t, "operator.sock")
		p.connect(t)
		wantEntry(t, client, "galera-nodes", "1", 1, "pxc-0")
		got, err := client.Snapshot(ctx, SnapshotQuery{Tables: []string{"galera-nodes", "steer"}, Info: true, Servers: true, Stats: true})
		if err != nil {
			t.Fatal(err)
		}
		if got.Info.Pid != p.command.Process.Pid || got.Took <= 0 ||
			len(got.Tables) != 2 || len(got.Tables["galera-nodes"].Entries) != 1 || len(got.Servers) != 7 || len(got.Stats) != 7 {
			t.Errorf("got %+v", got)
		}
		info, err := client.info(ctx)
		if err != nil || info.Pid != got.Info.Pid || info.Version != got.Info.Version {
			t.Errorf("Info: %+v, %v", info, err)
		}
		for i, s := range got.Stats {
			if state := got.Servers[i]; state.Name != s.Server || state.Backend != s.Backend {
				t.Errorf("state %+v, stat %+v", state, s)
			}
		}
	})
}
