package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// sessionsOf is what a scrape finds of haproxyd_sessions.
func sessionsOf(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "haproxyd_sessions" {
			continue
		}
		for _, m := range f.GetMetric() {
			found[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return found
}

// The figures are those of the last look, for the nodes of that look alone.
func TestSessionsByNode(t *testing.T) {
	r := prometheus.NewRegistry()
	m := newMetrics(r)
	for _, step := range []struct {
		look look
		want map[string]float64
	}{
		{look{reachable: true, nodes: map[string]nodeNow{"pxc-0": {sessions: 12}, "pxc-1": {}}}, map[string]float64{"pxc-0": 12, "pxc-1": 0}},
		{look{reachable: true, nodes: map[string]nodeNow{"pxc-1": {sessions: 3}}}, map[string]float64{"pxc-1": 3}}, // pxc-0 has left haproxy.cfg
		{look{nodes: map[string]nodeNow{"pxc-1": {sessions: 3}}}, map[string]float64{}},                            // nobody knows
	} {
		m.observe(&step.look)
		if diff := cmp.Diff(step.want, sessionsOf(t, r)); diff != "" {
			t.Fatal(diff)
		}
	}
}
