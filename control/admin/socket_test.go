package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// listenLike7535bfe is a daemon of 7535bfe: it holds no lock.
func listenLike7535bfe(t *testing.T, path string, backlog int) (fd int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	return fd
}

// A daemon whose queue is full lives; one whose process is gone does not.
func TestAdminSocketOfAnOldDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	fd := listenLike7535bfe(t, path, 2)
	refused := func(what, says string) {
		t.Helper()
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		l, err := listenAdmin(path)
		if err == nil {
			_ = l.Close()
		}
		after, serr := os.Lstat(path)
		if err == nil || !strings.Contains(err.Error(), says) || serr != nil || !os.SameFile(before, after) {
			t.Errorf("%s: %v, the socket: %v", what, err, serr)
		}
	}
	refused("it answers", "another daemon answers there")
	full := false
	for range 10 {
		c, err := net.Dial("unix", path)
		if err != nil {
			full = true
			break
		}
		defer func() { _ = c.Close() }()
	}
	if !full {
		t.Fatal("the queue does not fill")
	}
	refused("its queue is full", "somebody listens there")
	_ = syscall.Close(fd)
	l, err := listenAdmin(path)
	if err != nil {
		t.Fatalf("a dead daemon's socket: %v", err)
	}
	_ = l.Close()
}

// Of two daemons one has the socket, and the end of neither takes it from the other.
func TestAdminSocketOfTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "admin.sock")
	first, err := listenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := listenAdmin(path); err == nil || !strings.Contains(err.Error(), "holds its lock") {
		t.Errorf("a second one: %v, %v", l, err)
	}
	// Even with the socket taken away by somebody the lock stands.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if l, err := listenAdmin(path); err == nil {
		t.Errorf("a second one without the socket: %v", l)
	}
	// One of 7535bfe takes the path meanwhile: it is not ours to take away.
	fd := listenLike7535bfe(t, path, 2)
	defer func() { _ = syscall.Close(fd) }()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("our end took another's socket: %v", err)
	} else {
		_ = c.Close()
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	again, err := listenAdmin(path)
	if err != nil {
		t.Fatalf("after its end: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a clean end leaves the socket")
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenAdmin(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("something else is there: %v", err)
	}
}

// The kernel says who is there.
func TestAdminPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := listenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	near, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	want := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		want = u.Username + " (" + want + ")"
	}
	if got := far.RemoteAddr().String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What serves the admin API keeps the listener's word on who is there.
func TestAdminPeerIsServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := listenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	said := make(chan string, 1)
	go func() {
		done <- serve(ctx, l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { said <- r.RemoteAddr }), adminBounds(slog.New(slog.DiscardHandler)))
	}()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := <-said, "uid "+strconv.Itoa(os.Getuid()); !strings.Contains(got, want) {
		t.Errorf("the handler is told %q, want %q in it", got, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
