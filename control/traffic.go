package control

import "time"

// usedWithin is how long after its last connection a node counts as used.
const usedWithin = 2 * time.Second

// traffic knows which nodes this HAProxy has given connections lately. Clients
// that connect anew for each transaction have no session at most moments: by open
// sessions alone three busy HAProxies looked idle at once in one of ten runs, and
// what they had done by themselves was undone.
type traffic struct {
	of     process
	at     time.Time
	totals map[string]int64
	last   map[string]time.Time // when a node's total was last seen to have grown
}

// look compares the totals (stot of `show stat`) with those of the look before,
// and marks the nodes that are used.
func (t *traffic) look(now time.Time, proc process, nodes map[string]nodeNow) {
	// What came while nobody looked, or to another process, may be long ago.
	continuous := t.of.same(proc) && now.Sub(t.at) <= usedWithin
	if !continuous {
		t.last = map[string]time.Time{}
	}
	totals := make(map[string]int64, len(nodes))
	for name, n := range nodes {
		totals[name] = n.total
		if before, known := t.totals[name]; continuous && known && n.total > before {
			t.last[name] = now
		}
		last, served := t.last[name]
		n.used = n.sessions > 0 || served && now.Sub(last) <= usedWithin
		nodes[name] = n
	}
	t.of, t.at, t.totals = proc, now, totals
}
