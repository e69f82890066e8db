package galera

import (
	"net/netip"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

// A causal read that began long after a process's end showed itself, and comes back, says that the process lives, until it
// answers again; one that began within the second after says nothing.
func TestAcquit(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:3306")
	seen := group.Sight{}.Read("a", at)
	dead, well := &record{NodeStatus: NodeStatus{Node: "pxc-0"}}, &record{NodeStatus: NodeStatus{Node: "pxc-1"}}
	p := &Prober{records: []*record{dead, well}, changed: make(chan struct{}, 1)}
	began := time.Now()
	dead.Sight = seen.Lost()
	p.suspect(dead, seen, began)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {acquitAfter, ""}, {acquitAfter + time.Millisecond, "a"}} {
		p.acquit(well, began.Add(c.after))
		if dead.Acquitted != c.want {
			t.Errorf("a read that began %v after: %q", c.after, dead.Acquitted)
		}
	}
	if well.Acquitted != "" || len(p.changed) != 1 {
		t.Errorf("%+v", well)
	}
	dead.Sight = dead.Sight.Read("a", at)
	p.suspect(dead, seen, began)
	if dead.Acquitted != "" {
		t.Error("it answers, and is still only acquitted")
	}
	p.acquit(dead, began.Add(time.Hour)) // its own reads say nothing of it
	dead.Sight = seen.Lost()
	p.suspect(dead, seen, began)
	p.acquit(dead, began.Add(time.Hour))
	if dead.Acquitted != "" {
		t.Error("acquitted by itself")
	}
}
