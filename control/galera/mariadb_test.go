package galera

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	probeUser     = "probe"
	probePassword = "right"
)

// mariadb is a real Galera node of Debian's packages, a cluster of its own.
type mariadb struct {
	cmd     *exec.Cmd
	admin   *sql.DB
	address string
	dead    chan struct{}
}

// startMariaDB starts a node on loopback ports, with further options, and creates
// the probe's user, which has no privileges. It skips the test where the packages are
// missing.
func startMariaDB(tb testing.TB, options ...string) *mariadb {
	tb.Helper()
	if testing.Short() {
		tb.Skip("a real MariaDB takes seconds to start")
	}
	provider := "/usr/lib/galera/libgalera_smm.so"
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			tb.Skipf("Debian's package mariadb-server is missing: %v", err)
		}
	}
	if _, err := os.Stat(provider); err != nil {
		tb.Skipf("Debian's package galera-4 is missing: %v", err)
	}
	// Not TempDir: the path of a unix socket may have only 107 bytes.
	dir, err := os.MkdirTemp("", "galera")
	must(tb, err)
	tb.Cleanup(func() { must(tb, os.RemoveAll(dir)) })
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "sock")
	first := []string{"--no-defaults"} // it must be the first option
	if os.Getuid() == 0 {
		first = append(first, "--user=root")
	}
	out, err := exec.Command("mariadb-install-db", append(first, "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db")...).CombinedOutput()
	if err != nil {
		tb.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}

	m := &mariadb{address: freeAddress(tb), dead: make(chan struct{})}
	_, port, _ := net.SplitHostPort(m.address)
	m.cmd = exec.Command("mariadbd", append(append(first, "--datadir="+data, "--socket="+socket,
		"--bind-address=127.0.0.1", "--port="+port, "--skip-name-resolve", "--log-error="+filepath.Join(dir, "log.err"),
		"--pid-file="+filepath.Join(dir, "pid"), "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
		"--wsrep-on=ON", "--wsrep-provider="+provider, "--wsrep-cluster-address=gcomm://", "--wsrep-node-address=127.0.0.1",
		"--wsrep-provider-options=gmcast.listen_addr=tcp://"+freeAddress(tb)+";ist.recv_addr="+freeAddress(tb)+";gcache.size=1M",
	), options...)...)
	// The server must not outlive a test that panics. The signal comes when the
	// thread that started it ends.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			_ = m.cmd.Wait()
		}
		close(m.dead)
	}()
	must(tb, <-started)
	tb.Cleanup(m.kill)

	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.Logger = "root", "unix", socket, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	must(tb, err)
	m.admin = sql.OpenDB(connector)
	m.admin.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = m.admin.Close() })
	give := time.Now().Add(60 * time.Second)
	for ; ; time.Sleep(50 * time.Millisecond) {
		var name, ready string
		if m.admin.QueryRow("SHOW STATUS LIKE 'wsrep_ready'").Scan(&name, &ready) == nil && ready == "ON" {
			break
		}
		exited := false
		select {
		case <-m.dead:
			exited = true
		default:
		}
		if exited || time.Now().After(give) {
			log, _ := os.ReadFile(filepath.Join(dir, "log.err"))
			tb.Fatalf("MariaDB is not ready:\n%s", log)
		}
	}
	m.do(tb, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", probeUser, probePassword))
	return m
}

// do runs a statement as root.
func (m *mariadb) do(tb testing.TB, statement string) {
	tb.Helper()
	if _, err := m.admin.Exec(statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

func (m *mariadb) signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	must(tb, m.cmd.Process.Signal(s))
}

func (m *mariadb) kill() {
	_ = m.cmd.Process.Kill()
	<-m.dead
}

// killProbes ends the probe's connections from the server's side.
func (m *mariadb) killProbes(tb testing.TB) {
	tb.Helper()
	m.do(tb, "KILL HARD CONNECTION USER "+probeUser)
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	defer l.Close()
	return l.Addr().String()
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func passwordFile(tb testing.TB, password string) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "password")
	must(tb, os.WriteFile(name, []byte(password+"\n"), 0o600))
	return name
}

// startProber runs a prober of one node until the test ends.
func startProber(tb testing.TB, cfg Config, address string) *Prober {
	tb.Helper()
	cfg.Nodes = []Target{{Name: "n", Address: address}}
	if cfg.User == "" {
		cfg.User = probeUser
	}
	if cfg.PasswordFile == "" {
		cfg.PasswordFile = passwordFile(tb, probePassword)
	}
	p, err := New(cfg)
	must(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		must(tb, <-done)
	})
	return p
}

// await waits for the only node's status to be so, and returns it and how long that
// took.
func await(tb testing.TB, p *Prober, bound time.Duration, what string, so func(NodeStatus) bool) (NodeStatus, time.Duration) {
	tb.Helper()
	began := time.Now()
	timeout := time.After(bound)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := p.Status()[0]; so(s) {
			return s, time.Since(began)
		}
		select {
		case <-p.Changed():
		case <-tick.C:
		case <-timeout:
			tb.Fatalf("not %s within %v: %+v", what, bound, p.Status()[0])
		}
	}
}

func is(v Verdict, c Class) func(NodeStatus) bool {
	return func(s NodeStatus) bool { return s.Verdict == v && s.Class == c }
}

func healthy(s NodeStatus) bool { return s.Verdict == Healthy && s.Eligible && s.Class == ClassSynced }

func contains(tb testing.TB, text string, parts ...string) {
	tb.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			tb.Errorf("%q does not contain %q", text, part)
		}
	}
}
