package galera

import (
	"context"
	"strings"
	"testing"
	"time"
)

// sslOf logs in and returns the version of TLS that the server says the session has.
func sslOf(t *testing.T, address string, l login) (string, error) {
	t.Helper()
	d, err := newDialer(address, lookupIP)
	must(t, err)
	s, _, _, err := d.open(t.Context(), opening{
		login: l, life: context.Background(), budget: soon,
		connected: func(w *wire, left time.Duration) { w.begin(left) },
	})
	if err != nil {
		return "", err
	}
	defer s.close()
	version := ""
	err = s.ask("SHOW SESSION STATUS LIKE 'Ssl_version'", func(_ int, row []value) error {
		version = row[1].text()
		return nil
	}, nil)
	if s.encrypted != "" && strings.ReplaceAll(s.encrypted, "TLS ", "TLSv") != version {
		t.Errorf("we say %s, the server %s", s.encrypted, version)
	}
	return version, err
}

// TestSSLMariaDB is a node that takes encrypted connections only, and everybody who asks it.
func TestSSLMariaDB(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	m := startMariaDB(t, "--ssl-ca="+ca.file, "--ssl-cert="+cert, "--ssl-key="+key, "--require-secure-transport=ON")
	m.do(t, "GRANT PROCESS ON *.* TO "+probeUser)
	m.do(t, "GRANT CREATE, SELECT, INSERT, UPDATE ON haproxyd.* TO "+probeUser)
	m.do(t, "CREATE USER strict IDENTIFIED BY '"+probePassword+"' REQUIRE X509")
	password := passwordFile(t, probePassword)
	clientCert, clientKey := ca.issue(t, "client", time.Now().Add(time.Hour))

	for _, ssl := range []SSL{{}, {Mode: SSLRequired}, {Mode: SSLVerifyCA, CA: ca.file}, {Mode: SSLVerifyIdentity, CA: ca.file}} {
		version, err := sslOf(t, m.address, login{account: Account{probeUser, password}, ssl: ssl})
		if err != nil || !strings.HasPrefix(version, "TLSv1.") {
			t.Errorf("%s: %q, %v", ssl.Mode, version, err)
		}
		p := startProber(t, Config{SSL: ssl, Canary: &CanaryConfig{Member: "px0"}}, m.address)
		await(t, p, soon, "committing", func(s NodeStatus) bool { return healthy(s) && s.Commits })
		i, err := NewInspector(InspectorConfig{Address: m.address, User: probeUser, PasswordFile: password, SSL: ssl})
		must(t, err)
		if list, err := i.Sessions(t.Context()); err != nil || len(list) == 0 {
			t.Errorf("%s: %d sessions, %v", ssl.Mode, len(list), err)
		}
		i.Close()
	}
	p := startProber(t, Config{SSL: SSL{Mode: SSLDisabled}}, m.address)
	s, _ := await(t, p, soon, "refused", is(Unknown, ClassAccessDenied))
	contains(t, s.Reason, "--probe-ssl-mode")
	t.Log(s.Reason)

	once := func(user string, ssl SSL, want Class, says string) {
		t.Helper()
		g, err := Once(t.Context(), OnceConfig{Address: m.address, Account: Account{user, password}, SSL: ssl, Within: soon})
		if err != nil || g.Class != want || !strings.Contains(g.Reason, says) {
			t.Errorf("%s, %+v: %+v, %v", user, ssl, g, err)
		}
	}
	once(probeUser, SSL{Mode: SSLVerifyCA, CA: other.file}, ClassTLS, "--probe-ssl-ca")
	once("strict", SSL{Mode: SSLRequired}, ClassAccessDenied, "strict")
	once("strict", SSL{Mode: SSLRequired, Cert: clientCert, Key: clientKey}, ClassSynced, "")
	// A certificate of nobody's: the server ends TLS, and takes nothing else. Whether its alert is read before its reset
	// comes is chance, so the words in the brackets are.
	badCert, badKey := other.issue(t, "client", time.Now().Add(time.Hour))
	once("strict", SSL{Cert: badCert, Key: badKey}, ClassAccessDenied, "or it wants TLS, which the probe does not have (")

	m.do(t, "SET GLOBAL require_secure_transport=OFF")
	once(probeUser, SSL{Mode: SSLDisabled}, ClassSynced, "")
	once(probeUser, SSL{Cert: badCert, Key: badKey}, ClassSynced, "") // plain where TLS fails
	m.do(t, "CREATE USER encrypted IDENTIFIED BY '"+probePassword+"' REQUIRE SSL")
	once("encrypted", SSL{}, ClassSynced, "")
	once("encrypted", SSL{Cert: badCert, Key: badKey}, ClassAccessDenied, "or it wants TLS")
}

// TestTLS10MariaDB is a server that speaks TLS 1.0 and nothing newer.
func TestTLS10MariaDB(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	m := startMariaDB(t, "--ssl-ca="+ca.file, "--ssl-cert="+cert, "--ssl-key="+key, "--tls-version=TLSv1.0", "--ssl-cipher=ALL:@SECLEVEL=0")
	for _, c := range []struct {
		mode SSLMode
		want Class
	}{{SSLPreferred, ClassSynced}, {SSLRequired, ClassTLS}} {
		g, err := Once(t.Context(), OnceConfig{Address: m.address, Account: Account{probeUser, passwordFile(t, probePassword)}, SSL: SSL{Mode: c.mode}, Within: soon})
		if err != nil || g.Class != c.want {
			t.Errorf("%s: %+v, %v", c.mode, g, err)
		}
		t.Log(g.Reason)
	}
	p := startProber(t, Config{}, m.address)
	await(t, p, soon, "healthy", healthy)
}
