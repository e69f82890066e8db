package control

import (
	"fmt"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
)

// localBit makes the version of a local order differ from every agreed one.
const localBit = 1 << 63

// local is the break-glass: an operator's order for this proxy alone, given
// while there is no majority. It is in memory only, and gone when a majority
// returns: then the agreement rules, and adopts or undoes what was done.
type local struct {
	mu      sync.Mutex
	node    string
	orders  uint64
	dropped func(node string)
}

// set gives the order.
func (l *local) set(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.node = node
	l.orders++
}

// now is the node of the order that is in force, "" for none.
func (l *local) now() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.node
}

// want is what the order wants of the proxy. A majority ends it.
func (l *local) want(ag *cluster.Agreement) (desired, bool) {
	l.mu.Lock()
	node := l.node
	if node == "" {
		l.mu.Unlock()
		return desired{}, false
	}
	if ag.Fresh {
		l.node = ""
		dropped := l.dropped
		l.mu.Unlock()
		dropped(node)
		return desired{}, false
	}
	version := ag.Record.Version
	version.Revision = localBit + l.orders
	l.mu.Unlock()
	return desired{
		known: true, active: node, version: version, mayWrite: true, fresh: time.Now(), local: node,
		why: fmt.Sprintf("an operator forced %s on this proxy alone", node),
	}, true
}
