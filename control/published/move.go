package published

import (
	"fmt"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Moved is the report of the last planned move, as of in, where it was last before.
func Moved(last api.Move, in *decide.Input) api.Move {
	if in.Record != nil {
		last = recorded(last, in)
	}
	return Summed(last, in)
}

// recorded adds to a report what the record says now.
func recorded(last api.Move, in *decide.Input) api.Move {
	rec, age := in.Record, in.MoveAge
	pending := last.State == api.MovePending || last.State == api.MoveClosing
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
	fresh.LongestMS, fresh.LongestWaitMS, fresh.HeldMS = 0, 0, 0
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
		fresh.Proxies = append(fresh.Proxies, api.MoveProxy{
			Member: v.Member, Held: w.Held, Moved: w.Began, Drained: w.Drained, Finished: w.Finished, Killed: w.Killed,
			Left: w.Left, InTransaction: w.InTrx, Done: w.Done, Problem: w.Problem,
		})
	}
	slices.SortFunc(fresh.Proxies, func(a, b api.MoveProxy) int { return strings.Compare(a.Member, b.Member) })
	if len(fresh.Proxies) >= len(m.Proxies) || len(fresh.Proxies) == len(in.Voters) {
		return fresh
	}
	return m
}
