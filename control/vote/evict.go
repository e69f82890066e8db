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
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// withEviction adds to what this leader has decided that a dead process is evicted from Galera's view, if that is to be. A
// failover never waits for it.
func (v *Loop) withEviction(sit *published.Situation, in *decide.Input, out decide.Outcome) decide.Outcome {
	mode := v.cfg.Evict
	if v.cfg.Observe {
		mode = evict.ModeOff
	}
	v.mu.Lock()
	old := 0
	if sit.Record != nil {
		old = v.evictions.old(&sit.Agreement, sit.Record.Evictions, sit.At)
	}
	v.mu.Unlock()
	is := evict.Decide(&evict.Input{Input: in, Mode: mode, Old: old})
	sit.Evict = is.Why
	if is.Order == nil {
		return out
	}
	if out.Propose == nil {
		out.Propose, out.Reason = sit.Record, is.Why
	}
	out.Propose = out.Propose.WithEviction(*is.Order)
	return out
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
	if x := &v.executing; x.order != nil && !x.order.Same(order) {
		x.cancel()
		*x = executing{}
	}
	if order == nil || v.executing.order != nil || s.prober == nil || v.cfg.Observe || !v.executes(&sit.Agreement, in, order) {
		return
	}
	ectx, cancel := context.WithCancel(ctx)
	v.executing = executing{order: order, cancel: cancel}
	cfg := execute.Config{Order: order, Open: s.prober.Open, Ended: v.endedProcess, Log: v.cfg.Log}
	go func() {
		err := execute.Run(ectx, cfg, func(out execute.Outcome) { v.executed(order, out) })
		v.mu.Lock()
		if v.executing.order.Same(order) {
			v.executing.paid = err == nil
		}
		v.mu.Unlock()
		v.Wake()
	}()
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
		v.cfg.Log.Warn("evicted", "node", order.Node, "after", out.Changed, "said", out.Said)
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
	out := v.executing.out
	v.mu.Unlock()
	if !paid {
		return
	}
	result := "done"
	if out.Changed == 0 {
		result = "vain"
	}
	v.cfg.Metrics.Evictions.WithLabelValues(result).Inc()
	v.propose(ctx, ag, decide.Outcome{Propose: rec.Paid(), Reason: "every evict list is empty again after the eviction of " + rec.Evict.Node})
}

