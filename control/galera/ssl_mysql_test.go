package galera

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// TestMySQL logs in to a real MySQL server in every way, which has no wsrep: that it is let in shows in what
// it asks then.
func TestMySQL(t *testing.T) {
	admin, address, data := dbtest.StartMySQL(t)
	do := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	password := dbtest.PasswordFile(t, dbtest.ProbePassword)
	do("CREATE USER sha2 IDENTIFIED WITH caching_sha2_password BY '" + dbtest.ProbePassword + "'")
	do("CREATE USER nobody IDENTIFIED WITH caching_sha2_password BY ''")
	do("CREATE USER strict IDENTIFIED BY '" + dbtest.ProbePassword + "' REQUIRE X509")
	do("CREATE USER encrypted IDENTIFIED BY '" + dbtest.ProbePassword + "' REQUIRE SSL")
	methods := []string{"sha2"}
	if _, err := admin.Exec("CREATE USER sha256 IDENTIFIED WITH sha256_password BY '" + dbtest.ProbePassword + "'"); err == nil {
		methods = append(methods, "sha256")
	} else {
		t.Logf("sha256_password: %v", err)
	}
	ca := filepath.Join(data, "ca.pem")
	with := func(user string, ssl conn.SSL) OnceConfig {
		return OnceConfig{Address: address, Account: conn.Account{User: user, PasswordFile: password}, SSL: ssl, Within: dbtest.Soon}
	}
	// The server keeps a digest of the last login, which makes the next one short: each way both.
	for _, user := range methods {
		for _, ssl := range []conn.SSL{{Mode: conn.SSLDisabled}, {}, {Mode: conn.SSLRequired}, {Mode: conn.SSLVerifyCA, CA: ca}} {
			do("FLUSH PRIVILEGES")
			for range 2 {
				version, err := sslOf(t, with(user, ssl))
				if err != nil || (version != "") != (ssl.Mode != conn.SSLDisabled) {
					t.Errorf("%s, %q: %q, %v", user, ssl.Mode, version, err)
				}
			}
		}
	}
	if version, err := sslOf(t, OnceConfig{Address: address, Account: conn.Account{User: "nobody"}}); err != nil || version == "" {
		t.Errorf("no password: %q, %v", version, err)
	}
	once := func(cfg OnceConfig, want Class, says string) {
		t.Helper()
		g, err := Once(t.Context(), cfg)
		if err != nil || g.Class != want || !strings.Contains(g.Reason, says) {
			t.Errorf("%+v: %+v, %v", cfg, g, err)
		}
	}
	once(with("sha2", conn.SSL{}), ClassNotGalera, "wsrep")
	once(with("sha2", conn.SSL{Mode: conn.SSLDisabled}), ClassNotGalera, "wsrep")
	wrong := with("sha2", conn.SSL{})
	wrong.Account.PasswordFile = dbtest.PasswordFile(t, "wrong")
	once(wrong, ClassAccessDenied, "sha2")
	once(with("sha2", conn.SSL{Mode: conn.SSLVerifyIdentity, CA: ca}), ClassTLS, "subjectAltName")
	once(with("sha2", conn.SSL{Mode: conn.SSLVerifyCA, CA: dbtest.NewAuthority(t).File}), ClassTLS, "--probe-ssl-ca")
	once(with("encrypted", conn.SSL{Mode: conn.SSLDisabled}), ClassAccessDenied, "encrypted")
	once(with("encrypted", conn.SSL{}), ClassNotGalera, "")
	once(with("strict", conn.SSL{}), ClassAccessDenied, "strict")
	once(with("strict", conn.SSL{Cert: filepath.Join(data, "client-cert.pem"), Key: filepath.Join(data, "client-key.pem")}), ClassNotGalera, "")
	do("SET GLOBAL require_secure_transport=ON")
	once(with("sha2", conn.SSL{Mode: conn.SSLDisabled}), ClassAccessDenied, "--probe-ssl-mode")
	once(with("sha2", conn.SSL{}), ClassNotGalera, "")

	// Certificates of ours, taken up without a restart.
	own := dbtest.NewAuthority(t)
	verify := conn.SSL{Mode: conn.SSLVerifyIdentity, CA: own.File}
	take := func(host string, until time.Time) error {
		t.Helper()
		cert, key := own.Issue(t, host, until)
		do("SET GLOBAL ssl_ca='" + own.File + "', ssl_cert='" + cert + "', ssl_key='" + key + "'")
		_, err := admin.Exec("ALTER INSTANCE RELOAD TLS")
		return err
	}
	dbtest.Must(t, take("127.0.0.1", time.Now().Add(time.Hour)))
	once(with("sha2", verify), ClassNotGalera, "")
	dbtest.Must(t, take("db.example", time.Now().Add(time.Hour)))
	once(with("sha2", verify), ClassTLS, "subjectAltName")
	// It takes none that has expired already, so one has to while it is there.
	var end time.Time
	for life := 3 * time.Second; ; life *= 2 {
		end = time.Now().Add(life).Truncate(time.Second)
		if err := take("127.0.0.1", end); err == nil {
			break
		} else if life > time.Minute {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Until(end.Add(time.Second)))
	once(with("sha2", verify), ClassTLS, "expired")
	once(with("sha2", conn.SSL{}), ClassNotGalera, "") // PREFERRED does not look
	if _, err := admin.Exec("SET GLOBAL tls_version='TLSv1'"); err == nil {
		do("ALTER INSTANCE RELOAD TLS")
		t.Log("this server still speaks TLS 1.0")
	} else {
		t.Logf("TLS 1.0 can no longer be had of it (TestSSLModes has a stub): %v", err)
	}
}
