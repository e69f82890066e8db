package conn

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// A confirming attempt has as much time for its login as it has without TLS.
func TestTLSApart(t *testing.T) {
	for _, apart := range []bool{false, true} {
		near, far := tcpPair(t)
		w, err := newWire(near)
		dbtest.Must(t, err)
		w.begin(300 * time.Millisecond)
		s := &Session{wire: w}
		if _, err := s.encrypt(w, "127.0.0.1", Opening{Apart: apart}); !IsTimeout(err) {
			t.Errorf("%v", err)
		}
		if left := w.Left; apart != (left == 300*time.Millisecond) || left < 150*time.Millisecond-slice {
			t.Errorf("apart %t: %v are left", apart, left)
		}
		dbtest.Must(t, far.Close())
	}
}
