package serving

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// ended waits until the other side has closed a connection without a word.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	var nerr net.Error
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("it was answered")
	} else if errors.As(err, &nerr) && nerr.Timeout() {
		t.Fatal("it is still held")
	}
}

func dial(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// Only so many wait; who has waited longest goes. Nobody is served while the header is not there, and who goes on is.
func TestLobbyPlaces(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	o := Options{Conns: 5, ReadWithin: time.Hour}.withDefaults()
	b, err := newLobby(l, &o)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range 100 {
		conns = append(conns, dial(t, l, "GET / HTTP/1.1\r\n"))
	}
	for _, c := range conns[:90] {
		ended(t, c)
	}
	b.mu.Lock()
	if n := len(b.sitters); n != 10 || b.waiting[here].Len() != 10 {
		t.Errorf("%d wait, of 10", n)
	}
	b.mu.Unlock()
	if _, err := io.WriteString(conns[95], "Host: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	c, err := b.Accept()
	if err != nil || c.RemoteAddr().String() != conns[95].LocalAddr().String() {
		t.Fatalf("accepted %v, %v", c, err)
	}
	c.Close()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range conns[90:] {
		ended(t, c)
	}
	if _, err := b.Accept(); err == nil {
		t.Error("a closed lobby accepts")
	}
}

// Who says nothing in time is put out, whether others come or not.
func TestLobbyTime(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	up(t, l, ok("yes"), Options{ReadWithin: 50 * time.Millisecond})
	for range 3 {
		ended(t, dial(t, l, "GET / HTTP/1.1\r\n"))
	}
}

// A header that comes a byte at a time is waited for, and read whole.
func TestLobbyTrickle(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	up(t, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-A")) }), Options{ReadWithin: time.Minute})
	c := dial(t, l, "")
	for _, b := range []byte("GET / HTTP/1.1\r\nHost: a\r\nX-A: steering\r\n\r\n") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	answer, err := io.ReadAll(c)
	if err != nil || string(answer[len(answer)-8:]) != "steering" {
		t.Errorf("got %q, %v", answer, err)
	}
}
