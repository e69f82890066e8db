package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// carryOut executes the plan. Before every command the agreement is asked
// again: a daemon that was stopped between its look and its write must not
// write what was true before.
func (p *proxy) carryOut(ctx context.Context, now time.Time, want desired, l *look) int {
	did := 0
	for i := range l.result.Actions {
		a := &l.result.Actions[i]
		if again := p.want(); !again.mayWrite || again.version != want.version ||
			!again.fresh.After(p.late) || again.voting && p.now().Sub(again.fresh) > writeWithin || p.now().Sub(now) > p.cfg.VerifiedWithin {
			return did
		}
		if !a.Private && a.Op != plan.OpClose {
			p.pace.last = now
		}
		actx, cancel := context.WithTimeout(ctx, time.Second)
		err := p.execute(actx, a)
		cancel()
		if err != nil {
			p.m.runtimeErrors.Inc()
			l.problem = fmt.Sprintf("HAProxy refused to %s: %v", describe(a), err)
			p.log.Warn("command failed", "command", describe(a), "error", err)
			p.events.add(now, l.problem)
			if errors.Is(err, context.DeadlineExceeded) {
				return did
			}
			continue
		}
		did++
		p.m.actions.WithLabelValues(a.Op.String()).Inc()
		p.log.Info("put right", "command", describe(a), "why", a.Why, "active", want.active, "version", want.version.String())
		p.events.add(now, fmt.Sprintf("%s: %s", describe(a), a.Why))
	}
	return did
}

func (p *proxy) execute(ctx context.Context, a *plan.Action) error {
	switch a.Op {
	case plan.OpSet:
		return p.client.SetTable(ctx, a.Table, a.Key, a.ServerID)
	case plan.OpClearSet:
		return p.client.ClearSetTable(ctx, a.Table, a.Key, a.ServerID)
	case plan.OpClear:
		return p.client.ClearTable(ctx, a.Table, a.Key)
	case plan.OpClose:
		return p.client.ShutdownSessionsServer(ctx, a.Backend, a.Server)
	}
	return fmt.Errorf("unknown operation %v", a.Op)
}

func describe(a *plan.Action) string {
	if a.Op == plan.OpClose {
		if a.Sessions == 0 {
			return fmt.Sprintf("close what is on its way to %s/%s", a.Backend, a.Server)
		}
		return fmt.Sprintf("close %d sessions to %s/%s", a.Sessions, a.Backend, a.Server)
	}
	return fmt.Sprintf("%s table %s key %s to server %d", a.Op, a.Table, a.Key, a.ServerID)
}
