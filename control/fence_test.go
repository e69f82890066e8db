package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

func TestFenceWhy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config, *desired, map[string]nodeNow, *plan.Layout)
		want   string
	}{
		{name: "all is well", change: func(*Config, *desired, map[string]nodeNow, *plan.Layout) {}},
		{name: "the probe does not reach the active", change: func(_ *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) { w.blind = "refused" }, want: "refused"},
		{name: "HAProxy calls it down", change: func(_ *Config, _ *desired, n map[string]nodeNow, _ *plan.Layout) {
			n["b"] = nodeNow{state: model.ServerDown}
		}, want: "calls b down"},
		{name: "HAProxy calls another one down", change: func(_ *Config, _ *desired, n map[string]nodeNow, _ *plan.Layout) {
			n["a"] = nodeNow{state: model.ServerDown}
		}},
		{name: "an operator's maintenance", change: func(_ *Config, _ *desired, n map[string]nodeNow, _ *plan.Layout) {
			n["b"] = nodeNow{state: model.ServerMaint}
		}, want: "maintenance"},
		{name: "an operator's drain still serves", change: func(_ *Config, _ *desired, n map[string]nodeNow, _ *plan.Layout) {
			n["b"] = nodeNow{state: model.ServerDrain}
		}},
		{name: "serve", change: func(c *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) {
			c.OnBlind, w.blind = BlindServe, "refused"
		}},
		{name: "follow fences meanwhile", change: func(c *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) {
			c.OnBlind, w.blind = BlindFollow, "refused"
		}, want: "refused"},
		{name: "observe never writes", change: func(c *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) {
			c.Observe, w.blind, w.cut = true, "refused", "cut"
		}},
		{name: "no private table", change: func(_ *Config, w *desired, _ map[string]nodeNow, l *plan.Layout) {
			l.Steer, w.blind, w.cut = nil, "refused", "cut"
		}},
		{name: "no fence rule", change: func(_ *Config, w *desired, _ map[string]nodeNow, l *plan.Layout) {
			l.Steer, w.blind = &plan.Steer{Table: "s", ActiveKey: "1"}, "refused"
		}},
		{name: "frozen: HAProxy's own checks rule", change: func(_ *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) { w.frozen, w.blind = true, "refused" }},
		{name: "no majority: it may be old", change: func(_ *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) {
			w.mayWrite, w.blind = false, "refused"
		}},
		{name: "cut off, by policy", change: func(_ *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) {
			w.mayWrite, w.cut = false, "no majority"
		}, want: "no majority"},
		{name: "an operator's order for this proxy alone", change: func(_ *Config, w *desired, _ map[string]nodeNow, _ *plan.Layout) { w.local, w.blind = "b", "refused" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{OnBlind: BlindFence}
			want := desired{known: true, mayWrite: true, active: "b"}
			nodes := map[string]nodeNow{"a": {state: model.ServerUp}, "b": {state: model.ServerUp}}
			layout := plan.Layout{Steer: &plan.Steer{Table: "s", ActiveKey: "1", FenceKey: "2"}}
			tt.change(&cfg, &want, nodes, &layout)
			got := fenceWhy(&cfg, &want, nodes, &layout, false)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// clears counts what takes a fence away.
type clears struct {
	*fakeHAProxy
	fence int
}

func (c *clears) ClearTable(_ context.Context, table, key string) error {
	if key == "2" {
		c.fence++
		c.tables[table] = nil
	}
	return nil
}

// fencedDaemon is one whose HAProxy is fenced by an earlier daemon.
func fencedDaemon(t *testing.T) (*Daemon, *fakeCluster, *clears) {
	d, f, h := withProxy(t, testConfig)
	c := &clears{fakeHAProxy: h}
	h.tables["steer"] = []runtimeapi.Entry{{Key: "2", ServerID: 1}}
	d.proxy.dial = func(string) (HAProxy, error) { return c, nil }
	d.files.layout.Steer = &plan.Steer{Table: "steer", ActiveKey: "1", FenceKey: "2"}
	d.files.query.Tables = append(d.files.query.Tables, "steer")
	return d, f, c
}

// A fence that an earlier daemon has left is lifted also where nothing is decided,
// and nothing else is written then.
func TestLeftoverFenceIsLiftedWithoutADecision(t *testing.T) {
	d, f, c := fencedDaemon(t)
	f.set(func(ag *cluster.Agreement) { *ag = cluster.Agreement{Reason: "nothing is decided", FreshAge: -1} })
	d.proxy.turn(t.Context())
	if c.fence == 0 {
		t.Error("the fence stays up for as long as nothing is decided")
	}
	if c.calls["set steer"]+c.calls["set galera-nodes"] > 0 {
		t.Errorf("written without a decision: %v", c.calls)
	}
}

// A daemon that starts without a majority does not lift the fence that policy wants
// there, only because it has not counted long enough by itself.
func TestFenceWithoutAMajorityOutlivesTheDaemon(t *testing.T) {
	d, f, c := fencedDaemon(t)
	d.cfg.OnNoMajority, d.proxy.cfg.OnNoMajority = NoMajorityFence, NoMajorityFence
	f.set(func(ag *cluster.Agreement) { ag.Fresh, ag.FreshAge = false, -1 })
	d.proxy.turn(t.Context())
	if c.fence > 0 {
		t.Error("the others have failed over because this proxy is fenced, and now it serves the old node")
	}
	if l := d.proxy.latest(); l.fenced == "" {
		t.Errorf("does not say that it is fenced: %+v", l)
	}
	f.set(func(ag *cluster.Agreement) { ag.Fresh, ag.FreshAge = true, 0 })
	for range 3 {
		d.proxy.turn(t.Context())
	}
	if c.fence == 0 {
		t.Error("the fence stays up with a majority")
	}
}

func TestCutOff(t *testing.T) {
	d, _ := newTestDaemon(t)
	d.cfg.OnNoMajority, d.cfg.FenceAfter = NoMajorityFence, 3*time.Second
	d.born = time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name string
		ag   cluster.Agreement
		want bool
	}{
		{"a majority", cluster.Agreement{Fresh: true}, false},
		{"not for long", cluster.Agreement{FreshAge: time.Second}, false},
		{"for long", cluster.Agreement{FreshAge: 3 * time.Second}, true},
		{"never since it started", cluster.Agreement{FreshAge: -1}, true},
	} {
		if got := d.cutOff(&tt.ag); (got != "") != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	d.cfg.OnNoMajority = NoMajorityNative
	if got := d.cutOff(&cluster.Agreement{FreshAge: time.Hour}); got != "" {
		t.Errorf("native: %q", got)
	}
}

// A majority ends an operator's order for this proxy alone, once.
func TestLocalOrder(t *testing.T) {
	dropped := 0
	l := local{dropped: func(string) { dropped++ }}
	alone, agreed := &cluster.Agreement{}, &cluster.Agreement{Fresh: true}
	if _, ok := l.want(alone); ok {
		t.Error("an order that nobody gave")
	}
	l.set("pxc-2")
	first, ok := l.want(alone)
	if !ok || first.active != "pxc-2" || !first.mayWrite || first.version == alone.Record.Version {
		t.Errorf("%+v", first)
	}
	l.set("pxc-2")
	if second, _ := l.want(alone); second.version == first.version {
		t.Error("a second order must be seen as one")
	}
	if _, ok := l.want(agreed); ok || l.now() != "" || dropped != 1 {
		t.Errorf("a majority does not end it: %t, %q, %d", ok, l.now(), dropped)
	}
	if _, ok := l.want(alone); ok || dropped != 1 {
		t.Error("it came back without the majority")
	}
}

// looks is a prober that has looked.
type looks struct {
	Prober
	found []galera.NodeStatus
}

func (l looks) Status() []galera.NodeStatus { return l.found }

// A node that accepts connections is a matter of the vote, however long it is silent: this proxy has a way to it.
func TestBlindIsAboutTheWay(t *testing.T) {
	for _, c := range []struct {
		node    string
		verdict galera.Verdict
		class   galera.Class
		blind   bool
	}{
		{"b", galera.Down, galera.ClassTimeout, true},
		{"b", galera.Down, galera.ClassRefused, true},
		{"b", galera.Down, galera.ClassUnreachable, true},
		{"b", galera.Down, galera.ClassSilent, false},
		{"a", galera.Down, galera.ClassTimeout, false},
		{"b", galera.Unknown, galera.ClassName, false},
		{"b", galera.Healthy, galera.ClassSynced, false},
	} {
		s := &started{prober: looks{found: []galera.NodeStatus{{Node: c.node, State: galera.State{Verdict: c.verdict, Class: c.class, Reason: "because"}}}}}
		if got := s.blind("b"); (got != "") != c.blind {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
