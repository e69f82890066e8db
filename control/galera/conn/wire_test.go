package conn

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// script is a connection in a time of its own. Each step is one Read: how long it
// really takes, and what comes of it.
type script struct {
	net.Conn
	clock    time.Time
	deadline time.Time
	steps    []step
}

type step struct {
	late time.Duration // beyond the deadline: this process was not running
	data string        // arrives, at once; "" is nothing until the deadline
}

func (s *script) SetReadDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

func (s *script) Read(b []byte) (int, error) {
	var now step
	if len(s.steps) > 0 {
		now, s.steps = s.steps[0], s.steps[1:]
	}
	if now.data != "" {
		s.clock = s.clock.Add(now.late)
		return copy(b, now.data), nil
	}
	s.clock = s.deadline.Add(now.late)
	return 0, os.ErrDeadlineExceeded
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWireBudget(t *testing.T) {
	const pause = time.Minute
	for _, c := range []struct {
		name   string
		budget time.Duration
		steps  []step
		data   string
		err    error
		took   time.Duration
		silent int
	}{
		{name: "silence", budget: time.Second, err: os.ErrDeadlineExceeded, took: time.Second, silent: 4},
		{name: "silence, briefly", budget: 50 * time.Millisecond, err: os.ErrDeadlineExceeded, took: 50 * time.Millisecond},
		{name: "late by a little", budget: time.Second, steps: []step{{late: 90 * time.Millisecond}}, err: os.ErrDeadlineExceeded, took: time.Second, silent: 4},
		{name: "an answer in the third slice", budget: time.Second, steps: []step{{}, {}, {data: "x"}}, data: "x", took: 2 * slice, silent: 2},
		{name: "paused, then silence", budget: time.Second, steps: []step{{late: pause}}, err: os.ErrDeadlineExceeded, took: pause + time.Second, silent: 3},
		{name: "paused past the deadline, the answer lies there", budget: time.Second, steps: []step{{late: pause}, {data: "x"}}, data: "x", took: pause + slice},
		{name: "paused in the last slice, the answer lies there", budget: slice, steps: []step{{late: pause}, {data: "x"}}, data: "x", took: pause + slice},
		{name: "paused in the last slice, then silence", budget: slice, steps: []step{{late: pause}}, err: os.ErrDeadlineExceeded, took: pause + slice + grace},
		{name: "paused again and again", budget: slice, steps: []step{{late: pause}, {late: pause}}, err: ErrOwnPause, took: 2*pause + slice + grace},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			s := &script{clock: start, steps: c.steps}
			silent := 0
			w := &wire{Conn: s, now: func() time.Time { return s.clock }, Exchange: Exchange{Silent: func() { silent++ }}}
			w.begin(c.budget)
			b := make([]byte, 8)
			n, err := w.Read(b)
			if string(b[:n]) != c.data || !errors.Is(err, c.err) {
				t.Errorf("read %q, %v", b[:n], err)
			}
			if took := s.clock.Sub(start); took != c.took {
				t.Errorf("it took %v, want %v", took, c.took)
			}
			if silent != c.silent {
				t.Errorf("silent was called %d times, want %d", silent, c.silent)
			}
			if !errors.Is(w.err, c.err) {
				t.Errorf("the cause kept is %v", w.err)
			}
		})
	}
}

// A trickle has the same budget as silence, and an answer without end the room.
func TestWireRoom(t *testing.T) {
	start := time.Unix(1000, 0)
	s := &script{clock: start}
	for range 20 {
		s.steps = append(s.steps, step{data: "x", late: 100 * time.Millisecond})
	}
	w := &wire{Conn: s, now: func() time.Time { return s.clock }}
	w.begin(time.Second)
	b, n := make([]byte, 8), 0
	var err error
	for err == nil {
		var got int
		got, err = w.Read(b)
		n += got
	}
	if n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) || s.clock.Sub(start) != time.Second {
		t.Errorf("%d bytes in %v, %v", n, s.clock.Sub(start), err)
	}
	s = &script{clock: start}
	for range 20 {
		s.steps = append(s.steps, step{data: "12345678"})
	}
	w = &wire{Conn: s, now: func() time.Time { return s.clock }}
	w.begin(time.Second)
	w.Room = 20
	for n, err = 0, nil; err == nil; {
		var got int
		got, err = w.Read(b)
		n += got
	}
	if n != 20 || !errors.Is(err, ErrProtocol) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// tcpPair returns both ends of a connection.
func tcpPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	dbtest.Must(t, err)
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	dbtest.Must(t, err)
	other, err := l.Accept()
	dbtest.Must(t, err)
	t.Cleanup(func() { _ = conn.Close(); _ = other.Close() })
	return conn.(*net.TCPConn), other.(*net.TCPConn)
}

func TestWireRest(t *testing.T) {
	for name, disturb := range map[string]func(w *wire, far *net.TCPConn){
		"closed":  func(_ *wire, far *net.TCPConn) { _ = far.Close() },
		"reset":   func(_ *wire, far *net.TCPConn) { _ = far.SetLinger(0); _ = far.Close() },
		"data":    func(_ *wire, far *net.TCPConn) { _, _ = far.Write([]byte("x")) },
		"stopped": func(w *wire, _ *net.TCPConn) { w.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := tcpPair(t)
			w, err := newWire(near)
			dbtest.Must(t, err)
			began := time.Now()
			w.rest(30 * time.Millisecond)
			if took := time.Since(began); took < 30*time.Millisecond {
				t.Errorf("undisturbed, it rested %v", took)
			}
			began = time.Now()
			time.AfterFunc(10*time.Millisecond, func() { disturb(w, far) })
			w.rest(time.Minute)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it rested %v", took)
			}
			w.begin(time.Minute)
			if n, err := w.Read(make([]byte, 8)); (name == "data") != (n == 1 && err == nil) {
				t.Errorf("then read %d, %v", n, err)
			}
		})
	}
}

func TestReadGreeting(t *testing.T) {
	for name, c := range map[string]struct {
		sent string
		ok   bool
	}{
		"http":         {"HTTP/1.1 400 Bad Request\r\n\r\n", false},
		"ssh":          {"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", false},
		"empty packet": {"\x00\x00\x00\x00", false},
		"short":        {"\x01\x00\x00\x00\x0a", false},
		"old protocol": {"\x02\x00\x00\x00\x09\x00", false},
		"no salt":      {"\x08\x00\x00\x00\x0a8.0.36\x00", false},
		"short error":  {"\x03\x00\x00\x00\xff\x10\x04", false},
		"short state":  {"\x05\x00\x00\x00\xff\x10\x04#0", false},
		"error":        {"\x17\x00\x00\x00\xff\x10\x04Too many connections", true},
		"cut":          {"\x17\x00\x00\x00\xff", false},
		"nothing":      {"", false},
	} {
		got, err := readGreeting(strings.NewReader(c.sent))
		if (err == nil) != c.ok || c.ok && string(got) != c.sent {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err != nil && name != "cut" && name != "nothing" && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
