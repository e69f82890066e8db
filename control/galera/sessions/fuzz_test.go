package sessions

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// FuzzAnswer has a server that lets everybody in answer anything to each who asks.
func FuzzAnswer(f *testing.F) {
	list := dbtest.Said(1, func(s *dbtest.Fake) {
		s.Table(dbtest.More, processColumns, dbtest.Row("7", "app", "10.0.0.1:40000", "Sleep", "1.5", "9"), dbtest.Row("8", "app", "10.0.0.1:40001", "Query", "0", "10"))
		s.Table(dbtest.More, 1, dbtest.Row("4"))
		s.Table(dbtest.More, 3, dbtest.Row("107", "7", "YES"), dbtest.Row("108", "8", "YES"))
		s.Table(dbtest.More, 3, dbtest.Row("107", "ACTIVE", "1000000"))
		s.Table(dbtest.More, 2, dbtest.Row("107", "TABLE\td\tt"))
		s.Table(dbtest.More, 1, dbtest.Row("8"))
		s.Table(dbtest.End, 3, dbtest.Row("InnoDB", "", trxList+"\n---TRANSACTION 1, ACTIVE 3 sec\nMySQL thread id 7, x\n"+trxEnd+"\n"))
	})
	f.Add(uint8(1), list)
	f.Add(uint8(2), dbtest.Said(1, func(s *dbtest.Fake) {
		s.Table(dbtest.End, processColumns, dbtest.Row("7", "app", "h", "Sleep", "1", "9"))
	}))
	f.Add(uint8(3), dbtest.Said(1, func(s *dbtest.Fake) {
		s.Table(dbtest.End, freshColumns, dbtest.Row("Sleep", "1", "YES", "ACTIVE", "1", "TABLE\td\tt", "0"))
	}))
	f.Fuzz(func(t *testing.T, who uint8, said []byte) {
		d, err := conn.NewDialer(dbtest.SayAll(t, dbtest.AfterLogin(said)), nil)
		dbtest.Must(t, err)
		s, err := d.Open(t.Context(), conn.Opening{Account: conn.Account{User: "u"}, Life: t.Context(), Budget: 5 * time.Second})
		dbtest.Must(t, err)
		defer s.Abort()
		c := &inspection{Session: s, sources: sources{transactions: true, locks: psMetadataLocks, temporary: true}}
		switch who % 3 {
		case 0:
			_, _, err = c.lookFresh(&ClientSession{ID: 7})
		case 1:
			var all []ClientSession
			if all, err = c.list(); err == nil && len(said) == len(list) && len(all) > 2 {
				t.Errorf("%d sessions", len(all))
			}
		case 2:
			_, err = c.lookAt(7)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("it hung: %v", err)
		}
	})
}
