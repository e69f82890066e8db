package sessions

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// TestJudgeSession has what a real MariaDB cannot be brought to show at will, and what
// MySQL shows (MySQL 8.0 Reference Manual, "The metadata_locks Table").
func TestJudgeSession(t *testing.T) {
	marked := func(m mark) ClientSession {
		m.asleep = true
		return ClientSession{ID: 1, Why: "Sleep", Idle: time.Second, mark: m}
	}
	asleep, followed := marked(mark{}), marked(mark{transaction: transaction{followed: true}})
	locked := marked(mark{locked: true})
	none := map[uint64]bool{}
	innodb := map[uint64]time.Duration{1: 3 * time.Second}
	for _, c := range []struct {
		name string
		p    ClientSession
		l    look
		want string
	}{
		{"idle", asleep, look{fresh: true}, ""},
		{"in InnoDB", asleep, look{fresh: true, innodb: innodb}, "is in a transaction for 3s"},
		{"in a cut list of InnoDB", asleep, look{innodb: innodb}, "is in a transaction for 3s"},
		{"not in a cut list of InnoDB", asleep, look{}, "cannot be told to be idle"},
		{"a cut list, followed", followed, look{innodb: innodb, hidden: none}, ""},
		{"a cut list, the first list", followed, look{innodb: innodb}, "cannot be told to be idle"},
		{"hidden", followed, look{innodb: innodb, hidden: map[uint64]bool{1: true}}, "is in a transaction for 3s"},
		{"logging in", ClientSession{ID: 1, User: "unauthenticated user", Why: "Connect"}, look{fresh: true}, "logs in"},
		{"fetching a binlog", ClientSession{ID: 1, Why: "Binlog Dump"}, look{}, "runs a statement"},
		{"temporary table", marked(mark{temporary: true}), look{fresh: true}, "has a temporary table"},
		{"MySQL's user lock", locked, look{fresh: true, locks: map[uint64]string{1: "USER LEVEL LOCK\t\tx"}}, "holds the user lock x"},
		{"MySQL's table lock", locked, look{fresh: true, locks: map[uint64]string{1: "TABLE\td\tt"}}, "holds a lock on the table d.t"},
		{"MySQL's global lock", locked, look{fresh: true, locks: map[uint64]string{1: "GLOBAL\t\t"}}, "holds a lock (global)"},
	} {
		s := c.l.judge(c.p)
		if s.Busy != (c.want != "") || !strings.HasPrefix(s.Why, c.want) || s.Why == "" && c.want != "" {
			t.Errorf("%s: %+v", c.name, s)
		}
		if (s.TrxAge != 0) != strings.Contains(c.want, "transaction") || (s.Idle != 0) != c.p.asleep {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

// TestSourcesOfMySQL checks that nothing is asked for that a server lacks.
func TestSourcesOfMySQL(t *testing.T) {
	mysql := sources{transactions: true, locks: psMetadataLocks, temporary: true}
	list, results := mysql.list()
	all := list + mysql.one(7) + mysql.oneFresh(7)
	for _, mariadb := range []string{"QUERY_ID", "TIME_MS", "METADATA_LOCK_INFO"} {
		if strings.Contains(all, mariadb) {
			t.Errorf("MySQL is asked for %s", mariadb)
		}
	}
	answered := 0
	for _, statement := range strings.Split(list, ";") {
		if strings.HasPrefix(statement, "SELECT") || statement == innodbQuery {
			answered++
		}
	}
	if answered != 7 || len(results) != answered {
		t.Errorf("%d results of %s", len(results), list)
	}
	dbtest.Contains(t, mysql.oneFresh(7), "PROCESSLIST_ID=7", "metadata_locks", "INNODB_SESSION_TEMP_TABLESPACES", "ID=7")
	mariadb := sources{queryID: true, milliseconds: true}
	list, _ = mariadb.list()
	for _, optional := range []string{"performance_schema", "METADATA_LOCK_INFO", "TEMP_TABLESPACES"} {
		if strings.Contains(list+mariadb.one(7), optional) {
			t.Errorf("MariaDB is asked for %s", optional)
		}
	}
	// Without a number of statements nothing says that a session is as it was.
	asleep := ClientSession{ID: 1, mark: mark{asleep: true}}
	s := (&inspection{sources: sources{}}).compare(asleep, &asleep)
	checkWhy(t, s, "cannot be told to be idle on this server")
}

func TestNew(t *testing.T) {
	u := conn.Account{User: "u"}
	for _, cfg := range []Config{
		{Address: "n:3306"}, {Account: u, Address: "n"}, {Account: u, Address: "n:0"}, {Account: u, Address: "n:3306", Timeout: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	i, err := New(Config{Account: u, Address: "n:3306"})
	dbtest.Must(t, err)
	i.Close()
}
