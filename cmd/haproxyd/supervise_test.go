package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mainVar makes the test binary haproxyd itself.
const mainVar = "HAPROXYD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVar) != "" {
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// daemon is haproxyd with everything in a folder of its own, waiting for a haproxy.cfg.
func daemon(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{ //nolint:gosec // itself
		"--name", "px0", "--haproxy-cfg", filepath.Join(dir, "haproxy.cfg"), "--data-dir", filepath.Join(dir, "data"),
		"--admin-socket", filepath.Join(dir, "admin.sock"), "--gossip-bind", freeAddr(t), "--http-bind", freeAddr(t),
	}, args...)...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = append(os.Environ(), mainVar+"=1"), &stderr
	return cmd, &stderr
}

// A supervised daemon that is killed is there again, as another process of the same container; SIGTERM ends both.
func TestSupervise(t *testing.T) {
	liveness := freeAddr(t)
	// By the environment, as in a manifest: the child must not take it for itself.
	cmd, stderr := daemon(t)
	cmd.Env = append(cmd.Env, "HAPROXYD_SUPERVISE="+liveness)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	healthy := func(not int) int {
		t.Helper()
		said := ""
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			var pid int
			if resp, err := http.Get("http://" + liveness + "/healthz"); err == nil {
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				said = string(text)
				if _, err := fmt.Sscanf(said, "the daemon, process %d, is healthy", &pid); err == nil && pid != not {
					return pid
				}
			}
		}
		t.Fatalf("no healthy daemon but %d: %q\n%s", not, said, stderr)
		return 0
	}
	first := healthy(0)
	if first == cmd.Process.Pid {
		t.Fatal("the daemon is its own supervisor")
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	healthy(first)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
}

// Bad settings end the container with the daemon's own words and status.
func TestSuperviseBadSettings(t *testing.T) {
	for args, want := range map[string]string{
		"--supervise 127.0.0.1:0 --on-blind maybe":                         "on-blind",
		"--supervise 127.0.0.1:0 --haproxy-cfg x --evict off --evict-last": "evict-last with evict off",
		"--supervise 127.0.0.1:0 --haproxy-cfg x --arbitrator 10.0.0.9":    `arbitrator "10.0.0.9": give HOST:PORT`,
		"--supervise 9103": "supervise: address 9103: missing port in address",
	} {
		cmd, stderr := daemon(t, strings.Fields(args)...)
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit status %d, %s", args, got, stderr)
		}
	}
}
