package steer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

func TestFenceWhy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config, *mandate.Want, map[string]published.Node, *plan.Layout)
		want   string
	}{
		{name: "all is well", change: func(*Config, *mandate.Want, map[string]published.Node, *plan.Layout) {}},
		{name: "the probe does not reach the active", change: func(_ *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) { w.Blind = "refused" }, want: "refused"},
		{name: "HAProxy calls it down", change: func(_ *Config, _ *mandate.Want, n map[string]published.Node, _ *plan.Layout) {
			n["b"] = published.Node{State: model.ServerDown}
		}, want: "calls b down"},
		{name: "HAProxy calls another one down", change: func(_ *Config, _ *mandate.Want, n map[string]published.Node, _ *plan.Layout) {
			n["a"] = published.Node{State: model.ServerDown}
		}},
		{name: "an operator's maintenance", change: func(_ *Config, _ *mandate.Want, n map[string]published.Node, _ *plan.Layout) {
			n["b"] = published.Node{State: model.ServerMaint}
		}, want: "maintenance"},
		{name: "an operator's drain still serves", change: func(_ *Config, _ *mandate.Want, n map[string]published.Node, _ *plan.Layout) {
			n["b"] = published.Node{State: model.ServerDrain}
		}},
		{name: "serve", change: func(c *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) {
			c.OnBlind, w.Blind = BlindServe, "refused"
		}},
		{name: "follow fences meanwhile", change: func(c *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) {
			c.OnBlind, w.Blind = BlindFollow, "refused"
		}, want: "refused"},
		{name: "observe never writes", change: func(c *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) {
			c.Observe, w.Blind, w.Cut = true, "refused", "cut"
		}},
		{name: "no private table", change: func(_ *Config, w *mandate.Want, _ map[string]published.Node, l *plan.Layout) {
			l.Steer, w.Blind, w.Cut = nil, "refused", "cut"
		}},
		{name: "no fence rule", change: func(_ *Config, w *mandate.Want, _ map[string]published.Node, l *plan.Layout) {
			l.Steer, w.Blind = &plan.Steer{Table: "s", ActiveKey: "1"}, "refused"
		}},
		{name: "frozen: HAProxy's own checks rule", change: func(_ *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) {
			w.Frozen, w.Blind = true, "refused"
		}},
		{name: "no majority: it may be old", change: func(_ *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) {
			w.MayWrite, w.Blind = false, "refused"
		}},
		{name: "cut off, by policy", change: func(_ *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) {
			w.MayWrite, w.Cut = false, "no majority"
		}, want: "no majority"},
		{name: "an operator's order for this proxy alone", change: func(_ *Config, w *mandate.Want, _ map[string]published.Node, _ *plan.Layout) {
			w.Local, w.Blind = "b", "refused"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{OnBlind: BlindFence}
			want := mandate.Want{Known: true, MayWrite: true, Active: "b"}
			nodes := map[string]published.Node{"a": {State: model.ServerUp}, "b": {State: model.ServerUp}}
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
func fencedDaemon(t *testing.T) (*rig, *clustertest.Cluster, *clears) {
	d, f, h := withProxy(t, clustertest.Config)
	c := &clears{fakeHAProxy: h}
	h.tables["steer"] = []runtimeapi.Entry{{Key: "2", ServerID: 1}}
	d.cfg.Dial = func(string) (HAProxy, error) { return c, nil }
	d.files.Layout.Steer = &plan.Steer{Table: "steer", ActiveKey: "1", FenceKey: "2"}
	d.files.Query.Tables = append(d.files.Query.Tables, "steer")
	return d, f, c
}

// A fence that an earlier daemon has left is lifted also where nothing is decided,
// and nothing else is written then.
func TestLeftoverFenceIsLiftedWithoutADecision(t *testing.T) {
	d, f, c := fencedDaemon(t)
	f.Set(func(ag *cluster.Agreement) { *ag = cluster.Agreement{Reason: "nothing is decided", FreshAge: -1} })
	d.Turn(t.Context())
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
	d.rules = mandate.New(mandate.Policy{Name: "px0", FenceAfter: 3 * time.Second}, time.Now())
	f.Set(func(ag *cluster.Agreement) { ag.Fresh, ag.FreshAge = false, -1 })
	d.Turn(t.Context())
	if c.fence > 0 {
		t.Error("the others have failed over because this proxy is fenced, and now it serves the old node")
	}
	if l := d.Look(); l.Fenced == "" {
		t.Errorf("does not say that it is fenced: %+v", l)
	}
	f.Set(func(ag *cluster.Agreement) { ag.Fresh, ag.FreshAge = true, 0 })
	for range 3 {
		d.Turn(t.Context())
	}
	if c.fence == 0 {
		t.Error("the fence stays up with a majority")
	}
}
