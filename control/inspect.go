package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/step"
)

const (
	// privilegesEvery is how often the privileges for drains are looked at, and
	// privilegesAgain how soon after a look that failed.
	privilegesEvery = 30 * time.Second
	privilegesAgain = 2 * time.Second
	// appliedEvery is the pause between two questions what a node has applied.
	appliedEvery = 5 * time.Millisecond
	// appliedWithin bounds them; the move's own bound ends it sooner.
	appliedWithin = 10 * time.Second
)

// sessionLooks keeps an inspector for every node, and what its user lacks.
type sessionLooks struct {
	mu    sync.Mutex // guards what follows
	nodes map[string]*inspected
}

type inspected struct {
	target    galera.Target
	inspector Inspector
	lacks     string
	known     bool // lacks was found out
}

// inspectorOf returns the look at one node's sessions.
func (d *Daemon) inspectorOf(node string) (Inspector, error) {
	if d.deps.Inspector == nil {
		return nil, errors.New("no probe user is configured (--probe-user)")
	}
	topo := d.files.Topology()
	if topo == nil {
		return nil, errors.New("haproxy.cfg is not read yet")
	}
	for _, t := range haproxycfg.Targets(topo) {
		if t.Name == node {
			return d.sessions.of(t, d.deps.Inspector)
		}
	}
	return nil, fmt.Errorf("%s is not a node of this configuration", node)
}

// of returns the node's inspector, a new one when its address has changed.
func (l *sessionLooks) of(t galera.Target, dial func(galera.Target) (Inspector, error)) (Inspector, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[t.Name]; n != nil && n.target == t {
		return n.inspector, nil
	}
	inspector, err := dial(t)
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

// lacks is what the user lacks on a node for telling which sessions are in a
// transaction, and whether that was found out yet.
func (l *sessionLooks) lacks(node string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[node]; n != nil {
		return n.lacks, n.known
	}
	return "", false
}

// run looks at the privileges now and then: a move is refused for want of them
// before it begins, and the GRANT that is missing is named.
func (l *sessionLooks) run(ctx context.Context, d *Daemon) error {
	defer l.close()
	loop(ctx, func() time.Duration {
		next := privilegesEvery
		if topo := d.files.Topology(); topo != nil {
			for _, t := range haproxycfg.Targets(topo) {
				if !l.look(ctx, t, d.deps.Inspector) {
					next = privilegesAgain
				}
			}
			nudge.Send(d.wakeV)
		}
		return next
	})
	return nil
}

func (l *sessionLooks) look(ctx context.Context, t galera.Target, dial func(galera.Target) (Inspector, error)) bool {
	inspector, err := l.of(t, dial)
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

func (l *sessionLooks) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		n.inspector.Close()
	}
	l.nodes = nil
}

// applied finds out, on the leader, whether a move's new node has applied what
// the old one committed last. It begins when nothing is left on the old node and
// begins again when that ceases to be so.
type applied struct {
	mu     sync.Mutex // guards what follows
	of     model.Epoch
	cancel context.CancelFunc
	done   bool
}

// yes tells whether it is so for that decision.
func (a *applied) yes(epoch model.Epoch) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done && a.of == epoch
}

// drop forgets what was found out: whoever does not lead does not see when it
// ceases to be so.
func (a *applied) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cancel != nil {
		a.cancel()
	}
	a.cancel, a.done = nil, false
}

// ask starts or ends the question, as drained says.
func (a *applied) ask(ctx context.Context, d *Daemon, epoch model.Epoch, from, to string, drained bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cancel != nil && (!drained || a.of != epoch) {
		a.cancel()
		a.cancel, a.done = nil, false
	}
	if !drained || a.cancel != nil {
		return
	}
	actx, cancel := context.WithTimeout(ctx, appliedWithin)
	a.of, a.cancel, a.done = epoch, cancel, false
	go func() {
		defer cancel()
		err := d.caughtUpWith(actx, from, to)
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case actx.Err() != nil || a.of != epoch:
		case err != nil:
			a.cancel = nil // the next turn asks again
			d.log.Warn("cannot tell whether the new node has applied everything", "from", from, "to", to, "error", err)
		default:
			a.done = true
			nudge.Send(d.wakeV)
		}
	}()
}

// caughtUpWith returns when to has applied what from has committed until now. It
// asks twice: a COMMIT whose session was closed while it ran may still have been on
// its way at the first time.
func (d *Daemon) caughtUpWith(ctx context.Context, from, to string) error {
	oldNode, err := d.inspectorOf(from)
	if err != nil {
		return err
	}
	newNode, err := d.inspectorOf(to)
	if err != nil {
		return err
	}
	step.At(ctx, "drained")
	for range 2 {
		last, err := oldNode.Applied(ctx)
		if err != nil {
			return fmt.Errorf("read what %s committed last: %w", from, err)
		}
		if err := reached(ctx, newNode, last); err != nil {
			return err
		}
	}
	return nil
}

// reached returns when a node has applied that seqno.
func reached(ctx context.Context, node Inspector, seqno int64) error {
	tick := time.NewTicker(appliedEvery)
	defer tick.Stop()
	for {
		if at, err := node.Applied(ctx); err == nil && at >= seqno {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
