package galera

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// sslOf logs in and returns the version of TLS that the server says the session has.
func sslOf(t *testing.T, cfg OnceConfig) (string, error) {
	t.Helper()
	d, err := conn.NewDialer(cfg.Address, nil)
	dbtest.Must(t, err)
	s, err := d.Open(t.Context(), conn.Opening{Account: cfg.Account, SSL: cfg.SSL, Life: context.Background(), Budget: dbtest.Soon})
	if err != nil {
		return "", err
	}
	defer s.Close()
	version := ""
	err = s.Ask("SHOW SESSION STATUS LIKE 'Ssl_version'", func(_ int, row []conn.Value) error {
		version = string(row[1])
		return nil
	}, nil)
	return version, err
}

// TestSSLMariaDB is a node that takes encrypted connections only, and the probe.
func TestSSLMariaDB(t *testing.T) {
	ca, other := dbtest.NewAuthority(t), dbtest.NewAuthority(t)
	cert, key := ca.Issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	m := dbtest.StartMariaDB(t, "--ssl-ca="+ca.File, "--ssl-cert="+cert, "--ssl-key="+key, "--require-secure-transport=ON")
	m.Do(t, "GRANT CREATE, SELECT, INSERT, UPDATE ON haproxyd.* TO "+dbtest.ProbeUser)
	m.Do(t, "CREATE USER strict IDENTIFIED BY '"+dbtest.ProbePassword+"' REQUIRE X509")
	password := dbtest.PasswordFile(t, dbtest.ProbePassword)
	clientCert, clientKey := ca.Issue(t, "client", time.Now().Add(time.Hour))

	for _, ssl := range []conn.SSL{{}, {Mode: conn.SSLRequired}, {Mode: conn.SSLVerifyCA, CA: ca.File}, {Mode: conn.SSLVerifyIdentity, CA: ca.File}} {
		version, err := sslOf(t, OnceConfig{Address: m.Address, Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: password}, SSL: ssl})
		if err != nil || !strings.HasPrefix(version, "TLSv1.") {
			t.Errorf("%s: %q, %v", ssl.Mode, version, err)
		}
		p := startProber(t, Config{SSL: ssl, Canary: &CanaryConfig{Member: "px0"}}, m.Address)
		await(t, p, dbtest.Soon, "committing", func(s NodeStatus) bool { return healthy(s) && commits(s) })
	}
	p := startProber(t, Config{SSL: conn.SSL{Mode: conn.SSLDisabled}}, m.Address)
	s, _ := await(t, p, dbtest.Soon, "refused", is(Unknown, ClassAccessDenied))
	dbtest.Contains(t, s.Reason, "--probe-ssl-mode")
	t.Log(s.Reason)

	once := func(user string, ssl conn.SSL, want Class, says string) {
		t.Helper()
		g, err := Once(t.Context(), OnceConfig{Address: m.Address, Account: conn.Account{User: user, PasswordFile: password}, SSL: ssl, Within: dbtest.Soon})
		if err != nil || g.Class != want || !strings.Contains(g.Reason, says) {
			t.Errorf("%s, %+v: %+v, %v", user, ssl, g, err)
		}
	}
	once(dbtest.ProbeUser, conn.SSL{Mode: conn.SSLVerifyCA, CA: other.File}, ClassTLS, "--probe-ssl-ca")
	once("strict", conn.SSL{Mode: conn.SSLRequired}, ClassAccessDenied, "strict")
	once("strict", conn.SSL{Mode: conn.SSLRequired, Cert: clientCert, Key: clientKey}, ClassSynced, "")
	// A certificate of nobody's: the server ends TLS, and takes nothing else. Whether its alert is read before its reset
	// comes is chance, so the words in the brackets are.
	badCert, badKey := other.Issue(t, "client", time.Now().Add(time.Hour))
	once("strict", conn.SSL{Cert: badCert, Key: badKey}, ClassAccessDenied, "or it wants TLS, which the probe does not have (")

	m.Do(t, "SET GLOBAL require_secure_transport=OFF")
	once(dbtest.ProbeUser, conn.SSL{Mode: conn.SSLDisabled}, ClassSynced, "")
	once(dbtest.ProbeUser, conn.SSL{Cert: badCert, Key: badKey}, ClassSynced, "") // plain where TLS fails
	m.Do(t, "CREATE USER encrypted IDENTIFIED BY '"+dbtest.ProbePassword+"' REQUIRE SSL")
	once("encrypted", conn.SSL{}, ClassSynced, "")
	once("encrypted", conn.SSL{Cert: badCert, Key: badKey}, ClassAccessDenied, "or it wants TLS")
}

// TestTLS10MariaDB is a server that speaks TLS 1.0 and nothing newer.
func TestTLS10MariaDB(t *testing.T) {
	ca := dbtest.NewAuthority(t)
	cert, key := ca.Issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	m := dbtest.StartMariaDB(t, "--ssl-ca="+ca.File, "--ssl-cert="+cert, "--ssl-key="+key, "--tls-version=TLSv1.0", "--ssl-cipher=ALL:@SECLEVEL=0")
	for _, c := range []struct {
		mode conn.SSLMode
		want Class
	}{{conn.SSLPreferred, ClassSynced}, {conn.SSLRequired, ClassTLS}} {
		g, err := Once(t.Context(), OnceConfig{Address: m.Address, Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: dbtest.PasswordFile(t, dbtest.ProbePassword)}, SSL: conn.SSL{Mode: c.mode}, Within: dbtest.Soon})
		if err != nil || g.Class != c.want {
			t.Errorf("%s: %+v, %v", c.mode, g, err)
		}
		t.Log(g.Reason)
	}
	p := startProber(t, Config{}, m.Address)
	await(t, p, dbtest.Soon, "healthy", healthy)
}
