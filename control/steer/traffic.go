package steer

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// usedWithin is how long after its last connection a node counts as used.
const usedWithin = 2 * time.Second

// traffic knows which nodes this HAProxy has given connections lately. Clients
// that connect anew for each transaction have no session at most moments: by open
// sessions alone three busy HAProxies looked idle at once in one of ten runs, and
// what they had done by themselves was undone.
type traffic struct {
	of    process
	at    time.Time
	nodes map[string]served
}

// served is what one node was given.
type served struct {
	total int64     // stot of `show stat`
	last  time.Time // when the total was last seen to have grown
}

// note compares the totals with those of the look before, and marks the nodes
// that are used.
func (t *traffic) note(now time.Time, proc process, nodes map[string]published.Node) {
	// What came while nobody looked, or to another process, may be long ago.
	if t.of != proc || now.Sub(t.at) > usedWithin {
		t.nodes = map[string]served{}
	}
	t.of, t.at = proc, now
	for name, n := range nodes {
		was, known := t.nodes[name]
		if known && n.Total > was.total {
			was.last = now
		}
		was.total = n.Total
		t.nodes[name] = was
		n.Used = n.Sessions > 0 || now.Sub(was.last) <= usedWithin
		nodes[name] = n
	}
}
