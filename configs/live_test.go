package configs

import (
	"bufio"
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
)

// fakeNode says its name to whoever connects, as a MySQL server greets first, and then waits for the client to end.
type fakeNode struct {
	name string
	addr string
	ln   net.Listener

	// accepted counts the connections.
	accepted atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func startNode(t *testing.T, name, addr string) *fakeNode {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n := &fakeNode{name: name, addr: ln.Addr().String(), ln: ln, conns: map[net.Conn]bool{}}
	go n.serve(ln)
	t.Cleanup(n.stop)
	return n
}

func (n *fakeNode) serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		n.accepted.Add(1)
		n.mu.Lock()
		n.conns[c] = true
		n.mu.Unlock()
		go func() {
			_, _ = fmt.Fprintln(c, n.name)
			_, _ = io.Copy(io.Discard, c)
			n.mu.Lock()
			delete(n.conns, c)
			n.mu.Unlock()
			_ = c.Close()
		}()
	}
}

// stop refuses new connections; the open ones stay, as those to a node that hangs would.
func (n *fakeNode) stop() { _ = n.ln.Close() }

// fakeDaemon answers as haproxyd's http address.
type fakeDaemon struct {
	addr          string
	srv           *http.Server
	beacon, alive atomic.Bool
}

func startDaemon(t *testing.T) *fakeDaemon {
	t.Helper()
	d := &fakeDaemon{}
	d.beacon.Store(true)
	d.alive.Store(true)
	answer := func(b *atomic.Bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if !b.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /beacon", answer(&d.beacon))
	mux.Handle("GET /healthz", answer(&d.alive))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr, d.srv = ln.Addr().String(), &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = d.srv.Serve(ln) }()
	t.Cleanup(d.kill)
	return d
}

func (d *fakeDaemon) kill() { _ = d.srv.Close() }

// live is a HAProxy that runs a rendered configuration in front of fake nodes.
type live struct {
	t        *testing.T
	binary   string
	input    RenderInput
	cfg      string
	cmd      *exec.Cmd
	daemon   *fakeDaemon
	nodes    map[string]*fakeNode
	log      *os.File
	services map[string]string
}

// handedOut are the ports that freePort has given: one that is closed again is given again by the kernel, sooner or later.
var handedOut sync.Map

func freePort(t *testing.T) int {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		_ = ln.Close()
		if _, given := handedOut.LoadOrStore(port, true); !given {
			return port
		}
	}
}

// newLive has no configuration and no node yet. The folder's path is short: it has sockets.
func newLive(t *testing.T, binary string) *live {
	t.Helper()
	dir, err := os.MkdirTemp("", "live")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &live{t: t, binary: binary, nodes: map[string]*fakeNode{}, services: map[string]string{}, cfg: filepath.Join(dir, "haproxy.cfg")}
	l.input.StatsSocket = filepath.Join(dir, "s")
	if l.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(l.log.Name()); t.Failed() && err == nil {
			t.Logf("haproxy said:\n%s", text)
		}
	})
	return l
}

// write makes text its configuration.
func (l *live) write(text string) {
	l.t.Helper()
	if err := os.WriteFile(l.cfg, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// load reads its configuration.
func (l *live) load() *Topology {
	l.t.Helper()
	topo, err := Load(l.cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return topo
}

// startLive runs the configuration for all services, after change if there is one.
func startLive(t *testing.T, binary string, change ...func(*RenderInput)) *live {
	t.Helper()
	l := newLive(t, binary)
	l.daemon = startDaemon(t)
	port := freePort(t)
	l.input = RenderInput{
		Proxies: []RenderProxy{{Name: "px0", Host: "127.0.0.1", Port: freePort(t)}}, LocalProxy: "px0", SelfPeerPort: freePort(t),
		StatsSocket: l.input.StatsSocket, Daemon: l.daemon.addr, HealthBind: "127.0.0.1:" + strconv.Itoa(freePort(t)),
		Check: RenderCheck{Inter: 200 * time.Millisecond},
	}
	// Nodes differ by their loopback address, so that one port serves them all, as in the field.
	for i, name := range []string{"pxc-0", "pxc-2", "pxc-1"} {
		host := fmt.Sprintf("127.0.0.%d", 11+i)
		l.nodes[name] = startNode(t, name, net.JoinHostPort(host, strconv.Itoa(port)))
		l.input.Nodes = append(l.input.Nodes, RenderNode{Name: name, Host: host})
	}
	l.input.Services = AllServices()
	for i := range l.input.Services {
		s := &l.input.Services[i]
		s.NodePort, s.Bind = port, "127.0.0.1:"+strconv.Itoa(freePort(t))
		l.services[s.Backend] = s.Bind
	}
	for _, c := range change {
		c(&l.input)
	}
	data, err := Render(l.input)
	if err != nil {
		t.Fatal(err)
	}
	l.write(string(data))
	l.start()
	return l
}

// start starts HAProxy, as a reload of the one that runs if there is one.
func (l *live) start() {
	l.t.Helper()
	args := []string{"-db", "-f", l.cfg}
	if l.cmd != nil {
		args = append(args, "-x", l.input.StatsSocket, "-sf", strconv.Itoa(l.cmd.Process.Pid))
	}
	cmd := exec.Command(l.binary, args...)
	cmd.Stdout, cmd.Stderr = l.log, l.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.cmd = cmd
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	l.t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	l.until("the new process answers", 10*time.Second, func() bool {
		return strings.Contains(l.try("show info"), fmt.Sprintf("Pid: %d\n", cmd.Process.Pid))
	})
}

func (l *live) try(command string) string {
	c, err := net.DialTimeout("unix", l.input.StatsSocket, time.Second)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	_, _ = fmt.Fprintln(c, command)
	out, _ := io.ReadAll(c)
	return string(out)
}

// do runs a command that answers with a blank line.
func (l *live) do(command string) {
	l.t.Helper()
	if out := strings.TrimSpace(l.try(command)); out != "" {
		l.t.Fatalf("%s: %s", command, out)
	}
}

func (l *live) until(what string, limit time.Duration, ok func() bool) time.Duration {
	l.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			l.t.Fatalf("after %s: not yet: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

// up tells whether HAProxy shows the server as running and checked.
func (l *live) up(backend, server string) bool {
	for line := range strings.SplitSeq(l.try("show stat"), "\n") {
		f := strings.Split(line, ",")
		if len(f) > 17 && f[0] == backend && f[1] == server {
			return strings.HasPrefix(f[17], "UP")
		}
	}
	return false
}

// open connects to a service and gives the name that the node says; "" if the connection was refused or cut.
func (l *live) open(backend string) (string, net.Conn) {
	c, err := net.DialTimeout("tcp", l.services[backend], time.Second)
	if err != nil {
		return "", nil
	}
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	name, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		_ = c.Close()
		return "", nil
	}
	return strings.TrimSpace(name), c
}

func (l *live) node(backend string) string {
	name, c := l.open(backend)
	if c != nil {
		_ = c.Close()
	}
	return name
}

// expect says where n connections to each of the backends must go.
func (l *live) expect(n int, want string, backends ...string) {
	l.t.Helper()
	for _, b := range backends {
		for range n {
			if got := l.node(b); got != want {
				l.t.Fatalf("a connection to %s went to %q, want %q", b, got, want)
			}
		}
	}
}

func (l *live) ready() int {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + l.input.HealthBind + "/ready")
	if err != nil {
		return 0
	}
	_ = r.Body.Close()
	return r.StatusCode
}
