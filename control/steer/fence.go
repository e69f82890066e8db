package steer

import (
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// What a proxy does that cannot reach the active (Config.OnBlind).
const (
	BlindFence  = "fence"  // it serves nobody
	BlindFollow = "follow" // the same, and the cluster moves to a node that everybody reaches
	BlindServe  = "serve"  // it goes elsewhere, alone: two writers
)

// fenceWhy tells why this proxy must serve nobody, "" if it may serve.
//
// A proxy that cannot reach the agreed active would, by HAProxy's own rules,
// send its clients to another node: a second writer that the others never hear
// of. It is fenced on its own probe's word or its HAProxy's, whatever the vote
// says: the vote is about the node, this is about the way to it. kept: connections
// stay on the active although HAProxy calls it down, so that there is time for the vote
// (letGoWhy bounds it).
func fenceWhy(cfg *Config, want *mandate.Want, nodes map[string]published.Node, layout *plan.Layout, kept bool) string {
	switch {
	case cfg.Observe || layout.Steer == nil || layout.Steer.FenceKey == "":
		return ""
	case want.Cut != "":
		return want.Cut
	case !want.MayWrite || want.Frozen || want.Local != "" || cfg.OnBlind == BlindServe:
		return ""
	case want.Blind != "":
		return fmt.Sprintf("%s cannot be reached from here: %s", want.Active, want.Blind)
	}
	switch n := nodes[want.Active]; {
	case n.State == model.ServerDown && !kept:
		return fmt.Sprintf("this HAProxy calls %s down", want.Active)
	case n.State == model.ServerMaint:
		return fmt.Sprintf("an operator put %s into maintenance in this HAProxy", want.Active)
	}
	return ""
}

// fence is what the proxy loop remembers of a fence.
type fence struct {
	why  string
	left int
	next time.Time
	// down is the active of which HAProxy calls any port down, "" if it does not, and
	// since when.
	down  string
	since time.Time
	// waits: it would be up if connections were not kept.
	waits bool
}

// actions sweeps, right after a fence went up, every server: connections that
// HAProxy retries or redispatches are counted nowhere (see sweep).
func (f *fence) actions(now time.Time, why string, backends []plan.Backend, r *plan.Result) []plan.Action {
	if (f.why == "") != (why == "") {
		f.left, f.next = sweeps, now
	}
	f.why = why
	if why == "" || f.left == 0 || now.Before(f.next) {
		return nil
	}
	f.left--
	f.next = now.Add(sweepEvery)
	return closing(backends, r, "this proxy is fenced", "")
}

// fenceOnly keeps what a proxy without a majority may do: put up or take away
// its own fence, close sessions behind it, and let HAProxy's own checks rule.
func fenceOnly(actions []plan.Action, layout *plan.Layout, fenced bool) []plan.Action {
	var out []plan.Action
	for _, a := range actions {
		switch {
		case a.Op == plan.OpClose && fenced, letsGo(&a, layout):
			out = append(out, a)
		case layout.Steer != nil && layout.Steer.FenceKey != "" && a.Table == layout.Steer.Table && a.Key == layout.Steer.FenceKey:
			out = append(out, a)
		}
	}
	return out
}
