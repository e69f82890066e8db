package configs

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var stickyBackends = []string{"galera-nodes", "galera-admin-nodes", "galera-mysqlx-nodes"}

// What DESIGN section 3 claims of the rendered configuration, on every HAProxy at hand.
func TestRenderedRuns(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := startLive(t, binary)
			l.until("the nodes and the daemon are up", 5*time.Second, func() bool {
				return l.up("galera-nodes", "pxc-1") && l.up("haproxyd", "local") && l.up("haproxyd-alive", "local")
			})
			l.steered()
			l.fenced()
			l.notSteering()
			l.nodeDies()
			l.daemonDies()
		})
	}
}

// steered: one `set table` moves all sticky backends; nothing is stored; a poisoned native table changes nothing.
func (l *live) steered() {
	l.expect(3, "pxc-0", stickyBackends...)
	for id, want := range map[int]string{3: "pxc-2", 2: "pxc-1", 1: "pxc-0"} {
		l.do(fmt.Sprintf("set table haproxyd-steer key 1 data.server_id %d", id))
		l.expect(5, want, stickyBackends...)
	}
	if out := l.try("show table galera-nodes"); strings.Contains(out, "key=") {
		l.t.Fatalf("an entry was stored while the beacon is up:\n%s", out)
	}
	l.do("set table haproxyd-steer key 1 data.server_id 3")
	for _, b := range stickyBackends {
		l.do("set table " + b + " key 1 data.server_id 2")
	}
	l.expect(10, "pxc-2", stickyBackends...)
	// server_key was called server_name before 2.4.
	if out := l.try("show table haproxyd-steer"); !strings.Contains(out, "server_id=3 server_key=-") && !strings.Contains(out, "server_id=3 server_name=-") {
		l.t.Fatalf("traffic wrote the private table:\n%s", out)
	}
	seen := map[string]bool{}
	for range 12 {
		seen[l.node("galera-replica-nodes")] = true
	}
	if len(seen) != 3 {
		l.t.Fatalf("readers went to %v, want all three nodes", seen)
	}
}

// fenced: key 2 refuses writers at once and makes this HAProxy unready; readers go on; clearing it lifts it at once.
func (l *live) fenced() {
	if got := l.ready(); got != http.StatusOK {
		l.t.Fatalf("readiness is %d before the fence", got)
	}
	l.do("set table haproxyd-steer key 2 data.server_id 0")
	l.expect(3, "", stickyBackends...)
	if l.node("galera-replica-nodes") == "" {
		l.t.Fatal("readers are fenced")
	}
	if got := l.ready(); got != http.StatusServiceUnavailable {
		l.t.Fatalf("readiness is %d while fenced", got)
	}
	// The beacon may be off while fenced; the fence holds as long as the daemon is alive.
	l.daemon.beacon.Store(false)
	l.until("the beacon is down", 3*time.Second, func() bool { return !l.up("haproxyd", "local") })
	l.expect(3, "", stickyBackends...)
	l.daemon.beacon.Store(true)
	l.until("the beacon is up", 3*time.Second, func() bool { return l.up("haproxyd", "local") })
	l.do("clear table haproxyd-steer key 2")
	l.expect(3, "pxc-2", stickyBackends...)
	if got := l.ready(); got != http.StatusOK {
		l.t.Fatalf("readiness is %d after the fence", got)
	}
}

// notSteering: with the beacon off the native table rules, and stores what connections do.
func (l *live) notSteering() {
	l.daemon.beacon.Store(false)
	took := l.until("the beacon is down", 3*time.Second, func() bool { return !l.up("haproxyd", "local") })
	l.t.Logf("the beacon's 503 was seen after %s", took)
	// The native tables say pxc-1 (poisoned above), the private one still pxc-2.
	l.expect(5, "pxc-1", stickyBackends...)
	if out := l.try("show table galera-nodes"); !strings.Contains(out, "server_id=2") {
		l.t.Fatalf("the native table:\n%s", out)
	}
	l.do("clear table galera-admin-nodes")
	l.expect(2, "pxc-0", "galera-admin-nodes")
	if out := l.try("show table galera-admin-nodes"); !strings.Contains(out, "key=1") || !strings.Contains(out, "server_id=1") {
		l.t.Fatalf("nothing was stored without the beacon:\n%s", out)
	}
	l.daemon.beacon.Store(true)
	took = l.until("the beacon is up", 3*time.Second, func() bool { return l.up("haproxyd", "local") })
	l.t.Logf("the beacon's 200 was seen after %s", took)
	l.expect(5, "pxc-2", stickyBackends...)
}

// nodeDies: sessions are closed once the check has noticed, and connections fall through to the native table.
func (l *live) nodeDies() {
	name, c := l.open("galera-nodes")
	if name != "pxc-2" {
		l.t.Fatalf("the session is on %q", name)
	}
	defer func() { _ = c.Close() }()
	l.nodes["pxc-2"].stop()
	l.until("the node is down", 5*time.Second, func() bool { return !l.up("galera-nodes", "pxc-2") })
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		l.t.Fatalf("the session to the dead node was not closed: %v", err)
	}
	l.expect(5, "pxc-1", "galera-nodes")
	// It comes back: the daemon's word is still in the private table, nothing fails back by itself to the first server.
	l.nodes["pxc-2"] = startNode(l.t, "pxc-2", l.nodes["pxc-2"].addr)
	l.until("the node is up", 5*time.Second, func() bool { return l.up("galera-nodes", "pxc-2") })
	l.expect(5, "pxc-2", "galera-nodes")
}

// daemonDies: a fence lifts by itself, and the native tables rule.
func (l *live) daemonDies() {
	l.do("set table haproxyd-steer key 2 data.server_id 0")
	l.expect(1, "", stickyBackends...)
	l.daemon.kill()
	took := l.until("the fence lifts", 3*time.Second, func() bool { return l.node("galera-nodes") != "" })
	l.t.Logf("the fence lifted %s after the daemon's death", took)
	l.until("the beacon is down", 3*time.Second, func() bool { return !l.up("haproxyd", "local") })
	l.expect(5, "pxc-1", "galera-nodes")
	if got := l.ready(); got != http.StatusOK {
		l.t.Fatalf("readiness is %d with a dead daemon", got)
	}
}

// Over a reload no connection leaves the active node if the file on disk already lists it first: the new process shows
// empty tables for some milliseconds, and from 3.0 on a reload may lose one of the two tables for good (the old process
// teaches only one of its peers sections before it ends; the daemon writes what is missing).
func TestRenderedReload(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 12 s")
	}
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := startLive(t, binary)
			l.do("set table haproxyd-steer key 1 data.server_id 3")
			for _, b := range stickyBackends {
				l.do("set table " + b + " key 1 data.server_id 3")
			}
			data, err := ReorderActive(l.cfg, "pxc-2")
			if err != nil {
				t.Fatal(err)
			}
			check := func(tmp string) error { return CheckWithHAProxy(t.Context(), binary, tmp) }
			if err := Install(t.Context(), l.cfg, data, check, false); err != nil {
				t.Fatal(err)
			}
			// A process that is younger than some 9 s does not teach its successor (HAPROXY.md 12).
			l.until("the process has settled", 20*time.Second, func() bool {
				return strings.Contains(l.try("show info"), "Uptime_sec: 10\n")
			})
			stop, wrong, count := make(chan struct{}), map[string]int{}, 0
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					count++
					if got := l.node("galera-nodes"); got != "pxc-2" {
						wrong[got]++
					}
				}
			})
			l.start()
			l.until("the new process has run a second", 5*time.Second, func() bool {
				return strings.Contains(l.try("show info"), "Uptime_sec: 1\n")
			})
			close(stop)
			wg.Wait()
			t.Logf("%d connections over a reload, not to the active node: %v", count, wrong)
			if wrong["pxc-0"]+wrong["pxc-1"] > 0 {
				t.Errorf("%v of %d connections left the active node over a reload", wrong, count)
			}
			kept := strings.Contains(l.try("show table haproxyd-steer"), "server_id=3")
			t.Logf("the private table was kept: %t", kept)
			if strings.HasPrefix(version, "2.") && !kept {
				t.Error("the private table was lost")
			}
			l.do("set table haproxyd-steer key 1 data.server_id 2")
			l.expect(5, "pxc-1", stickyBackends...)
		})
	}
}

func TestCheckWithHAProxy(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) string {
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return file
			}
			global := write("a.cfg", "global\n  maxconn 10\ndefaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n")
			bad := write("b.cfg", "backend b\n  server s 127.0.0.1:1 nonsense\n")
			good := write("c.cfg", "listen b\n  bind 127.0.0.1:18\n  server s 127.0.0.1:1\n")
			ctx := context.Background()
			if err := CheckWithHAProxy(ctx, binary, global, good); err != nil {
				t.Error(err)
			}
			err := CheckWithHAProxy(ctx, binary, global, bad)
			if err == nil || !strings.Contains(err.Error(), "b.cfg:2") || !strings.Contains(err.Error(), "nonsense") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with b.cfg:2 and the word", err)
			}
			if err := CheckWithHAProxy(ctx, filepath.Join(dir, "none"), global); err == nil || !strings.Contains(err.Error(), "cannot be run") {
				t.Errorf("error %v for a binary that is not there", err)
			}
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			if err := CheckWithHAProxy(cancelled, binary, global); err == nil {
				t.Error("no error for a context that is done")
			}
		})
	}
}
