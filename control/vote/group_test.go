package vote

import (
	"net/netip"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// A process whose end shows itself is said to have ended, unless reads on other nodes have shown that it lives.
func TestAcquittedHasNotEnded(t *testing.T) {
	sql, port := netip.MustParseAddrPort("10.0.0.1:3306"), netip.MustParseAddrPort("10.0.0.1:4567")
	gone := group.Sight{}.Read("a", sql).Listens(port).Knocked(port, group.Spoke, "a").Lost().
		Tried(sql, group.Refused).Knocked(port, group.Refused, "")
	for acquitted, want := range map[string]string{"": model.EndGone, "b": model.EndGone, "a": ""} {
		if g := groupOf(&galera.NodeStatus{Sight: gone, Acquitted: acquitted}); g.End != want {
			t.Errorf("acquitted %q: %q", acquitted, g.End)
		}
	}
}
