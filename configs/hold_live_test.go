package configs

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// New connections are held in the queue of the node that they will go to, are released together, or are brought back
// to the old node, on every HAProxy at hand.
func TestRenderedHold(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := startLive(t, binary, func(in *RenderInput) { in.HAProxyVersion = version })
			if reverts := load(t, l.cfg).Sticky[0].HoldReverts(version); !reverts {
				t.Errorf("the file that was rendered for %s is said not to bring held connections back", version)
			}
			l.until("the nodes and the daemon are up", 5*time.Second, func() bool {
				return l.up("galera-nodes", "pxc-0") && l.up("galera-nodes", "pxc-1") && l.up("galera-nodes", "pxc-2") && l.up("haproxyd", "local")
			})
			l.clientsIgnoreKey3()
			// Both a first and a backup server must work as the old and as the new node.
			for _, move := range [][2]int{{1, 3}, {3, 2}, {2, 1}} {
				l.holdAndRelease(move[0], move[1])
				l.holdAndRollBack(move[1], move[0])
			}
			l.noHoldWithoutBeacon()
			l.newNodeDies()
			l.reloadWhileHeld()
		})
	}
}

const heldBackend = "galera-nodes"

// nameOf gives the node of an id.
func nameOf(id int) string { return "pxc-" + strconv.Itoa(id-1) }

func (l *live) steer(id int) {
	l.t.Helper()
	l.do(fmt.Sprintf("set table haproxyd-steer key 1 data.server_id %d", id))
}

// stat reads a number of `show stat` by its column.
func (l *live) stat(server string, column int) int {
	for line := range strings.SplitSeq(l.try("show stat"), "\n") {
		f := strings.Split(line, ",")
		if len(f) > column && f[0] == heldBackend && f[1] == server {
			n, _ := strconv.Atoi(f[column])
			return n
		}
	}
	return -1
}

const (
	queueColumn = 2
	limitColumn = 6
)

// placeholder connects through the hold frontend and gives the node that it got, "" if it was refused.
func (l *live) placeholder() (string, net.Conn) {
	l.t.Helper()
	c, err := net.DialTimeout("unix", filepath.Join(filepath.Dir(l.input.StatsSocket), "haproxyd-hold-"+heldBackend+".sock"), time.Second)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return greeting(c, 3*time.Second), c
}

// greeting is what the node says first, "" if it says nothing in time or the connection is closed.
func greeting(c net.Conn, limit time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 20)
	n, _ := c.Read(buf)
	return strings.TrimSpace(string(buf[:n]))
}

// third is the node that is neither the old nor the new one.
func third(from, to int) string { return nameOf(6 - from - to) }

func (l *live) weight(server string, weight int) {
	l.t.Helper()
	l.do(fmt.Sprintf("set server %s/%s weight %d", heldBackend, server, weight))
}

// handOver gives the queue of a server to the others, as the daemon does.
func (l *live) handOver(server string) {
	l.t.Helper()
	client, err := runtimeapi.New(runtimeapi.Config{Socket: l.input.StatsSocket})
	if err == nil {
		err = client.HandOverQueue(l.t.Context(), heldBackend, server)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// drainMoved counts the connections that HAProxy says it has moved when the server went to drain.
func (l *live) drainMoved(server string) (moved int) {
	l.t.Helper()
	data, err := os.ReadFile(l.log.Name())
	if err != nil {
		l.t.Fatal(err)
	}
	// Each is said twice, the second time without a level.
	for _, m := range regexp.MustCompile(`(?m)^\[.*erver `+heldBackend+"/"+server+` enters drain state\b.* (\d+) sessions requeued`).FindAllSubmatch(data, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		moved += n
	}
	return moved
}

// hold lets new connections wait for a node and opens n of them.
func (l *live) hold(from, id, n int) (placeholder net.Conn, clients []net.Conn) {
	l.t.Helper()
	// Whatever happens to the new node, a third one gets nothing.
	l.weight(third(from, id), 0)
	l.do(fmt.Sprintf("set table haproxyd-steer key 3 data.server_id %d", id))
	name, placeholder := l.placeholder()
	if name != nameOf(id) {
		l.t.Fatalf("the placeholder got %q, want %s", name, nameOf(id))
	}
	l.do(fmt.Sprintf("set maxconn server %s/%s 1", heldBackend, name))
	l.steer(id)
	for range n {
		c, err := net.Dial("tcp", l.services[heldBackend])
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { _ = c.Close() })
		clients = append(clients, c)
	}
	l.until("all clients are in the queue", 3*time.Second, func() bool { return l.stat(name, queueColumn) == n })
	for _, c := range clients {
		if got := greeting(c, 10*time.Millisecond); got != "" {
			l.t.Fatalf("a client is not held but on %q", got)
		}
	}
	return placeholder, clients
}

// wantAll says where all held clients must be, and gives the time until the last one was.
func (l *live) wantAll(clients []net.Conn, want string) time.Duration {
	l.t.Helper()
	start := time.Now()
	for _, c := range clients {
		if got := greeting(c, 3*time.Second); got != want {
			l.t.Fatalf("a client that was held got %q, want %q", got, want)
		}
	}
	return time.Since(start)
}

// clientsIgnoreKey3: key 3 moves no connection of a client, whether the daemon steers or not.
func (l *live) clientsIgnoreKey3() {
	l.steer(1)
	l.do("set table haproxyd-steer key 3 data.server_id 3")
	l.expect(5, "pxc-0", stickyBackends...)
	l.daemon.beacon.Store(false)
	l.until("the beacon is down", 3*time.Second, func() bool { return !l.up("haproxyd", "local") })
	l.expect(5, "pxc-0", stickyBackends...)
	l.daemon.beacon.Store(true)
	l.until("the beacon is up", 3*time.Second, func() bool { return l.up("haproxyd", "local") })
	l.do("clear table " + heldBackend)
}

// holdAndRelease moves from one node to another: no session of the old one is cut, no client fails.
func (l *live) holdAndRelease(from, to int) {
	l.t.Helper()
	l.steer(from)
	name, old := l.open(heldBackend)
	if name != nameOf(from) {
		l.t.Fatalf("the session before the move is on %q", name)
	}
	defer func() { _ = old.Close() }()
	placeholder, clients := l.hold(from, to, 20)
	// The other services go on meanwhile.
	l.expect(2, nameOf(to), "galera-admin-nodes")
	start := time.Now()
	// 0 would lift the limit without waking the queue.
	l.do(fmt.Sprintf("set maxconn server %s/%s 65535", heldBackend, nameOf(to)))
	l.wantAll(clients, nameOf(to))
	l.t.Logf("%d clients released in %s", len(clients), time.Since(start))
	l.do(fmt.Sprintf("set maxconn server %s/%s 0", heldBackend, nameOf(to)))
	l.weight(third(from, to), 1)
	_ = placeholder.Close()
	l.expect(5, nameOf(to), heldBackend)
	l.stillOpen(old)
	if out := l.try("show table " + heldBackend); strings.Contains(out, "key=") {
		l.t.Fatalf("the native table was written while the daemon steers:\n%s", out)
	}
}

// holdAndRollBack gives up a move: the clients go to the old node, whose sessions stay.
func (l *live) holdAndRollBack(old, to int) {
	l.t.Helper()
	l.steer(old)
	name, session := l.open(heldBackend)
	if name != nameOf(old) {
		l.t.Fatalf("the session before the move is on %q", name)
	}
	defer func() { _ = session.Close() }()
	_, clients := l.hold(old, to, 20)
	before, start := l.drainMoved(nameOf(to)), time.Now()
	l.steer(old)
	l.handOver(nameOf(to))
	l.wantAll(clients, nameOf(old))
	l.t.Logf("%d clients brought back in %s", len(clients), time.Since(start))
	if load(l.t, l.cfg).Sticky[0].Redispatch {
		// At the change to maint the first one could get the place of the placeholder, which is closed there.
		l.until("all were moved at the change to drain", time.Second, func() bool { return l.drainMoved(nameOf(to)) == before+len(clients) })
	}
	l.do(fmt.Sprintf("set maxconn server %s/%s 0", heldBackend, nameOf(to)))
	l.do(fmt.Sprintf("set server %s/%s state ready", heldBackend, nameOf(to)))
	l.weight(third(old, to), 1)
	l.expect(5, nameOf(old), heldBackend)
	l.stillOpen(session)
	l.until("the new node is up again", 3*time.Second, func() bool { return l.up(heldBackend, nameOf(to)) })
}

func (l *live) stillOpen(c net.Conn) {
	l.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !os.IsTimeout(err) {
		l.t.Fatalf("a session of the old node was cut: %v", err)
	}
}

// noHoldWithoutBeacon: while the native table rules, the placeholder is refused and so is not stored there.
func (l *live) noHoldWithoutBeacon() {
	l.t.Helper()
	l.do("set table haproxyd-steer key 3 data.server_id 3")
	l.daemon.beacon.Store(false)
	l.until("the beacon is down", 3*time.Second, func() bool { return !l.up("haproxyd", "local") })
	l.do("clear table " + heldBackend)
	if name, _ := l.placeholder(); name != "" {
		l.t.Fatalf("the placeholder got %q without the beacon", name)
	}
	if out := l.try("show table " + heldBackend); strings.Contains(out, "key=") {
		l.t.Fatalf("the placeholder was stored:\n%s", out)
	}
	l.daemon.beacon.Store(true)
	l.until("the beacon is up", 3*time.Second, func() bool { return l.up("haproxyd", "local") })
}

// newNodeDies: clients that wait for a node that goes down are brought back to the old one. No third node gets any;
// one at most may be lost, the one that takes the placeholder's slot when HAProxy closes it.
func (l *live) newNodeDies() {
	l.t.Helper()
	const n = 10
	l.steer(1)
	_, clients := l.hold(1, 3, n)
	l.nodes["pxc-2"].stop()
	l.until("the new node is down", 3*time.Second, func() bool { return !l.up(heldBackend, "pxc-2") })
	l.steer(1)
	l.handOver("pxc-2")
	got := map[string]int{}
	for _, c := range clients {
		got[greeting(c, 3*time.Second)]++
	}
	l.t.Logf("the new node died while %d clients were held: %v", n, got)
	if got["pxc-0"] < n-1 || got["pxc-1"]+got["pxc-2"] > 0 {
		l.t.Fatalf("held clients got %v, want pxc-0", got)
	}
	l.do("set maxconn server " + heldBackend + "/pxc-2 0")
	l.do("set server " + heldBackend + "/pxc-2 state ready")
	l.weight("pxc-1", 1)
	l.nodes["pxc-2"] = startNode(l.t, "pxc-2", l.nodes["pxc-2"].addr)
	l.until("the new node is up again", 5*time.Second, func() bool { return l.up(heldBackend, "pxc-2") })
}

// reloadWhileHeld: the new process knows of no hold, and its hold frontend works at once; the old process keeps its
// queue and its placeholder, and lets one client pass after the other once the placeholder is closed.
func (l *live) reloadWhileHeld() {
	l.t.Helper()
	placeholder, clients := l.hold(1, 2, 3)
	l.start()
	l.until("the new process has the nodes up", 5*time.Second, func() bool { return l.up(heldBackend, "pxc-1") && l.up("haproxyd", "local") })
	if limit := l.stat("pxc-1", limitColumn); limit != 0 {
		l.t.Fatalf("maxconn is %d after a reload", limit)
	}
	private := l.try("show table haproxyd-steer")
	l.t.Logf("after a reload while held, the private table says:\n%s", private)
	for _, c := range clients {
		l.stillOpen(c)
	}
	released, fresh := l.hold(1, 2, 3)
	l.do("set maxconn server " + heldBackend + "/pxc-1 65535")
	l.wantAll(fresh, "pxc-1")
	_ = released.Close()
	l.do("set maxconn server " + heldBackend + "/pxc-1 0")
	_ = placeholder.Close()
	passed := make(chan string)
	for _, c := range clients {
		go func() {
			got := greeting(c, 5*time.Second)
			_ = c.Close()
			passed <- got
		}()
	}
	for range clients {
		if got := <-passed; got != "pxc-1" {
			l.t.Errorf("a client of the old process got %q", got)
		}
	}
}
