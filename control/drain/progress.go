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

// Progress is how far this proxy is with a planned move, and what an operator's move that
// waits for nobody did here: what its loop counts and what its drainer does. Its view stays
// as the report when the move is over.
type Progress struct {
	mu    sync.Mutex // guards what follows
	of    model.Epoch
	view  *model.MoveView
	began time.Time
	// looked is when the last look was taken into account, total what it had of Seen.Total
	// as long as nobody was let go to the new node.
	looked time.Time
	total  int64
	clear  int // looks in a row without a session to the old node
	// counted is how many of the drained sessions the last look has seen gone.
	counted int
	cancel  context.CancelFunc
	// stopped: the drainer is to end, and what it still finds does not count.
	stopped bool
	// trouble is what keeps the drainer from its work; told: its last pass told which
	// sessions are in a transaction.
	trouble string
	told    bool
	// heard is the newest decision that could be carried out, none before the first: what
	// was decided before this process has begun is not reported as if it were new.
	heard model.Epoch
}

// Seen is what one look at HAProxy has to say about a move.
type Seen struct {
	Want mandate.Want
	// Left counts the sessions to the old node, Total all that the new one was ever given.
	Left  int
	Total int64
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
	moves := want.MayWrite && (want.Move != nil || g.atOnce(want))
	if want.MayWrite {
		g.heard = epoch
	}
	if !moves {
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
		g.of, g.began, g.clear, g.counted, g.trouble, g.told, g.stopped = epoch, now, 0, 0, "", false, false
		g.view = &model.MoveView{Recovery: epoch.Recovery, Epoch: epoch.N, Tells: true}
	}
	v := g.view
	v.Held, v.Problem = seen.Held, cmp.Or(seen.Problem, g.trouble)
	before := v.Left
	v.Left = seen.Left
	if fresh {
		v.Began = v.Left
	} else if want.Draining() == "" {
		g.killedLocked(max(0, before-v.Left-(v.Drained-g.counted)))
	}
	g.counted = v.Drained
	if v.Left == 0 {
		v.Began = max(v.Began, v.Drained+v.Killed) // some came late
	}
	v.Finished = max(0, v.Began-v.Left-v.Drained-v.Killed)
	g.bothLocked(now, seen, fresh)
	if seen.Held {
		v.HeldMS = g.sinceLocked(now)
	}
	if v.Left > 0 || !seen.Converged {
		g.clear, v.Done = 0, false
		if v.Left > 0 {
			v.WaitMS = g.sinceLocked(now)
		}
	} else if g.clear++; g.clear >= doneRuns {
		v.Done = true
		v.InTrx, v.Unmatched, v.LongestMS, g.told = 0, 0, 0, false
		g.stopLocked()
	}
	waits := seen.Held || !want.WantsHold() // a closed session comes back at once
	if g.cancel == nil && !v.Done && seen.Converged && waits && want.Draining() != "" && want.Move.Drain == model.DrainTransactions {
		cancel, err := start()
		g.cancel, g.stopped = cancel, false
		if g.trouble = ""; err != nil {
			g.trouble = err.Error() // the next look tries again
		}
	}
	if want.Draining() == "" {
		g.stopLocked()
	}
}

// atOnce tells whether there is something to report of an operator's move that the record has
// no more of than the decision: one that waits for nobody, from when it was heard of after
// another one, or a planned one whose time was over before it was done here.
func (g *Progress) atOnce(want *mandate.Want) bool {
	if !want.Asked || want.Left == "" || want.Left == want.Active {
		return false
	}
	if g.view != nil && g.of == want.Epoch() {
		return !g.view.Done
	}
	return g.heard != (model.Epoch{}) && g.heard != want.Epoch()
}

// killedLocked counts sessions that were closed because nobody waits for them any more.
func (g *Progress) killedLocked(n int) {
	v := g.view
	v.Killed += n
	trx, unknown := 0, n
	if g.told {
		trx = min(n, max(0, v.InTrx-v.KilledTrx))
		unknown = min(n-trx, max(0, v.Unmatched-v.KilledUnknown))
	}
	v.KilledTrx += trx
	v.KilledUnknown += unknown
}

// bothLocked notes when the first connection to the new node came, and when the last session
// to the old one was gone: each to the side that makes the time between them longer.
func (g *Progress) bothLocked(now time.Time, seen *Seen, fresh bool) {
	v := g.view
	switch {
	case fresh, seen.Held, seen.Want.WantsHold(): // the hold's own connection is nobody's
		g.total = seen.Total
	case seen.Total < g.total: // another process of HAProxy
		g.total = seen.Total
	case v.NewMS == 0 && seen.Total > g.total:
		v.NewMS = max(1, g.sinceLocked(g.looked))
	}
	g.looked = now
	switch {
	case v.Left > 0:
		v.GoneMS = 0
	case v.Began > 0 && v.GoneMS == 0:
		v.GoneMS = max(1, g.sinceLocked(now))
	}
}

// sinceLocked is for how many milliseconds the move was known at t.
func (g *Progress) sinceLocked(t time.Time) int64 { return t.Sub(g.began).Milliseconds() }

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
	g.stopped = true
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

// found notes what the drainer's last pass saw. One that ends after the drainer was stopped is
// not taken: it may have looked after the sessions were closed, and seen none in a transaction.
func (g *Progress) found(epoch model.Epoch, inTrx, unmatched int, longest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch && !g.stopped {
		g.view.InTrx, g.view.Unmatched, g.view.LongestMS = inTrx, unmatched, longest.Milliseconds()
	}
}

// problem notes what keeps the drainer from its work after a pass, "" for nothing.
func (g *Progress) problem(epoch model.Epoch, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view != nil && g.of == epoch && !g.stopped {
		g.trouble, g.told = text, text == ""
	}
}

// MovesOn tells whether the others should hear at once of what a move came to.
func MovesOn(a, b *model.MoveView) bool {
	if a == nil || b == nil {
		return a != b
	}
	return a.At() != b.At() || a.Held != b.Held || a.Done != b.Done || a.Problem != b.Problem
}
