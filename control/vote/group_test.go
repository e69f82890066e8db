package vote

import (
	"net/netip"
	"strings"
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

// What a server calls its process goes into the record, so it has the shape of a UUID or is not known.
func TestProcessNames(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:3306")
	for uuid, want := range map[string]bool{"": false, "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db": true, strings.Repeat("f", 37): false, "<\x00>": false, "a\nb": false} {
		if g := groupOf(&galera.NodeStatus{Sight: group.Sight{}.Read(uuid, at)}); (g != nil) != want {
			t.Errorf("%q: %+v", uuid, g)
		}
	}
}

func TestListOfEvicted(t *testing.T) {
	p := galera.NodeStatus{Sight: group.Sight{}.Read("a", netip.MustParseAddrPort("10.0.0.1:3306")), Reading: galera.Reading{Evicted: "u1,u2"}}
	if g := groupOf(&p); !g.Evicted || len(g.List) != 2 || g.List[1] != "u2" {
		t.Errorf("%+v", g)
	}
}
