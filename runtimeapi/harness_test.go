package runtimeapi

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"text/template"
	"time"
)

// processConfig is the configuration that the integration tests and the recorder run:
// the layout of the design, and what else the parsers must understand.
const processConfig = `global
  stats socket {{.Dir}}/admin.sock mode 600 level admin
  stats socket {{.Dir}}/operator.sock mode 600 level operator
  stats socket {{.Dir}}/user.sock mode 600 level user
  stats socket {{.Dir}}/severe.sock mode 600 level admin severity-output number
  localpeer {{.Name}}
  node {{.Name}}
  description a test, of "things"
  hard-stop-after 1s
defaults
  mode tcp
  timeout connect 1s
  timeout client 30s
  timeout server 30s
peers mypeers
  peer px0 {{.Peer0}}
  peer px1 {{.Peer1}}
peers self
  peer {{.Name}} {{.Self}}
resolvers dead
  nameserver none 127.0.0.1:1
frontend galera-in
  bind {{.Front}}
  default_backend galera-nodes
backend galera-nodes
  stick-table type integer size 100k peers mypeers
  stick match int(1) table steer if { srv_is_up(beacon/local) }
  stick on int(1)
  server pxc-0 {{.Node0}} id 1 check inter 100 on-marked-down shutdown-sessions
  server pxc-1 {{.Node1}} id 2 check inter 100 backup on-marked-down shutdown-sessions
  server pxc-2 {{.Node1}} id 3 backup disabled
backend steer
  stick-table type integer size 1k peers self
backend strings
  stick-table type string len 64 size 1k expire 10m store conn_cnt,gpc0,gpt0,conn_rate(10s)
  stick on fe_name
  server s1 {{.Node0}} id 1
backend nothing
  stick-table type ip size 10 nopurge
backend follow
  server t1 {{.Node0}} track galera-nodes/pxc-1
  server d1 nosuch.invalid:3306 check resolvers dead init-addr none
backend beacon
  option httpchk GET /beacon
  server local {{.Dead}} check inter 100
`

// process is a running HAProxy in front of two nodes that accept and hold connections.
type process struct {
	Dir, Name                 string
	Front, Peer0, Peer1, Self string
	Node0, Node1, Dead        string
	nodes                     [2]*node
	command                   *exec.Cmd
}

// binaries returns the executables to test with, by a name: the installed one, and those
// of HAPROXY_VERSIONS/X.Y/haproxy (see e2e/haproxy-versions.sh).
func binaries(t testing.TB) map[string]string {
	found := make(map[string]string)
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			found["installed"] = path
			break
		}
	}
	if dir := os.Getenv("HAPROXY_VERSIONS"); dir != "" {
		paths, _ := filepath.Glob(filepath.Join(dir, "*", "haproxy"))
		for _, path := range paths {
			found[filepath.Base(filepath.Dir(path))] = path
		}
	}
	if len(found) == 0 {
		t.Skip("no haproxy binary: install haproxy, or set HAPROXY_VERSIONS to what e2e/haproxy-versions.sh made")
	}
	return found
}

// eachBinary runs a test against every HAProxy there is.
func eachBinary(t *testing.T, test func(t *testing.T, binary string)) {
	for name, binary := range binaries(t) {
		t.Run(name, func(t *testing.T) { test(t, binary) })
	}
}

// installed returns one binary for what does not depend on the version.
func installed(t testing.TB) string {
	found := binaries(t)
	if path, ok := found["installed"]; ok {
		return path
	}
	for _, path := range found {
		return path
	}
	return ""
}

// start runs HAProxy until the test ends.
func start(t testing.TB, binary string) *process {
	t.Helper()
	p := &process{Name: "px0"}
	for i := range p.nodes {
		p.nodes[i] = listen(t)
	}
	p.Node0, p.Node1 = p.nodes[0].addr(), p.nodes[1].addr()
	p.startAgain(t, binary)
	return p
}

// startAgain runs HAProxy for p's nodes. The free ports that it picks may be taken by
// another process before HAProxy binds them: then it picks others.
func (p *process) startAgain(t testing.TB, binary string) {
	t.Helper()
	for range 5 {
		// Not t.TempDir: its path may exceed the length of a unix socket's.
		dir, err := os.MkdirTemp("", "runtimeapi")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		p.Dir = dir
		ports := freePorts(t, 5)
		p.Front, p.Peer0, p.Peer1, p.Self, p.Dead = ports[0], ports[1], ports[2], ports[3], ports[4]
		if p.run(t, binary) {
			return
		}
	}
	t.Fatalf("haproxy does not start:\n%s", p.log())
}

// run starts the process for the ports that are set and waits until it answers.
func (p *process) run(t testing.TB, binary string) bool {
	t.Helper()
	var text bytes.Buffer
	if err := template.Must(template.New("").Parse(processConfig)).Execute(&text, p); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.Dir, p.Name+".cfg")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(p.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.command = exec.Command(binary, "-db", "-f", file)
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	command, exited := p.command, make(chan struct{})
	go func() { _ = command.Wait(); close(exited) }()
	t.Cleanup(func() { _ = command.Process.Kill(); <-exited })
	for {
		select {
		case <-exited:
			return false
		case <-time.After(5 * time.Millisecond):
			if _, err := rawExchange(p.admin(), "show info"); err == nil {
				return true
			}
		}
	}
}

// log returns what HAProxy wrote.
func (p *process) log() string {
	text, err := os.ReadFile(filepath.Join(p.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *process) admin() string { return filepath.Join(p.Dir, "admin.sock") }

func (p *process) client(t testing.TB, socket string) *Client {
	t.Helper()
	client, err := New(Config{Socket: filepath.Join(p.Dir, socket)})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// connect opens a client connection through HAProxy and waits until a node has it.
func (p *process) connect(t testing.TB) (client net.Conn, atNode net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", p.Front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	// A health check sends nothing, so the first that sends is ours.
	if _, err := io.WriteString(client, "x"); err != nil {
		t.Fatal(err)
	}
	select {
	case atNode = <-p.nodes[0].speaking:
	case atNode = <-p.nodes[1].speaking:
	case <-time.After(10 * time.Second):
		t.Fatalf("no node got the connection; haproxy says:\n%s", p.log())
	}
	return client, atNode
}

// rawExchange is the reference for the client under test: one line, everything until EOF.
func rawExchange(socket, line string) (string, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	return string(reply), err
}

// node is a TCP listener that keeps what it accepts open.
type node struct {
	listener net.Listener
	// speaking gets each connection that has sent something.
	speaking chan net.Conn
}

func listen(t testing.TB) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{listener: listener, speaking: make(chan net.Conn, 100)}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var one [1]byte
				if _, err := io.ReadFull(conn, one[:]); err != nil {
					return
				}
				n.speaking <- conn
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return n
}

func (n *node) addr() string { return n.listener.Addr().String() }

func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		addrs = append(addrs, listener.Addr().String())
	}
	return addrs
}

// eventually polls until the condition holds; the test fails with its last word.
func eventually(t testing.TB, condition func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		ok, said := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("never came true: " + said)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// recorded returns a file of testdata for every recorded version.
func recorded(t testing.TB, name string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "[0-9]*", name))
	if err != nil || len(paths) == 0 {
		t.Fatalf("nothing recorded as %s (%v)", name, err)
	}
	texts := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(filepath.Dir(path))] = string(text)
	}
	return texts
}

// answerOf cuts the newline off that ends a recorded answer.
func answerOf(t testing.TB, reply string) string {
	t.Helper()
	var answer [1]string
	if err := splitAnswers(reply, answer[:]); err != nil {
		t.Fatal(err)
	}
	return answer[0]
}
