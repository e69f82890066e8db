package dbtest

import (
	"cmp"
	"database/sql"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
	Must(t, err)
	server := cmp.Or(os.Getenv("MYSQL_SERVER"), filepath.Join(cache, "haproxyd", "mysql", "mysqld"))
	if _, err := os.Stat(server); err != nil {
		t.Skipf("no MySQL server: run e2e/mysql-server.sh, or name one with MYSQL_SERVER (%v)", err)
	}
	return server
}

// StartMySQL starts a MySQL server of its own, with the certificates that it makes for
// itself in the folder that is returned.
func StartMySQL(t *testing.T) (admin *sql.DB, address, data string) {
	t.Helper()
	server := mysqlServer(t)
	dir, err := os.MkdirTemp("", "mysql") // the path of a socket may have 107 bytes only
	Must(t, err)
	t.Cleanup(func() { Must(t, os.RemoveAll(dir)) })
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
	address = FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	socket := filepath.Join(dir, "sock")
	cmd := exec.Command(server, append(options, "--bind-address=127.0.0.1", "--port="+port, "--socket="+socket,
		"--mysqlx=OFF", "--pid-file="+filepath.Join(dir, "pid"))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	Must(t, cmd.Start())
	dead := make(chan struct{})
	go func() { _ = cmd.Wait(); close(dead) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-dead })

	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.Logger = "root", "unix", socket, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	Must(t, err)
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
