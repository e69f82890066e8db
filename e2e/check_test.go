package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// checking is a HAProxy of its own on a proxy's host, whose checks are haproxyctl.
type checking struct {
	s      *scenario
	p      *lab.Proxy
	socket string
}

// startChecking starts it beside the proxy's own HAProxy. External checks find the daemon's socket in its default place
// only, so this process gets a /run of its own in which that place leads to the lab's socket.
func (s *scenario) startChecking(p *lab.Proxy, inter time.Duration) *checking {
	s.t.Helper()
	c := &checking{s: s, p: p, socket: filepath.Join(p.Dir, "checking.sock")}
	var b strings.Builder
	fmt.Fprintf(&b, `global
	stats socket %s mode 600 level admin
	external-check
	insecure-fork-wanted
defaults
	mode tcp
	timeout connect 3s
	timeout client 1m
	timeout server 1m
frontend in
	bind 127.0.0.1:13306
	default_backend checked
backend checked
	option external-check
	external-check path "/usr/bin:/bin"
	external-check command %s
	default-server check inter %dms fall 2 rise 1
`, c.socket, filepath.Join(binaries, "haproxyctl"), inter.Milliseconds())
	for _, n := range s.DB {
		fmt.Fprintf(&b, "\tserver %s %s\n", n.Name, n.Address())
	}
	file := filepath.Join(p.Dir, "checking.cfg")
	s.must(os.WriteFile(file, []byte(b.String()), 0o600))
	script := fmt.Sprintf("mount -t tmpfs none /run && mkdir /run/haproxyd && ln -s %[1]s /run/haproxyd/admin.sock && "+
		"ln -s %[1]s.check /run/haproxyd/admin.sock.check && exec haproxy -db -f %[2]s", p.Daemon.AdminSocket, file)
	proc, err := p.Host.Start(lab.Spec{Name: "checking", Args: []string{"unshare", "--mount", "sh", "-c", script}})
	s.must(err)
	s.t.Cleanup(proc.Kill9)
	return c
}

// states are the servers' states by HAProxy's word, "2" for up and "0" for down.
func (c *checking) states(ctx context.Context) (map[string]string, error) {
	conn, err := c.p.Dial(ctx, "unix", c.socket)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "show servers state checked\n"); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for line := range strings.Lines(string(answer)) {
		if f := strings.Fields(line); len(f) > 5 && f[1] == "checked" {
			states[f[3]] = f[5]
		}
	}
	return states, nil
}

// waitState waits until HAProxy calls one server that, while the others stay up, and returns how long it took.
func (c *checking) waitState(node, want string, within time.Duration) time.Duration {
	c.s.t.Helper()
	start := time.Now()
	c.s.must(until(c.s.within(within), node+" to be "+want, func() (bool, string) {
		states, err := c.states(c.s.ctx)
		for name, state := range states {
			if name != node && state != "2" {
				c.s.t.Fatalf("%s went down with %s: %v", name, node, states)
			}
		}
		return err == nil && states[node] == want, fmt.Sprint(states, err)
	}))
	return time.Since(start)
}

// stayUp asserts that every server is up all the time, for as long as several checks of each take.
func (c *checking) stayUp(d time.Duration) {
	c.s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); wait(c.s.ctx, 50*time.Millisecond) {
		states, err := c.states(c.s.ctx)
		c.s.must(err)
		for name, state := range states {
			if state != "2" {
				c.s.t.Fatalf("%s is down: %v", name, states)
			}
		}
	}
}

// haproxyctl is HAProxy's external check. The servers' states follow the nodes whether the daemon lives, is dead or is
// stopped: a node that rejects queries (for which one must log in) and one that is dead. Nothing goes down with the daemon.
func TestExternalCheck(t *testing.T) {
	full(t)
	const (
		// inter is also how long HAProxy lets an external check run (2.6: min of inter and timeout connect, whatever
		// timeout check says), so it must leave room for the daemon's 0.3 s, a probe and a busy machine.
		inter = 1500 * time.Millisecond
		// each is what a check takes at most: the daemon's 0.3 s, and 0.2 s to fork it and to probe.
		each = 500 * time.Millisecond
		// within bounds two checks in a row: the next begins an interval after the end of the one before.
		within = 2*(inter+each) + slack
	)
	s := begin(t, stack.Options{})
	p := s.PX[0]
	c := s.startChecking(p, inter)
	for _, n := range s.DB {
		c.waitState(n.Name, "2", 10*time.Second)
	}
	nodes := []struct {
		how        string
		down, back func(*lab.Node) error
	}{
		{"rejects queries",
			func(n *lab.Node) error { return n.SetGlobal(s.ctx, "wsrep_reject_queries", "ALL") },
			func(n *lab.Node) error { return n.SetGlobal(s.ctx, "wsrep_reject_queries", "NONE") }},
		{"killed",
			func(n *lab.Node) error { n.Kill9(); return nil },
			func(n *lab.Node) error { return n.Start(s.ctx) }},
	}
	for _, d := range []struct {
		how      string
		do, undo func() error
	}{
		{"alive", func() error { return nil }, func() error { return nil }},
		{"dead", func() error { p.Daemon.Kill9(); return nil }, p.Daemon.StartAgain},
		{"stopped", p.Daemon.Pause, p.Daemon.Cont},
	} {
		s.must(d.do())
		c.stayUp(within)
		for _, n := range nodes {
			s.must(n.down(s.DB[2]))
			down := c.waitState("db2", "0", 10*time.Second)
			s.must(n.back(s.DB[2]))
			up := c.waitState("db2", "2", 10*time.Second)
			t.Logf("daemon %s, node %s: down %v after it, up %v after its return", d.how, n.how, down, up)
			if down > within || up > within {
				t.Errorf("daemon %s, node %s: %v and %v, at most %v", d.how, n.how, down, up, within)
			}
		}
		s.must(d.undo())
		s.must(p.Daemon.WaitSocket(s.ctx))
	}
}
