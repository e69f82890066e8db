package steer

import (
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
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
func stay(cfg *Config, want *mandate.Want, nodes map[string]published.Node, layout *plan.Layout, h keptNow) (letGo, fence string) {
	letGo = letGoWhy(cfg, want, &h)
	return letGo, fenceWhy(cfg, want, nodes, layout, h.kept && h.steered && letGo == "")
}

// letGoWhy tells why this HAProxy's own checks must rule where its connections go,
// "" if they may be kept on the active: a fresh majority's probes and this daemon's
// own call it serving, nothing is being moved, nobody has told HAProxy otherwise, and
// its check passes, or has failed a moment ago only.
func letGoWhy(cfg *Config, want *mandate.Want, h *keptNow) string {
	switch {
	case !want.MayWrite:
		return "no majority stands behind it: " + want.Why
	case want.Local != "":
		return "an operator forced this proxy alone"
	case cfg.OnBlind == BlindServe:
		return "a proxy that cannot reach the active goes elsewhere, by --on-blind serve"
	case want.Frozen:
		return "frozen: HAProxy's own checks rule"
	case want.Move != nil:
		return "a move is pending"
	case h.holding:
		return "a hold is being taken back"
	case want.Unserved != "":
		return want.Unserved
	}
	switch h.state {
	case model.ServerUp:
		return ""
	case model.ServerMaint, model.ServerDrain:
		return fmt.Sprintf("an operator put %s into %s in this HAProxy", want.Active, h.state)
	case model.ServerDown:
		if h.kept && h.downFor < voteWithin {
			return ""
		}
	}
	return fmt.Sprintf("this HAProxy calls %s down", want.Active)
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

// noteDown takes the state of a look, and returns for how long by these this HAProxy has called the active, or
// one of its ports, down.
func (f *fence) noteDown(now time.Time, active string, state model.ServerState) time.Duration {
	if state != model.ServerDown {
		f.down = ""
		return 0
	}
	if f.down != active {
		f.down, f.since = active, now
	}
	return now.Sub(f.since)
}
