package supervisor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The daemon of the tests is this binary: a mode, and the address where it answers.
const (
	modeVar = "SUPERVISOR_TEST_MODE"
	addrVar = "SUPERVISOR_TEST_ADDR"
	fileVar = "SUPERVISOR_TEST_FILE" // whoever starts adds its process's number
)

func TestMain(m *testing.M) {
	switch mode := os.Getenv(modeVar); mode {
	case "":
		os.Exit(m.Run())
	case "dies":
		os.Exit(3)
	case "parent":
		code, err := Run(context.Background(), config(os.Getenv(addrVar), "127.0.0.1:0", os.Getenv(fileVar), "serves"))
		fmt.Fprintln(os.Stderr, code, err)
	case "refuses":
		refuse()
	case "serves":
		serve()
	}
	os.Exit(1)
}

// refuse is a daemon that refuses to start until somebody has set it up.
func refuse() {
	if _, err := os.Stat(os.Getenv(fileVar) + ".ready"); err == nil {
		serve()
	}
	f, err := os.OpenFile(os.Getenv(fileVar)+".refused", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		panic(err)
	}
	os.Exit(refused)
}

// serve is a daemon: healthy until SIGTERM, which it ends from with status 7.
func serve() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	f, err := os.OpenFile(os.Getenv(fileVar), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		panic(err)
	}
	go func() {
		panic(http.ListenAndServe(os.Getenv(addrVar), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))) //nolint:gosec // a test's
	}()
	for {
		select {
		case <-hup:
			_, _ = fmt.Fprintln(f, "hangup") // the test waits for it
		case <-term:
			os.Exit(7)
		}
	}
}

var fast = Timing{Probe: 20 * time.Millisecond, Hang: 2 * time.Second, FirstWait: 10 * time.Millisecond, LastWait: 100 * time.Millisecond, Settled: 10 * time.Second, RefusedWait: 50 * time.Millisecond}

// refused is the status of a daemon that refuses to start.
const refused = 78

func config(addr, listen, file, mode string) Config {
	return Config{
		Command: func() *exec.Cmd {
			cmd := exec.Command(os.Args[0]) //nolint:gosec // itself
			cmd.Env = append(os.Environ(), modeVar+"="+mode, addrVar+"="+addr, fileVar+"="+file)
			cmd.Stderr = os.Stderr
			return cmd
		},
		Healthz: "http://" + addr + "/healthz", Listen: listen, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Timing: fast, Refused: refused,
	}
}

// freeAddr is an address that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

type bench struct {
	t      *testing.T
	listen string
	file   string
	stop   context.CancelFunc
	ended  chan string
}

// start runs a supervisor with a daemon.
func start(t *testing.T, mode string) *bench {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &bench{t: t, listen: freeAddr(t), file: filepath.Join(t.TempDir(), "pids"), stop: cancel, ended: make(chan string, 1)}
	c := config(freeAddr(t), b.listen, b.file, mode)
	go func() {
		code, err := Run(ctx, c)
		b.ended <- fmt.Sprint(code, " ", err)
	}()
	t.Cleanup(func() {
		cancel()
		<-b.ended
	})
	return b
}

// pids are the daemons that were started, waited for until there are so many.
func pids(t *testing.T, file string, n int) []int {
	t.Helper()
	var found []int
	eventually(t, fmt.Sprintf("%d starts", n), func() bool {
		data, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		found = nil
		for line := range strings.Lines(string(data)) {
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				return false
			}
			found = append(found, pid)
		}
		return len(found) >= n
	})
	return found
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for " + what)
		}
	}
}

// says is what GET /healthz says.
func (b *bench) says() (int, string) {
	resp, err := http.Get("http://" + b.listen + "/healthz")
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// waitHealthy waits until the daemon of that process is healthy.
func (b *bench) waitHealthy(pid int) {
	b.t.Helper()
	eventually(b.t, "the daemon to be healthy", func() bool {
		code, text := b.says()
		return code == http.StatusOK && text == fmt.Sprintf("the daemon, process %d, is healthy", pid)
	})
}

// A daemon that is killed is another one at once, again and again, and the liveness never fails.
func TestKilled(t *testing.T) {
	b := start(t, "serves")
	failed := make(chan string, 1)
	watch, end := context.WithCancel(t.Context())
	first := pids(t, b.file, 1)
	b.waitHealthy(first[0])
	go func() {
		defer close(failed)
		for watch.Err() == nil {
			if code, text := b.says(); code != http.StatusOK && watch.Err() == nil {
				failed <- text
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	seen := first
	for i := range 4 {
		if err := syscall.Kill(seen[i], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		seen = pids(t, b.file, i+2)
		b.waitHealthy(seen[i+1])
	}
	end()
	if text, ok := <-failed; ok {
		t.Error("the liveness failed: " + text)
	}
}

// One that hangs is killed.
func TestHangs(t *testing.T) {
	b := start(t, "serves")
	hung := pids(t, b.file, 1)[0]
	b.waitHealthy(hung)
	if err := syscall.Kill(hung, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.waitHealthy(pids(t, b.file, 2)[1])
	if took := time.Since(began); took < fast.Hang/2 {
		t.Errorf("it was killed after %v, allowed are %v", took, fast.Hang)
	}
	eventually(t, "the end of the one that hung", func() bool { return syscall.Kill(hung, 0) == syscall.ESRCH })
}

// The order to end is passed on, and so is how the daemon ended.
func TestStops(t *testing.T) {
	b := start(t, "serves")
	pid := pids(t, b.file, 1)[0]
	b.waitHealthy(pid)
	b.stop()
	got := <-b.ended
	b.ended <- got
	if got != "7 <nil>" {
		t.Errorf("it ended with %s", got)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the daemon is still there: %v", err)
	}
}

// A daemon that never was healthy is not started again: Kubernetes shall see it.
func TestBadStart(t *testing.T) {
	b := start(t, "dies")
	got := <-b.ended
	b.ended <- got
	if got != "3 supervise: the daemon ended before it was healthy: exit status 3" {
		t.Errorf("it ended with %s", got)
	}
}

// A daemon that refuses to start as it is set up does not end the supervisor: the liveness answers, and the daemon is there
// as soon as somebody has set it up.
func TestRefused(t *testing.T) {
	b := start(t, "refuses")
	pids(t, b.file+".refused", 3)
	eventually(t, "the liveness to say so", func() bool {
		code, text := b.says()
		if code != http.StatusOK && code != 0 {
			t.Fatalf("the liveness failed: %d, %s", code, text)
		}
		return text == "the daemon refuses to start as it is set up: its log says why"
	})
	if err := os.WriteFile(b.file+".ready", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.waitHealthy(pids(t, b.file, 1)[0])
	b.stop()
	if got := <-b.ended; got != "7 <nil>" {
		t.Errorf("it ended with %s", got)
	} else {
		b.ended <- got
	}
}

// One that is told to end while the daemon refuses ends.
func TestRefusedStops(t *testing.T) {
	b := start(t, "refuses")
	pids(t, b.file+".refused", 1)
	b.stop()
	got := <-b.ended
	b.ended <- got
	if got != "0 <nil>" && got != "78 <nil>" {
		t.Errorf("it ended with %s", got)
	}
}

// Nothing of it outlives a supervisor that is killed.
func TestParentKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	parent := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // itself
	parent.Env = append(os.Environ(), modeVar+"=parent", addrVar+"="+freeAddr(t), fileVar+"="+file)
	parent.Stderr = os.Stderr
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := pids(t, file, 1)[0]
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the daemon's end", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ") // nobody may be there to wait for it
	})
}
