package galera

import (
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

// proberOf is one that does not run.
func proberOf(t *testing.T, records ...*record) *Prober {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &Prober{records: records, metrics: m, changed: make(chan struct{}, 1)}
}

// The group has waited for a process until a read that had shown it comes back; once for each end.
func TestStall(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:3306")
	seen := group.Sight{}.Read("a", at)
	dead, well := &record{NodeStatus: NodeStatus{Node: "pxc-0"}}, &record{NodeStatus: NodeStatus{Node: "pxc-1"}}
	p := proberOf(t, dead, well)
	began := time.Now().Add(-time.Second)
	well.Wait = Wait{}.Began(began)
	p.came(well, began) // nobody is suspected
	dead.Sight = seen.Lost()
	p.suspect(dead, seen, began)
	p.came(well, began)
	if dead.Stall != 0 {
		t.Errorf("the read has shown nothing: %v", dead.Stall)
	}
	well.Wait = well.Wait.Looked(began.Add(20*time.Millisecond), "").Looked(began.Add(80*time.Millisecond), "")
	p.came(well, began)
	if dead.Stall < time.Second || dead.Stall > 2*time.Second || well.Stall != 0 {
		t.Errorf("%v, %v", dead.Stall, well.Stall)
	}
	was := dead.Stall
	p.came(well, began)
	if dead.Stall != was {
		t.Errorf("counted again: %v", dead.Stall)
	}
	p.suspect(dead, seen, began.Add(100*time.Millisecond)) // it goes on
	if n := testutil.CollectAndCount(p.metrics.stall); n != 1 || dead.Stall != was {
		t.Errorf("%d series, %v", n, dead.Stall)
	}
	dead.Sight = dead.Sight.Read("b", at)
	p.suspect(dead, seen, time.Now())
	dead.Sight = dead.Sight.Lost()
	p.suspect(dead, seen, time.Now())
	if dead.Stall != 0 {
		t.Error("the next end has the last one's")
	}
}

// A causal read that began long after a process's end showed itself, and comes back, says that the process lives, until it
// answers again; one that began within the second after says nothing.
func TestAcquit(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:3306")
	seen := group.Sight{}.Read("a", at)
	dead, well := &record{NodeStatus: NodeStatus{Node: "pxc-0"}}, &record{NodeStatus: NodeStatus{Node: "pxc-1"}}
	p := proberOf(t, dead, well)
	began := time.Now()
	dead.Sight = seen.Lost()
	p.suspect(dead, seen, began)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {acquitAfter, ""}, {acquitAfter + time.Millisecond, "a"}} {
		p.came(well, began.Add(c.after))
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
	p.came(dead, began.Add(time.Hour)) // its own reads say nothing of it
	dead.Sight = seen.Lost()
	p.suspect(dead, seen, began)
	p.came(dead, began.Add(time.Hour))
	if dead.Acquitted != "" {
		t.Error("acquitted by itself")
	}
}
