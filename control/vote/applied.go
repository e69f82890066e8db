package vote

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/step"
)

const (
	// appliedEvery is the pause between two questions what a node has applied.
	appliedEvery = 5 * time.Millisecond
	// appliedWithin bounds them; the move's own bound ends it sooner.
	appliedWithin = 10 * time.Second
)

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
func (a *applied) ask(ctx context.Context, v *Loop, epoch model.Epoch, from, to string, drained bool) {
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
		err := v.caughtUpWith(actx, from, to)
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case actx.Err() != nil || a.of != epoch:
		case err != nil:
			a.cancel = nil // the next turn asks again
			v.cfg.Log.Warn("cannot tell whether the new node has applied everything", "from", from, "to", to, "error", err)
		default:
			a.done = true
			v.Wake()
		}
	}()
}

// caughtUpWith returns when to has applied what from has committed until now. It
// asks twice: a COMMIT whose session was closed while it ran may still have been on
// its way at the first time.
func (v *Loop) caughtUpWith(ctx context.Context, from, to string) error {
	oldNode, err := v.cfg.Inspectors.Of(from)
	if err != nil {
		return err
	}
	newNode, err := v.cfg.Inspectors.Of(to)
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
func reached(ctx context.Context, node drain.NodeInspector, seqno int64) error {
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
