package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

func itoa(n int) string { return strconv.Itoa(n) }

// testWindow is the reload window of these tests; HAProxy tells its age in whole seconds.
const testWindow = 3 * time.Second

// peerListBed is a HAProxy in master-worker mode, with nodes whose names a small DNS
// server resolves, and a daemon that only answers /active.
type peerListBed struct {
	t           *testing.T
	dir, file   string
	master      runtimeapi.Master
	move        atomic.Pointer[api.Move]
	daemonAsked atomic.Int64
}

func TestPeerListOnHAProxy(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("there is no haproxy")
	}
	if os.Getenv(inNamespace) == "" {
		if os.Getuid() != 0 {
			t.Skip("a network namespace needs root")
		}
		again(t, "-n", "1", 2*time.Minute)
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	dir := t.TempDir()
	b := &peerListBed{t: t, dir: dir, file: filepath.Join(dir, "haproxy.cfg"), master: runtimeapi.Master{Socket: filepath.Join(dir, "m")}}
	b.serve()
	if got, _ := b.run(hosts(0, 1, 2)); got.Reloaded || !got.Changed || !got.Checked {
		t.Fatalf("without a HAProxy: %+v", got)
	}
	b.haproxy()
	session := b.session()
	b.flaps()
	b.oneNewNode(session)
	b.twoNewNodes(session)
	b.moveUnderWay()
	b.refused(session)
}

func hosts(ordinals ...int) string {
	var out strings.Builder
	for _, n := range ordinals {
		fmt.Fprintf(&out, "db-pxc-%d.db-pxc.test\n", n)
	}
	return out.String()
}

// try is one run of the command, as peer-list starts it.
func (b *peerListBed) try(list string, args ...string) (peerListed, string, int) {
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(list), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, now: time.Now}
	line := append([]string{"config", "peer-list", "-o", "json", "--proxies", "px0=127.0.0.1", "--local", "px0", "--services", "writers",
		"--nameservers", "127.0.0.1:5353", "--stats-socket", filepath.Join(b.dir, "s"), "--maxconn", "200", "--node-port", "3310", "--out", b.file,
		"--admin-socket", filepath.Join(b.dir, "no-daemon"), "--reload-window", testWindow.String(), "--reload-wait", "20s"}, args...)
	if _, err := os.Stat(b.master.Socket); err == nil {
		line = append(line, "--master-socket", b.master.Socket)
	}
	code := a.run(b.t.Context(), line)
	var got peerListed
	if code == exitDone {
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			b.t.Errorf("%s: %v", out.String(), err)
		}
	}
	return got, errs.String(), code
}

func (b *peerListBed) run(list string, args ...string) (peerListed, string) {
	b.t.Helper()
	got, stderr, code := b.try(list, args...)
	if code != exitDone {
		b.t.Fatalf("exit status %d: %s", code, stderr)
	}
	return got, stderr
}

func (b *peerListBed) worker() runtimeapi.Worker {
	b.t.Helper()
	w, err := b.master.Worker(b.t.Context())
	if err != nil || w.Pid == 0 {
		b.t.Fatalf("%+v, %v", w, err)
	}
	return w
}

// reloads is the number of reloads that the master counts.
func (b *peerListBed) reloads() string {
	c, err := net.Dial("unix", b.master.Socket)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintln(c, "show proc")
	c.(*net.UnixConn).CloseWrite()
	text, _ := io.ReadAll(c)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "master" {
			return f[2]
		}
	}
	b.t.Fatalf("show proc: %s", text)
	return ""
}

// flaps: lists with fewer hosts, in any order, touch neither the file nor HAProxy.
func (b *peerListBed) flaps() {
	before, err := os.Stat(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	text, _ := os.ReadFile(b.file)
	pid := b.worker().Pid
	lists := []string{hosts(0, 1), hosts(1), hosts(2, 1, 0), "", hosts(0, 2), "db-pxc-1\r\n", hosts(0, 1, 2)}
	for _, list := range lists {
		if got, _ := b.run(list); got.Changed || got.Reloaded {
			b.t.Fatalf("%q: %+v", list, got)
		}
	}
	after, err := os.Stat(b.file)
	if err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		b.t.Fatalf("the file was written: %v", err)
	}
	if now, _ := os.ReadFile(b.file); !bytes.Equal(text, now) {
		b.t.Fatal("the file changed")
	}
	if n := b.reloads(); n != "0" || b.worker().Pid != pid {
		b.t.Fatalf("HAProxy was reloaded %s times", n)
	}
	b.t.Logf("%d lists without news: the file is byte for byte as it was, 0 reloads", len(lists))
}

func (b *peerListBed) oneNewNode(session net.Conn) {
	pid := b.worker().Pid
	got, _ := b.run(hosts(1, 3)) // two of the known ones are not ready now
	if !got.Reloaded || got.Pid == pid || b.worker().Pid != got.Pid || b.reloads() != "1" || strings.Join(got.Absent, " ") != "db-pxc-0 db-pxc-2" {
		b.t.Fatalf("one new node: %+v, %s reloads", got, b.reloads())
	}
	text, _ := os.ReadFile(b.file)
	for n := range 4 {
		if want := fmt.Sprintf("server db-pxc-%d db-pxc-%d.db-pxc.test:3310 id %d ", n, n, n+1); !strings.Contains(string(text), want) {
			b.t.Fatalf("the file lacks %q:\n%s", want, text)
		}
	}
	b.alive(session)
	if got, _ := b.run(hosts(0, 1, 2, 3)); got.Changed || got.Reloaded {
		b.t.Fatalf("the same again: %+v", got)
	}
	b.t.Log("one new node: 1 reload, the session goes on")
}

// twoNewNodes come at once, from two runs: both are applied, one after the other.
func (b *peerListBed) twoNewNodes(session net.Conn) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var times []time.Time
	for _, list := range []string{hosts(0, 1, 2, 3, 4), hosts(0, 1, 2, 3, 5)} {
		wg.Go(func() {
			got, stderr, code := b.try(list)
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Now())
			if code != exitDone || !got.Reloaded || !strings.Contains(stderr, "less than 3s ago") {
				b.t.Errorf("%q: exit status %d, %+v, %s", list, code, got, stderr)
			}
		})
	}
	wg.Wait()
	if b.t.Failed() {
		b.t.FailNow()
	}
	apart := times[1].Sub(times[0])
	if n := b.reloads(); n != "3" || apart < testWindow {
		b.t.Fatalf("%s reloads, %s apart", n, apart)
	}
	text, _ := os.ReadFile(b.file)
	if !strings.Contains(string(text), "server db-pxc-4 ") || !strings.Contains(string(text), "server db-pxc-5 ") {
		b.t.Fatalf("a change was lost:\n%s", text)
	}
	b.alive(session)
	b.t.Logf("two new nodes at once: 2 reloads, %s apart with a window of %s, the session goes on", apart.Round(time.Millisecond), testWindow)
}

// moveUnderWay: the change waits for the end of the move.
func (b *peerListBed) moveUnderWay() {
	b.move.Store(&api.Move{State: api.MovePending, From: "db-pxc-0", To: "db-pxc-1"})
	for b.worker().Uptime < testWindow+time.Second { // so that only the move is waited for
		time.Sleep(50 * time.Millisecond)
	}
	asked := b.daemonAsked.Load()
	done := make(chan peerListed)
	go func() {
		got, stderr, code := b.try(hosts(6))
		if code != exitDone || !strings.Contains(stderr, "the writer is being moved from db-pxc-0 to db-pxc-1") {
			b.t.Errorf("exit status %d: %s", code, stderr)
		}
		done <- got
	}()
	for b.daemonAsked.Load() < asked+3 {
		time.Sleep(10 * time.Millisecond)
	}
	if text, _ := os.ReadFile(b.file); b.reloads() != "3" || strings.Contains(string(text), "db-pxc-6") {
		b.t.Error("it was applied during a move")
	}
	b.move.Store(&api.Move{State: api.MoveDone})
	if got := <-done; !got.Reloaded || b.reloads() != "4" {
		b.t.Errorf("after the move: %+v", got)
	}
	if b.t.Failed() {
		b.t.FailNow()
	}
	b.t.Log("a move under way: no reload before its end, one after it")
}

// refused: haproxy -c accepts a file that the new process cannot bind.
func (b *peerListBed) refused(session net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:8499")
	if err != nil {
		b.t.Fatal(err)
	}
	defer ln.Close()
	before, _ := os.ReadFile(b.file)
	pid := b.worker().Pid
	_, stderr, code := b.try(hosts(7), "--health-bind", "127.0.0.1:8499")
	after, _ := os.ReadFile(b.file)
	if code != exitFailed || !strings.Contains(stderr, "HAProxy did not take the new configuration") || !bytes.Equal(before, after) {
		b.t.Fatalf("exit status %d, %s; the file is the same: %t", code, stderr, bytes.Equal(before, after))
	}
	if err := syscall.Kill(pid, 0); err != nil {
		b.t.Fatalf("the old process is gone: %v", err)
	}
	b.alive(session)
	b.t.Logf("refused: %s", strings.TrimSpace(stderr))
}

// session is one through the proxy; alive is an exchange over it.
func (b *peerListBed) session() net.Conn {
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := net.Dial("tcp", "127.0.0.1:3306")
		if err == nil {
			c.SetDeadline(time.Now().Add(time.Second))
			if _, err = io.ReadFull(c, make([]byte, 1)); err == nil {
				b.t.Cleanup(func() { c.Close() })
				return c
			}
			c.Close()
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("no session through the proxy: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (b *peerListBed) alive(c net.Conn) {
	b.t.Helper()
	if err := echo(c, 2*time.Second); err != nil {
		b.t.Fatalf("the session is cut: %v", err)
	}
}

func (b *peerListBed) haproxy() {
	start(b.t, "haproxy", "-W", "-db", "-S", b.master.Socket, "-f", b.file)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if w, err := b.master.Worker(b.t.Context()); err == nil && w.Pid != 0 {
			return
		}
		if time.Since(began) > 10*time.Second {
			b.t.Fatal("HAProxy did not start")
		}
	}
}

// serve starts the nodes, which greet and echo, the DNS server and the daemon.
func (b *peerListBed) serve() {
	for n := range 8 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:3310", 40+n))
		if err != nil {
			b.t.Fatal(err)
		}
		go greetAndEcho(ln, n)
	}
	go serveDNSAt(b.t, "127.0.0.1:5353")
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:9102")
	if err != nil {
		b.t.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/active" {
			http.Error(w, "not steering", http.StatusServiceUnavailable)
			return
		}
		b.daemonAsked.Add(1)
		json.NewEncoder(w).Encode(api.Active{Active: "db-pxc-0", Agreed: true, Epoch: 1, Move: b.move.Load()})
	}))
}

// serveDNSAt answers A questions for db-pxc-N... with 127.0.0.(40+N), and everything else with nothing.
func serveDNSAt(t *testing.T, address string) {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Error(err)
		return
	}
	for {
		q := make([]byte, 4096)
		n, from, err := c.ReadFrom(q)
		if err != nil || n < 17 {
			return
		}
		end := 12
		for q[end] != 0 {
			end += int(q[end]) + 1
		}
		end += 5
		label := string(q[13 : 13+q[12]])
		node, err := strconv.Atoi(strings.TrimPrefix(label, "db-pxc-"))
		a := append([]byte{}, q[:end]...)
		a[2], a[3] = 0x84, 0
		a[6], a[7], a[8], a[9], a[10], a[11] = 0, 0, 0, 0, 0, 0
		if isA := q[end-3] == 1; err == nil && isA {
			a[7] = 1
			a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, byte(40+node))
		}
		c.WriteTo(a, from)
	}
}
