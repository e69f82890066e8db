package lab_test

import (
	"bufio"
	"context"
	"errors"
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

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// listen starts an echo server inside a host. It ends with the test.
func listen(t *testing.T, h *lab.Host, port int) string {
	t.Helper()
	address := fmt.Sprintf("%s:%d", h.IP, port)
	var listener net.Listener
	must(t, h.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}))
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return address
}

// dial tries to connect within 300 ms, which is far more than a namespace needs.
func dial(ctx context.Context, h *lab.Host, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	return h.Dial(ctx, "tcp", address)
}

// echo sends a byte over a connection and waits for it for 300 ms.
func echo(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

func TestFaults(t *testing.T) {
	ctx, l := newLab(t, lab.Config{NetworkOnly: true, Nodes: 2, Proxies: 2})
	db, px := l.DB[0].Host, l.PX[0].Host
	address := listen(t, db, 3306)
	bystander := listen(t, l.DB[1].Host, 3306)
	timeout := func(err error) bool {
		var timed net.Error
		return errors.As(err, &timed) && timed.Timeout()
	}
	reset := func(err error) bool {
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
	}
	for _, test := range []struct {
		name   string
		inject func() (*lab.Fault, error)
		failed func(error) bool
	}{
		{"cut", func() (*lab.Fault, error) { return l.Cut(ctx, px, db) }, timeout},
		{"one way there", func() (*lab.Fault, error) { return l.OneWay(ctx, px, db) }, timeout},
		{"one way back", func() (*lab.Fault, error) { return l.OneWay(ctx, db, px) }, timeout},
		{"port", func() (*lab.Fault, error) { return l.CutPort(ctx, px, db, 3306) }, timeout},
		{"refuse", func() (*lab.Fault, error) { return l.Refuse(ctx, px, db, 3306) }, reset},
		{"isolate", func() (*lab.Fault, error) { return l.Isolate(ctx, db) }, timeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := dial(ctx, px, address)
			must(t, err)
			defer conn.Close()
			must(t, echo(conn))
			fault, err := test.inject()
			must(t, err)
			if err := echo(conn); !test.failed(err) {
				t.Errorf("an open connection: %v", err)
			}
			if _, err := dial(ctx, px, address); !test.failed(err) {
				t.Errorf("a new connection: %v", err)
			}
			if other, err := dial(ctx, px, bystander); err != nil {
				t.Errorf("a bystander was hit: %v", err)
			} else {
				_ = other.Close()
			}
			must(t, fault.Undo(ctx))
			must(t, fault.Undo(ctx)) // a second time does nothing
			again, err := dial(ctx, px, address)
			must(t, err)
			must(t, echo(again))
			_ = again.Close()
		})
	}
	_, err := l.Cut(ctx, px, db)
	must(t, err)
	_, err = l.Isolate(ctx, db)
	must(t, err)
	must(t, l.Reset(ctx))
	conn, err := dial(ctx, px, address)
	must(t, err)
	_ = conn.Close()
}

// TestHAProxy drives both kinds of HAProxy process through what scenarios do to them, without a database.
func TestHAProxy(t *testing.T) {
	ctx, l := newLab(t, lab.Config{NetworkOnly: true})
	for _, masterWorker := range []bool{false, true} {
		t.Run(fmt.Sprintf("master-worker %v", masterWorker), func(t *testing.T) {
			must(t, l.Reset(ctx))
			p := l.PX[1]
			options := lab.HAProxyOptions{Config: l.StickyConfig(p, lab.Sticky{}), MasterWorker: masterWorker}
			must(t, p.Start(ctx, options))
			first, err := p.Pid(ctx)
			must(t, err)
			if peers, err := p.Runtime(ctx, "show peers"); err != nil || !strings.Contains(peers, "px1") {
				t.Errorf("show peers: %q %v", peers, err)
			}
			begin := time.Now()
			must(t, p.Reload(ctx, ""))
			second, err := p.Pid(ctx)
			must(t, err)
			must(t, p.Reload(ctx, options.Config+"# changed\n"))
			third, err := p.Pid(ctx)
			must(t, err)
			if took := time.Since(begin); first == second || second == third || took > time.Second {
				t.Errorf("pids %d %d %d, two reloads in %v", first, second, third, took)
			}
			if masterWorker {
				if answer, err := p.Master(ctx, "show proc"); err != nil || !strings.Contains(answer, "worker") {
					t.Errorf("show proc: %q %v", answer, err)
				}
			} else if err := p.Reload(ctx, "nonsense\n"); err == nil || !strings.Contains(err.Error(), "nonsense") {
				t.Errorf("a broken configuration: %v", err)
			} else if pid, err := p.Pid(ctx); err != nil || pid != third || !p.Running() {
				t.Errorf("after a broken configuration pid %d answers, was %d: %v", pid, third, err)
			}
			must(t, os.WriteFile(p.ConfigFile, []byte(options.Config), 0o644))
			p.Kill9()
			if p.Running() {
				t.Error("runs after Kill9")
			}
			must(t, p.StartAgain(ctx))
			must(t, p.Restart(ctx))
			pid, err := p.Pid(ctx)
			must(t, err)
			if usage, err := lab.UsageOf(pid); err != nil || usage.RSS < 1<<20 {
				t.Errorf("usage %+v %v", usage, err)
			}
			must(t, p.Stop())
		})
	}
	if err := l.PX[0].Start(ctx, lab.HAProxyOptions{Config: "listen x\n  bogus\n"}); err == nil ||
		!strings.Contains(err.Error(), "bogus") {
		t.Errorf("a broken configuration: %v", err)
	}
}

// TestDaemon uses a script in place of haproxyd: it is processes that are tested here.
func TestDaemon(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "haproxyd")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\ntrap 'exit 7' TERM; echo \"$@\" $WORD; while :; do sleep 0.05; done\n"), 0o755))
	ctl := filepath.Join(dir, "haproxyctl")
	must(t, os.WriteFile(ctl, []byte("#!/bin/sh\necho \"$@\"; ip -o -4 addr show eth0; echo no >&2; exit 3\n"), 0o755))
	ctx, l := newLab(t, lab.Config{NetworkOnly: true, Haproxyd: script, Haproxyctl: ctl})
	d := l.PX[2].Daemon
	must(t, d.Start(lab.DaemonOptions{Args: d.Arguments("--observe"), Env: []string{"WORD=hello"}}))
	must(t, d.Pause())
	if !d.Running() {
		t.Error("a paused daemon does not run")
	}
	must(t, d.Cont())
	for !strings.Contains(d.Process().LogTail(1000), "--observe hello") {
		if ctx.Err() != nil || !d.Running() {
			t.Fatalf("log: %q", d.Process().LogTail(1000))
		}
	}
	must(t, d.Stop())
	if status, err := d.Process().ExitStatus(ctx); err != nil || status != 7 {
		t.Errorf("exit %d %v", status, err)
	}
	must(t, d.StartAgain())
	must(t, d.Pause())
	d.Kill9()
	if d.Running() {
		t.Error("runs after Kill9")
	}
	result, err := d.Ctl(ctx, "active", "show")
	must(t, err)
	if result.Exit != 3 || result.Stderr != "no\n" || !strings.Contains(result.Stdout, "--admin-socket "+d.AdminSocket+" active show") ||
		!strings.Contains(result.Stdout, l.PX[2].IP) {
		t.Errorf("haproxyctl: %+v", result)
	}
	if err := d.Start(lab.DaemonOptions{Binary: "/nowhere/haproxyd"}); err == nil {
		t.Error("a daemon that is not there was started")
	}
	must(t, d.Start(lab.DaemonOptions{Binary: "/bin/false"}))
	if err := d.WaitSocket(ctx); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("a daemon that ends at once: %v", err)
	}
}

// TestHTTPClient reaches a server inside the lab from the client host.
func TestHTTPClient(t *testing.T) {
	_, l := newLab(t, lab.Config{NetworkOnly: true, Nodes: 1, Proxies: 1})
	var listener net.Listener
	must(t, l.PX[0].Do(func() (err error) {
		listener, err = net.Listen("tcp", l.PX[0].IP+":9102")
		return err
	}))
	defer listener.Close()
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.RemoteAddr)
		}))
	}()
	answer, err := l.Client.HTTPClient().Get("http://" + listener.Addr().String() + "/healthz")
	must(t, err)
	defer answer.Body.Close()
	from, err := io.ReadAll(answer.Body)
	must(t, err)
	if !strings.HasPrefix(string(from), l.Client.IP+":") {
		t.Errorf("the request came from %s, not from the client host %s", from, l.Client.IP)
	}
}

const childVariable = "LAB_TEST_CHILD"

// TestDeathOfTheOwner kills a process that has a lab, without any chance to clean up, and expects nothing to be left.
func TestDeathOfTheOwner(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		ctx, l := newLab(t, lab.Config{NetworkOnly: true})
		_ = ctx
		_, err := l.PX[0].Host.Start(lab.Spec{Name: "sleep", Args: []string{"sleep", "1000"}})
		must(t, err)
		fmt.Printf("lab %s %s\n", l.ID, l.Dir)
		select {}
	}
	if err := lab.Requirements(lab.Config{NetworkOnly: true}); err != nil || testing.Short() {
		t.Skip(err)
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestDeathOfTheOwner$")
	child.Env = append(os.Environ(), childVariable+"=1")
	stdout, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	var id, dir string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "lab %s %s", &id, &dir); n == 2 {
			break
		}
	}
	must(t, child.Process.Kill())
	_ = child.Wait()
	if id == "" {
		t.Fatal("the child made no lab")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := os.Stat(dir)
		left, _ := filepath.Glob("/run/netns/lab-" + id + "-*")
		if os.IsNotExist(err) && len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %v, %s: %v", left, dir, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	checkNothingLeft(t, id, dir)
}
