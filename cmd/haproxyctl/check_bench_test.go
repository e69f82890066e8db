package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

const (
	benchUser     = "probe"
	benchPassword = "right"
)

// clusterCheck is what people use today, bash and the database's own client, after
// Percona's clustercheck: two questions, exit status 0 or 1.
const clusterCheck = `#!/bin/bash
MYSQL_CMDLINE="mysql --no-defaults -nNE --connect-timeout=10 --host=$3 --port=$4 --user=` + benchUser + ` --password=` + benchPassword + `"
WSREP_STATUS=($($MYSQL_CMDLINE -e "SHOW GLOBAL STATUS LIKE 'wsrep_%';" 2>/dev/null | grep -A 1 -E 'wsrep_local_state$|wsrep_cluster_status$' | sed -n -e '2p' -e '5p' | tr '\n' ' '))
if [[ ${WSREP_STATUS[1]} == 'Primary' && ( ${WSREP_STATUS[0]} -eq 4 || ${WSREP_STATUS[0]} -eq 2 ) ]]; then
  READ_ONLY=$($MYSQL_CMDLINE -e "SHOW GLOBAL VARIABLES LIKE 'read_only';" 2>/dev/null | tail -1)
  [[ $READ_ONLY == OFF ]] && exit 0
fi
exit 1
`

// plainCheck is the least that a script can do: one question.
const plainCheck = `#!/bin/bash
[ "$(mysql --no-defaults -N -h "$3" -P "$4" -u ` + benchUser + ` -p` + benchPassword + ` -e "SHOW STATUS LIKE 'wsrep_local_state'" 2>/dev/null | cut -f2)" = 4 ]
`

// BenchmarkCheck is what HAProxy forks for every server and interval, against a real
// Galera node: checks per second of CPU, of the children alone (the node's own work
// is not in it).
func BenchmarkCheck(b *testing.B) {
	host, port := benchNode(b)
	dir := b.TempDir()
	ctl := filepath.Join(dir, "haproxyctl")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", ctl, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			b.Fatal(err)
		}
		return path
	}
	password := script("password", benchPassword+"\n")
	for _, c := range []struct{ name, command, socket string }{
		{"haproxyctl-daemon", ctl, benchDaemon(b, host, port)},
		{"haproxyctl-alone", ctl, filepath.Join(dir, "none.sock")},
		{"bash-mysql-one-question", script("plain", plainCheck), ""},
		{"bash-mysql-clustercheck", script("clustercheck", clusterCheck), ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.socket != "" {
				if err := api.WriteCheckHint(c.socket, api.CheckHint{User: benchUser, PasswordFile: password}); err != nil {
					b.Fatal(err)
				}
			}
			used, began := childrenTime(b), time.Now()
			for b.Loop() {
				cmd := exec.Command(c.command, "NOT_USED", "NOT_USED", host, port)
				if c.socket != "" {
					cmd.Args = append([]string{c.command, "check"}, cmd.Args[1:]...)
				}
				// As HAProxy starts it: with a path and nothing else.
				cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HAPROXYD_ADMIN_SOCKET=" + c.socket}
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
			used = childrenTime(b) - used
			b.ReportMetric(float64(b.N)/used.Seconds(), "checks/CPU-s")
			b.ReportMetric(float64(time.Since(began).Microseconds())/float64(b.N)/1000, "ms/check")
		})
	}
}

// childrenTime is the CPU time of the children that were waited for.
func childrenTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchDaemon answers as a daemon that has probed the node, and returns its socket.
func benchDaemon(b *testing.B, host, port string) string {
	socket := filepath.Join(b.TempDir(), "admin.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("address") != net.JoinHostPort(host, port) {
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode(api.Check{Node: "n", Usable: true, Verdict: "healthy", Reason: "the node is synced"})
	})}
	go srv.Serve(l)
	b.Cleanup(func() { srv.Close() })
	return socket
}

// benchNode starts a real Galera node of Debian's packages, a cluster of its own.
func benchNode(b *testing.B) (host, port string) {
	provider := "/usr/lib/galera/libgalera_smm.so"
	if _, err := os.Stat(provider); err != nil {
		b.Skipf("Debian's package galera-4 is missing: %v", err)
	}
	for _, program := range []string{"mariadbd", "mariadb-install-db", "mysql", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skipf("%s is missing: %v", program, err)
		}
	}
	dir, err := os.MkdirTemp("", "check") // a socket's path may have only 107 bytes
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "sock")
	first := []string{"--no-defaults"}
	if os.Getuid() == 0 {
		first = append(first, "--user=root")
	}
	out, err := exec.Command("mariadb-install-db", append(first, "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")...).CombinedOutput()
	if err != nil {
		b.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	host, port, _ = net.SplitHostPort(free())
	server := exec.Command("mariadbd", append(first, "--datadir="+data, "--socket="+socket, "--bind-address="+host, "--port="+port,
		"--skip-name-resolve", "--log-error="+filepath.Join(dir, "log"), "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON", "--wsrep-provider="+provider,
		"--wsrep-cluster-address=gcomm://", "--wsrep-node-address=127.0.0.1",
		"--wsrep-provider-options=gmcast.listen_addr=tcp://"+free()+";ist.recv_addr="+free()+";gcache.size=1M")...)
	// The server must not outlive a benchmark that panics; the signal comes when the
	// thread that started it ends.
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- server.Start()
		_ = server.Wait()
		close(started)
	}()
	if err := <-started; err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill()
		<-started
	})
	give := time.Now().Add(time.Minute)
	query := func(sql string) (string, error) {
		out, err := exec.Command("mysql", "--no-defaults", "-N", "-u", "root", "-S", socket, "-e", sql).CombinedOutput()
		return string(out), err
	}
	for {
		if out, err := query("SHOW STATUS LIKE 'wsrep_ready'"); err == nil && strings.Contains(out, "ON") {
			break
		}
		if time.Now().After(give) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			b.Fatalf("MariaDB is not ready:\n%s", log)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if out, err := query(fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", benchUser, benchPassword)); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return host, port
}
