package main

import (
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/haproxy-peers/haproxy-peers/control/serving"
	"github.com/haproxy-peers/haproxy-peers/control/serving/certtest"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata/script/*.txtar")

// scriptNow is the clock of the scripts, an hour after the decision in the
// recorded answers.
var scriptNow = time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)

// slowAnswer is enough for a signal to arrive before the answer.
const slowAnswer = 300 * time.Millisecond

func TestMain(m *testing.M) {
	command := func(terminal, asks bool) func() {
		return func() {
			a := &app{
				stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
				now:      func() time.Time { return scriptNow },
				terminal: terminal, progress: terminal, asks: asks,
			}
			if terminal {
				a.size = func() (int, int) { return 100, 40 }
			}
			os.Exit(a.main(os.Args[1:]))
		}
	}
	testscript.Main(m, map[string]func(){
		"haproxyctl": command(false, false),
		"on-a-tty":   command(true, false), // haproxyctl as it writes to a terminal
		"at-a-tty":   command(true, true),  // and as it reads from one, too
	})
}

// remote listens for who has a certificate of the CA's.
func remote(t *testing.T, dir string) (l net.Listener, err error) {
	t.Helper()
	ca := certtest.NewCA(t, dir, "ca")
	server := ca.Server("server", "127.0.0.1")
	ca.Client("ana", "ana", "haproxyd-operator")
	config, err := serving.Certificates{Cert: server.Cert, Key: server.Key, ClientCA: ca.File}.TLS(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", "127.0.0.1:0", config)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			recorded, err := filepath.Abs("testdata/api")
			if err != nil {
				return err
			}
			d := &fakeDaemon{dirs: []string{filepath.Join(env.WorkDir, "api"), recorded}, log: filepath.Join(env.WorkDir, "requests"), seen: map[string]int{}, done: make(chan struct{})}
			socket := filepath.Join(env.WorkDir, "admin.sock")
			l, err := net.Listen("unix", socket)
			if err != nil {
				return err
			}
			srv := &http.Server{Handler: d}
			go srv.Serve(l)
			env.Defer(func() { close(d.done); srv.Close() })
			env.Setenv("HAPROXYD_ADMIN_SOCKET", socket)
			certs := filepath.Join(env.WorkDir, "certs")
			if err := os.Mkdir(certs, 0o700); err != nil {
				return err
			}
			elsewhere, err := remote(t, certs)
			if err != nil {
				return err
			}
			tlsServer := &http.Server{Handler: d, ErrorLog: log.New(io.Discard, "", 0)}
			go tlsServer.Serve(elsewhere)
			env.Defer(func() { tlsServer.Close() })
			env.Setenv("ENDPOINT", "https://"+elsewhere.Addr().String())
			env.Setenv("HAPROXYCTL_CONFIG", filepath.Join(env.WorkDir, "config.yaml"))
			greets, err := greeter()
			if err != nil {
				return err
			}
			env.Defer(func() { greets.Close() })
			_, port, _ := net.SplitHostPort(greets.Addr().String())
			env.Setenv("GREETER", port)
			// The race detector sleeps a second at each exit unless told not to.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("LONG", strings.Repeat("a", 201))
			env.Setenv("TABBED", "a\tb")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// exits N COMMAND...: the command ends with status N.
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if got != args[0] {
					ts.Fatalf("%s ended with %s, want %s", strings.Join(args[1:], " "), got, args[0])
				}
			},
			// interrupts N REQUEST[,REQUEST] COMMAND...: the command gets a Ctrl-C when
			// the daemon has got the first request, and another at the second; it ends
			// with status N, and what it said is in the files out and err.
			"interrupts": interruptScript,
			// oneline: stderr is one line of haproxyctl's.
			"oneline": func(ts *testscript.TestScript, _ bool, _ []string) {
				text := ts.ReadFile("stderr")
				if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "haproxyctl: ") {
					ts.Fatalf("stderr is not one line of haproxyctl: %q", text)
				}
			},
		},
	})
}

func interruptScript(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath(args[2])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	out, err := os.Create(ts.MkAbs("out"))
	ts.Check(err)
	defer out.Close()
	errs, err := os.Create(ts.MkAbs("err"))
	ts.Check(err)
	defer errs.Close()
	cmd := exec.Command(path, args[3:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), out, errs
	cmd.Env = append(os.Environ(), "HAPROXYD_ADMIN_SOCKET="+ts.Getenv("HAPROXYD_ADMIN_SOCKET"), "GORACE=atexit_sleep_ms=0")
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(30 * time.Second)
	for _, request := range strings.Split(args[1], ",") {
		for asked := ""; !strings.Contains(asked, request); {
			select {
			case <-ended:
				ts.Fatalf("it ended before %q was asked; asked was:\n%s", request, asked)
			case <-tooLong:
				_ = cmd.Process.Kill()
				ts.Fatalf("it never asked %q; asked was:\n%s", request, asked)
			case <-tick.C:
			}
			data, _ := os.ReadFile(ts.MkAbs("requests")) // not there before the first
			asked = string(data)
		}
		ts.Check(cmd.Process.Signal(syscall.SIGINT))
	}
	select {
	case <-ended:
	case <-tooLong:
		_ = cmd.Process.Kill()
		ts.Fatalf("it does not end")
	}
	if got := fmt.Sprint(cmd.ProcessState.ExitCode()); got != args[0] {
		said, _ := os.ReadFile(ts.MkAbs("err"))
		ts.Fatalf("it ended with %s, want %s:\n%s", got, args[0], said)
	}
}

// greeting is what MariaDB 10.11.19 sent on a new connection.
const greeting = "640000000a352e352e352d31302e31312e31392d4d6172696144422d302b64656231327531000a0000002833637c6566524500fef7080200ff81150000000000001d00000043613f53662a39223d4b4247006d7973716c5f6e61746976655f70617373776f726400"

// greeter is a database on 127.0.0.1 that greets and hangs up when spoken to.
func greeter() (net.Listener, error) {
	packet, err := hex.DecodeString(greeting)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer c.Close()
				_, _ = c.Write(packet)
				_, _ = c.Read(make([]byte, 1))
			}()
		}
	}()
	return l, nil
}

// fakeDaemon answers with files: METHOD-path-with-dashes.N for the Nth request,
// else METHOD-path-with-dashes. A first line "HTTP 409" is the status, a file
// that says "HANG" is never answered, one whose first line is "SLOW" late.
type fakeDaemon struct {
	dirs []string // the script's own, then the recorded ones
	log  string
	done chan struct{}

	mu   sync.Mutex
	seen map[string]int
}

func (d *fakeDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := r.Method + strings.ReplaceAll(r.URL.Path, "/", "-")
	text, err := d.find(key, fmt.Sprintf("%s %s %s\n", r.Method, r.RequestURI, body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if strings.HasPrefix(text, "HANG") {
		<-d.done
		return
	}
	if rest, ok := strings.CutPrefix(text, "SLOW\n"); ok {
		time.Sleep(slowAnswer)
		text = rest
	}
	if rest, ok := strings.CutPrefix(text, "HTTP "); ok {
		line, answer, _ := strings.Cut(rest, "\n")
		var status int
		fmt.Sscan(line, &status)
		w.WriteHeader(status)
		text = answer
	}
	io.WriteString(w, text)
}

func (d *fakeDaemon) find(key, line string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := os.OpenFile(d.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		return "", err
	}
	d.seen[key]++
	for _, dir := range d.dirs {
		for _, name := range []string{fmt.Sprintf("%s.%d", key, d.seen[key]), key} {
			if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				return string(data), nil
			}
		}
	}
	return "", fmt.Errorf("no answer for %s", key)
}
