package sessions

import (
	"fmt"
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

var _ = dbtest.ServeHostile(hostileRoles, map[string]func(*dbtest.Fake){"crowd": serveCrowd(20000)})

func TestHostile(t *testing.T) { dbtest.Hostile(t, hostileRoles) }

var hostileRoles = map[string]dbtest.Role{
	"inspector": {
		At: func(text string) bool { return strings.Contains(text, "PROCESSLIST WHERE ID<>") },
		Ask: func(t *testing.T, address string) func() {
			i, err := New(Config{Address: address, Account: conn.Account{User: "u"}, Timeout: dbtest.HostileDeadline})
			dbtest.Must(t, err)
			if list, err := i.Sessions(t.Context()); err == nil {
				t.Errorf("%d sessions", len(list))
			}
			return i.Close
		},
	},
	"inspector's first question": {
		At: func(string) bool { return true },
		Ask: func(t *testing.T, address string) func() {
			i, err := New(Config{Address: address, Account: conn.Account{User: "u"}, Timeout: dbtest.HostileDeadline})
			dbtest.Must(t, err)
			if lacks, err := i.Lacks(t.Context()); err == nil {
				t.Errorf("it lacks %s", lacks)
			}
			return i.Close
		},
	},
}

// serveCrowd is a server that lists so many sessions, each with all that can be said of one.
func serveCrowd(sessions int) func(*dbtest.Fake) {
	return dbtest.ServeQueries(nil, func(f *dbtest.Fake, text string) bool {
		switch {
		case text == columnsQuery:
			f.Table(dbtest.End, 2, dbtest.Row("PROCESSLIST", "QUERY_ID"), dbtest.Row("PROCESSLIST", "TIME_MS"), dbtest.Row("INNODB_SESSION_TEMP_TABLESPACES", "ID"))
		case text == consumersQuery:
			f.Table(dbtest.End, 1, dbtest.Row("4"))
		case text == "SELECT @@global.performance_schema", text == mdlInstrumentQuery:
			f.Table(dbtest.End, 1, dbtest.Row("1"))
		case strings.Contains(text, "PROCESSLIST WHERE ID<>"):
			listCrowd(f, sessions)
		default:
			f.Prepared(text)
		}
		return true
	})
}

func listCrowd(f *dbtest.Fake, sessions int) {
	long := strings.Repeat("x", 300)
	rows := func(columns int, row func(id string) string) {
		f.Say(string([]byte{byte(columns)}))
		for range columns {
			f.Say(dbtest.Column)
		}
		// Not in the order of their ids.
		for i := range sessions {
			f.Say(row(fmt.Sprint((i*7919)%sessions + 1000)))
		}
		f.Say(dbtest.More)
	}
	rows(processColumns, func(id string) string {
		return dbtest.Row(id, "user"+id, "10.0.0.1:"+id, "Sleep", "1.5", id)
	})
	f.Table(dbtest.More, 1, dbtest.Row("4"))
	rows(3, func(id string) string { return dbtest.Row("9"+id, id, "YES") })
	rows(3, func(id string) string { return dbtest.Row("9"+id, "ACTIVE", "12345678901234") })
	rows(2, func(id string) string { return dbtest.Row("9"+id, "TABLE\t"+id+"\t"+long) })
	rows(1, func(id string) string { return dbtest.Row(id) })
	var status strings.Builder
	status.WriteString(trxList + "\n")
	for id := range sessions {
		fmt.Fprintf(&status, "---TRANSACTION %d, ACTIVE 3 sec\nMySQL thread id %d, x\n", id, id+1000)
	}
	status.WriteString(trxEnd + "\n")
	body := dbtest.Row("InnoDB", "") + "\xfd" + string([]byte{byte(status.Len()), byte(status.Len() >> 8), byte(status.Len() >> 16)}) + status.String()
	f.Table(dbtest.End, 3, body)
}

// TestCrowdRoom lists a crowd that has everything that takes memory, several times.
func TestCrowdRoom(t *testing.T) {
	address := dbtest.StartHostile(t)["crowd"]
	i, err := New(Config{Address: address, Account: conn.Account{User: "u"}, Timeout: dbtest.Soon})
	dbtest.Must(t, err)
	defer i.Close()
	if _, err := i.Lacks(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := dbtest.HeapNow()
	for range 3 {
		list, err := i.Sessions(t.Context())
		dbtest.Must(t, err)
		grown := int64(dbtest.HeapNow().HeapAlloc) - int64(before.HeapAlloc)
		t.Logf("%d sessions in %d KiB", len(list), grown>>10)
		if len(list) < 5000 || grown > dbtest.HostileMemory {
			t.Errorf("%d sessions in %d KiB", len(list), grown>>10)
		}
		for n, s := range list {
			if !s.Busy || n > 0 && list[n-1].ID >= s.ID || s.Host != fmt.Sprint("10.0.0.1:", s.ID) {
				t.Fatalf("%+v", s)
			}
		}
	}
}
