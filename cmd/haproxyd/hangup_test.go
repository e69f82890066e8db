package main

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// words are what a process has written so far.
type words struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *words) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *words) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), text)
}

// SIGHUP has the daemon read its files again and ends nothing: of one alone, and of
// one under --supervise, whose supervisor passes it on.
func TestHangup(t *testing.T) {
	for _, supervised := range []bool{false, true} {
		liveness := freeAddr(t)
		cmd, _ := daemon(t)
		var stderr words
		cmd.Stderr = &stderr
		if supervised {
			cmd.Env = append(cmd.Env, "HAPROXYD_SUPERVISE="+liveness)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await := func(what string, f func() bool) {
			t.Helper()
			for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("supervised %v: %s\n%s", supervised, what, stderr.text.String())
				}
			}
		}
		await("it does not start", func() bool { return stderr.count("starting") > 0 })
		if supervised {
			await("it is not healthy", func() bool { return strings.Contains(ask(liveness), "is healthy") })
		}
		for n := 1; n <= 3; n++ {
			// Again and again: one that comes while the daemon starts is not lost, but may be heard as one with the next.
			await("a SIGHUP is not heard", func() bool {
				_ = cmd.Process.Signal(syscall.SIGHUP)
				return stderr.count("rereading the files") >= n
			})
		}
		if n := stderr.count("msg=starting") + stderr.count(`"msg":"starting"`); n != 1 {
			t.Errorf("supervised %v: %d starts\n%s", supervised, n, stderr.text.String())
		}
		end(t, cmd)
	}
}

// ask is what a liveness address answers, "" for nothing.
func ask(addr string) string {
	resp, err := http.Get("http://" + addr + "/healthz")
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

func end(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
