package control

import (
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// voteWithin is how long a proxy whose HAProxy calls the active down waits for the
// vote before it fences itself, where its connections are kept meanwhile. A vote
// takes less than a tenth of a second; a check that begins to refuse what serves, a
// donor for example, is seen by every HAProxy within its interval.
const voteWithin = 300 * time.Millisecond

// keptNow is what this HAProxy does with connections whose node it may call down.
type keptNow struct {
	state   model.ServerState // of the active, see everywhere
	kept    bool              // the key that keeps them is there,
	steered bool              // and HAProxy asks for it
	holding bool              // a hold is there, or is being taken back
	downFor time.Duration
}

// stay tells why connections may not be kept on the active, "" if they may, and why
// this proxy must serve nobody, "" if it may serve. Where HAProxy calls the active down
// and nothing keeps its clients from another node, it is fenced at once.
func stay(cfg *Config, want *desired, nodes map[string]nodeNow, layout *plan.Layout, h keptNow) (letGo, fence string) {
	letGo = letGoWhy(cfg, want, &h)
	return letGo, fenceWhy(cfg, want, nodes, layout, h.kept && h.steered && letGo == "")
}

// letGoWhy tells why this HAProxy's own checks must rule where its connections go,
// "" if they may be kept on the active: a fresh majority's probes and this daemon's
// own call it serving, nothing is being moved, nobody has told HAProxy otherwise, and
// its check passes, or has failed a moment ago only.
func letGoWhy(cfg *Config, want *desired, h *keptNow) string {
	switch {
	case !want.mayWrite:
		return "no majority stands behind it: " + want.why
	case want.local != "":
		return "an operator forced this proxy alone"
	case cfg.OnBlind == BlindServe:
		return "a proxy that cannot reach the active goes elsewhere, by --on-blind serve"
	case want.frozen:
		return "frozen: HAProxy's own checks rule"
	case want.move != nil:
		return "a move is pending"
	case h.holding:
		return "a hold is being taken back"
	case want.unserved != "":
		return want.unserved
	}
	switch h.state {
	case model.ServerUp:
		return ""
	case model.ServerMaint, model.ServerDrain:
		return fmt.Sprintf("an operator put %s into %s in this HAProxy", want.active, h.state)
	case model.ServerDown:
		if h.kept && h.downFor < voteWithin {
			return ""
		}
	}
	return fmt.Sprintf("this HAProxy calls %s down", want.active)
}

// letsGo tells whether an action takes away the key that keeps connections: what may
// always be done, and before a hold must be.
func letsGo(a *plan.Action, layout *plan.Layout) bool {
	return a.Op == plan.OpClear && onKeepKey(a, layout)
}

// keeps tells whether an action sets it.
func keeps(a *plan.Action, layout *plan.Layout) bool {
	return a.Op == plan.OpSet && onKeepKey(a, layout)
}

func onKeepKey(a *plan.Action, layout *plan.Layout) bool {
	s := layout.Steer
	return s != nil && s.KeepKey != "" && a.Table == s.Table && a.Key == s.KeepKey
}

// everywhere is the active's state for all of its ports: state says that it is up where
// any of them is. The probe speaks of one; a service that the node really does not offer is
// HAProxy's to send elsewhere, as it is without a key.
func everywhere(layout *plan.Layout, obs *plan.Observed, active string, state model.ServerState) model.ServerState {
	for i := range layout.Backends {
		if now := obs.Servers[layout.Backends[i].Name][active]; state == model.ServerUp && !now.Running && !now.Drain {
			return model.ServerDown
		}
	}
	return state
}

// downFor tells for how long, as the looks saw, this HAProxy has called the active, or
// one of its ports, down.
func (f *fence) downFor(now time.Time, active string, state model.ServerState) time.Duration {
	if state != model.ServerDown {
		f.down = ""
		return 0
	}
	if f.down != active {
		f.down, f.since = active, now
	}
	return now.Sub(f.since)
}

// unserved tells why the probes do not say that the active serves, "" if they do:
// those of a majority of all voters, freshly, and this member's own, which alone
// knows the way from here.
func (d *Daemon) unserved(s *started, ag *cluster.Agreement, rec *model.Record) string {
	if s.prober == nil || !probed(s.prober, rec.Active) {
		return fmt.Sprintf("this daemon's probe does not find %s serving", rec.Active)
	}
	voices, _ := d.voices(s.cluster.Views())
	in := &decide.Input{Record: rec, Voters: voterNames(ag), Voices: voices}
	if t := decide.Count(in, rec.Active); t.Healthy < in.Majority() {
		return fmt.Sprintf("%d of %d voters' probes find %s serving, no majority", t.Healthy, len(in.Voters), rec.Active)
	}
	return ""
}

func probed(p Prober, node string) bool {
	for _, n := range p.Status() {
		if n.Node == node {
			return n.Verdict == galera.Healthy
		}
	}
	return false
}
