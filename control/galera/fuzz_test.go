package galera

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// fakeSaid is what a server says to nobody.
func fakeSaid(seq byte, say func(*fake)) []byte {
	var said bytes.Buffer
	say(&fake{Conn: fakeRecorder{to: &said}, seq: seq})
	return said.Bytes()
}

type fakeRecorder struct {
	net.Conn
	to io.Writer
}

func (r fakeRecorder) Write(b []byte) (int, error) { return r.to.Write(b) }

func joinBytes(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// fuzzSeeds are the answers to a login and a probe; the first ones are right.
func fuzzSeeds() (seeds [][]byte, right int) {
	greeting := fakePacket(0, fakeGreeting(false))
	letIn := fakePacket(2, []byte(fakeOK))
	synced := fakeSaid(1, func(f *fake) { f.synced(fullQuery) })
	switched := fakePacket(2, []byte("\xfemysql_native_password\x00abcdefghijklmnopqrst\x00"))
	fast := joinBytes(fakePacket(2, []byte("\xfecaching_sha2_password\x00abcdefghijklmnopqrst\x00")), fakePacket(4, []byte("\x01\x03")), fakePacket(5, []byte(fakeOK)))
	seeds = [][]byte{
		joinBytes(greeting, letIn, synced),
		joinBytes(greeting, switched, fakePacket(4, []byte(fakeOK)), synced),
		joinBytes(greeting, fast, synced),
	}
	right = len(seeds)
	seeds = append(seeds,
		greeting,
		joinBytes(greeting, letIn),
		joinBytes(greeting, fakePacket(2, []byte("\xfe\x00"))),
		joinBytes(greeting, fakePacket(2, []byte("\xff\x15\x04#28000Access denied"))),
		fakePacket(0, []byte("\xff\x10\x04Too many connections")),
		joinBytes(greeting, letIn, fakePacket(1, []byte("\xff\xa9\x04#42000no such variable"))),
		joinBytes(greeting, letIn, fakePacket(1, []byte("\xfe\x00\x00\x00\x00\x00\x01\x00\x00\x01"))),
		joinBytes(fakePacket(0, fakeGreeting(true)), []byte("\x15\x03\x03\x00\x02\x02\x46")),
	)
	return seeds, right
}

// fuzzServer has a server say everything at once, whatever it is asked, and end.
func fuzzServer(t *testing.T, said []byte) *wire {
	near, far := tcpPair(t)
	go func() {
		_, _ = far.Write(said)
		_ = far.CloseWrite()
	}()
	w, err := newWire(near)
	must(t, err)
	w.begin(5 * time.Second)
	return w
}

// The seeds must get as far as the results, or the corpus would not.
func TestFuzzSeeds(t *testing.T) {
	seeds, right := fuzzSeeds()
	for i, said := range seeds[:right] {
		s, err := openSession(context.Background(), fuzzServer(t, said), "fuzz:1", login{account: Account{User: "u"}})
		if err != nil {
			t.Errorf("seed %d does not log in: %v", i, err)
			continue
		}
		if r, err := s.read(); err != nil || Judge(r, "").Kind != KindHealthy {
			t.Errorf("seed %d: %+v, %v", i, r, err)
		}
		s.abort()
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
		s, err := openSession(context.Background(), fuzzServer(t, said), "fuzz:1", login{account: Account{User: "u"}})
		if err == nil {
			_, err = s.read()
			s.abort()
		}
		noHang(t, err)
	})
}

// FuzzAnswer has a server that lets everybody in answer anything to each who asks.
func FuzzAnswer(f *testing.F) {
	list := fakeSaid(1, func(s *fake) {
		s.table(fakeMore, processColumns, fakeRow("7", "app", "10.0.0.1:40000", "Sleep", "1.5", "9"), fakeRow("8", "app", "10.0.0.1:40001", "Query", "0", "10"))
		s.table(fakeMore, 1, fakeRow("4"))
		s.table(fakeMore, 3, fakeRow("107", "7", "YES"), fakeRow("108", "8", "YES"))
		s.table(fakeMore, 3, fakeRow("107", "ACTIVE", "1000000"))
		s.table(fakeMore, 2, fakeRow("107", "TABLE\td\tt"))
		s.table(fakeMore, 1, fakeRow("8"))
		s.table(fakeEnd, 3, fakeRow("InnoDB", "", trxList+"\n---TRANSACTION 1, ACTIVE 3 sec\nMySQL thread id 7, x\n"+trxEnd+"\n"))
	})
	f.Add(uint8(0), fakeSaid(1, func(s *fake) { s.synced(fullQuery) }))
	f.Add(uint8(1), list)
	f.Add(uint8(2), fakeSaid(1, func(s *fake) { s.table(fakeEnd, processColumns, fakeRow("7", "app", "h", "Sleep", "1", "9")) }))
	f.Add(uint8(3), fakeSaid(1, func(s *fake) {
		s.table(fakeEnd, freshColumns, fakeRow("Sleep", "1", "YES", "ACTIVE", "1", "TABLE\td\tt", "0"))
	}))
	f.Add(uint8(4), fakeSaid(1, func(s *fake) { s.say(fakeOKMore); s.table(fakeEnd, 1, fakeRow("12")) }))
	f.Fuzz(func(t *testing.T, who uint8, said []byte) {
		w := fuzzServer(t, said)
		defer w.Close()
		s := &session{wire: w, stream: w, noEOF: true, full: true}
		s.in.from = w
		c := &inspection{session: s, sources: sources{transactions: true, locks: psMetadataLocks, temporary: true}}
		var err error
		switch who % 5 {
		case 0:
			_, err = s.read()
		case 1:
			var all []ClientSession
			if all, err = c.list(); err == nil && len(said) == len(list) && len(all) > 2 {
				t.Errorf("%d sessions", len(all))
			}
		case 2:
			_, err = c.lookAt(7)
		case 3:
			_, _, err = c.lookFresh(knownSession{process: process{id: 7}})
		case 4:
			_, err = s.lastValue("x")
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
