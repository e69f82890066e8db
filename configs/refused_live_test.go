package configs

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// Between the first failed check and the last one a server is up and refused, as the daemon reads it; a server that has
// not been checked yet, or comes back from maintenance, is not.
func TestRenderedRefused(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := startLive(t, binary, func(in *RenderInput) {
				in.HAProxyVersion, in.Check.Inter, in.Check.Fall, in.Check.Rise = version, 300*time.Millisecond, 3, 2
			})
			client, err := runtimeapi.New(runtimeapi.Config{Socket: l.input.StatsSocket})
			if err != nil {
				t.Fatal(err)
			}
			look := func() (s runtimeapi.ServerStat, up bool) {
				snap, err := client.Snapshot(t.Context(), runtimeapi.SnapshotQuery{Servers: true, Stats: true})
				if err != nil {
					t.Fatal(err)
				}
				for i, s := range snap.Stats {
					if s.Backend == heldBackend && s.Server == "pxc-1" {
						return s, snap.Servers[i].Sticks()
					}
				}
				t.Fatal("no such server")
				return s, false
			}
			// watch looks until ok says so, and counts the looks at which it was refused and up, and refused and down.
			watch := func(what string, ok func(s *runtimeapi.ServerStat) bool) (up, down int) {
				t.Helper()
				l.until(what, 5*time.Second, func() bool {
					s, isUp := look()
					switch {
					case s.Refused() && isUp:
						up++
					case s.Refused():
						down++
					}
					return ok(&s)
				})
				return up, down
			}
			passed := func(s *runtimeapi.ServerStat) bool { return s.CheckHealth == s.CheckRise+s.CheckFall-1 }
			if up, down := watch("the first check", passed); up+down > 0 {
				t.Errorf("refused before it was checked: %d looks", up+down)
			}
			l.do("set server " + heldBackend + "/pxc-1 state maint")
			l.do("set server " + heldBackend + "/pxc-1 state ready")
			if up, down := watch("a check after maint", passed); up+down > 0 {
				t.Errorf("refused when it came out of maint: %d looks", up+down)
			}
			l.nodes["pxc-1"].stop()
			up, down := watch("it is down", func(*runtimeapi.ServerStat) bool { return !l.up(heldBackend, "pxc-1") })
			if up == 0 || down > 0 {
				t.Errorf("%d looks found it refused while it was up, %d when it was down", up, down)
			}
		})
	}
}
