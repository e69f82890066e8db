package steer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// carryOut executes the plan. stands is asked again before every command: a
// daemon that was stopped between its look and its write must not write what was
// true before; nor keep connections on what a probe said before.
func (p *Proxy) carryOut(ctx context.Context, t *turn, stands func() bool) int {
	did := 0
	for i := range t.look.Result.Actions {
		a := &t.look.Result.Actions[i]
		if !stands() {
			return did
		}
		if keeps(a, t.layout) && p.cfg.Hear().Unserved != "" {
			continue
		}
		if !a.Private && a.Op != plan.OpClose {
			p.pace.last = t.now
		}
		ok, hangs := p.one(ctx, t, a)
		if ok {
			did++
		}
		if hangs {
			return did
		}
	}
	return did
}

// stands tells whether what was wanted at a look at now may still be written: the
// agreement says the same, on a majority's word that is fresh. Only the proxy
// loop calls it.
func (p *Proxy) stands(now time.Time, want mandate.Want) bool {
	again := p.cfg.Hear()
	return again.MayWrite && again.Version == want.Version && again.Fresh.After(p.late) &&
		again.Heard(p.cfg.Now()) && p.cfg.Now().Sub(now) <= published.LookWithin
}

// fenceStands is stands for what a proxy without a majority may do: its own fence.
func (p *Proxy) fenceStands(want mandate.Want) bool {
	again := p.cfg.Hear()
	return again.Cut == want.Cut && !again.MayWrite
}

// one executes one command; hangs tells that HAProxy did not answer in time.
func (p *Proxy) one(ctx context.Context, t *turn, a *plan.Action) (ok, hangs bool) {
	actx, cancel := context.WithTimeout(ctx, time.Second)
	err := p.execute(actx, a)
	cancel()
	if err != nil {
		p.cfg.Metrics.RuntimeErrors.Inc()
		t.look.Problem = undone(a, t.layout.Steer, t.want.Active, err)
		p.cfg.Log.Warn("command failed", "command", describe(a), "error", err)
		p.cfg.Events.Add(t.now, t.look.Problem)
		return false, errors.Is(err, context.DeadlineExceeded)
	}
	p.cfg.Metrics.Actions.WithLabelValues(a.Op.String()).Inc()
	p.cfg.Log.Info("put right", "command", describe(a), "why", a.Why, "active", t.want.Active, "version", t.want.Version.String())
	p.cfg.Events.Add(t.now, done(a, t.layout.Steer, t.want.Active)+": "+a.Why)
	return true, false
}

func (p *Proxy) execute(ctx context.Context, a *plan.Action) error {
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

// describe names a command for the log.
func describe(a *plan.Action) string {
	switch a.Op {
	case plan.OpDrain, plan.OpReady:
		return fmt.Sprintf("set %s/%s to %s", a.Backend, a.Server, a.Op)
	case plan.OpClose:
		if a.Sessions == 0 {
			return fmt.Sprintf("close what is on its way to %s/%s", a.Backend, a.Server)
		}
		return fmt.Sprintf("close %d sessions to %s/%s", a.Sessions, a.Backend, a.Server)
	}
	return fmt.Sprintf("%s table %s key %s to server %d", a.Op, a.Table, a.Key, a.ServerID)
}
