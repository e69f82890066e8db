package drain

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// doneRuns is how many looks in a row must see no session on the old node: a
// connection that matched it before the tables moved lands within milliseconds.
const doneRuns = 2

// Progress is how far this proxy is with a planned move: what its loop counts
// and what its drainer does. Its view stays as the report when the move is over.
type Progress struct {
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

// Seen is what one look at HAProxy has to say about a move.
type Seen struct {
	Want mandate.Want
	// Left counts the sessions to the old node.
	Left int
	// Converged: new connections go to the new one, or wait for it where Held.
	Converged, Held bool
	// Problem is what keeps the move from being carried out, "" for nothing.
	Problem string
}

// Note takes one look into account. start begins the drainer of a move whose
// sessions are closed between transactions; it is called once a move, when new
// connections go elsewhere.
func (g *Progress) Note(now time.Time, seen *Seen, start func() (context.CancelFunc, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := &seen.Want
	epoch := want.Epoch()
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
	v.Held, v.Problem = seen.Held, cmp.Or(seen.Problem, g.trouble)
	before := v.Left
	v.Left = seen.Left
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
	if seen.Held {
		v.HeldMS = now.Sub(g.began).Milliseconds()
	}
	if v.Left > 0 || !seen.Converged {
		g.clear, v.Done = 0, false
		if v.Left > 0 {
			v.WaitMS = now.Sub(g.began).Milliseconds()
		}
	} else if g.clear++; g.clear >= doneRuns {
		v.Done = true
		v.InTrx, v.Unmatched, v.LongestMS = 0, 0, 0
		g.stopLocked()
	}
	waits := seen.Held || !want.WantsHold() // a closed session comes back at once
	if g.cancel == nil && !v.Done && seen.Converged && waits && want.Draining() != "" && g.move.Drain == model.DrainTransactions {
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

// Begins tells whether a move is wanted that no look has taken into account yet.
func (g *Progress) Begins(want mandate.Want) bool {
	if want.Move == nil || !want.MayWrite {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.view == nil || g.of != want.Epoch()
}

// stopLocked ends the drainer.
func (g *Progress) stopLocked() {
	if g.cancel != nil {
		g.cancel()
		g.cancel = nil
	}
}

// End ends the drainer for good.
func (g *Progress) End() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopLocked()
}

// Report returns a copy of the view, nil before the first move.
func (g *Progress) Report() *model.MoveView {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view == nil {
		return nil
	}
	v := *g.view
	return &v
}

// drained counts a session that was closed between transactions.
func (g *Progress) drained(epoch model.Epoch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch {
		g.view.Drained++
	}
}

// found notes what the drainer's last pass saw.
func (g *Progress) found(epoch model.Epoch, inTrx, unmatched int, longest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch && !g.view.Done {
		g.view.InTrx, g.view.Unmatched, g.view.LongestMS = inTrx, unmatched, longest.Milliseconds()
	}
}

// problem notes what keeps the drainer from its work, "" for nothing.
func (g *Progress) problem(epoch model.Epoch, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch {
		g.trouble = text
	}
}

// MovesOn tells whether the others should hear at once of what a move came to.
func MovesOn(a, b *model.MoveView) bool {
	if a == nil || b == nil {
		return a != b
	}
	return a.At() != b.At() || a.Held != b.Held || a.Done != b.Done || a.Problem != b.Problem
}
