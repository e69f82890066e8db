package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// moveLog remembers the last planned move, so that its report can be given when
// the record does not hold it any more.
type moveLog struct {
	mu   sync.Mutex // guards what follows
	at   time.Time  // the newest moment that was looked at
	last api.Move
}

// look takes what the record and the proxies say, unless it knows of a later moment.
func (l *moveLog) look(in *decide.Input) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in.Now.Before(l.at) {
		return
	}
	l.at, l.last = in.Now, moved(l.last, in)
}

// cut adds to the report what the old node's end has cut.
func (l *moveLog) cut(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.Cut = text
}

func (l *moveLog) now() api.Move {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// moved is the report of the last planned move, as of in, where it was last before.
func moved(last api.Move, in *decide.Input) api.Move {
	if in.Record != nil {
		last = recorded(last, in)
	}
	return summed(last, in)
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

// move sums the last planned move up over all proxies.
func (a *answer) move() api.Move {
	if !a.Started {
		return api.Move{Proxies: []api.MoveProxy{}}
	}
	in := a.Input()
	m := moved(a.Move, in)
	if m.State == api.MovePending || m.State == api.MoveClosing {
		m.WaitingFor = decide.Decide(in).Reason
	}
	return m
}

// summed adds up what the proxies say of the move. Where none does any more, because
// they are at another one already, what was known last stays.
func summed(m api.Move, in *decide.Input) api.Move {
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

// cancelMove rolls the pending move back.
func (d *Daemon) cancelMove(ctx context.Context, req api.CancelRequest) (any, error) {
	err := d.change(ctx, func(sit *published.Situation) (*model.Record, bool, error) {
		if at, rec := sit.Agreement.Record.Epoch, sit.Record; req.Epoch != 0 && req.Epoch != at {
			return nil, false, refused("the move of epoch %d is not pending any more: epoch %d, the active is %s (%s)",
				req.Epoch, at, rec.Active, rec.Last().Reason)
		}
		out, err := decide.Cancel(sit.Input(), "an operator through "+d.cfg.Name)
		if err != nil {
			return nil, false, refused("%v", err)
		}
		out.Propose.History[0].OrderedBy = orderOf(ctx).by
		return out.Propose, out.NewEpoch, nil
	})
	if err != nil {
		return nil, err
	}
	d.tellDecision(ctx, "cancel", "")
	return d.asked().move(), nil
}

// setLocal is the break-glass: this proxy alone, without a majority.
func (d *Daemon) setLocal(ctx context.Context, req *api.SetRequest) (any, error) {
	s := d.started.Load()
	topo := d.files.Topology()
	switch {
	case s == nil || topo == nil:
		return nil, &api.Error{Code: api.CodeUnavailable, Message: "the daemon has not started: " + cmp.Or(d.files.Problem(), "haproxy.cfg is not read yet")}
	case d.proxy == nil:
		return nil, refused("a witness has no proxy to force")
	case d.cfg.Observe:
		return nil, refused("this daemon only observes (--observe): it never writes")
	case !slices.Contains(haproxycfg.Order(topo), req.Node):
		return nil, refused("%s is not a node of this configuration", req.Node)
	}
	sit := d.renew(s)
	switch {
	case sit.Agreement.Fresh:
		return nil, refused("there is a majority: ask it (haproxyctl active set %s)", req.Node)
	case sit.Unread != nil:
		return nil, sit.Unread
	}
	res := api.SetResponse{
		DryRun: req.DryRun, To: req.Node, Epoch: sit.Agreement.Record.Epoch,
		Warnings: []string{"other proxies may write elsewhere: give the same order to each that you can reach; it ends when a majority returns"},
	}
	if sit.Record != nil {
		res.From = sit.Record.Active
	}
	if n := sit.Own.Node(req.Node); n.Verdict == model.Down {
		if !req.Force {
			return nil, refused("%s is down as seen from here (%s); --force sends this proxy there all the same", req.Node, n.Reason)
		}
		res.Warnings = append(res.Warnings, req.Node+" is down as seen from here: "+n.Reason)
	}
	if !req.DryRun {
		o := d.order(ctx, "set --local-only", req.Node)
		d.log.Warn("an operator forced this proxy, without a majority", "node", req.Node, "ordered_by", o.OrderedBy, "reason", o.Reason)
		d.events.Add(d.clock.now(), "an operator forced "+req.Node+" on this proxy alone, without a majority"+said(&o))
		d.hear(mandate.Facts{Order: req.Node})
		d.renew(s)
		nudge.Send(d.wakeP)
		res.Changed = true
	}
	res.Active = d.asked().active()
	return res, nil
}

// untilTurn is the time until the next turn, sooner where a pending move's time
// is over by then: a hold's reserve for closing is hardly longer than a turn.
func (d *Daemon) untilTurn() time.Duration {
	want := d.wanted()
	if want.Move == nil {
		return voteInterval
	}
	due := decide.Due(want.Move, want.Age(want.Version, d.clock.now()))
	if due == 0 {
		return voteInterval
	}
	return min(voteInterval, due+time.Millisecond)
}
