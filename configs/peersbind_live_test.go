package configs

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Two HAProxies whose local lines say "every address" replicate an entry both ways, over IPv4 and IPv6: what stands on
// the local peer's line is only where it listens.
func TestPeersBindReplicates(t *testing.T) {
	for version, binary := range haproxies(t) {
		for _, family := range []struct{ any, a, b string }{{"0.0.0.0", "127.0.0.31", "127.0.0.32"}, {"::", "::1", "::1"}} {
			t.Run(version+" "+family.any, func(t *testing.T) {
				t.Parallel()
				if ln, err := net.Listen("tcp", net.JoinHostPort(family.a, "0")); err != nil {
					t.Skipf("this machine has no %s: %v", family.a, err)
				} else {
					_ = ln.Close()
				}
				proxies := []RenderProxy{{Name: "a", Host: family.a, Port: freePort(t)}, {Name: "b", Host: family.b, Port: freePort(t)}}
				pair := func(local string) *live {
					return startLive(t, binary, func(in *RenderInput) {
						in.Proxies, in.LocalProxy, in.PeersBind = proxies, local, family.any
					})
				}
				a, b := pair("a"), pair("b")
				for id, from := range map[int]*live{2: a, 3: b} {
					to := b
					if from == b {
						to = a
					}
					took := from.until("the entry arrives", 20*time.Second, func() bool {
						// Announced again at each write: the first may come before the session stands.
						from.do(fmt.Sprintf("set table galera-nodes key 1 data.server_id %d", id))
						return strings.Contains(to.try("show table galera-nodes"), "server_id="+strconv.Itoa(id)+" ")
					})
					t.Logf("id %d arrived after %s", id, took)
				}
			})
		}
	}
}
