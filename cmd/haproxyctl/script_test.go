package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata/script/*.txtar")

// scriptNow is the clock of the scripts, an hour after the decision in the
// recorded answers.
var scriptNow = time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	command := func(terminal bool) func() {
		return func() {
			a := &app{
				stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
				now:      func() time.Time { return scriptNow },
				terminal: terminal, progress: terminal,
			}
			os.Exit(a.run(context.Background(), os.Args[1:]))
		}
	}
	testscript.Main(m, map[string]func(){
		"haproxyctl": command(false),
		"on-a-tty":   command(true), // haproxyctl as it is on a terminal
	})
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
			// The race detector sleeps a second at each exit unless told not to.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
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

// fakeDaemon answers with files: METHOD-path-with-dashes.N for the Nth request,
// else METHOD-path-with-dashes. A first line "HTTP 409" is the status, a file
// that says "HANG" is never answered.
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
