package galera

import (
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// TestSSLModes is each mode against servers that can be had as stubs only: one without TLS,
// of TLS 1.0, with another CA, another name, an expired certificate, and those that end or hang in the
// middle of the handshake.
func TestSSLModes(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	in := time.Now().Add(time.Hour)
	right := ca.server(t, "127.0.0.1", in)
	old := right.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	breaks := func(how func(*fake)) func(*fake) {
		return func(f *fake) {
			f.say(string(fakeGreeting(true)))
			said, err := f.hear()
			if err != nil {
				return
			}
			if len(said) == sslRequest-packetHeader {
				how(f)
				return
			}
			f.say(fakeOK)
			for {
				text, err := f.hear()
				if err != nil || text[0] != comQuery {
					return
				}
				f.synced(text[1:])
			}
		}
	}
	const (
		works = "synced"
		fails = "tls"
	)
	for _, c := range []struct {
		name  string
		serve func(*fake)
		// what DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY come to
		want [5]string
		says string
	}{
		{"right", serveSynced(right), [5]string{works, works, works, works, works}, ""},
		{"no TLS", serveSynced(nil), [5]string{works, works, fails, fails, fails}, "does not offer TLS"},
		{"TLS 1.0", serveSynced(old), [5]string{works, works, fails, fails, fails}, "does not speak TLS 1.2"},
		{"another CA", serveSynced(other.server(t, "127.0.0.1", in)), [5]string{works, works, works, fails, fails}, "--probe-ssl-ca"},
		{"another name", serveSynced(ca.server(t, "db.example", in)), [5]string{works, works, works, works, fails}, "subjectAltName"},
		{"expired", serveSynced(ca.server(t, "127.0.0.1", time.Now().Add(-time.Minute))), [5]string{works, works, works, fails, fails}, "expired"},
		{"ends in the handshake", breaks(func(*fake) {}), [5]string{works, works, fails, fails, fails}, "cannot encrypt"},
		{"garbage in the handshake", breaks(func(f *fake) { _, _ = f.Write(make([]byte, 100)) }), [5]string{works, works, fails, fails, fails}, "cannot encrypt"},
		// Silence is what it is without TLS, too.
		{"hangs in the handshake", breaks(func(f *fake) { _, _ = f.Read(make([]byte, 4<<10)); f.wait() }), [5]string{works, works, "timeout", "timeout", "timeout"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := serveFake(t, c.serve)
			for i, mode := range SSLModes {
				cfg := OnceConfig{Address: address, Account: Account{User: "u"}, SSL: SSL{Mode: mode, CA: ca.file}, Within: 2 * time.Second}
				g, err := Once(t.Context(), cfg)
				if err != nil || string(g.Class) != c.want[i] {
					t.Errorf("%s: %+v, %v; want %s", mode, g, err, c.want[i])
				}
				if c.want[i] == fails && (g.Kind != KindUnknown || !g.Greeted || !strings.Contains(g.Reason, c.says)) {
					t.Errorf("%s: %+v; want %q", mode, g, c.says)
				}
			}
		})
	}
}

// TestSSLFiles is about files that are missing or wrong.
func TestSSLFiles(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "client", time.Now().Add(time.Hour))
	cfg := ca.server(t, "127.0.0.1", time.Now().Add(time.Hour))
	cfg.ClientAuth, cfg.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
	address := serveFake(t, serveSynced(cfg))
	for _, c := range []struct {
		ssl  SSL
		want Class
		says string
	}{
		{SSL{Mode: SSLVerifyIdentity, CA: ca.file, Cert: cert, Key: key}, ClassSynced, ""},
		{SSL{Mode: SSLRequired}, ClassTLS, "--probe-ssl-mode"},
		{SSL{Mode: SSLVerifyCA, CA: "/nowhere/ca.pem", Cert: cert, Key: key}, ClassTLS, "/nowhere/ca.pem"},
		{SSL{Mode: SSLVerifyCA, CA: key, Cert: cert, Key: key}, ClassTLS, "no certificate in PEM"},
		{SSL{Mode: SSLRequired, Cert: cert, Key: ca.file}, ClassTLS, "client certificate"},
		{SSL{Mode: SSLPreferred, Cert: cert, Key: ca.file}, ClassSynced, ""},
	} {
		g, err := Once(t.Context(), OnceConfig{Address: address, Account: Account{User: "u"}, SSL: c.ssl, Within: 5 * time.Second})
		if err != nil || g.Class != c.want || !strings.Contains(g.Reason, c.says) {
			t.Errorf("%+v: %+v, %v", c.ssl, g, err)
		}
	}
	for _, wrong := range []SSL{{Mode: "ON"}, {Mode: SSLVerifyCA}, {Mode: SSLVerifyIdentity}, {Cert: "x"}, {Key: "x"}} {
		if err := wrong.Validate(); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
	for _, right := range []SSL{{}, {Mode: SSLDisabled}, {Mode: SSLVerifyCA, CA: "x"}, {CA: "x", Cert: "x", Key: "x"}} {
		if err := right.Validate(); err != nil {
			t.Errorf("%+v: %v", right, err)
		}
	}
	var mode SSLMode
	if mode.String() != "PREFERRED" || mode.Set("verify_ca") != nil || mode != SSLVerifyCA || mode.Set("yes") == nil {
		t.Errorf("the mode is %s", mode)
	}
}

// TestPreferredRemembers has a node whose TLS hangs: that costs half of one deadline, once.
func TestPreferredRemembers(t *testing.T) {
	tried := make(chan bool, 100)
	address := serveFake(t, func(f *fake) {
		f.say(string(fakeGreeting(true)))
		said, err := f.hear()
		if err != nil {
			return
		}
		encrypted := len(said) == sslRequest-packetHeader
		tried <- encrypted
		if encrypted {
			_, _ = f.Read(make([]byte, 1<<10))
			_, _ = f.Read(make([]byte, 1)) // until it gives up
			return
		}
		f.say(fakeOK)
		if text, err := f.hear(); err == nil {
			f.synced(text[1:])
		} // and closes, so that the next probe connects
	})
	p := startProber(t, Config{User: "u", PasswordFile: passwordFile(t, "")}, address)
	await(t, p, soon, "healthy", healthy)
	if !<-tried || <-tried {
		t.Error("TLS was not tried first")
	}
	for range 3 {
		if <-tried {
			t.Error("TLS was tried again")
		}
	}
}

// A server may count what fails in TLS against this host, and block it at 100 in a row.
func TestTLSPace(t *testing.T) {
	cfg := Config{}.withDefaults()
	o := JudgeError(&TLSError{Mode: SSLRequired, Err: errNoTLS}, Account{})
	if p := nextPace(&cfg, Next(Start(), o, cfg.Failures), o); o.Kind != KindUnknown || p.wait < 10*time.Second {
		t.Errorf("%+v after %+v", p, o)
	}
	for _, verdict := range []struct {
		err  error
		want Class
	}{
		// The node is gone in the middle of TLS, or silent: that is no matter of TLS.
		{&TLSError{Mode: SSLRequired, Err: &SilenceError{Err: os.ErrDeadlineExceeded}}, ClassTimeout},
		{errors.Join(&mysql.MySQLError{Number: erAccessDenied}, &TLSError{Mode: SSLPreferred, Err: errNoTLS}), ClassAccessDenied},
		{errors.Join(&mysql.MySQLError{Number: erTLSRequired}, &TLSError{Mode: SSLPreferred, Err: errNoTLS}), ClassTLS},
		{&mysql.MySQLError{Number: erTLSRequired}, ClassAccessDenied},
	} {
		if o := JudgeError(verdict.err, Account{User: "u"}); o.Class != verdict.want {
			t.Errorf("%v: %+v", verdict.err, o)
		}
	}
}

// A confirming attempt has as much time for its login as it has without TLS.
func TestTLSApart(t *testing.T) {
	for _, apart := range []bool{false, true} {
		near, far := tcpPair(t)
		w, err := newWire(near)
		must(t, err)
		w.begin(300 * time.Millisecond)
		s := &session{wire: w}
		if _, err := s.encrypt(w, "127.0.0.1:1", login{apart: apart}); !isTimeout(err) {
			t.Errorf("%v", err)
		}
		if left := w.left; apart != (left == 300*time.Millisecond) || left < 150*time.Millisecond-slice {
			t.Errorf("apart %t: %v are left", apart, left)
		}
		must(t, far.Close())
	}
}
