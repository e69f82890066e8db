package supervisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A SIGHUP reaches the daemon once it is healthy, also one that came before, and
// ends neither.
func TestHangup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "pids")
	hangups := make(chan os.Signal, 1)
	c := config(freeAddr(t), freeAddr(t), file, "serves")
	c.Hangups = hangups
	hangups <- syscall.SIGHUP // before there is a daemon
	ended := make(chan string, 1)
	go func() {
		code, err := Run(ctx, c)
		ended <- fmt.Sprint(code, " ", err)
	}()
	heard := func(n int) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			text, _ := os.ReadFile(file) // not there yet at first
			if got := strings.Count(string(text), "hangup"); got == n {
				if started := strings.Count(string(text), "\n") - got; started != 1 {
					t.Errorf("%d daemons were started: %q", started, text)
				}
				return
			}
			if time.Now().After(end) {
				t.Fatalf("no hangup %d: %q", n, text)
			}
		}
	}
	heard(1)
	hangups <- syscall.SIGHUP
	heard(2)
	cancel()
	if got := <-ended; got != "7 <nil>" {
		t.Errorf("the end: %s", got)
	}
}
