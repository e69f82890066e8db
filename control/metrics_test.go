package control

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// scraped is what a scrape finds of a metric, by its label, "" where it has none.
func scraped(t *testing.T, r prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := ""
			if l := m.GetLabel(); len(l) > 0 {
				label = l[0].GetValue()
			}
			found[label] = m.GetGauge().GetValue()
		}
	}
	return found
}

// The figures are those of the last look, for the nodes of that look alone.
func TestSessionsByNode(t *testing.T) {
	r := prometheus.NewRegistry()
	m := published.Moment{Situation: &published.Situation{}}
	r.MustRegister(figures{func() published.Moment { return m }})
	for _, step := range []struct {
		look published.Look
		want map[string]float64
	}{
		{published.Look{Reachable: true, Nodes: map[string]published.Node{"pxc-0": {Sessions: 12}, "pxc-1": {}}}, map[string]float64{"pxc-0": 12, "pxc-1": 0}},
		{published.Look{Reachable: true, Nodes: map[string]published.Node{"pxc-1": {Sessions: 3}}}, map[string]float64{"pxc-1": 3}}, // pxc-0 has left haproxy.cfg
		{published.Look{Nodes: map[string]published.Node{"pxc-1": {Sessions: 3}}}, map[string]float64{}},                            // nobody knows
	} {
		m.Look = &step.look
		if diff := cmp.Diff(step.want, scraped(t, r, "haproxyd_sessions")); diff != "" {
			t.Fatal(diff)
		}
	}
}

// A scrape shows the moment of the answers to questions.
func TestFiguresOfOneMoment(t *testing.T) {
	d, f := newTestDaemon(t)
	d.vote.Turn(t.Context(), time.Now())
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 5, Active: "pxc-2"})
	f.Set(func(ag *cluster.Agreement) { ag.Record.Epoch, ag.Record.Value = 5, rec.Encode() })
	for _, c := range []struct {
		epoch  float64
		active string
	}{{4, "pxc-1"}, {5, "pxc-2"}} {
		if e, active := scraped(t, d.cfg.Gatherer, "haproxyd_epoch"), scraped(t, d.cfg.Gatherer, "haproxyd_active"); e[""] != c.epoch || len(active) != 1 || active[c.active] != 1 {
			t.Errorf("scraped %v, %v, want %+v", e, active, c)
		}
		d.vote.Renew()
	}
}

// What is going is a figure of its own.
func TestGoingIsScraped(t *testing.T) {
	view := clustertest.HealthyView()
	view.Nodes[1].Going = &model.Going{Shutdown: true}
	r := prometheus.NewRegistry()
	r.MustRegister(figures{func() published.Moment {
		return published.Moment{Situation: &published.Situation{Own: view}, Look: &published.Look{}}
	}})
	if v := scraped(t, r, "haproxyd_node_going"); v["pxc-1"] != 1 || v["pxc-0"] != 0 {
		t.Errorf("haproxyd_node_going is %v", v)
	}
}
