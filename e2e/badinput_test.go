package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// A daemon starts with a haproxy.cfg that it cannot use. It says which line or which difference, on its socket, does
// not end, and writes nothing: a poisoned private entry stays. Once the file is right it goes on by itself.
func TestBadConfiguration(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new string
		says     []string
	}{
		{"does not parse", "backend haproxyd-steer\n", "backend haproxyd-steer\n  balance \"unclosed\n", []string{"haproxy.cfg:"}},
		{"no sticky backend", "  stick ", "  # stick ", []string{"haproxy.cfg", "no sticky backend"}},
		{"contradicts the running HAProxy", "10.99.0.11:3306 id 1 ", "10.99.0.11:3306 id 7 ", []string{"haproxy.cfg:", "nothing is written", "db0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := begin(t, stack.Options{})
			s.waitFirst("db1")
			p := s.PX[2]
			p.Daemon.Kill9()
			was, err := os.ReadFile(p.ConfigFile)
			s.must(err)
			bad := strings.ReplaceAll(string(was), c.old, c.new)
			if bad == string(was) {
				t.Fatalf("%s has no %q", p.ConfigFile, c.old)
			}
			s.must(os.WriteFile(p.ConfigFile, []byte(bad), 0o644))
			s.must(p.Daemon.StartAgain())
			s.must(p.Daemon.WaitSocket(s.ctx))
			t.Log(s.waitProblem(p, 20*time.Second, c.says...))
			s.waitNative(p)
			s.write(p, "set table "+private+" key 1 data.server_id 3")
			wait(s.ctx, 1500*time.Millisecond) // it looks again meanwhile, and still writes nothing
			if !s.leadsTo(p, private, "db2", "1") {
				t.Errorf("it wrote: %v", s.entries(p, private))
			}
			if status, body := s.get(p, "/beacon"); status != 503 {
				t.Errorf("the beacon answers %d %s", status, body)
			}
			s.must(s.waitOn(s.PX[:2], "the others to steer", func(a apiActive) bool { return a.Agreed && a.Steering >= 2 }))
			s.must(os.WriteFile(p.ConfigFile, was, 0o644))
			s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
			if took := s.untilRight([]*lab.Proxy{p}, private, "db1", "1"); took > privateWithin {
				t.Errorf("it steers, and its private table was wrong for another %v", took)
			}
		})
	}
}

// The socket of a HAProxy hangs, refuses, or answers half, while the process serves on (or is gone). The daemon is
// bounded, says so, turns its beacon off within 2 s, and an operator's move is refused naming the proxy. It recovers by
// itself.
func TestBadSocket(t *testing.T) {
	for _, c := range []struct {
		name string
		core bool
		// fake serves in place of HAProxy; nil refuses.
		fake func(net.Conn)
	}{
		{"hangs", true, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
		{"answers half", false, func(c net.Conn) {
			_, _ = io.WriteString(c, "Name: HAProxy\nVersion: 2.6.12\nPid: 1\nUpti")
			_ = c.Close()
		}},
		{"refuses", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.core {
				full(t)
			}
			s := begin(t, stack.Options{})
			s.start(lab.LoadConfig{ReconnectEvery: 5})
			p := s.PX[2]
			aside := p.AdminSocket + ".aside"
			s.must(os.Rename(p.AdminSocket, aside))
			listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.AdminSocket, Net: "unix"})
			s.must(err)
			listener.SetUnlinkOnClose(false)
			t.Cleanup(func() { _ = listener.Close() })
			broken := time.Now()
			if c.fake == nil {
				s.must(listener.Close())
			} else {
				go func() {
					for {
						conn, err := listener.Accept()
						if err != nil {
							return
						}
						go c.fake(conn)
					}
				}()
			}
			s.waitBeacon(p, 503)
			off := time.Since(broken)
			t.Logf("beacon off after %v: %s", off, s.waitProblem(p, 5*time.Second, "HAProxy's admin socket", p.AdminSocket))
			if off > 2500*time.Millisecond {
				t.Errorf("the beacon was on for %v", off)
			}
			if status, body := s.get(p, "/healthz"); status != 200 {
				t.Errorf("/healthz depends on HAProxy: %d %s", status, body)
			}
			if n := s.metric(p, "haproxyd_haproxy_reachable"); n != 0 {
				t.Errorf("haproxyd_haproxy_reachable is %v", n)
			}
			if n := s.metric(p, "haproxyd_runtime_errors_total"); n == 0 {
				t.Error("haproxyd_runtime_errors_total is 0")
			}
			_, err = s.Set(s.ctx, s.PX[0], "db2")
			if no := s.refused(err); !strings.Contains(no, p.Name) {
				t.Errorf("the refusal does not name the proxy: %q", no)
			}
			_ = listener.Close()
			s.must(os.Rename(aside, p.AdminSocket))
			s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			log := s.finish(expect{path: []string{"db1"}, after: "", outage: time.Second})
			s.allRight(log.Wrong(0, "db1"), "a socket that "+c.name)
		})
	}
}

// An operator asks for a node that is unknown, excluded or down: refused, with the reason and the nodes that would do;
// nothing has changed.
func TestActiveSetRefused(t *testing.T) {
	s := begin(t, stack.Options{})
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	before := s.active(s.PX[0])
	no := func(node string, says ...string) {
		t.Helper()
		_, err := s.Set(s.ctx, s.PX[1], node)
		text := s.refused(err)
		t.Log(text)
		for _, say := range says {
			if !strings.Contains(text, say) {
				t.Errorf("the refusal of %s does not say %q: %q", node, say, text)
			}
		}
	}
	no("db9", "not a node", "db0", "db2")
	var a apiActive
	s.must(s.Ask(s.ctx, s.PX[0], &a, "exclude", "db2"))
	before.Revision++ // the exclusion
	s.must(s.waitOn(s.PX, "the exclusion everywhere", func(a apiActive) bool { return slices.Contains(a.Excluded, "db2") }))
	no("db2", "excluded", "db0 would do")
	no("db9", "not a node", "db0 would do")
	s.must(s.Ask(s.ctx, s.PX[0], &a, "include", "db2"))
	before.Revision++
	s.must(s.waitOn(s.PX, "the inclusion everywhere", func(a apiActive) bool { return len(a.Excluded) == 0 }))
	s.DB[2].Kill9()
	s.must(s.waitNode("db2", "down for all", func(n apiNode) bool { return n.Down == len(s.PX) }))
	no("db2", "db2 is down for 3 of 3 voters", "refuses", "db0 would do")
	s.unchanged(before)
	s.must(s.load.WaitFlowing(s.within(20 * time.Second)))
	s.finish(expect{path: []string{"db1"}})
}

// A voter's state file is cut in half, or comes from a copy that was made earlier: it says so, has lost its disk, gets
// a new id, and is admitted by the others in place of the old one. The active does not move.
func TestStateFileLost(t *testing.T) {
	for _, c := range []struct {
		name string
		core bool
		harm func(s *scenario, file string, early []byte)
	}{
		{"cut in half", true, func(s *scenario, file string, _ []byte) {
			info, err := os.Stat(file)
			s.must(err)
			s.must(os.Truncate(file, info.Size()/2))
		}},
		{"restored from a copy", false, func(s *scenario, file string, early []byte) {
			s.must(os.Remove(file))
			s.must(os.WriteFile(file, early, 0o600))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.core {
				full(t)
			}
			s := begin(t, stack.Options{})
			s.start(lab.LoadConfig{ReconnectEvery: 5})
			p := s.PX[2]
			file := p.Daemon.File("register.state")
			early, err := os.ReadFile(file)
			s.must(err)
			var a apiActive
			s.must(s.Ask(s.ctx, s.PX[0], &a, "exclude", "db2")) // something to have forgotten
			s.must(s.waitOn(s.PX, "the exclusion everywhere", func(a apiActive) bool { return len(a.Excluded) == 1 }))
			before := s.active(s.PX[0])
			old := s.disk(p)
			p.Daemon.Kill9()
			c.harm(s, file, early)
			s.must(p.Daemon.StartAgain())
			start := time.Now()
			s.must(p.Daemon.WaitSocket(s.ctx))
			t.Log(s.waitProblem(p, 20*time.Second, "disk", "lost"))
			s.must(until(s.within(30*time.Second), "px2 to vote under a new id", func() (bool, string) {
				r, err := client(s.PX[0]).Register(s.ctx)
				if err != nil {
					return false, err.Error()
				}
				for _, v := range r.Voters {
					if v.Name == p.Name && v.Disk != old && v.Live {
						return len(r.Voters) == len(s.PX), fmt.Sprintf("%+v", r.Voters)
					}
				}
				return false, fmt.Sprintf("%+v; %s", r.Voters, r.Membership)
			}))
			t.Logf("admitted under a new id after %v", time.Since(start))
			s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
			s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
			log := s.finish(expect{path: []string{"db1"}, after: "", outage: time.Second})
			s.allRight(log.Wrong(0, "db1"), "a lost disk")
			s.unchanged(before)
		})
	}
}

// disk is the id under which a proxy's daemon votes.
func (s *scenario) disk(p *lab.Proxy) string {
	s.t.Helper()
	r, err := client(p).Register(s.ctx)
	s.must(err)
	return r.Disk
}

// A second daemon with a name that a living one has ends by itself and names the first one's address. The first one
// steers on.
func TestSameName(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	before, first := s.active(s.PX[0]), s.PX[2]
	dir := t.TempDir()
	second, err := s.PX[1].Host.Start(lab.Spec{Name: "second", Args: []string{
		filepath.Join(binaries, "haproxyd"), "--haproxy-cfg", first.ConfigFile, "--name", first.Name, "--data-dir", filepath.Join(dir, "data"),
		"--admin-socket", filepath.Join(dir, "admin.sock"), "--gossip-bind", s.PX[1].IP + ":7947",
		"--gossip-key-file", s.GossipKey, "--http-bind", "127.0.0.1:9103", "--join", s.PX[0].IP + ":7946",
	}})
	s.must(err)
	exit, err := second.ExitStatus(s.within(20 * time.Second))
	s.must(err)
	last := second.LogTail(400)
	t.Logf("exit %d: %s", exit, last)
	if exit != 1 || !strings.Contains(last, first.IP+":7946") || !strings.Contains(last, first.Name) {
		t.Errorf("exit %d, without the first one's address: %s", exit, last)
	}
	wait(s.ctx, time.Second)
	s.must(s.WaitSteering(s.within(time.Second), len(s.PX)))
	s.unchanged(before)
	log := s.finish(expect{path: []string{"db1"}, after: "", outage: time.Second})
	s.allRight(log.Wrong(0, "db1"), "a second daemon of the same name")
}

// Garbage on the gossip port, and daemons with another key, another label, or none: dropped, counted by reason, and
// nobody of them becomes a member.
func TestForeignGossip(t *testing.T) {
	dir := t.TempDir()
	key := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(strings.Repeat(text, 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ours, theirs := key("ours", "a1"), key("theirs", "b2")
	s := begin(t, stack.Options{DaemonArgs: []string{"--gossip-key-file", ours}})
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	before, target := s.active(s.PX[0]), s.PX[0]

	dropped := func(reasons ...string) float64 {
		sum := 0.0
		for _, r := range reasons {
			sum += s.metric(target, "haproxyd_gossip_dropped_total", `reason="`+r+`"`)
		}
		return sum
	}
	grows := func(what string, reasons ...string) {
		t.Helper()
		was := dropped(reasons...)
		s.must(until(s.within(20*time.Second), what+" to be counted", func() (bool, string) {
			now := dropped(reasons...)
			return now > was, fmt.Sprint(now)
		}))
		t.Logf("%s: %v dropped", what, dropped(reasons...)-was)
	}

	stop := s.every(50*time.Millisecond, func() {
		conn, err := s.Client.Dial(s.ctx, "udp", target.IP+":7946")
		if err == nil {
			_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n\x00\xff\xfe garbage"))
			_ = conn.Close()
		}
		if conn, err = s.Client.Dial(s.ctx, "tcp", target.IP+":7946"); err == nil {
			_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
			_ = conn.Close()
		}
	})
	grows("garbage", "garbage", "wrong_label", "wrong_key")
	stop()

	for i, stranger := range []struct {
		name   string
		args   []string
		reason string
	}{
		{"wrong key", []string{"--gossip-key-file", theirs}, "wrong_key"},
		{"wrong label", []string{"--gossip-key-file", ours, "--gossip-label", "elsewhere"}, "wrong_label"},
		{"no key", []string{"--gossip-insecure"}, "wrong_key"},
	} {
		name := fmt.Sprintf("stranger%d", i)
		proc, err := s.Client.Start(lab.Spec{Name: name, Args: append([]string{
			filepath.Join(binaries, "haproxyd"), "--witness", "--haproxy-cfg", s.PX[0].ConfigFile, "--name", name, "--data-dir", filepath.Join(dir, name),
			"--admin-socket", filepath.Join(dir, name+".sock"), "--gossip-bind", s.Client.IP + ":7946", "--http-bind", "127.0.0.1:9102",
		}, stranger.args...)})
		s.must(err)
		grows(stranger.name, stranger.reason)
		proc.Kill9()
		for _, m := range s.status(target).Members {
			if m.Name == name {
				t.Errorf("%s: it became a member: %+v", stranger.name, m)
			}
		}
	}
	s.must(s.WaitSteering(s.within(5*time.Second), len(s.PX)))
	s.unchanged(before)
	log := s.finish(expect{path: []string{"db1"}, after: "", outage: time.Second})
	s.allRight(log.Wrong(0, "db1"), "foreign gossip")
}

// every calls f at an interval until the returned function is called.
func (s *scenario) every(d time.Duration, f func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-s.ctx.Done():
				return
			case <-time.After(d):
				f()
			}
		}
	}()
	return func() { close(done); <-ended }
}
