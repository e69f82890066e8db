package sessions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func checkWhy(t *testing.T, s ClientSession, part string) {
	t.Helper()
	if s.ID == 0 || s.Busy != (part != "") || s.Busy != (s.Why != "") || !strings.Contains(s.Why, part) {
		t.Errorf("want %q: %+v", part, s)
	}
}

// checkSees wants each part in what is not seen, and of what is known to be unseen
// somewhere nothing else.
func checkSees(t *testing.T, i *Inspector, parts ...string) {
	t.Helper()
	sources := i.c.sources
	seen, unseen := sources.seen(), sources.unseen
	all := strings.Join(unseen, "\n")
	dbtest.Contains(t, all, parts...)
	for _, part := range []string{"bare BEGIN", "GET_LOCK"} {
		if strings.Contains(all, part) != slices.Contains(parts, part) {
			t.Errorf("seen: %q\nunseen: %q", seen, unseen)
		}
	}
	if want := 5 - len(unseen); len(seen) != want {
		t.Errorf("%d are seen, not %d: %q", len(seen), want, seen)
	}
}

func list(t testing.TB, i *Inspector) map[uint64]ClientSession {
	t.Helper()
	sessions, err := i.Sessions(context.Background())
	dbtest.Must(t, err)
	by := make(map[uint64]ClientSession, len(sessions))
	for _, s := range sessions {
		by[s.ID] = s
	}
	return by
}

// running is what is said of a session whose client has its answer already and that is
// not asleep yet.
const running = "runs a statement"

// atRest lists the sessions when one of them runs nothing any more.
func atRest(t testing.TB, i *Inspector, id uint64) ClientSession {
	t.Helper()
	for end := time.Now().Add(dbtest.Soon); ; {
		if s := list(t, i)[id]; s.Why != running {
			return s
		}
		if time.Now().After(end) {
			t.Fatal("the statement still runs")
		}
	}
}

// settled looks at a session when it runs nothing any more.
func settled(t testing.TB, i *Inspector, id uint64) ClientSession {
	t.Helper()
	for end := time.Now().Add(dbtest.Soon); ; {
		if s := sessionNow(t, i, id); s.Why != running {
			return s
		}
		if time.Now().After(end) {
			t.Fatal("the statement still runs")
		}
	}
}

func sessionNow(t testing.TB, i *Inspector, id uint64) ClientSession {
	t.Helper()
	s, err := i.Session(context.Background(), id)
	dbtest.Must(t, err)
	return s
}

// awaitGone waits until a closed session is gone.
func awaitGone(t testing.TB, i *Inspector, id uint64) {
	t.Helper()
	for end := time.Now().Add(dbtest.Soon); ; {
		_, err := i.Session(context.Background(), id)
		if errors.Is(err, ErrNoSession) {
			return
		}
		dbtest.Must(t, err)
		if time.Now().After(end) {
			t.Fatal("the session is still there")
		}
	}
}

// startInspected starts a node whose probe user may see sessions, with some tables and
// an account for clients.
func startInspected(tb testing.TB, options ...string) *dbtest.MariaDB {
	tb.Helper()
	m := dbtest.StartMariaDB(tb, options...)
	for _, statement := range []string{
		"GRANT PROCESS ON *.* TO probe",
		"CREATE DATABASE d", "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY)",
		"CREATE TABLE d.aria (id INT) ENGINE=Aria", "CREATE TABLE d.locked (id INT) ENGINE=Aria",
		"CREATE USER app IDENTIFIED BY 'a'", "GRANT ALL ON d.* TO app",
	} {
		m.Do(tb, statement)
	}
	return m
}

// awaitStopped waits until every thread of the server is stopped, which takes a moment
// after SIGSTOP.
func awaitStopped(tb testing.TB, m *dbtest.MariaDB) {
	tb.Helper()
	threads := fmt.Sprintf("/proc/%d/task", m.Cmd.Process.Pid)
	for end := time.Now().Add(dbtest.Soon); ; {
		entries, err := os.ReadDir(threads)
		dbtest.Must(tb, err)
		if !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
			stat, err := os.ReadFile(filepath.Join(threads, e.Name(), "stat"))
			return err == nil && !strings.Contains(string(stat), ") T ")
		}) {
			return
		}
		if time.Now().After(end) {
			tb.Fatal("the server is not stopped")
		}
	}
}

// readTransactions reads INNODB_TRX as fast as it can.
func readTransactions(m *dbtest.MariaDB, stop <-chan struct{}) error {
	for {
		if _, err := m.Admin.Exec("SELECT COUNT(*) FROM information_schema.INNODB_TRX"); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

func newInspector(tb testing.TB, address string) *Inspector {
	tb.Helper()
	return newTLSInspector(tb, address, conn.SSL{})
}

func newTLSInspector(tb testing.TB, address string, ssl conn.SSL) *Inspector {
	tb.Helper()
	account := conn.Account{User: dbtest.ProbeUser, PasswordFile: dbtest.PasswordFile(tb, dbtest.ProbePassword)}
	i, err := New(Config{Address: address, Account: account, SSL: ssl, Explain: func(err error) string { return galera.JudgeError(err, account).Reason }})
	dbtest.Must(tb, err)
	tb.Cleanup(i.Close)
	return i
}

// client is a session of an application.
type client struct {
	db   *sql.DB
	conn *sql.Conn
	id   uint64
	host string // its own address
}

func (c *client) number() string { return strconv.FormatUint(c.id, 10) }

func (c *client) close(tb testing.TB) {
	tb.Helper()
	dbtest.Must(tb, c.conn.Close())
	dbtest.Must(tb, c.db.Close())
}

func (c *client) do(tb testing.TB, statement string) {
	tb.Helper()
	if _, err := c.conn.ExecContext(context.Background(), statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

func newClient(tb testing.TB, m *dbtest.MariaDB, statements ...string) *client {
	tb.Helper()
	return newClientAs(tb, m, "app", "a", statements...)
}

func newClientAs(tb testing.TB, m *dbtest.MariaDB, user, password string, statements ...string) *client {
	tb.Helper()
	c := &client{}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = user, password, "tcp", m.Address, &mysql.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			c.host = conn.LocalAddr().String()
		}
		return conn, err
	}
	connector, err := mysql.NewConnector(cfg)
	dbtest.Must(tb, err)
	c.db = sql.OpenDB(connector)
	tb.Cleanup(func() { _ = c.db.Close() })
	ctx := context.Background()
	c.conn, err = c.db.Conn(ctx)
	dbtest.Must(tb, err)
	tb.Cleanup(func() { _ = c.conn.Close() })
	dbtest.Must(tb, c.conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&c.id))
	for _, statement := range statements {
		c.do(tb, statement)
	}
	return c
}
