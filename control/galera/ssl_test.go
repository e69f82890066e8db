package galera

import (
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// TestSSLModes is each mode against servers that can be had as stubs only: one without TLS,
// of TLS 1.0, with another CA, another name, an expired certificate, and those that end or hang in the
// middle of the handshake.
func TestSSLModes(t *testing.T) {
	ca, other := dbtest.NewAuthority(t), dbtest.NewAuthority(t)
	in := time.Now().Add(time.Hour)
	right := ca.Server(t, "127.0.0.1", in)
	old := right.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	breaks := func(how func(*dbtest.Fake)) func(*dbtest.Fake) {
		return func(f *dbtest.Fake) {
			f.Say(string(dbtest.Greeting(true)))
			said, err := f.Hear()
			if err != nil {
				return
			}
			if len(said) == dbtest.SSLRequest {
				how(f)
				return
			}
			f.Say(dbtest.OK)
			for {
				text, err := f.Hear()
				if err != nil || text[0] != dbtest.ComQuery {
					return
				}
				f.Synced(text[1:])
			}
		}
	}
	const (
		works = "synced"
		fails = "tls"
	)
	for _, c := range []struct {
		name  string
		serve func(*dbtest.Fake)
		// what DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY come to
		want [5]string
		says string
	}{
		{"right", dbtest.ServeSynced(right), [5]string{works, works, works, works, works}, ""},
		{"no TLS", dbtest.ServeSynced(nil), [5]string{works, works, fails, fails, fails}, "does not offer TLS"},
		{"TLS 1.0", dbtest.ServeSynced(old), [5]string{works, works, fails, fails, fails}, "does not speak TLS 1.2"},
		{"another CA", dbtest.ServeSynced(other.Server(t, "127.0.0.1", in)), [5]string{works, works, works, fails, fails}, "--probe-ssl-ca"},
		{"another name", dbtest.ServeSynced(ca.Server(t, "db.example", in)), [5]string{works, works, works, works, fails}, "subjectAltName"},
		{"expired", dbtest.ServeSynced(ca.Server(t, "127.0.0.1", time.Now().Add(-time.Minute))), [5]string{works, works, works, fails, fails}, "expired"},
		{"ends in the handshake", breaks(func(*dbtest.Fake) {}), [5]string{works, works, fails, fails, fails}, "cannot encrypt"},
		{"garbage in the handshake", breaks(func(f *dbtest.Fake) { _, _ = f.Write(make([]byte, 100)) }), [5]string{works, works, fails, fails, fails}, "cannot encrypt"},
		// Silence is what it is without TLS, too.
		{"hangs in the handshake", breaks(func(f *dbtest.Fake) { _, _ = f.Read(make([]byte, 4<<10)); f.Wait() }), [5]string{works, works, "timeout", "timeout", "timeout"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := dbtest.Serve(t, c.serve)
			for i, mode := range conn.SSLModes {
				cfg := OnceConfig{Address: address, Account: conn.Account{User: "u"}, SSL: conn.SSL{Mode: mode, CA: ca.File}, Within: 2 * time.Second}
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
	ca := dbtest.NewAuthority(t)
	cert, key := ca.Issue(t, "client", time.Now().Add(time.Hour))
	cfg := ca.Server(t, "127.0.0.1", time.Now().Add(time.Hour))
	cfg.ClientAuth, cfg.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
	address := dbtest.Serve(t, dbtest.ServeSynced(cfg))
	for _, c := range []struct {
		ssl  conn.SSL
		want Class
		says string
	}{
		{conn.SSL{Mode: conn.SSLVerifyIdentity, CA: ca.File, Cert: cert, Key: key}, ClassSynced, ""},
		{conn.SSL{Mode: conn.SSLRequired}, ClassTLS, "--probe-ssl-mode"},
		{conn.SSL{Mode: conn.SSLVerifyCA, CA: "/nowhere/ca.pem", Cert: cert, Key: key}, ClassTLS, "/nowhere/ca.pem"},
		{conn.SSL{Mode: conn.SSLVerifyCA, CA: key, Cert: cert, Key: key}, ClassTLS, "no certificate in PEM"},
		{conn.SSL{Mode: conn.SSLRequired, Cert: cert, Key: ca.File}, ClassTLS, "client certificate"},
		{conn.SSL{Mode: conn.SSLPreferred, Cert: cert, Key: ca.File}, ClassSynced, ""},
	} {
		g, err := Once(t.Context(), OnceConfig{Address: address, Account: conn.Account{User: "u"}, SSL: c.ssl, Within: 5 * time.Second})
		if err != nil || g.Class != c.want || !strings.Contains(g.Reason, c.says) {
			t.Errorf("%+v: %+v, %v", c.ssl, g, err)
		}
	}
	for _, wrong := range []conn.SSL{{Mode: "ON"}, {Mode: conn.SSLVerifyCA}, {Mode: conn.SSLVerifyIdentity}, {Cert: "x"}, {Key: "x"}} {
		if err := wrong.Validate(); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
	for _, right := range []conn.SSL{{}, {Mode: conn.SSLDisabled}, {Mode: conn.SSLVerifyCA, CA: "x"}, {CA: "x", Cert: "x", Key: "x"}} {
		if err := right.Validate(); err != nil {
			t.Errorf("%+v: %v", right, err)
		}
	}
	var mode conn.SSLMode
	if mode.String() != "PREFERRED" || mode.Set("verify_ca") != nil || mode != conn.SSLVerifyCA || mode.Set("yes") == nil {
		t.Errorf("the mode is %s", mode)
	}
}

// TestPreferredRemembers has a node whose TLS hangs: that costs half of one deadline, once.
func TestPreferredRemembers(t *testing.T) {
	tried := make(chan bool, 100)
	address := dbtest.Serve(t, func(f *dbtest.Fake) {
		f.Say(string(dbtest.Greeting(true)))
		said, err := f.Hear()
		if err != nil {
			return
		}
		encrypted := len(said) == dbtest.SSLRequest
		tried <- encrypted
		if encrypted {
			_, _ = f.Read(make([]byte, 1<<10))
			_, _ = f.Read(make([]byte, 1)) // until it gives up
			return
		}
		f.Say(dbtest.OK)
		if text, err := f.Hear(); err == nil {
			f.Synced(text[1:])
		} // and closes, so that the next probe connects
	})
	p := startProber(t, Config{Account: conn.Account{User: "u", PasswordFile: dbtest.PasswordFile(t, "")}}, address)
	await(t, p, dbtest.Soon, "healthy", healthy)
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
	o := JudgeError(&conn.TLSError{Mode: conn.SSLRequired, Err: errors.New("the server does not offer it")}, conn.Account{})
	if p := nextPace(&cfg, Next(Start(), o, failures), o); o.Kind != KindUnknown || p.wait < 10*time.Second {
		t.Errorf("%+v after %+v", p, o)
	}
	for _, verdict := range []struct {
		err  error
		want Class
	}{
		// The node is gone in the middle of TLS, or silent: that is no matter of TLS.
		{&conn.TLSError{Mode: conn.SSLRequired, Err: &conn.SilenceError{Err: os.ErrDeadlineExceeded}}, ClassTimeout},
		{errors.Join(&mysql.MySQLError{Number: conn.ErAccessDenied}, &conn.TLSError{Mode: conn.SSLPreferred, Err: errors.New("the server does not offer it")}), ClassAccessDenied},
		{errors.Join(&mysql.MySQLError{Number: conn.ErTLSRequired}, &conn.TLSError{Mode: conn.SSLPreferred, Err: errors.New("the server does not offer it")}), ClassTLS},
		{&mysql.MySQLError{Number: conn.ErTLSRequired}, ClassAccessDenied},
	} {
		if o := JudgeError(verdict.err, conn.Account{User: "u"}); o.Class != verdict.want {
			t.Errorf("%v: %+v", verdict.err, o)
		}
	}
}
