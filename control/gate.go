package control

import (
	"sync"
	"time"
)

// gate is closed while this member must not enforce the record although it
// knows it: after a start, after losing the majority, after a pause of the
// process. It opens when the leader has looked, in its term, at what the
// HAProxies did meanwhile.
type gate struct {
	mu     sync.Mutex
	clock  clock
	open   bool
	since  time.Time // when it was closed last
	closed func()    // called when it closes; may be nil
}

func (g *gate) close() {
	g.mu.Lock()
	was := g.open
	g.open, g.since = false, g.clock.now()
	g.mu.Unlock()
	if was && g.closed != nil {
		g.closed()
	}
}

// pass opens the gate if ok, and tells whether it is open. fresh is when the
// majority stood behind the record: what was true before the gate was closed
// does not open it.
func (g *gate) pass(ok bool, fresh time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ok && fresh.After(g.since) {
		g.open = true
	}
	return g.open
}
