package runtimeapi

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// eachVersion parses a recorded answer of every version.
func eachVersion(t *testing.T, file string, test func(t *testing.T, answer string)) {
	for version, reply := range recorded(t, file) {
		t.Run(version, func(t *testing.T) { test(t, answerOf(t, reply)) })
	}
}

func TestEveryVersionIsRecorded(t *testing.T) {
	for _, r := range recordings {
		texts := recorded(t, r.file)
		for _, version := range []string{"2.2", "2.6", "3.0", "3.2", "3.4"} {
			if _, ok := texts[version]; !ok {
				t.Errorf("%s is not recorded for %s", r.file, version)
			}
		}
	}
}

func TestParseInfo(t *testing.T) {
	for version, reply := range recorded(t, "info.txt") {
		t.Run(version, func(t *testing.T) {
			info, err := parseInfo(infoCommand, answerOf(t, reply))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(info.Version, version+".") || info.Pid < 2 || info.Uptime < 0 {
				t.Errorf("got %+v", info)
			}
			for field, want := range map[string]string{
				"Nbthread": "2", "description": `"a test, of things"`, "Unstoppable Jobs": "0",
				"Process_num": "1", "Listeners": "7", "Name": "HAProxy", "node": "px0", "CurrConns": "1", "Stopping": "0",
			} {
				if got, ok := info.Field(field); !ok || got != want {
					t.Errorf("%s = %q, %v, want %q", field, got, ok, want)
				}
			}
			if got, ok := info.Field("List"); ok {
				t.Errorf("a part of a name is a field: %q", got)
			}
		})
	}
}

func TestParseTables(t *testing.T) {
	eachVersion(t, "tables.txt", func(t *testing.T, answer string) {
		got, err := parseTables(tablesCommand, answer)
		if err != nil {
			t.Fatal(err)
		}
		want := []TableHeader{
			{Name: "nothing", Type: "ip", Size: 10},
			{Name: "strings", Type: "string", Size: 1024, Used: 1},
			{Name: "steer", Type: "integer", Size: 1024, Used: 1},
			{Name: "galera-nodes", Type: "integer", Size: 102400, Used: 2},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	if got, err := parseTables(tablesCommand, ""); err != nil || len(got) != 0 {
		t.Errorf("no tables: %v, %v", got, err)
	}
}

func TestParseTable(t *testing.T) {
	eachVersion(t, "table.txt", func(t *testing.T, answer string) {
		got, err := parseTable("show table galera-nodes", answer)
		if err != nil {
			t.Fatal(err)
		}
		want := Table{
			TableHeader: TableHeader{Name: "galera-nodes", Type: "integer", Size: 102400, Used: 2},
			Entries:     []Entry{{Key: "1", ServerID: 1, ServerKey: "pxc-0"}, {Key: "2", ServerID: 3}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if entry, ok := find(got, "2"); !ok || entry.ServerID != 3 {
			t.Errorf("Find(2) = %+v, %v", entry, ok)
		}
		if _, ok := find(got, "3"); ok {
			t.Error("found a key that is not there")
		}
	})
	eachVersion(t, "table-empty.txt", func(t *testing.T, answer string) {
		got, err := parseTable("show table nothing", answer)
		if err != nil || len(got.Entries) != 0 || got.Name != "nothing" || got.Size != 10 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	eachVersion(t, "table-strings.txt", func(t *testing.T, answer string) {
		got, err := parseTable("show table strings", answer)
		if err != nil || len(got.Entries) != 1 {
			t.Fatalf("got %+v, %v", got, err)
		}
		if diff := cmp.Diff(Entry{Key: `a b`, ServerID: 1}, got.Entries[0]); diff != "" {
			t.Error(diff)
		}
	})
}

func TestParseTableKey(t *testing.T) {
	eachVersion(t, "table-key.txt", func(t *testing.T, answer string) {
		got, ok, err := parseTableKey("show table galera-nodes key 2", answer)
		if err != nil || !ok || got.Key != "2" || got.ServerID != 3 || got.ServerKey != "" {
			t.Errorf("got %+v, %v, %v", got, ok, err)
		}
	})
	eachVersion(t, "table-key-missing.txt", func(t *testing.T, answer string) {
		if _, ok, err := parseTableKey("show table galera-nodes key 9", answer); ok || err != nil {
			t.Errorf("a missing key: %v, %v", ok, err)
		}
	})
}

func TestParseServersState(t *testing.T) {
	eachVersion(t, "servers-state.txt", func(t *testing.T, answer string) {
		got, err := parseServersState(serversCommand, answer)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i].Port < 1024 || got[i].Name == "d1" && got[i].Port != 3306 {
				t.Errorf("port of %s is %d", got[i].Name, got[i].Port)
			}
			got[i].Port = 0 // it depends on the moment
		}
		server := func(backend string, id int, name string, op OpState, admin AdminState) ServerState {
			return ServerState{Backend: backend, ID: id, Name: name, Addr: "127.0.0.1", OpState: op, Admin: admin, UserWeight: 1}
		}
		unresolved := server("follow", 2, "d1", OpStopped, AdminDNSMaint)
		unresolved.Addr = ""
		want := []ServerState{
			server("galera-nodes", 1, "pxc-0", OpRunning, 0),
			server("galera-nodes", 2, "pxc-1", OpRunning, AdminForcedDrain),
			server("galera-nodes", 3, "pxc-2", OpStopped, AdminForcedMaint|AdminConfigMaint),
			server("strings", 1, "s1", OpRunning, 0),
			server("follow", 1, "t1", OpRunning, AdminInheritedDrain),
			unresolved,
			server("beacon", 1, "local", OpStopped, 0),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		sticks, modes := "", ""
		for _, s := range got {
			sticks += map[bool]string{true: "y", false: "n"}[s.Sticks()]
			modes += " " + mode(s.Admin)
		}
		if sticks != "yynyynn" || modes != " ready drain maint ready drain maint ready" {
			t.Errorf("sticks %s, modes%s", sticks, modes)
		}
	})
	eachVersion(t, "servers-state-none.txt", func(t *testing.T, answer string) {
		if got, err := parseServersState(serversCommand, answer); err != nil || len(got) != 0 {
			t.Errorf("a backend without servers: %v, %v", got, err)
		}
	})
}

func TestAdminStates(t *testing.T) {
	for _, c := range []struct {
		state        AdminState
		text         string
		maint, drain bool
	}{
		{0, "ready", false, false},
		{AdminConfigMaint, "ready", false, false}, // "disabled", then set ready
		{AdminForcedMaint, "maint", true, false},
		{AdminInheritedMaint, "maint", true, false},
		{AdminDNSMaint, "maint", true, false},
		{AdminForcedDrain, "drain", false, true},
		{AdminInheritedDrain, "drain", false, true},
		{AdminForcedDrain | AdminForcedMaint, "maint", true, true},
		{AdminFQDNChanged, "ready", false, false},
	} {
		if got := c.state; mode(got) != c.text || got.Maint() != c.maint || got.Drain() != c.drain {
			t.Errorf("%#x is %v, maint %v, drain %v", int(got), got, got.Maint(), got.Drain())
		}
	}
}

func TestParseStats(t *testing.T) {
	eachVersion(t, "stat.txt", func(t *testing.T, answer string) {
		got, err := parseStats(statsCommand, answer)
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, s := range got {
			rows = append(rows, s.Backend+"/"+s.Server)
		}
		want := "galera-nodes/pxc-0, galera-nodes/pxc-1, galera-nodes/pxc-2, strings/s1, follow/t1, follow/d1, beacon/local"
		if got := strings.Join(rows, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		pxc0, pxc1, beacon := got[0], got[1], got[6]
		if pxc0.CurrentSessions != 1 || pxc0.TotalSessions != 1 || pxc0.CheckStatus != "L4OK" || pxc0.Queue != 0 {
			t.Errorf("pxc-0: %+v", pxc0)
		}
		if pxc1.CurrentSessions != 0 {
			t.Errorf("pxc-1: %+v", pxc1)
		}
		if beacon.CheckDowns != 1 || beacon.CheckStatus != "L4CON" {
			t.Errorf("beacon: %+v", beacon)
		}
	})
}

func TestStatsQuoting(t *testing.T) {
	const header = "# pxname,svname,type,status,scur,check_status,\n"
	got, err := parseStats(statsCommand, header+
		`a,s1,2,DOWN,0,"said ""no, never"""`+",\n"+
		"a,s2,2,DOWN,0,\"two\n\nlines\",\n"+
		"a,BACKEND,1,UP,7,,\n"+
		"a,s3,2,UP,4,,\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].CheckStatus != `said "no, never"` || got[1].CheckStatus != "two\n\nlines" || got[2].CurrentSessions != 4 {
		t.Errorf("got %+v", got)
	}
	for _, bad := range []string{
		"a,s1,2,DOWN,0,\n",        // a column short
		"a,s1,2,DOWN,0,,,\n",      // one more
		"a,s1,2,DOWN,many,,\n",    // no number
		"a,s1,2,DOWN,0,\"open,\n", // an open quote
		"a,s1,2,DOWN,0,\"x\"y,\n", // text behind a quote
		"a,,2,DOWN,0,,\n",         // no name
		"\n",
	} {
		if got, err := parseStats(statsCommand, header+bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}
