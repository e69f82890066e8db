package published

import (
	"fmt"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Moved is the report of the last move, as of in, where it was last before: of a planned one,
// which is in the record, or of one at once, of which nobody knows but who was asked for it.
func Moved(last api.Move, in *decide.Input) api.Move {
	if in.Record != nil {
		last = recorded(last, in)
	}
	last = Summed(last, in)
	if atOnce(&last) && last.State == api.MoveClosing && told(&last, in) {
		last.State, last.Reason = api.MoveDone, "what was open on "+last.From+" was closed"
		last.ElapsedMS = in.MoveAge.Milliseconds()
	}
	return last
}

// atOnce tells whether a move waits for nobody.
func atOnce(m *api.Move) bool { return m.Drain == model.DrainImmediate && !m.Hold }

// told tells whether every proxy has said what it closed, or follows without telling such
// things, as older versions do and one that was restarted.
func told(m *api.Move, in *decide.Input) bool {
	return !slices.ContainsFunc(in.Voices, func(v decide.Voice) bool {
		p := v.View.Proxy
		switch {
		case p == nil || v.View.Observe:
			return false
		case p.Move != nil && p.Move.At() == m.At():
			return !p.Move.Done
		}
		return !p.Converged || v.View.At() != m.At()
	})
}

// Cut says in a sentence what a move has closed because its time was over, "" for nothing.
func Cut(m *api.Move) string {
	if m.Killed == 0 {
		return ""
	}
	if m.Killed == 1 {
		what := "in no transaction"
		switch {
		case m.KilledUnknown > 0:
			what = "and it is not known whether in a transaction"
		case m.KilledInTransaction > 0:
			what = "in a transaction"
		}
		return fmt.Sprintf("1 session to %s was closed, %s", m.From, what)
	}
	s := fmt.Sprintf("%d sessions to %s were closed, ", m.Killed, m.From)
	switch {
	case m.KilledUnknown >= m.Killed:
		return s + "and it is not known whether in a transaction"
	case m.KilledUnknown > 0:
		return s + fmt.Sprintf("%d of them in a transaction, and of %d it is not known", m.KilledInTransaction, m.KilledUnknown)
	}
	return s + fmt.Sprintf("%d of them in a transaction", m.KilledInTransaction)
}

// recorded adds to a report what the record says now.
func recorded(last api.Move, in *decide.Input) api.Move {
	rec, age := in.Record, in.MoveAge
	pending := last.Pending()
	end := func(state, reason string) {
		if pending {
			last.State, last.Reason = state, reason
		}
	}
	mine := last.Epoch == in.Epoch && last.Recovery == in.Recovery
	switch m := rec.Move; {
	case m != nil:
		// The move that a rollback undoes is the one whose report is wanted.
		if m.Rollback && last.Epoch+1 == in.Epoch && last.Recovery == in.Recovery && last.State != "" {
			end(api.MoveRolledBack, rec.Last().Reason)
			break
		}
		if !mine {
			last = api.Move{
				Recovery: in.Recovery, Epoch: in.Epoch, From: m.From, To: m.To, Drain: m.Drain, Hold: m.Hold, Keep: m.Keep,
				TimeoutMS: m.Bound().Milliseconds(),
			}
		}
		last.State, last.ElapsedMS = api.MovePending, age.Milliseconds()
		if m.Phase == model.PhaseClose {
			last.State = api.MoveClosing
		}
	case !pending:
	case mine && atOnce(&last):
		last.ElapsedMS = age.Milliseconds()
	case mine:
		reason := "nothing is left on " + last.From
		if last.State == api.MoveClosing {
			reason = "its time was over: what was left on " + last.From + " was closed"
		}
		end(api.MoveDone, reason)
		last.ElapsedMS = age.Milliseconds()
	case rec.Last().Kind == model.KindRollback && last.Epoch+1 == in.Epoch:
		end(api.MoveRolledBack, rec.Last().Reason)
	default:
		end(api.MoveOvertaken, fmt.Sprintf("epoch %d came before its end: %s", in.Epoch, rec.Last().Reason))
	}
	return last
}

// Summed adds up what the proxies say of the move. Where none does any more, because
// they are at another one already, what was known last stays.
func Summed(m api.Move, in *decide.Input) api.Move {
	fresh := m
	fresh.Moved, fresh.Drained, fresh.Finished, fresh.Killed, fresh.Left, fresh.InTransaction, fresh.Unmatched = 0, 0, 0, 0, 0, 0, 0
	fresh.LongestMS, fresh.LongestWaitMS, fresh.HeldMS, fresh.BothMS = 0, 0, 0, 0
	fresh.KilledInTransaction, fresh.KilledUnknown = 0, 0
	var both both
	fresh.Proxies = []api.MoveProxy{}
	for _, v := range in.Voices {
		p := v.View.Proxy
		if p == nil || p.Move == nil || p.Move.At() != m.At() {
			continue
		}
		w := p.Move
		fresh.Moved += w.Began
		fresh.Drained += w.Drained
		fresh.Finished += w.Finished
		fresh.Killed += w.Killed
		fresh.Left += w.Left
		fresh.InTransaction += w.InTrx
		fresh.Unmatched += w.Unmatched
		fresh.LongestMS, fresh.LongestWaitMS = max(fresh.LongestMS, w.LongestMS), max(fresh.LongestWaitMS, w.WaitMS)
		fresh.HeldMS = max(fresh.HeldMS, w.HeldMS)
		fresh.KilledInTransaction += w.KilledTrx
		fresh.KilledUnknown += w.KilledUnknown
		if !w.Tells {
			fresh.KilledUnknown += w.Killed
		}
		both.add(w)
		fresh.Proxies = append(fresh.Proxies, api.MoveProxy{
			Member: v.Member, Held: w.Held, Moved: w.Began, Drained: w.Drained, Finished: w.Finished, Killed: w.Killed,
			Left: w.Left, InTransaction: w.InTrx, Done: w.Done, Problem: w.Problem,
		})
	}
	fresh.BothMS = both.ms()
	slices.SortFunc(fresh.Proxies, func(a, b api.MoveProxy) int { return strings.Compare(a.Member, b.Member) })
	if len(fresh.Proxies) >= len(m.Proxies) || len(fresh.Proxies) == len(in.Voters) {
		return fresh
	}
	return m
}

// both is when the first connection to the new node came and the last session to the old one
// went, over the proxies; each counts from when it heard of the move.
type both struct {
	first, last int64
	came        bool
}

// add takes a proxy's word. One of a version that tells neither is taken to have let somebody
// go when its hold ended, or at once.
func (b *both) add(w *model.MoveView) {
	first, last := w.NewMS, w.GoneMS
	if !w.Tells {
		first, last = w.HeldMS+1, w.WaitMS
	}
	if first > 0 && (!b.came || first < b.first) {
		b.first, b.came = first, true
	}
	if w.Left > 0 {
		last = w.WaitMS
	}
	b.last = max(b.last, last)
}

func (b *both) ms() int64 {
	if !b.came {
		return 0
	}
	return max(0, b.last-b.first)
}
