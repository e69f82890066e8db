package group

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	budget = 150 * time.Millisecond
	uuid0  = "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db"
)

// listen serves connections with f until the test ends.
func listen(t *testing.T, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestKnock(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // after the listeners have ended
	hello, err := hex.DecodeString(recorded[0])
	if err != nil {
		t.Fatal(err)
	}
	certificate := httptest.NewTLSServer(nil)
	config := certificate.TLS.Clone()
	certificate.Close()

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := netip.MustParseAddrPort(free.Addr().String())
	_ = free.Close()
	speaks := listen(t, func(c net.Conn) { _, _ = c.Write(hello) })
	waits := listen(t, func(net.Conn) { time.Sleep(2 * budget) })
	hangsUp := listen(t, func(net.Conn) {})
	encrypted := listen(t, func(c net.Conn) { _ = tls.Server(c, config).HandshakeContext(context.Background()) })
	alert := listen(t, func(c net.Conn) { // as a server does that wants nothing of ours
		_, _ = c.Read(make([]byte, 1000))
		_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
	})
	other := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")) })

	for name, c := range map[string]struct {
		at        netip.AddrPort
		encrypted bool
		want      Answer
		uuid      string
	}{
		"nobody listens":               {closed, false, Refused, ""},
		"nobody listens, with TLS":     {closed, true, Refused, ""},
		"the group layer":              {speaks, false, Spoke, uuid0},
		"a process that is stopped":    {waits, false, Silent, ""},
		"the same with TLS":            {waits, true, Silent, ""},
		"TLS":                          {encrypted, true, Spoke, ""},
		"TLS that refuses":             {alert, true, Spoke, ""},
		"TLS where it is not expected": {encrypted, false, Silent, ""}, // it waits for a ClientHello
		"it hangs up":                  {hangsUp, false, Spoke, ""},
		"something else":               {other, false, Spoke, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, uuid := Knock(t.Context(), c.at.String(), c.encrypted, budget)
			if a != c.want || uuid != c.uuid {
				t.Errorf("%v %q, want %v %q", a, uuid, c.want, c.uuid)
			}
		})
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a, _ := Knock(ctx, waits.String(), false, budget); a == Silent || a == Refused {
		t.Errorf("told to stop: %v", a)
	}
}
