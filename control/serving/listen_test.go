package serving

import (
	"net"
	"strconv"
	"testing"
)

// What comes by this host's loopback is accepted by a listener of its own, and a second process finds the port taken.
func TestListen(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0"} {
		ls, err := Listen(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if len(ls) < 2 {
			t.Fatalf("%s: %d listeners", address, len(ls))
		}
		port := ls[0].Addr().(*net.TCPAddr).Port
		for _, l := range ls {
			defer l.Close()
			if l.Addr().(*net.TCPAddr).Port != port {
				t.Errorf("%s: %v beside port %d", address, l.Addr(), port)
			}
		}
		// Nobody accepts at the first one: what comes by loopback must not wait there.
		accepted := make(chan net.Conn, 1)
		go func() {
			c, err := ls[1].Accept()
			if err == nil {
				accepted <- c
			}
		}()
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		(<-accepted).Close()
		for _, again := range []string{net.JoinHostPort("0.0.0.0", strconv.Itoa(port)), net.JoinHostPort("127.0.0.1", strconv.Itoa(port))} {
			if l, err := Listen(t.Context(), again); err == nil {
				t.Errorf("%s was given twice", again)
				l[0].Close()
			}
		}
	}
	ls, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil || len(ls) != 1 {
		t.Fatalf("%v, %v", ls, err)
	}
	ls[0].Close()
}
