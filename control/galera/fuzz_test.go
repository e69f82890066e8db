package galera

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

func joinBytes(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// fuzzSeeds are the answers to a login and a probe; the first ones are right.
func fuzzSeeds() (seeds [][]byte, right int) {
	greeting := dbtest.Packet(0, dbtest.Greeting(false))
	letIn := dbtest.Packet(2, []byte(dbtest.OK))
	synced := dbtest.Said(1, func(f *dbtest.Fake) { f.Synced(fullQuery) })
	switched := dbtest.Packet(2, []byte("\xfemysql_native_password\x00abcdefghijklmnopqrst\x00"))
	fast := joinBytes(dbtest.Packet(2, []byte("\xfecaching_sha2_password\x00abcdefghijklmnopqrst\x00")), dbtest.Packet(4, []byte("\x01\x03")), dbtest.Packet(5, []byte(dbtest.OK)))
	seeds = [][]byte{
		joinBytes(greeting, letIn, synced),
		joinBytes(greeting, switched, dbtest.Packet(4, []byte(dbtest.OK)), synced),
		joinBytes(greeting, fast, synced),
	}
	right = len(seeds)
	seeds = append(seeds,
		greeting,
		joinBytes(greeting, letIn),
		joinBytes(greeting, dbtest.Packet(2, []byte("\xfe\x00"))),
		joinBytes(greeting, dbtest.Packet(2, []byte("\xff\x15\x04#28000Access denied"))),
		dbtest.Packet(0, []byte("\xff\x10\x04Too many connections")),
		joinBytes(greeting, letIn, dbtest.Packet(1, []byte("\xff\xa9\x04#42000no such variable"))),
		joinBytes(greeting, letIn, dbtest.Packet(1, []byte("\xfe\x00\x00\x00\x00\x00\x01\x00\x00\x01"))),
		joinBytes(dbtest.Packet(0, dbtest.Greeting(true)), []byte("\x15\x03\x03\x00\x02\x02\x46")),
	)
	return seeds, right
}

// fuzzSession logs in to a server that says everything at once, whatever it is asked, and ends.
func fuzzSession(t *testing.T, said []byte) (*reader, error) {
	d, err := conn.NewDialer(dbtest.SayAll(t, said), nil)
	dbtest.Must(t, err)
	s, err := d.Open(t.Context(), conn.Opening{Account: conn.Account{User: "u"}, Life: t.Context(), Budget: 5 * time.Second})
	return &reader{Session: s}, err
}

// The seeds must get as far as the results, or the corpus would not.
func TestFuzzSeeds(t *testing.T) {
	seeds, right := fuzzSeeds()
	for i, said := range seeds[:right] {
		s, err := fuzzSession(t, said)
		if err != nil {
			t.Errorf("seed %d does not log in: %v", i, err)
			continue
		}
		if r, err := s.read(); err != nil || Judge(r, "").Kind != KindHealthy {
			t.Errorf("seed %d: %+v, %v", i, r, err)
		}
		s.Abort()
	}
}

// FuzzOpenSession has a server say anything: the probe must come back in time,
// without a panic.
func FuzzOpenSession(f *testing.F) {
	seeds, _ := fuzzSeeds()
	for _, said := range seeds {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		s, err := fuzzSession(t, said)
		if err == nil {
			_, err = s.read()
			s.Abort()
		}
		noHang(t, err)
	})
}

// FuzzAnswer has a server that lets everybody in answer anything to each who asks.
func FuzzAnswer(f *testing.F) {
	f.Add(uint8(0), dbtest.Said(1, func(s *dbtest.Fake) { s.Synced(fullQuery) }))
	f.Add(uint8(1), dbtest.Said(1, func(s *dbtest.Fake) { s.Say(dbtest.OKMore); s.Table(dbtest.End, 1, dbtest.Row("12")) }))
	f.Fuzz(func(t *testing.T, who uint8, said []byte) {
		s, err := fuzzSession(t, dbtest.AfterLogin(said))
		dbtest.Must(t, err)
		defer s.Abort()
		if who%2 == 0 {
			_, err = s.read()
		} else {
			_, err = s.Prepare("x")
		}
		noHang(t, err)
	})
}

func noHang(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("it hung: %v", err)
	}
}
