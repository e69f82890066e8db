package dbtest

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The probe's account of [StartMariaDB].
const (
	ProbeUser     = "probe"
	ProbePassword = "right"
)

// MariaDB is a real Galera node of Debian's packages, a cluster of its own.
type MariaDB struct {
	Cmd     *exec.Cmd
	Admin   *sql.DB // as root
	Address string
	dead    chan struct{}
}

// StartMariaDB starts a node on loopback ports, with further options, and creates
// the probe's user, which has no privileges. It skips the test where the packages are
// missing.
func StartMariaDB(tb testing.TB, options ...string) *MariaDB {
	tb.Helper()
	provider := debianGalera(tb)
	// Not TempDir: the path of a unix socket may have only 107 bytes.
	dir, err := os.MkdirTemp("", "galera")
	Must(tb, err)
	tb.Cleanup(func() { Must(tb, os.RemoveAll(dir)) })
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "sock")
	first := []string{"--no-defaults"} // it must be the first option
	if os.Getuid() == 0 {
		first = append(first, "--user=root")
	}
	install(tb, data, first)

	m := &MariaDB{Address: FreeAddress(tb)}
	m.start(tb, "mariadbd", socket, filepath.Join(dir, "log.err"), append(append(first, "--datadir="+data,
		"--pid-file="+filepath.Join(dir, "pid"), "--wsrep-provider="+provider, "--wsrep-cluster-address=gcomm://", "--wsrep-node-address=127.0.0.1",
		"--wsrep-provider-options=gmcast.listen_addr=tcp://"+FreeAddress(tb)+";ist.recv_addr="+FreeAddress(tb)+";gcache.size=1M",
	), options...)...)
	m.Do(tb, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", ProbeUser, ProbePassword))
	return m
}

// debianGalera is the provider of Debian's packages. It skips the test where they are
// missing.
func debianGalera(tb testing.TB) (provider string) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("a real MariaDB takes seconds to start")
	}
	provider = "/usr/lib/galera/libgalera_smm.so"
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			tb.Skipf("Debian's package mariadb-server is missing: %v", err)
		}
	}
	if _, err := os.Stat(provider); err != nil {
		tb.Skipf("Debian's package galera-4 is missing: %v", err)
	}
	return provider
}

// install makes a data folder, with the options that the server has first.
func install(tb testing.TB, data string, first []string) {
	tb.Helper()
	out, err := exec.Command("mariadb-install-db", append(slices.Clone(first), "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db")...).CombinedOutput()
	if err != nil {
		tb.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
}

// start starts the program and returns when it is a member that is ready. It is killed at
// the end of the test.
func (m *MariaDB) start(tb testing.TB, program, socket, logFile string, options ...string) {
	tb.Helper()
	m.dead = make(chan struct{})
	_, port, _ := net.SplitHostPort(m.Address)
	m.Cmd = exec.Command(program, append(options, "--socket="+socket,
		"--bind-address=127.0.0.1", "--port="+port, "--skip-name-resolve", "--log-error="+logFile,
		"--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON")...)
	// The server must not outlive a test that panics. The signal comes when the
	// thread that started it ends.
	m.Cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := m.Cmd.Start()
		started <- err
		if err == nil {
			_ = m.Cmd.Wait()
		}
		close(m.dead)
	}()
	Must(tb, <-started)
	tb.Cleanup(m.Kill)

	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.Logger = "root", "unix", socket, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	Must(tb, err)
	m.Admin = sql.OpenDB(connector)
	m.Admin.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = m.Admin.Close() })
	give := time.Now().Add(60 * time.Second)
	for ; ; time.Sleep(50 * time.Millisecond) {
		var name, ready string
		if m.Admin.QueryRow("SHOW STATUS LIKE 'wsrep_ready'").Scan(&name, &ready) == nil && ready == "ON" {
			return
		}
		exited := false
		select {
		case <-m.dead:
			exited = true
		default:
		}
		if exited || time.Now().After(give) {
			log, _ := os.ReadFile(logFile)
			tb.Fatalf("MariaDB is not ready:\n%s", log)
		}
	}
}

// Do runs a statement as root.
func (m *MariaDB) Do(tb testing.TB, statement string) {
	tb.Helper()
	if _, err := m.Admin.Exec(statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// Signal sends the server a signal.
func (m *MariaDB) Signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	Must(tb, m.Cmd.Process.Signal(s))
}

// Kill ends the server as a crash does.
func (m *MariaDB) Kill() {
	_ = m.Cmd.Process.Kill()
	<-m.dead
}

// KillProbes ends the probe's connections from the server's side.
func (m *MariaDB) KillProbes(tb testing.TB) {
	tb.Helper()
	m.Do(tb, "KILL HARD CONNECTION USER "+ProbeUser)
}

// FreeAddress is an address on loopback that nobody listens at.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(tb, err)
	defer l.Close()
	return l.Addr().String()
}

// Must ends the test at an error.
func Must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// PasswordFile is a file with the password.
func PasswordFile(tb testing.TB, password string) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "password")
	Must(tb, os.WriteFile(name, []byte(password+"\n"), 0o600))
	return name
}

// Contains wants every part in the text.
func Contains(tb testing.TB, text string, parts ...string) {
	tb.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			tb.Errorf("%q does not contain %q", text, part)
		}
	}
}
