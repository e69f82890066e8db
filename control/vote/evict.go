package vote

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/evict/execute"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/lograte"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// withEviction adds to what this leader has decided that a dead process is evicted from Galera's view, if that is to be. A
// failover never waits for it.
func (v *Loop) withEviction(sit *published.Situation, in *decide.Input, out decide.Outcome) decide.Outcome {
	is := evict.Decide(sit.EvictInput(in))
	sit.Evict = is.Why
	if is.Why != v.evictWhy {
		if v.evictWhy = is.Why; is.Why != "" {
			v.cfg.Log.Info("eviction considered", "why", is.Why)
		}
	}
	if is.Order == nil {
		if old := sit.OldEvictions; old > 0 && out.Propose == nil {
			// To the next leader all that are in the record are new: those of last year must not be too many for it.
			out.Propose = sit.Record.Clone()
			out.Propose.Evictions = out.Propose.Evictions[min(old, len(out.Propose.Evictions)):]
			out.Reason = fmt.Sprintf("%d evictions are more than an hour old and count no more; %s", old, out.Reason)
		}
		return out
	}
	if is.Order.Found {
		if !v.foundAt.IsZero() && sit.At.Sub(v.foundAt) < foundEvery {
			return out
		}
		v.foundAt = sit.At
	}
	if out.Propose == nil {
		out.Propose, out.Reason = sit.Record, is.Why
	}
	out.Propose = out.Propose.WithEviction(*is.Order)
	return out
}

// foundEvery is the time between two orders to take left entries off: a list is read again a moment after it was emptied, and
// somebody who puts one back each time is to be seen in the record, not to fill it.
const foundEvery = 10 * time.Second

// debtAlert is how long an order may stand in the record: telling the survivors takes a second at most, and its lists are
// looked at twice within another.
const debtAlert = 10 * time.Second

// debt is the order that the record has, and since when this member knows it. Only the loop uses it.
type debt struct {
	order *model.Eviction
	since time.Time
}

// unpaid says that lists are not known to be empty for too long, "" if none are.
func (v *Loop) unpaid(sit *published.Situation) string {
	var order *model.Eviction
	if sit.Record != nil {
		order = sit.Record.Evict
	}
	if order == nil || sit.At.Sub(v.debt.since) < debtAlert {
		return ""
	}
	return fmt.Sprintf("the evict lists of the databases are not known to be empty after %s: the next view may wait 5 s longer, and nobody else is evicted (the log of %s says why)", order.Cause(), order.Owner)
}

// executing is the order that this member carries out. Loop.mu guards it.
type executing struct {
	order  *model.Eviction
	cancel context.CancelFunc
	// paid: nothing is owed any more, and the record may say so.
	paid bool
	out  execute.Outcome
}

// carryOut begins to carry out the record's order if that is this member's to do: it owns it, or it leads and the owner has
// fallen silent. It ends what it does of an order that is no more.
func (v *Loop) carryOut(ctx context.Context, s *joined, sit *published.Situation, in *decide.Input) {
	var order *model.Eviction
	if sit.Record != nil {
		order = sit.Record.Evict
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.debt.order.Same(order) {
		v.debt = debt{order: order, since: sit.At}
	}
	if x := &v.executing; x.order != nil && !x.order.Same(order) {
		x.cancel()
		*x = executing{}
	}
	if order == nil || v.executing.order != nil || s.prober == nil || v.cfg.Observe || !v.executes(&sit.Agreement, in, order) {
		return
	}
	ectx, cancel := context.WithCancel(ctx)
	v.executing = executing{order: order, cancel: cancel}
	cfg := execute.Config{
		Order: order, Learned: v.debt.since, Lives: func() bool { return v.lives(order) },
		Open: s.prober.Open, Ended: v.endedProcess, Log: lograte.Always(v.cfg.Log),
	}
	go func() {
		err := execute.Run(ectx, cfg, func(out execute.Outcome) { v.executed(order, out) })
		if err != nil {
			return // the order is no more, or this daemon ends
		}
		v.finished(order)
		v.Wake()
	}()
}

// finished takes that nothing of an order is owed any more.
func (v *Loop) finished(order *model.Eviction) {
	v.mu.Lock()
	result := "done"
	if v.executing.out.Changed == 0 {
		result = "vain"
	}
	if v.executing.order.Same(order) {
		v.executing.paid = true
	}
	v.mu.Unlock()
	if order.Found {
		v.cfg.Events.Add(v.cfg.Now(), order.Reason+": it was taken off")
		return
	}
	v.cfg.Metrics.Evictions.WithLabelValues(result).Inc()
}

// executes tells whether the order is this member's to carry out.
func (v *Loop) executes(ag *cluster.Agreement, in *decide.Input, order *model.Eviction) bool {
	if order.Owner == v.cfg.Name {
		return true
	}
	return ag.IsLeader && ag.Fresh && (in.Voice(order.Owner) == nil || in.Silence[order.Owner] >= evict.OwnerSilent)
}

// endedProcess tells whether a survivor's process is known to be no more.
func (v *Loop) endedProcess(s model.Survivor) bool {
	v.mu.Lock()
	own := v.own
	v.mu.Unlock()
	g := own.Node(s.Node).Group
	return g != nil && (g.UUID != s.UUID || g.End == model.EndGone)
}

// tellStalls tells each time for which the other nodes waited for one that had ended.
func (v *Loop) tellStalls(probes []galera.NodeStatus) {
	for i := range probes {
		p := &probes[i]
		if p.Stall > 0 && p.Stall != v.stalls[p.Node] {
			v.cfg.Events.Add(v.cfg.Now(), fmt.Sprintf("no other database took a commit for about %v after the process of %s had ended", p.Stall.Round(10*time.Millisecond), p.Node))
		}
		if v.stalls == nil {
			v.stalls = map[string]time.Duration{}
		}
		v.stalls[p.Node] = p.Stall
	}
}

// lives tells whether this member's own view shows that an order's victim lives. A successor on its node does not: the group waits for the
// process that has ended all the same.
func (v *Loop) lives(order *model.Eviction) bool {
	v.mu.Lock()
	own := v.own
	v.mu.Unlock()
	n := own.Node(order.Node)
	return n.Group != nil && n.Group.UUID == order.UUID && (n.Verdict == model.Healthy || n.Group.Speaks)
}

// executed takes what came of telling the survivors.
func (v *Loop) executed(order *model.Eviction, out execute.Outcome) {
	v.mu.Lock()
	x := &v.executing
	if !x.order.Same(order) {
		v.mu.Unlock()
		return
	}
	first := x.out.Changed == 0 && out.Changed > 0
	x.out = out
	v.mu.Unlock()
	if first {
		text := fmt.Sprintf("%s was evicted from Galera's view: the others made a new one %v after the order (%s)",
			order.Node, out.Changed.Round(time.Millisecond), strings.Join(out.Said, "; "))
		lograte.Always(v.cfg.Log).Warn("evicted", "node", order.Node, "after", out.Changed, "said", out.Said)
		v.cfg.Events.Add(v.cfg.Now(), text)
	}
}

// payEviction takes an order whose lists are known to be empty out of the record.
func (v *Loop) payEviction(ctx context.Context, ag *cluster.Agreement, rec *model.Record) {
	if !ag.Fresh || rec == nil || rec.Evict == nil {
		return
	}
	v.mu.Lock()
	paid := v.executing.paid && v.executing.order.Same(rec.Evict)
	v.mu.Unlock()
	if !paid {
		return
	}
	v.propose(ctx, ag, decide.Outcome{Propose: rec.Paid(), Reason: "every evict list is empty again after " + rec.Evict.Cause()})
}
