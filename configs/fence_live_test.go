package configs

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// A fence is seen by a readiness probe and by clients at once, and not longer than a daemon that is alive wants it.
func TestRenderedFenceIsFast(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			l := startLive(t, binary)
			l.until("the daemon is up", 5*time.Second, func() bool {
				return l.up("galera-nodes", "pxc-0") && l.up("haproxyd", "local") && l.up("haproxyd-alive", "local")
			})
			const limit = 300 * time.Millisecond
			for range 5 {
				l.do("set table haproxyd-steer key 2 data.server_id 1")
				down := l.until("the fence shows", limit, func() bool { return l.ready() == http.StatusServiceUnavailable })
				var slowest time.Duration
				for range 20 {
					slowest = max(slowest, l.refused())
				}
				l.do("clear table haproxyd-steer key 2")
				up := l.until("the fence is gone", limit, func() bool { return l.ready() == http.StatusOK })
				l.t.Logf("503 after %s, connections refused within %s, 200 after %s", down, slowest, up)
				if slowest > limit {
					t.Errorf("a client waited %s to be refused", slowest)
				}
			}
			l.do("set table haproxyd-steer key 2 data.server_id 1")
			l.until("the fence shows", limit, func() bool { return l.ready() == http.StatusServiceUnavailable })
			l.daemon.kill()
			t.Logf("200 again %s after the daemon's death", l.until("the fence has lifted", time.Second, func() bool { return l.ready() == http.StatusOK }))
		})
	}
}

// refused gives the time from the connection to its end.
func (l *live) refused() time.Duration {
	l.t.Helper()
	start := time.Now()
	c, err := net.DialTimeout("tcp", l.services["galera-nodes"], 2*time.Second)
	if err != nil {
		return time.Since(start)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(start.Add(2 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		l.t.Fatal("a fenced proxy served a client")
	}
	return time.Since(start)
}
