package steer

import (
	"context"

	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// What reader backends do with the active (Config.Readers).
const (
	ReadersAll           = "all"            // nothing
	ReadersExcludeActive = "exclude-active" // it drains there
)

// readers keeps the active out of the reader backends, where policy says so. It
// acts on what the agreement says and not on what this proxy could do about it:
// readers follow the writer.
func (p *Proxy) readers(ctx context.Context, t *turn) {
	backends := p.files.Readers
	if len(backends) == 0 || p.cfg.Observe || p.differs != "" {
		return
	}
	seen := p.readersNow(backends, t.snap)
	var actions []plan.Action
	switch {
	case p.cfg.Readers != ReadersExcludeActive:
		actions = plan.Readers(backends, seen, "") // what an earlier setting has drained
	case t.enforced():
		actions = plan.Readers(backends, seen, t.want.Active)
	}
	for i := range actions {
		a := &actions[i]
		mine := change{Kind: changeDrain, Backend: a.Backend, Server: a.Server, Why: a.Why}
		mode := runtimeapi.Ready
		if a.Op == plan.OpDrain {
			mode = runtimeapi.Drain
			if err := p.undo.begin(p.proc, mine); err != nil {
				p.cfg.Log.Warn("readers", "error", err)
				return
			}
		}
		if err := t.client.SetServerState(ctx, a.Backend, a.Server, mode); err != nil {
			p.cfg.Metrics.RuntimeErrors.Inc()
			p.cfg.Log.Warn("command failed", "command", describe(a), "error", err)
			p.cfg.Events.Add(t.now, undone(a, nil, a.Server, err))
			return
		}
		if a.Op == plan.OpReady {
			p.undo.end(mine)
		}
		p.cfg.Metrics.Actions.WithLabelValues(a.Op.String()).Inc()
		p.cfg.Log.Info("readers", "command", describe(a), "why", a.Why)
		p.cfg.Events.Add(t.now, done(a, nil, a.Server)+": "+a.Why)
	}
}

// readersNow reads the reader backends out of a snapshot, and forgets drains of
// this daemon that somebody else has ended or replaced meanwhile.
func (p *Proxy) readersNow(backends []plan.ReaderBackend, snap *runtimeapi.Snapshot) map[string]map[string]plan.ReaderNow {
	out := make(map[string]map[string]plan.ReaderNow, len(backends))
	for _, b := range backends {
		out[b.Name] = make(map[string]plan.ReaderNow, len(b.Servers))
	}
	for i := range snap.Servers {
		s := &snap.Servers[i]
		servers, ok := out[s.Backend]
		if !ok {
			continue
		}
		n := plan.ReaderNow{
			Running: balanced(s),
			Drained: s.Sticks() && s.Admin.Drain() && !s.Admin.Maint(),
		}
		if n.Ours = p.undo.mine(changeDrain, s.Backend, s.Name); n.Ours && !s.Admin.Drain() {
			p.undo.end(change{Kind: changeDrain, Backend: s.Backend, Server: s.Name})
			n.Ours = false
		}
		servers[s.Name] = n
	}
	return out
}
