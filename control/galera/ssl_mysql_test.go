package galera

import (
	"cmp"
	"database/sql"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlServer finds what e2e/mysql-server.sh unpacked, and skips the test where nothing
// is: tests do not download.
func mysqlServer(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a real MySQL takes seconds to start")
	}
	cache, err := os.UserCacheDir()
	must(t, err)
	server := cmp.Or(os.Getenv("MYSQL_SERVER"), filepath.Join(cache, "haproxyd", "mysql", "mysqld"))
	if _, err := os.Stat(server); err != nil {
		t.Skipf("no MySQL server: run e2e/mysql-server.sh, or name one with MYSQL_SERVER (%v)", err)
	}
	return server
}

// startMySQL starts a MySQL server of its own, with the certificates that it makes for
// itself in the folder that is returned.
func startMySQL(t *testing.T) (admin *sql.DB, address, data string) {
	t.Helper()
	server := mysqlServer(t)
	dir, err := os.MkdirTemp("", "mysql") // the path of a socket may have 107 bytes only
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	data = filepath.Join(dir, "data")
	options := []string{"--no-defaults", "--datadir=" + data, "--log-error=" + filepath.Join(dir, "log"), "--innodb-buffer-pool-size=16M"}
	if os.Getuid() == 0 {
		options = append(options, "--user=root")
	}
	said := func() string {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return string(log)
	}
	if out, err := exec.Command(server, append(options, "--initialize-insecure")...).CombinedOutput(); err != nil {
		t.Fatalf("mysqld --initialize-insecure: %v\n%s%s", err, out, said())
	}
	address = freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	socket := filepath.Join(dir, "sock")
	cmd := exec.Command(server, append(options, "--bind-address=127.0.0.1", "--port="+port, "--socket="+socket,
		"--mysqlx=OFF", "--pid-file="+filepath.Join(dir, "pid"))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	dead := make(chan struct{})
	go func() { _ = cmd.Wait(); close(dead) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-dead })

	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.Logger = "root", "unix", socket, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	must(t, err)
	admin = sql.OpenDB(connector)
	t.Cleanup(func() { _ = admin.Close() })
	for give := time.Now().Add(time.Minute); admin.Ping() != nil; time.Sleep(50 * time.Millisecond) {
		select {
		case <-dead:
			t.Fatalf("MySQL ended:\n%s", said())
		default:
		}
		if time.Now().After(give) {
			t.Fatalf("MySQL does not answer:\n%s", said())
		}
	}
	return admin, address, data
}

// TestMySQL logs in to a real MySQL server in every way, which has no wsrep: that it is let in shows in what
// it asks then.
func TestMySQL(t *testing.T) {
	admin, address, data := startMySQL(t)
	do := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	password := passwordFile(t, probePassword)
	do("CREATE USER sha2 IDENTIFIED WITH caching_sha2_password BY '" + probePassword + "'")
	do("CREATE USER nobody IDENTIFIED WITH caching_sha2_password BY ''")
	do("CREATE USER strict IDENTIFIED BY '" + probePassword + "' REQUIRE X509")
	do("CREATE USER encrypted IDENTIFIED BY '" + probePassword + "' REQUIRE SSL")
	methods := []string{"sha2"}
	if _, err := admin.Exec("CREATE USER sha256 IDENTIFIED WITH sha256_password BY '" + probePassword + "'"); err == nil {
		methods = append(methods, "sha256")
	} else {
		t.Logf("sha256_password: %v", err)
	}
	ca := filepath.Join(data, "ca.pem")
	with := func(user string, ssl SSL) login { return login{account: Account{user, password}, ssl: ssl} }
	// The server keeps a digest of the last login, which makes the next one short: each way both.
	for _, user := range methods {
		for _, ssl := range []SSL{{Mode: SSLDisabled}, {}, {Mode: SSLRequired}, {Mode: SSLVerifyCA, CA: ca}} {
			do("FLUSH PRIVILEGES")
			for range 2 {
				version, err := sslOf(t, address, with(user, ssl))
				if err != nil || (version != "") != (ssl.Mode != SSLDisabled) {
					t.Errorf("%s, %q: %q, %v", user, ssl.Mode, version, err)
				}
			}
		}
	}
	if version, err := sslOf(t, address, login{account: Account{User: "nobody"}}); err != nil || version == "" {
		t.Errorf("no password: %q, %v", version, err)
	}
	once := func(l login, want Class, says string) {
		t.Helper()
		g, err := Once(t.Context(), OnceConfig{Address: address, Account: l.account, SSL: l.ssl, Within: soon})
		if err != nil || g.Class != want || !strings.Contains(g.Reason, says) {
			t.Errorf("%+v: %+v, %v", l, g, err)
		}
	}
	once(with("sha2", SSL{}), ClassNotGalera, "wsrep")
	once(with("sha2", SSL{Mode: SSLDisabled}), ClassNotGalera, "wsrep")
	once(login{account: Account{"sha2", passwordFile(t, "wrong")}}, ClassAccessDenied, "sha2")
	once(with("sha2", SSL{Mode: SSLVerifyIdentity, CA: ca}), ClassTLS, "subjectAltName")
	once(with("sha2", SSL{Mode: SSLVerifyCA, CA: newAuthority(t).file}), ClassTLS, "--probe-ssl-ca")
	once(with("encrypted", SSL{Mode: SSLDisabled}), ClassAccessDenied, "encrypted")
	once(with("encrypted", SSL{}), ClassNotGalera, "")
	once(with("strict", SSL{}), ClassAccessDenied, "strict")
	once(with("strict", SSL{Cert: filepath.Join(data, "client-cert.pem"), Key: filepath.Join(data, "client-key.pem")}), ClassNotGalera, "")
	do("SET GLOBAL require_secure_transport=ON")
	once(with("sha2", SSL{Mode: SSLDisabled}), ClassAccessDenied, "--probe-ssl-mode")
	once(with("sha2", SSL{}), ClassNotGalera, "")

	// Certificates of ours, taken up without a restart.
	own := newAuthority(t)
	verify := SSL{Mode: SSLVerifyIdentity, CA: own.file}
	take := func(host string, until time.Time) error {
		t.Helper()
		cert, key := own.issue(t, host, until)
		do("SET GLOBAL ssl_ca='" + own.file + "', ssl_cert='" + cert + "', ssl_key='" + key + "'")
		_, err := admin.Exec("ALTER INSTANCE RELOAD TLS")
		return err
	}
	must(t, take("127.0.0.1", time.Now().Add(time.Hour)))
	once(with("sha2", verify), ClassNotGalera, "")
	must(t, take("db.example", time.Now().Add(time.Hour)))
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
	once(with("sha2", SSL{}), ClassNotGalera, "") // PREFERRED does not look
	if _, err := admin.Exec("SET GLOBAL tls_version='TLSv1'"); err == nil {
		do("ALTER INSTANCE RELOAD TLS")
		t.Log("this server still speaks TLS 1.0")
	} else {
		t.Logf("TLS 1.0 can no longer be had of it (TestSSLModes has a stub): %v", err)
	}
	checkTablesOfMySQL(t, address, with("sha2", SSL{}), do)
}

// checkTablesOfMySQL asks what an inspector asks of MySQL, whose results are the longest there are here.
func checkTablesOfMySQL(t *testing.T, address string, l login, do func(string)) {
	t.Helper()
	do("GRANT PROCESS ON *.* TO sha2")
	do("GRANT SELECT ON performance_schema.* TO sha2")
	d, err := newDialer(address, lookupIP)
	must(t, err)
	s, _, _, err := d.open(t.Context(), opening{login: l, life: t.Context(), budget: soon, connected: func(w *wire, left time.Duration) { w.begin(left) }})
	must(t, err)
	defer s.close()
	c := &inspection{session: s}
	if c.lacks, err = checkProcess(s, ""); err != nil || c.lacks != nil {
		t.Fatal(c.lacks, err)
	}
	if c.sources, err = findSources(s, ""); err != nil || !c.sources.transactions || c.sources.locks != psMetadataLocks || !c.sources.temporary {
		t.Errorf("%+v, %v", c.sources, err)
	}
	list, err := c.list()
	if err != nil || len(list) == 0 {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	for _, one := range list {
		if _, err := c.lookAt(one.ID); err != nil {
			t.Errorf("%+v: %v", one, err)
		}
	}
}
