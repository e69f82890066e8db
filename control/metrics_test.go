package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

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
	a := &answer{Situation: &published.Situation{}}
	r.MustRegister(figures{func() *answer { return a }})
	for _, step := range []struct {
		look published.Look
		want map[string]float64
	}{
		{published.Look{Reachable: true, Nodes: map[string]published.Node{"pxc-0": {Sessions: 12}, "pxc-1": {}}}, map[string]float64{"pxc-0": 12, "pxc-1": 0}},
		{published.Look{Reachable: true, Nodes: map[string]published.Node{"pxc-1": {Sessions: 3}}}, map[string]float64{"pxc-1": 3}}, // pxc-0 has left haproxy.cfg
		{published.Look{Nodes: map[string]published.Node{"pxc-1": {Sessions: 3}}}, map[string]float64{}},                            // nobody knows
	} {
		a.look = &step.look
		if diff := cmp.Diff(step.want, scraped(t, r, "haproxyd_sessions")); diff != "" {
			t.Fatal(diff)
		}
	}
}
