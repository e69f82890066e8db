package drain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/clock"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
)

const (
	// privilegesEvery is how often the privileges for drains are looked at, and
	// privilegesAgain how soon after a look that failed.
	privilegesEvery = 30 * time.Second
	privilegesAgain = 2 * time.Second
)

// NodeInspector looks at the sessions of one database node: *sessions.Inspector. It
// needs more privileges than the probe.
type NodeInspector interface {
	Inspector
	// Applied is the node's wsrep_last_committed.
	Applied(ctx context.Context) (int64, error)
	// InTransaction counts the sessions of other accounts that must not be closed now.
	InTransaction(ctx context.Context) (int, error)
	// Lacks is the GRANT that the probe's user lacks, "" for none.
	Lacks(ctx context.Context) (string, error)
	Close()
}

// Inspectors keeps an inspector for every node, and what its user lacks.
type Inspectors struct {
	// Dial makes one; nil where no probe user is configured.
	Dial func(galera.Target) (NodeInspector, error)
	// Nodes are those of haproxy.cfg, none before it could be read.
	Nodes func() []galera.Target
	// Looked is called when the privileges were looked at.
	Looked func()

	mu    sync.Mutex // guards what follows
	nodes map[string]*inspected
}

type inspected struct {
	target    galera.Target
	inspector NodeInspector
	lacks     string
	known     bool // lacks was found out
}

// Of returns the look at one node's sessions.
func (l *Inspectors) Of(node string) (NodeInspector, error) {
	if l.Dial == nil {
		return nil, errors.New("no probe user is configured (--probe-user)")
	}
	for _, t := range l.Nodes() {
		if t.Name == node {
			return l.at(t)
		}
	}
	return nil, fmt.Errorf("%s is not a node of this configuration", node)
}

// InTransaction counts the sessions of a node that are in a transaction, whoever's they are.
func (l *Inspectors) InTransaction(ctx context.Context, node string) (int, error) {
	inspector, err := l.Of(node)
	if err != nil {
		return 0, err
	}
	return inspector.InTransaction(ctx)
}

// at returns the node's inspector, a new one when its address has changed.
func (l *Inspectors) at(t galera.Target) (NodeInspector, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[t.Name]; n != nil && n.target == t {
		return n.inspector, nil
	}
	inspector, err := l.Dial(t)
	if err != nil {
		return nil, err
	}
	if l.nodes == nil {
		l.nodes = map[string]*inspected{}
	}
	if old := l.nodes[t.Name]; old != nil {
		old.inspector.Close()
	}
	l.nodes[t.Name] = &inspected{target: t, inspector: inspector}
	return inspector, nil
}

// Lacks is what the user lacks on a node for telling which sessions are in a
// transaction, and whether that was found out yet.
func (l *Inspectors) Lacks(node string) (lacks string, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[node]; n != nil {
		return n.lacks, n.known
	}
	return "", false
}

// Run looks at the privileges now and then: a move is refused for want of them
// before it begins, and the GRANT that is missing is named.
func (l *Inspectors) Run(ctx context.Context) error {
	defer l.close()
	clock.Loop(ctx, func() time.Duration {
		next := privilegesEvery
		for _, t := range l.Nodes() {
			if !l.look(ctx, t) {
				next = privilegesAgain
			}
		}
		l.Looked()
		return next
	})
	return nil
}

func (l *Inspectors) look(ctx context.Context, t galera.Target) bool {
	inspector, err := l.at(t)
	if err != nil {
		return false
	}
	lacks, err := inspector.Lacks(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[t.Name]; n != nil && err == nil {
		n.lacks, n.known = lacks, true
	}
	return err == nil && lacks == ""
}

func (l *Inspectors) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		n.inspector.Close()
	}
	l.nodes = nil
}
