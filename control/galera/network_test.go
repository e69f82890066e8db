package galera

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// middle is a TCP proxy in front of a node that delays what the node says, or
// swallows everything, as a network does that was cut.
type middle struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	delay    time.Duration
	conns    sync.WaitGroup

	mu   sync.Mutex
	cut  bool
	open []net.Conn
}

func startMiddle(t *testing.T, target string, delay time.Duration) *middle {
	t.Helper()
	return startMiddleTo(t, func() (net.Conn, error) { return net.Dial("tcp", target) }, delay)
}

func startMiddleTo(t *testing.T, dial func() (net.Conn, error), delay time.Duration) *middle {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	dbtest.Must(t, err)
	m := &middle{listener: l, dial: dial, delay: delay}
	m.conns.Go(m.accept)
	t.Cleanup(func() {
		_ = l.Close()
		m.mu.Lock()
		for _, c := range m.open {
			_ = c.Close()
		}
		m.mu.Unlock()
		m.conns.Wait()
	})
	return m
}

func (m *middle) accept() {
	for {
		client, err := m.listener.Accept()
		if err != nil {
			return
		}
		server, err := m.dial()
		if err != nil {
			_ = client.Close()
			continue
		}
		m.mu.Lock()
		m.open = append(m.open, client, server)
		m.mu.Unlock()
		m.conns.Go(func() { m.copy(server, client, 0) })
		m.conns.Go(func() { m.copy(client, server, m.delay) })
	}
}

func (m *middle) copy(to, from net.Conn, delay time.Duration) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(delay)
		m.mu.Lock()
		cut := m.cut
		m.mu.Unlock()
		if cut {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (m *middle) setCut(cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = cut
}

// names is a name service that can be broken.
type names struct {
	addrs []netip.Addr
	err   error
}

// TestNetwork is about what lies between the probe and a healthy node.
func TestNetwork(t *testing.T) {
	m := dbtest.StartMariaDB(t)

	t.Run("half open", func(t *testing.T) {
		between := startMiddle(t, m.Address, 0)
		p := startProber(t, Config{}, between.listener.Addr().String())
		await(t, p, dbtest.Soon, "healthy", healthy)
		between.setCut(true)
		s, took := await(t, p, dbtest.Soon, "down", is(Down, ClassSilent))
		t.Logf("down after %v: %s", took, s.Reason)
		if bound := DefaultInterval + DefaultDeadline + 250*time.Millisecond; took > bound {
			t.Errorf("down after %v, bound %v", took, bound)
		}
		between.setCut(false)
		_, took = await(t, p, dbtest.Soon, "healthy again", healthy)
		t.Logf("healthy after %v", took)
	})

	t.Run("name gone", func(t *testing.T) {
		dns := make(chan names, 1)
		dns <- names{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
		p, err := New(Config{Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: dbtest.PasswordFile(t, dbtest.ProbePassword)}, Nodes: []Target{{"n", m.Address}}})
		dbtest.Must(t, err)
		p.dialer = func(address string) (*conn.Dialer, error) {
			_, port, _ := net.SplitHostPort(address)
			return conn.NewDialer("pxc-0.pxc:"+port, func(context.Context, string) ([]netip.Addr, error) {
				now := <-dns
				dns <- now
				return now.addrs, now.err
			})
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		await(t, p, dbtest.Soon, "healthy", healthy)
		was := <-dns
		dns <- names{err: &net.DNSError{Err: "no such host", Name: "pxc-0.pxc", IsNotFound: true}}
		m.KillProbes(t)
		s, _ := await(t, p, dbtest.Soon, "unknown", is(Unknown, ClassName))
		dbtest.Contains(t, s.Reason, "pxc-0.pxc")
		<-dns
		dns <- was
		await(t, p, dbtest.Soon, "healthy again", healthy)
		cancel()
		dbtest.Must(t, <-done)
	})

	t.Run("ourselves stopped", func(t *testing.T) {
		m.Do(t, "GRANT CREATE, SELECT, INSERT, UPDATE ON haproxyd.* TO "+dbtest.ProbeUser)
		// Each answer takes longer than the interval, so that a stop always hits a
		// probe that waits; the three of a new connection stay below the deadline.
		between := startMiddle(t, m.Address, 150*time.Millisecond)
		self, err := os.Executable()
		dbtest.Must(t, err)
		child := exec.Command(self)
		child.Env = append(os.Environ(), childAddress+"="+between.listener.Addr().String(), childPassword+"="+dbtest.PasswordFile(t, dbtest.ProbePassword))
		out, err := child.StdoutPipe()
		dbtest.Must(t, err)
		dbtest.Must(t, child.Start())
		seen := make(chan string, 100)
		go func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				seen <- lines.Text()
			}
			close(seen)
		}()
		first := <-seen
		for first == "unknown not-probed" {
			first = <-seen
		}
		if first != "healthy synced" {
			t.Errorf("first seen: %s", first)
		}
		committed := func() (n int64) {
			_ = m.Admin.QueryRow("SELECT SUM(seq) FROM haproxyd.canary").Scan(&n) // no table at first
			return n
		}
		for committed() < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		for range 3 {
			dbtest.Must(t, child.Process.Signal(syscall.SIGSTOP))
			time.Sleep(1500 * time.Millisecond) // past the deadline: this is what is tested
			dbtest.Must(t, child.Process.Signal(syscall.SIGCONT))
			select {
			case line := <-seen:
				t.Errorf("after our own stop: %s", line)
			case <-time.After(700 * time.Millisecond):
			}
		}
		before := committed()
		for committed() == before { // the canary goes on
			time.Sleep(10 * time.Millisecond)
		}
		dbtest.Must(t, child.Process.Signal(syscall.SIGTERM))
		for range seen {
		}
		_ = child.Wait()
	})

	// The last, for coming back from it may take a server minutes.
	t.Run("outside the primary component", func(t *testing.T) {
		p := startProber(t, Config{}, m.Address)
		await(t, p, dbtest.Soon, "healthy", healthy)
		go func() { _, _ = m.Admin.Exec("SET GLOBAL wsrep_cluster_address='gcomm://127.0.0.1:1?pc.wait_prim=no'") }()
		s, _ := await(t, p, dbtest.Soon, "down", is(Down, ClassNotPrimary))
		t.Log(s.Reason)
		if s.Eligible || s.Avoid {
			t.Errorf("%+v", s.State)
		}
	})
}

const (
	childAddress  = "GALERA_TEST_CHILD_ADDRESS"
	childPassword = "GALERA_TEST_CHILD_PASSWORD_FILE"
)

// probeAsChild makes this test binary a prober that prints every change and
// failure, if it was started as one.
func probeAsChild() bool {
	address := os.Getenv(childAddress)
	if address == "" {
		return false
	}
	p, err := New(Config{
		Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: os.Getenv(childPassword)}, Nodes: []Target{{"n", address}},
		// Nearly always waiting for a commit, and with a deadline that a stop goes past.
		Canary: &CanaryConfig{Member: "child", Interval: 200 * time.Millisecond, Deadline: 600 * time.Millisecond},
	})
	if err != nil {
		fmt.Println(err)
		return true
	}
	go func() { _ = p.Run(context.Background()) }()
	last := ""
	for {
		<-p.Changed()
		s := p.Status()[0]
		if line := strings.TrimSpace(fmt.Sprint(s.Verdict, " ", s.Class, " ", s.Stuck)); line != last {
			fmt.Println(line)
			last = line
		}
	}
}
