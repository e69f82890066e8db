package vote

import (
	"context"
	"maps"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/clock"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/writers"
)

const (
	// measureEvery is the pace of reading the nodes' counters: the probe's own.
	measureEvery = writers.Interval
	// sessionsEvery is the pace of reading the views' sessions while at most one node
	// commits; with more, every turn does.
	sessionsEvery = 500 * time.Millisecond
)

// measure keeps the two-writer time: how long several nodes took commits through
// the proxies at once. Every member computes it for the whole cluster, from what
// its probe and the others' views tell, so one member's figure is enough.
func (v *Loop) measure(ctx context.Context, s *joined) {
	background := 0
	if v.cfg.Canary {
		background = max(len(s.cluster.Agreement().Voters), 1)
	}
	m := writers.New(background)
	last := map[string]galera.NodeStatus{}
	moved := map[string]time.Time{} // when a node's counter last grew
	heard := map[string]bool{}
	var sampled time.Time
	clock.Loop(ctx, func() time.Duration {
		now := time.Now()
		for _, n := range s.prober.Status() {
			before := last[n.Node]
			if n.At.Equal(before.At) || n.LastCommitted <= 0 {
				continue
			}
			last[n.Node] = n
			m.Sample(n.Node, n.At, n.Replicated)
			if n.Replicated != before.Replicated {
				moved[n.Node] = now
			}
		}
		writing := 0
		for _, at := range moved {
			if now.Sub(at) < 2*sessionsEvery {
				writing++
			}
		}
		if writing > 1 || now.Sub(sampled) >= sessionsEvery {
			sampled = now
			v.sampleSessions(m, s, now, heard)
		}
		if two := m.Advance(now); two > 0 {
			v.two.Add(int64(two))
		}
		return clock.OnGrid(time.Now(), measureEvery)
	})
}

// TwoWriters is for how long several nodes have taken commits through the proxies at once, since this daemon began.
func (v *Loop) TwoWriters() time.Duration { return time.Duration(v.two.Load()) }

// sessionMeter is *writers.Meter.
type sessionMeter interface {
	Sessions(at time.Time, proxy string, byNode map[string]int)
}

// sampleSessions tells the meter which proxy has sessions to which node. A voter
// that does not answer may have some anywhere, for its HAProxy goes on; another
// member keeps those it had, and has none once it is forgotten, a minute later.
// heard are the proxies so far.
func (v *Loop) sampleSessions(m sessionMeter, s *joined, now time.Time, heard map[string]bool) {
	if l := v.look(); l.Reachable {
		by := map[string]int{}
		for name, n := range l.Nodes {
			by[name] = n.Sessions
		}
		m.Sessions(now, v.cfg.Name, by)
	}
	quiet := v.quiet(s)
	for _, w := range v.others(s) {
		delete(quiet, w.Member)
		if w.View.Proxy == nil {
			continue
		}
		by := make(map[string]int, len(w.View.Nodes))
		for _, n := range w.View.Nodes {
			by[n.Name] = n.Sessions
		}
		m.Sessions(now, w.Member, by)
		heard[w.Member] = true
	}
	gone := maps.Clone(heard)
	for _, member := range s.cluster.Members() {
		delete(gone, member.Name)
	}
	for name := range gone {
		m.Sessions(now, name, nil)
		delete(heard, name)
	}
	topo := v.cfg.Files.Topology()
	if topo == nil {
		return
	}
	anywhere := map[string]int{}
	for _, node := range haproxycfg.Order(topo) {
		anywhere[node] = 1
	}
	for name := range quiet {
		m.Sessions(now, name, anywhere)
	}
}

// quiet are the voters with a proxy, of which those that are not heard may have
// sessions anywhere: a HAProxy without its daemon serves on, and the nodes'
// counters tell whether it writes.
func (v *Loop) quiet(s *joined) map[string]bool {
	out := map[string]bool{}
	for _, w := range s.cluster.Agreement().Voters {
		out[w.Name] = true
	}
	for _, m := range s.cluster.Members() {
		if m.Witness || m.Self {
			delete(out, m.Name)
		}
	}
	return out
}
