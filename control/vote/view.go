package vote

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// buildView joins the probe's verdicts with the last look at HAProxy.
func (v *Loop) buildView(s *joined, ag *cluster.Agreement) *model.View {
	view := &model.View{Agreed: ag.Fresh, Observe: v.cfg.Observe}
	if ag.Known {
		view.Recovery, view.Epoch = ag.Record.Recovery, ag.Record.Epoch
	}
	v.mu.Lock()
	if ag.IsLeader && ag.Fresh {
		view.ReviewedTerm = v.reviewedTerm
	}
	v.mu.Unlock()
	l := v.look().AsOf(v.cfg.Now())
	if v.cfg.Look != nil {
		view.Proxy = v.proxyView(l)
		if l.Want.Epoch() != view.At() {
			view.Proxy.Converged = false // the look was held against another decision
		}
	}
	var probes []galera.NodeStatus
	if s.prober != nil {
		probes = s.prober.Status()
		v.tellStalls(probes)
		view.Arbitrators = s.prober.Arbitrators()
	}
	if topo := v.cfg.Files.Topology(); topo != nil {
		for _, node := range haproxycfg.Order(topo) {
			n := nodeView(node, l, probes, s.prober != nil)
			n.Lacks = v.lacks(node, s.prober != nil)
			view.Nodes = append(view.Nodes, n)
		}
		v.addGoing(view, topo, probes, v.cfg.Now())
	}
	if view.Proxy != nil {
		view.Proxy.WentDown = v.downs.note(l, view)
	}
	return view
}

// look is the last look at this member's HAProxy, empty before the first and for a witness.
func (v *Loop) look() *published.Look {
	if v.cfg.Look == nil {
		return &published.Look{}
	}
	return v.cfg.Look()
}

// downs are the nodes that this member's probe has called down since its HAProxy was last
// steered.
type downs struct {
	steered time.Time
	nodes   map[string]bool
}

// note takes a view, and returns these and the nodes that HAProxy itself has called down.
func (d *downs) note(l *published.Look, view *model.View) []string {
	if d.nodes == nil || !l.LastSteered.Equal(d.steered) {
		d.steered, d.nodes = l.LastSteered, map[string]bool{}
	}
	for i := range view.Nodes {
		if n := &view.Nodes[i]; view.Proxy.Native && n.Verdict == model.Down {
			d.nodes[n.Name] = true
		}
	}
	all := maps.Clone(d.nodes)
	for _, name := range l.WentDown {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// lacks is what this member needs to tell a node's transactions apart, "" for nothing.
func (v *Loop) lacks(node string, probing bool) string {
	if !probing || v.cfg.Inspectors.Dial == nil {
		return model.LacksProbe
	}
	lacks, known := v.cfg.Inspectors.Lacks(node)
	if !known {
		return "a look at the privileges of its probe user, which has not succeeded yet"
	}
	return lacks
}

func (v *Loop) proxyView(l *published.Look) *model.ProxyView {
	if l.At.IsZero() {
		return &model.ProxyView{Native: true, Problem: cmp.Or(v.cfg.Files.Problem(), "not looked at yet")}
	}
	p := &model.ProxyView{
		Reachable: l.Reachable, Version: l.Version, Pid: l.Pid, UptimeS: int64(l.Uptime / time.Second),
		Layout: l.Layout, Beacon: l.Beacon, Steering: l.Steering, Effective: l.Effective,
		Converged: l.Want.Known && l.Result.Converged, Elsewhere: l.Result.Elsewhere,
		Problem: l.Problem, Native: l.Native,
		Fenced: l.Fenced, LocalOnly: l.Want.Local, CanHold: l.CanHold, CanWait: l.CanWait, Moved: l.Moved, Astray: l.Astray, Move: l.Move,
	}
	if !l.Silent.IsZero() {
		p.SilentMS = max(v.cfg.Now().Sub(l.Silent).Milliseconds(), 1)
	}
	if p.Problem == "" {
		p.Problem = v.cfg.Files.Problem()
	}
	if p.Problem == "" && l.Want.Known && !l.Result.Converged {
		p.Problem = l.Result.Reason
	}
	if p.Problem == "" && !l.Want.MayWrite {
		p.Problem = l.Want.Why
	}
	return p
}

// nodeView is this member's word on one node. Without a probe HAProxy's own
// check is the verdict. An operator's maintenance in this HAProxy is a word
// about this proxy, not about the node: unknown.
func nodeView(node string, l *published.Look, probes []galera.NodeStatus, probing bool) model.NodeView {
	v := model.NodeView{Name: node, Verdict: model.Unknown, Server: model.ServerUnknown, Reason: "not looked at yet"}
	if l.Reachable {
		if n, ok := l.Nodes[node]; ok {
			v.Server, v.Sessions, v.Used = n.State, n.Sessions, n.Used
			v.Refused = n.Refused && n.State == model.ServerUp
		}
	}
	if probing {
		for i := range probes {
			if p := &probes[i]; p.Node == node {
				v.Verdict, v.Eligible, v.Avoid = verdict(p.Verdict), p.Eligible, p.Avoid
				v.Stuck, v.Alone, v.Paused = p.Stuck, p.StuckAlone, p.FlowPaused
				v.Reason, v.UUID, v.Class, v.Seqno = p.Reason, p.StateUUID, string(p.Class), max(p.LastCommitted, 0)
				v.Group = groupOf(p)
			}
		}
	} else {
		switch v.Server {
		case model.ServerUp:
			v.Verdict, v.Eligible, v.Reason = model.Healthy, true, "HAProxy's check says up"
		case model.ServerDrain:
			v.Verdict, v.Avoid, v.Reason = model.Healthy, true, "up, but draining in HAProxy"
		case model.ServerDown:
			v.Verdict, v.Reason = model.Down, "HAProxy's check says down"
		}
	}
	if v.Server == model.ServerMaint {
		v.Verdict, v.Eligible = model.Unknown, false
		v.Reason = "an operator put it into maintenance in this HAProxy"
	}
	return v
}

func verdict(v galera.Verdict) model.Verdict {
	switch v {
	case galera.Healthy:
		return model.Healthy
	case galera.Down:
		return model.Down
	}
	return model.Unknown
}

// publish gossips the view: at once when it says something new, else calmly, and
// very calmly on a member that does not vote.
func (v *Loop) publish(s *joined, view *model.View, voting bool, now time.Time) {
	b := significantPart(view)
	every := publishEvery
	switch {
	case view.Proxy != nil && view.Proxy.Move != nil && !view.Proxy.Move.Done && view.Proxy.Move.Epoch == view.Epoch:
		every = watchedEvery // somebody watches its progress
	case !voting:
		every = published.FollowerViewWithin / 2
	}
	if bytes.Equal(b, v.published) && now.Sub(v.publishedAt) < every {
		return
	}
	v.published, v.publishedAt = b, now
	s.cluster.Publish(view.Encode())
}

// significantPart is what the others should hear of at once, not what counts on
// by itself. Whether there are sessions matters for the two-writer time, how many
// does not.
func significantPart(view *model.View) []byte {
	sig := *view
	sig.Nodes = append([]model.NodeView(nil), view.Nodes...)
	for i := range sig.Nodes {
		n := &sig.Nodes[i]
		n.Sessions, n.Reason, n.Seqno = min(n.Sessions, 1), "", 0
		if n.Group != nil {
			g := *n.Group
			g.Late, n.Group = "", &g
		}
		if n.Going != nil {
			g := *n.Going
			g.LeftMS, n.Going = 0, &g
		}
	}
	if view.Proxy != nil {
		p := *view.Proxy
		p.UptimeS, p.Elsewhere, p.SilentMS = 0, 0, 0
		p.Astray = slices.Clone(p.Astray)
		for i := range p.Astray {
			p.Astray[i].Connections = 0
		}
		if p.Move != nil {
			p.Move = &model.MoveView{Recovery: p.Move.Recovery, Epoch: p.Move.Epoch, Held: p.Move.Held, Done: p.Move.Done, Problem: p.Move.Problem}
		}
		sig.Proxy = &p
	}
	return sig.Encode()
}
