package control

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// doneRuns is how many looks in a row must see no session on the old node: a
// connection that matched it before the tables moved lands within milliseconds.
const doneRuns = 2

// progress is how far this proxy is with a planned move: what its loop counts
// and what its drainer does. Its view stays as the report when the move is over.
type progress struct {
	mu    sync.Mutex // guards what follows
	of    model.Epoch
	move  model.Move
	view  *model.MoveView
	began time.Time
	clear int // looks in a row without a session to the old node
	// counted is how many of the drained sessions the last look has seen gone.
	counted int
	cancel  context.CancelFunc
	// trouble is what keeps the drainer from its work.
	trouble string
}

// epochOf is a version without its revision: which decision.
func epochOf(v cluster.Version) model.Epoch { return model.Epoch{Recovery: v.Recovery, N: v.Epoch} }

// sessionsOn counts the sessions to a node over all sticky backends.
func sessionsOn(l *plan.Layout, obs *plan.Observed, node string) int {
	n := 0
	for i := range l.Backends {
		n += obs.Servers[l.Backends[i].Name][node].Sessions
	}
	return n
}

// look takes one look into account. start begins the drainer of a move whose
// sessions are closed between transactions; it is called once a move, when new
// connections go elsewhere.
func (g *progress) look(now time.Time, want mandate.Want, l *plan.Layout, obs *plan.Observed, converged, held bool, problem string, start func() (context.CancelFunc, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	epoch := epochOf(want.Version)
	if want.Move == nil || !want.MayWrite {
		g.stopLocked()
		if g.view != nil {
			g.view.Held = false
			if want.Move != nil && g.of == epoch {
				// It may route elsewhere meanwhile: what was done must be seen again.
				g.view.Done, g.view.Problem, g.clear = false, want.Why, 0
			}
		}
		return
	}
	fresh := g.of != epoch || g.view == nil
	if fresh {
		g.stopLocked()
		g.of, g.began, g.clear, g.counted, g.trouble = epoch, now, 0, 0, ""
		g.view = &model.MoveView{Recovery: epoch.Recovery, Epoch: epoch.N}
	}
	g.move = *want.Move
	v := g.view
	v.Held, v.Problem = held, cmp.Or(problem, g.trouble)
	before := v.Left
	v.Left = sessionsOn(l, obs, g.move.From)
	if fresh {
		v.Began = v.Left
	} else if want.Draining() == "" {
		v.Killed += max(0, before-v.Left-(v.Drained-g.counted))
	}
	g.counted = v.Drained
	if v.Left == 0 {
		v.Began = max(v.Began, v.Drained+v.Killed) // some came late
	}
	v.Finished = max(0, v.Began-v.Left-v.Drained-v.Killed)
	if held {
		v.HeldMS = now.Sub(g.began).Milliseconds()
	}
	if v.Left > 0 || !converged {
		g.clear, v.Done = 0, false
		if v.Left > 0 {
			v.WaitMS = now.Sub(g.began).Milliseconds()
		}
	} else if g.clear++; g.clear >= doneRuns {
		v.Done = true
		v.InTrx, v.Unmatched, v.LongestMS = 0, 0, 0
		g.stopLocked()
	}
	waits := held || !want.WantsHold() // a closed session comes back at once
	if g.cancel == nil && !v.Done && converged && waits && want.Draining() != "" && g.move.Drain == model.DrainTransactions {
		cancel, err := start()
		g.cancel = cancel
		if g.trouble = ""; err != nil {
			g.trouble = err.Error() // the next look tries again
		}
	}
	if want.Draining() == "" {
		g.stopLocked()
	}
}

// begins tells whether a move is wanted that no look has taken into account yet.
func (g *progress) begins(want mandate.Want) bool {
	if want.Move == nil || !want.MayWrite {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.view == nil || g.of != epochOf(want.Version)
}

// stopLocked ends the drainer.
func (g *progress) stopLocked() {
	if g.cancel != nil {
		g.cancel()
		g.cancel = nil
	}
}

// end ends the drainer for good.
func (g *progress) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopLocked()
}

// report returns a copy of the view, nil before the first move.
func (g *progress) report() *model.MoveView {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view == nil {
		return nil
	}
	v := *g.view
	return &v
}

// drained counts a session that was closed between transactions.
func (g *progress) drained(epoch model.Epoch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch {
		g.view.Drained++
	}
}

// found notes what the drainer's last pass saw.
func (g *progress) found(epoch model.Epoch, inTrx, unmatched int, longest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch && !g.view.Done {
		g.view.InTrx, g.view.Unmatched, g.view.LongestMS = inTrx, unmatched, longest.Milliseconds()
	}
}

// problem notes what keeps the drainer from its work, "" for nothing.
func (g *progress) problem(epoch model.Epoch, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch {
		g.trouble = text
	}
}

// movesOn tells whether the others should hear at once of what a move came to.
func movesOn(a, b *model.MoveView) bool {
	if a == nil || b == nil {
		return a != b
	}
	return a.At() != b.At() || a.Held != b.Held || a.Done != b.Done || a.Problem != b.Problem
}
