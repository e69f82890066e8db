package sessions

import (
	"context"
	"database/sql/driver"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// TestInspectCrowd lists 5,000 real sessions, a tenth of them in a transaction: within
// a second.
func TestInspectCrowd(t *testing.T) {
	const sessions = 5000
	for _, c := range []struct {
		name    string
		options []string
	}{{"plain", nil}, {"performance_schema", withTransactions}} {
		t.Run(c.name, func(t *testing.T) {
			m := startCrowded(t, sessions, c.options...)
			i := newInspector(t, m.Address)
			began := time.Now()
			listed, err := i.Sessions(context.Background())
			took := time.Since(began)
			dbtest.Must(t, err)
			busy, id := 0, uint64(0)
			for _, s := range listed {
				if s.Busy {
					busy++
				} else {
					id = s.ID
				}
			}
			t.Logf("%d sessions, %d busy, in %v with the login", len(listed), busy, took)
			// The last one may not be asleep yet, and the administrator's is one, too.
			if took > time.Second || len(listed) < sessions || busy < sessions/10 || busy > sessions/10+2 {
				t.Errorf("%d sessions, %d busy, in %v", len(listed), busy, took)
			}
			began = time.Now()
			checkWhy(t, sessionNow(t, i, id), "")
			t.Logf("one session in %v", time.Since(began))
		})
	}
}

// BenchmarkInspect is the last look at one session, and the list of all, by the number of
// sessions. Beside the time it reports the server's CPU time in µs.
func BenchmarkInspect(b *testing.B) {
	for _, c := range []struct {
		name    string
		options []string
	}{{"plain", nil}, {"performance_schema", withTransactions}} {
		for _, sessions := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", c.name, sessions), func(b *testing.B) {
				m := startCrowded(b, sessions, c.options...)
				i := newInspector(b, m.Address)
				var id uint64
				for _, s := range list(b, i) {
					if !s.Busy {
						id = s.ID
					}
				}
				measure := func(b *testing.B, ask func()) {
					b.ReportAllocs()
					server := dbtest.ThreadTime(b, m.Cmd.Process.Pid)
					for b.Loop() {
						ask()
					}
					b.ReportMetric(float64(dbtest.ThreadTime(b, m.Cmd.Process.Pid)-server)/float64(b.N)/1e3, "server-µs/op")
				}
				b.Run("Session", func(b *testing.B) {
					measure(b, func() {
						if s := sessionNow(b, i, id); s.Busy {
							b.Fatalf("%+v", s)
						}
					})
				})
				b.Run("Sessions", func(b *testing.B) {
					measure(b, func() {
						i.mu.Lock()
						defer i.mu.Unlock()
						i.c.Begin(dbtest.Soon)
						_, err := i.c.list()
						dbtest.Must(b, err)
					})
				})
			})
		}
	}
}

// startCrowded starts a node with so many sessions, a tenth of them in a transaction.
func startCrowded(tb testing.TB, sessions int, options ...string) *dbtest.MariaDB {
	tb.Helper()
	var files syscall.Rlimit
	dbtest.Must(tb, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	if files.Cur < uint64(sessions)+500 {
		tb.Skipf("%d open files are too few for %d sessions", files.Cur, sessions)
	}
	m := startInspected(tb, append(options, fmt.Sprintf("--max-connections=%d", sessions+50))...)
	m.Do(tb, "GRANT SELECT ON performance_schema.* TO probe")
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = "app", "a", "tcp", m.Address, &mysql.NopLogger{}
	cfg.MaxAllowedPacket = 1 << 20
	connector, err := mysql.NewConnector(cfg)
	dbtest.Must(tb, err)
	for n := range sessions {
		conn, err := connector.Connect(context.Background())
		dbtest.Must(tb, err)
		tb.Cleanup(func() { _ = conn.Close() })
		statements := []string{"INSERT INTO d.t VALUES ()"}
		if n%10 == 0 {
			statements = []string{"BEGIN", "INSERT INTO d.t VALUES ()"}
		}
		for _, statement := range statements {
			_, err = conn.(driver.ExecerContext).ExecContext(context.Background(), statement, nil)
			dbtest.Must(tb, err)
		}
	}
	return m
}
