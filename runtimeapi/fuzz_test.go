package runtimeapi

import (
	"strings"
	"testing"
)

// seed adds the recorded answers of some files, whole and cut.
func seed(f *testing.F, files ...string) {
	for _, file := range append(files, "table-unknown.txt", "table-key-missing.txt") {
		for _, reply := range recorded(f, file) {
			answer := strings.TrimSuffix(reply, "\n")
			f.Add(answer)
			f.Add(answer[:len(answer)/2])
		}
	}
}

func FuzzInfo(f *testing.F) {
	seed(f, "info.txt")
	f.Fuzz(func(t *testing.T, answer string) {
		info, err := parseInfo("c", answer)
		if err == nil && (info.Pid <= 0 || info.Uptime < 0 || info.Version == "") {
			t.Errorf("accepted %+v", info)
		}
		info.Field("Nbthread")
	})
}

func FuzzTables(f *testing.F) {
	seed(f, "tables.txt")
	f.Fuzz(func(t *testing.T, answer string) {
		tables, err := parseTables("c", answer)
		if err == nil && len(tables) != strings.Count(strings.TrimSuffix(answer, "\n")+"\n", "\n") && answer != "" {
			t.Errorf("%d tables of %q", len(tables), answer)
		}
		for _, table := range tables {
			if table.Name == "" || table.Size < 0 || table.Used < 0 {
				t.Errorf("accepted %+v", table)
			}
		}
	})
}

func FuzzTable(f *testing.F) {
	seed(f, "table.txt", "table-strings.txt", "table-empty.txt", "table-hidden.txt", "table-key.txt")
	f.Fuzz(func(t *testing.T, answer string) {
		table, err := parseTable("c", answer)
		for _, entry := range table.Entries {
			if err != nil || entry.Key == "" || entry.ServerKey == "-" {
				t.Errorf("accepted %+v with %v", entry, err)
			}
		}
		if _, found, err := parseTableKey("c", answer); found && err != nil {
			t.Errorf("found with %v", err)
		}
	})
}

func FuzzServersState(f *testing.F) {
	seed(f, "servers-state.txt", "servers-state-none.txt", "servers-state-unknown.txt")
	f.Fuzz(func(t *testing.T, answer string) {
		servers, err := parseServersState("c", answer)
		for _, server := range servers {
			if err != nil || server.Backend == "" || server.Name == "" {
				t.Errorf("accepted %+v with %v", server, err)
			}
			_ = mode(server.Admin)
		}
	})
}

func FuzzStats(f *testing.F) {
	seed(f, "stat.txt")
	f.Fuzz(func(t *testing.T, answer string) {
		stats, err := parseStats("c", answer)
		for _, stat := range stats {
			if err != nil || stat.Backend == "" || stat.Server == "" {
				t.Errorf("accepted %+v with %v", stat, err)
			}
		}
	})
}

func FuzzSessions(f *testing.F) {
	seed(f, "sess.txt", "sess-gone.txt")
	f.Fuzz(func(t *testing.T, answer string) {
		sessions, err := parseSessions("c", answer)
		for _, session := range sessions {
			if err != nil || checkSessionID(session.ID) != nil || session.Age < 0 {
				t.Errorf("accepted %+v with %v", session, err)
			}
		}
	})
}

func FuzzSessionDetail(f *testing.F) {
	seed(f, "sess-detail.txt", "sess-gone.txt")
	f.Fuzz(func(t *testing.T, answer string) {
		session, err := parseSessionDetail("c", answer)
		if err == nil && (checkSessionID(session.ID) != nil || session.Age < 0) {
			t.Errorf("accepted %+v", session)
		}
	})
}

func FuzzSessionDetails(f *testing.F) {
	for _, file := range []string{"sess-all.txt", "sess-gone.txt"} {
		for _, reply := range recorded(f, file) {
			f.Add(reply)
			f.Add(reply[:len(reply)/2])
		}
	}
	f.Fuzz(func(t *testing.T, reply string) {
		var d details
		if err := d.read(strings.NewReader(reply)); err != nil {
			return
		}
		if !strings.HasSuffix(reply, "\n") {
			t.Errorf("accepted %q", reply)
		}
		for _, session := range d.found {
			if checkSessionID(session.ID) != nil || session.Age < 0 {
				t.Errorf("accepted %+v", session)
			}
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	for _, file := range []string{"snapshot.txt", "snapshot-refused.txt"} {
		for _, reply := range recorded(f, file) {
			f.Add(reply)
		}
	}
	query := SnapshotQuery{Tables: []string{"galera-nodes", "steer", "nothing"}, Info: true, Servers: true, Stats: true}
	commands, err := query.commands()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		snapshot, err := query.parse(reply, commands)
		if err == nil && (len(snapshot.Tables) != 3 || snapshot.Info.Pid <= 0 || !strings.HasSuffix(reply, "\n\n")) {
			t.Errorf("accepted %+v", snapshot)
		}
	})
}

func FuzzFraming(f *testing.F) {
	for _, file := range []string{"clear-set.txt", "clear-set-refused.txt"} {
		for _, reply := range recorded(f, file) {
			f.Add(reply)
		}
	}
	f.Fuzz(func(t *testing.T, reply string) {
		var answers [2]string
		if splitAnswers(reply, answers[:]) == nil && answers[0]+"\n"+answers[1]+"\n" != reply {
			t.Errorf("%q became %q", reply, answers)
		}
	})
}
