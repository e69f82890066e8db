package control

import "sync"

// gate is closed while this member must not enforce the record although it
// knows it: after a start, after losing the majority, after a pause of the
// process. It opens when the leader has looked, in its term, at what the
// HAProxies did meanwhile.
type gate struct {
	mu     sync.Mutex
	open   bool
	closed func() // called when it closes; may be nil
}

func (g *gate) close() {
	g.mu.Lock()
	was := g.open
	g.open = false
	g.mu.Unlock()
	if was && g.closed != nil {
		g.closed()
	}
}

// pass opens the gate if ok, and tells whether it is open.
func (g *gate) pass(ok bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ok {
		g.open = true
	}
	return g.open
}
