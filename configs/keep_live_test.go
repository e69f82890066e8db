package configs

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The key that keeps connections, on every HAProxy at hand: it closes the gap between a check's verdict and the daemon's
// look, and does nothing where it is not there or the beacon is down. What it does in a hold, to a dead node and to an
// operator's maint is why the daemon takes it away before anything else.
func TestRenderedKeep(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			k := startKept(t, version, binary)
			k.checkRefuses()
			k.operatorsMaint()
			k.nodeRefuses(version)
			k.neverInAQueue()
		})
	}
}

// A file as 7535bfe rendered it has no such line: the key changes nothing there.
func TestRenderedWithoutKeep(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			k := startKept(t, version, binary, func(text string) string { return strings.ReplaceAll(text, keepRule, "") })
			k.steer(3)
			k.keep(true)
			k.expect(3, "pxc-2", stickyBackends...)
			k.down("pxc-2")
			k.expect(5, "pxc-0", stickyBackends...)
		})
	}
}

// keepLive is a HAProxy whose checks are answered at another port than the nodes'.
type keepLive struct {
	*live
	checks map[string]*fakeNode
}

func startKept(t *testing.T, version, binary string, rewrite ...func(string) string) *keepLive {
	t.Helper()
	k := &keepLive{checks: map[string]*fakeNode{}}
	k.live = startLive(t, binary, func(in *RenderInput) {
		in.HAProxyVersion = version
		in.Check.Port = freePort(t)
		for _, n := range in.Nodes {
			k.checks[n.Name] = startNode(t, n.Name, net.JoinHostPort(n.Host, strconv.Itoa(in.Check.Port)))
		}
	})
	for _, f := range rewrite {
		text, err := os.ReadFile(k.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(k.cfg, []byte(f(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		k.start()
	}
	k.until("the nodes and the daemon are up", 5*time.Second, func() bool {
		return k.up(heldBackend, "pxc-0") && k.up(heldBackend, "pxc-1") && k.up(heldBackend, "pxc-2") && k.up("haproxyd", "local")
	})
	return k
}

func (k *keepLive) keep(on bool) {
	k.t.Helper()
	if on {
		k.do("set table haproxyd-steer key 4 data.server_id 1")
		return
	}
	k.do("clear table haproxyd-steer key 4")
}

// down lets a node's check fail, in all backends, while the node goes on.
func (k *keepLive) down(name string) {
	k.t.Helper()
	k.checks[name].stop()
	k.until(name+" is down", 3*time.Second, func() bool {
		return !k.up(stickyBackends[0], name) && !k.up(stickyBackends[1], name) && !k.up(stickyBackends[2], name)
	})
}

func (k *keepLive) back(name string) {
	k.t.Helper()
	k.checks[name] = startNode(k.t, name, k.checks[name].addr)
	k.until(name+" is up", 5*time.Second, func() bool {
		return k.up(stickyBackends[0], name) && k.up(stickyBackends[1], name) && k.up(stickyBackends[2], name)
	})
}

// wantCut says that a session ends now.
func (k *keepLive) wantCut(what string, c net.Conn) {
	k.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		k.t.Fatalf("%s: the session was not closed: %v", what, err)
	}
}

// checkRefuses: the check calls the active down, and it serves.
func (k *keepLive) checkRefuses() {
	k.t.Helper()
	k.steer(3)
	_, before := k.open(heldBackend)
	k.down("pxc-2")
	k.wantCut("at the check's verdict, by on-marked-down", before)
	k.expect(5, "pxc-0", stickyBackends...) // the gap
	k.keep(true)
	k.expect(20, "pxc-2", stickyBackends...)
	k.do("clear table haproxyd-steer key 1")
	k.do("set table " + heldBackend + " key 1 data.server_id 3")
	k.expect(5, "pxc-2", heldBackend) // the native table's word is kept as well
	k.do("clear table " + heldBackend)
	k.steer(3)
	_, session := k.open(heldBackend)
	// Without the beacon the daemon may be dead or alone: HAProxy's checks rule, and at once again when it is back.
	k.daemon.beacon.Store(false)
	k.until("the beacon is down", 3*time.Second, func() bool { return !k.up("haproxyd", "local") })
	k.expect(5, "pxc-0", stickyBackends...)
	k.daemon.beacon.Store(true)
	k.until("the beacon is up", 3*time.Second, func() bool { return k.up("haproxyd", "local") })
	for _, b := range stickyBackends {
		k.do("clear table " + b)
	}
	k.expect(5, "pxc-2", stickyBackends...)
	// With all of them down the same.
	k.down("pxc-0")
	k.down("pxc-1")
	k.expect(5, "pxc-2", stickyBackends...)
	k.back("pxc-0")
	k.back("pxc-1")
	k.stillOpen(session)
	k.keep(false)
	k.expect(5, "pxc-0", stickyBackends...)
	k.back("pxc-2")
	k.expect(5, "pxc-2", stickyBackends...)
	k.stillOpen(session)
	_ = session.Close()
}

// operatorsMaint: the key leads to a node in maintenance as well, and one that is down already closes nothing when it
// is put there. `shutdown sessions` does.
func (k *keepLive) operatorsMaint() {
	k.t.Helper()
	k.steer(3)
	k.keep(true)
	_, session := k.open(heldBackend)
	k.do("set server " + heldBackend + "/pxc-2 state maint")
	k.wantCut("at maint", session)
	k.expect(3, "pxc-2", heldBackend)
	k.keep(false)
	k.expect(3, "pxc-0", heldBackend)
	k.do("set server " + heldBackend + "/pxc-2 state ready")
	k.until("pxc-2 is up", 5*time.Second, func() bool { return k.up(heldBackend, "pxc-2") })
	k.down("pxc-2")
	k.keep(true)
	_, session = k.open(heldBackend)
	k.do("set server " + heldBackend + "/pxc-2 state maint")
	k.stillOpen(session)
	k.do("shutdown sessions server " + heldBackend + "/pxc-2")
	k.wantCut("by shutdown sessions", session)
	k.keep(false)
	k.expect(3, "pxc-0", heldBackend)
	k.do("set server " + heldBackend + "/pxc-2 state ready")
	k.back("pxc-2")
}

// nodeRefuses: a crash. Who comes while the key is there waits a second for HAProxy's next try, down or not; what the
// daemon does at once, clear, move and close, ends that, and the next ones go to the new node.
func (k *keepLive) nodeRefuses(version string) {
	k.t.Helper()
	k.steer(3)
	k.keep(true)
	k.nodes["pxc-2"].stop()
	k.down("pxc-2")
	ended := make(chan string, 1)
	c, err := net.Dial("tcp", k.services[heldBackend])
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = c.Close() })
	k.until("HAProxy has tried once", time.Second, func() bool { return k.stat("pxc-2", retriesColumn) > 0 })
	go func() { ended <- greeting(c, 2*time.Second) }()
	k.keep(false)
	k.steer(2)
	k.do("shutdown sessions server " + heldBackend + "/pxc-2")
	k.expect(5, "pxc-1", heldBackend)
	start := time.Now()
	if got := <-ended; got != "" {
		k.t.Fatalf("the client that waited got %q", got)
	}
	// 3.0.11 closes its own side and never tells the client, with and without the key (see the package's text).
	if took := time.Since(start); took > time.Second && !strings.HasPrefix(version, "3.0.") {
		k.t.Errorf("a client that waited was closed after %s", took)
	}
	_ = c.Close()
	k.nodes["pxc-2"] = startNode(k.t, "pxc-2", k.nodes["pxc-2"].addr)
	k.back("pxc-2")
}

const retriesColumn = 15

// neverInAQueue: who comes into a queue while the key is there is never handed over, also when it is cleared then. So it
// is cleared first: then a hold is as without it (TestRenderedHold runs it with this very file).
func (k *keepLive) neverInAQueue() {
	k.t.Helper()
	const n = 5
	k.steer(1)
	k.keep(true)
	placeholder, clients := k.hold(1, 3, n)
	k.keep(false)
	k.steer(1)
	k.handOver("pxc-2")
	if got := greeting(clients[n-1], 300*time.Millisecond); got != "" {
		k.t.Errorf("a kept client was handed over to %q: the daemon need not be so careful", got)
	}
	k.do("set maxconn server " + heldBackend + "/pxc-2 0")
	k.do("set server " + heldBackend + "/pxc-2 state ready")
	for _, c := range append(clients, placeholder) {
		_ = c.Close()
	}
	k.until("the queue is empty", 5*time.Second, func() bool { return k.stat("pxc-2", queueColumn) == 0 && k.up(heldBackend, "pxc-2") })
	k.weight("pxc-1", 1)

	k.keep(true)
	k.keep(false)
	_, clients = k.hold(1, 3, n)
	k.steer(1)
	k.handOver("pxc-2")
	k.wantAll(clients, "pxc-0")
}
