package sessions

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// clientState is something that a session can do before it is looked at.
type clientState struct {
	name       string
	statements []string
	// What Why contains, "" for an idle session: with the process list and InnoDB's own list only,
	// with the plugin metadata_lock_info too, and with performance_schema.
	plain, plugin, ps string
}

// clientStates are what was seen on MariaDB 10.11. A temporary table of another
// session cannot be seen there.
var clientStates = []clientState{
	{"idle", []string{"SELECT 1"}, "", "", ""},
	{"idle after a select", []string{"SELECT * FROM d.t"}, "", "", ""},
	{"after a commit", []string{"BEGIN", "INSERT INTO d.t VALUES ()", "COMMIT"}, "", "", ""},
	{"bare begin", []string{"BEGIN"}, "", "", "is in a transaction for"},
	{"begin and insert", []string{"BEGIN", "INSERT INTO d.t VALUES ()"}, "is in a transaction for", "is in a transaction for", "is in a transaction for"},
	{"snapshot", []string{"START TRANSACTION WITH CONSISTENT SNAPSHOT"}, "is in a transaction for", "is in a transaction for", "is in a transaction for"},
	{"autocommit off", []string{"SET autocommit=0"}, "", "", ""},
	{"autocommit off and a select", []string{"SET autocommit=0", "SELECT * FROM d.t"}, "is in a transaction for", "is in a transaction for", "is in a transaction for"},
	{"begin without InnoDB", []string{"BEGIN", "SELECT * FROM d.aria"}, "", "holds a lock on the table d.aria", "is in a transaction for"},
	{"user lock", []string{"SELECT GET_LOCK('x y', 0)"}, "", "holds the user lock x y", "holds the user lock x y"},
	{"lock tables", []string{"LOCK TABLES d.locked WRITE"}, "", "holds a lock on the table d.locked", "holds a lock on the table d.locked"},
	{"temporary table", []string{"CREATE TEMPORARY TABLE d.tmp (id INT) ENGINE=InnoDB", "INSERT INTO d.tmp VALUES (1)"}, "", "", ""},
}

// TestInspectStates looks at real sessions in every state.
func TestInspectStates(t *testing.T) {
	plain := startInspected(t)
	t.Run("plain", func(t *testing.T) {
		i := newInspector(t, plain.Address)
		lookAtStates(t, plain, i, func(s clientState) string { return s.plain })
		checkSees(t, i, "metadata_lock_info", "GET_LOCK", "bare BEGIN", "temporary tables")
	})
	plain.Do(t, "INSTALL SONAME 'metadata_lock_info'")
	t.Run("plugin", func(t *testing.T) {
		i := newInspector(t, plain.Address)
		lookAtStates(t, plain, i, func(s clientState) string { return s.plugin })
		checkSees(t, i, "bare BEGIN", "temporary tables")
		// A source that goes away is done without.
		plain.Do(t, "UNINSTALL SONAME 'metadata_lock_info'")
		list(t, i)
		checkSees(t, i, "metadata_lock_info", "GET_LOCK", "bare BEGIN", "temporary tables")
	})
}

// withTransactions are the options that make MariaDB's performance_schema follow
// transactions and locks; all of them are off by default.
var withTransactions = []string{
	"--performance-schema=ON", "--performance-schema-consumer-events-transactions-current=ON",
	"--performance-schema-instrument=transaction=ON", "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON",
}

func TestInspectPerformanceSchema(t *testing.T) {
	m := startInspected(t, withTransactions...)
	i := newInspector(t, m.Address)
	list(t, i)
	checkSees(t, i, "GRANT SELECT ON performance_schema.* TO 'probe'@'%'", "bare BEGIN", "GET_LOCK", "temporary tables")
	if lacks, err := i.Lacks(context.Background()); lacks != "" || err != nil {
		t.Errorf("it lacks %q, %v", lacks, err)
	}
	m.Do(t, "GRANT SELECT ON performance_schema.* TO probe")
	i = newInspector(t, m.Address)
	lookAtStates(t, m, i, func(s clientState) string { return s.ps })
	checkSees(t, i, "temporary tables")

	t.Run("no list between", func(t *testing.T) {
		c := newClient(t, m, "SELECT 1")
		atRest(t, i, c.id)
		c.do(t, "BEGIN")
		checkWhy(t, settled(t, i, c.id), "is in a transaction for")
		c.do(t, "ROLLBACK")
		checkWhy(t, settled(t, i, c.id), "")
	})
	t.Run("began before it was followed", func(t *testing.T) {
		m.Do(t, "UPDATE performance_schema.setup_consumers SET ENABLED='NO' WHERE NAME='events_transactions_current'")
		c := newClient(t, m, "BEGIN", "INSERT INTO d.t VALUES ()")
		checkWhy(t, atRest(t, i, c.id), "is in a transaction for")
		checkSees(t, i, "bare BEGIN", "temporary tables")
		m.Do(t, "UPDATE performance_schema.setup_consumers SET ENABLED='YES' WHERE NAME='events_transactions_current'")
		i := newInspector(t, m.Address)
		checkWhy(t, atRest(t, i, c.id), "is in a transaction for")
		checkWhy(t, settled(t, i, c.id), "is in a transaction for")
		c.do(t, "COMMIT")
		checkWhy(t, atRest(t, i, c.id), "")
		checkWhy(t, settled(t, i, c.id), "")
	})
	t.Run("not instrumented", func(t *testing.T) {
		i := newInspector(t, m.Address)
		c := newClient(t, m)
		m.Do(t, "UPDATE performance_schema.threads SET INSTRUMENTED='NO' WHERE PROCESSLIST_ID="+c.number())
		c.do(t, "SELECT 1")
		checkWhy(t, atRest(t, i, c.id), "")
		checkWhy(t, settled(t, i, c.id), "")
		c.do(t, "BEGIN")
		checkWhy(t, settled(t, i, c.id), "has run a statement since the last list")
	})
}

// TestInspect goes through what else a node can show.
func TestInspect(t *testing.T) {
	m := startInspected(t)
	i := newInspector(t, m.Address)
	ctx := context.Background()

	t.Run("the last look", func(t *testing.T) {
		c := newClient(t, m, "SELECT 1")
		listed := atRest(t, i, c.id)
		if listed.Host != c.host || listed.User != "app" || listed.Busy || listed.Idle <= 0 {
			t.Errorf("listed as %+v, its address is %s", listed, c.host)
		}
		checkWhy(t, settled(t, i, c.id), "")
		// What ran is seen by its number, without another list.
		c.do(t, "BEGIN")
		checkWhy(t, settled(t, i, c.id), "has run a statement since the last list")
		atRest(t, i, c.id)
		stmt, err := c.conn.PrepareContext(ctx, "INSERT INTO d.t VALUES ()")
		dbtest.Must(t, err)
		defer stmt.Close()
		atRest(t, i, c.id)
		_, err = stmt.Exec()
		dbtest.Must(t, err)
		checkWhy(t, settled(t, i, c.id), "has run a statement since the last list")
		checkWhy(t, atRest(t, i, c.id), "is in a transaction for")
		checkWhy(t, settled(t, i, c.id), "is in a transaction for")

		late := newClient(t, m, "SELECT 1")
		checkWhy(t, settled(t, i, late.id), "is new since the last list")
		late.close(t)
		awaitGone(t, i, late.id)
	})

	t.Run("a statement runs", func(t *testing.T) {
		c := newClient(t, m, "SELECT 1")
		list(t, i)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.conn.ExecContext(ctx, "SELECT SLEEP(60)")
		}()
		for end := time.Now().Add(dbtest.Soon); sessionNow(t, i, c.id).Why != running; {
			if time.Now().After(end) {
				t.Fatal("the statement is not seen")
			}
		}
		s := list(t, i)[c.id]
		checkWhy(t, s, running)
		if s.Idle != 0 {
			t.Errorf("idle for %v", s.Idle)
		}
		m.Do(t, "KILL QUERY "+c.number())
		<-done
		checkWhy(t, settled(t, i, c.id), "has run a statement since the last list")
	})

	t.Run("logging in", func(t *testing.T) {
		conn, err := net.Dial("tcp", m.Address)
		dbtest.Must(t, err)
		defer conn.Close()
		_, err = (&dbtest.Fake{Conn: conn}).Hear()
		dbtest.Must(t, err)
		for end := time.Now().Add(dbtest.Soon); ; {
			for _, s := range list(t, i) {
				if s.Host == conn.LocalAddr().String() {
					checkWhy(t, s, "logs in")
					return
				}
			}
			if time.Now().After(end) {
				t.Fatal("the session is not listed")
			}
		}
	})

	t.Run("others read INNODB_TRX all the time", func(t *testing.T) {
		list(t, i)
		stop, stopped := make(chan struct{}), make(chan error, 1)
		go func() { stopped <- readTransactions(m, stop) }()
		c := newClient(t, m, "BEGIN", "INSERT INTO d.t VALUES ()")
		checkWhy(t, list(t, i)[c.id], "is in a transaction for")
		close(stop)
		dbtest.Must(t, <-stopped)
		checkWhy(t, atRest(t, i, c.id), "is in a transaction for")
	})

	t.Run("applied", func(t *testing.T) {
		before, err := i.Applied(ctx)
		dbtest.Must(t, err)
		newClient(t, m, "INSERT INTO d.t VALUES ()")
		after, err := i.Applied(ctx)
		dbtest.Must(t, err)
		if before < 1 || after != before+1 {
			t.Errorf("%d applied before an insert, %d after", before, after)
		}
	})

	t.Run("connection killed", func(t *testing.T) {
		m.KillProbes(t)
		list(t, i)
	})

	t.Run("hung", func(t *testing.T) {
		c := newClient(t, m, "SELECT 1")
		list(t, i)
		m.Signal(t, syscall.SIGSTOP)
		awaitStopped(t, m)
		for _, ask := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := i.Session(ctx, c.id); return err },
			func(ctx context.Context) error { _, err := i.Sessions(ctx); return err },
			func(ctx context.Context) error { _, err := i.Applied(ctx); return err },
		} {
			began := time.Now()
			err := ask(ctx)
			took := time.Since(began)
			var silent *conn.SilenceError
			if !errors.As(err, &silent) || took < DefaultTimeout/2 || took > DefaultTimeout+250*time.Millisecond {
				t.Errorf("%v after %v", err, took)
			}
			dbtest.Contains(t, err.Error(), m.Address, "does not answer")
		}
		short, cancel := context.WithCancel(ctx)
		time.AfterFunc(50*time.Millisecond, cancel)
		began := time.Now()
		if _, err := i.Sessions(short); !errors.Is(err, context.Canceled) || time.Since(began) > 250*time.Millisecond {
			t.Errorf("canceled: %v after %v", err, time.Since(began))
		}
		m.Signal(t, syscall.SIGCONT)
		if _, ok := list(t, i)[c.id]; !ok {
			t.Error("the session is not listed any more")
		}
	})

	t.Run("closed", func(t *testing.T) {
		i.Close()
		if _, err := i.Sessions(ctx); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// Those of other accounts are counted, by what a list would call busy.
func TestInTransaction(t *testing.T) {
	m := startInspected(t)
	i := newInspector(t, m.Address)
	count := func(want int) {
		t.Helper()
		got := -1
		for end := time.Now().Add(dbtest.Soon); got != want && time.Now().Before(end); { // a statement may not be over for the server
			var err error
			got, err = i.InTransaction(t.Context())
			dbtest.Must(t, err)
		}
		if got != want {
			t.Errorf("%d are in a transaction, want %d", got, want)
		}
	}
	idle, a, b := newClient(t, m, "SELECT 1"), newClient(t, m, "BEGIN", "INSERT INTO d.t VALUES ()"), newClient(t, m, "BEGIN", "INSERT INTO d.t VALUES ()")
	own := newClientAs(t, m, dbtest.ProbeUser, dbtest.ProbePassword)
	atRest(t, i, idle.id)
	go func() { _, _ = own.conn.ExecContext(t.Context(), "DO SLEEP(30)") }() // runs a statement all the time
	for list(t, i)[own.id].Why != running {
	}
	count(2)
	a.do(t, "COMMIT")
	count(1)
	b.do(t, "ROLLBACK")
	count(0)
}

func TestInspectPrivileges(t *testing.T) {
	m := dbtest.StartMariaDB(t)
	i := newInspector(t, m.Address)
	ctx := context.Background()
	const grant = "GRANT PROCESS ON *.* TO 'probe'@'%'"
	lacking := func() {
		t.Helper()
		if lacks, err := i.Lacks(ctx); lacks != grant || err != nil {
			t.Errorf("it lacks %q, %v", lacks, err)
		}
		var lacks *PrivilegeError
		sessions, err := i.Sessions(ctx)
		if !errors.As(err, &lacks) || lacks.Grant != grant || len(sessions) != 0 {
			t.Errorf("%v, %v", sessions, err)
		}
		dbtest.Contains(t, err.Error(), m.Address, grant, "1227")
		if _, err := i.Session(ctx, 1); !errors.As(err, &lacks) {
			t.Error(err)
		}
		if n, err := i.Applied(ctx); n < 1 || err != nil {
			t.Errorf("applied %d, %v", n, err)
		}
	}
	lacking()
	m.Do(t, grant)
	if lacks, err := i.Lacks(ctx); lacks != "" || err != nil {
		t.Errorf("it lacks %q, %v", lacks, err)
	}
	list(t, i)
	m.Do(t, "REVOKE PROCESS ON *.* FROM probe")
	list(t, i) // a connection keeps its privileges
	m.KillProbes(t)
	lacking()
	m.Do(t, "DROP USER probe")
	m.Do(t, "KILL HARD CONNECTION USER probe")
	_, err := i.Lacks(ctx)
	var denied *mysql.MySQLError
	if !errors.As(err, &denied) || denied.Number != conn.ErAccessDenied {
		t.Errorf("without the user: %v", err)
	}
}

// lookAtStates makes a session of every state and looks at them together.
func lookAtStates(t *testing.T, m *dbtest.MariaDB, i *Inspector, want func(clientState) string) {
	t.Helper()
	clients := make([]*client, len(clientStates))
	for n, s := range clientStates {
		clients[n] = newClient(t, m, s.statements...)
	}
	sessions := list(t, i)
	for end := time.Now().Add(dbtest.Soon); slices.ContainsFunc(clients, func(c *client) bool { return sessions[c.id].Why == running }); {
		if time.Now().After(end) {
			t.Fatalf("statements still run: %+v", sessions)
		}
		sessions = list(t, i)
	}
	for n, s := range clientStates {
		t.Run(s.name, func(t *testing.T) {
			listed, ok := sessions[clients[n].id]
			if !ok || listed.Host != clients[n].host {
				t.Fatalf("listed: %t, %+v", ok, listed)
			}
			checkWhy(t, listed, want(s))
			checkWhy(t, settled(t, i, clients[n].id), want(s))
			if inTransaction := strings.Contains(want(s), "transaction for"); !inTransaction && listed.TrxAge != 0 {
				t.Errorf("a transaction of %v", listed.TrxAge)
			}
		})
	}
	for _, c := range clients {
		c.close(t)
		awaitGone(t, i, c.id)
	}
}

// TestInspectTLS looks at the sessions of a node that takes encrypted connections only.
func TestInspectTLS(t *testing.T) {
	ca := dbtest.NewAuthority(t)
	cert, key := ca.Issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	m := dbtest.StartMariaDB(t, "--ssl-ca="+ca.File, "--ssl-cert="+cert, "--ssl-key="+key, "--require-secure-transport=ON")
	m.Do(t, "GRANT PROCESS ON *.* TO "+dbtest.ProbeUser)
	for _, ssl := range []conn.SSL{{}, {Mode: conn.SSLRequired}, {Mode: conn.SSLVerifyCA, CA: ca.File}, {Mode: conn.SSLVerifyIdentity, CA: ca.File}} {
		if list, err := newTLSInspector(t, m.Address, ssl).Sessions(t.Context()); err != nil || len(list) == 0 {
			t.Errorf("%s: %d sessions, %v", ssl.Mode, len(list), err)
		}
	}
}
