package vote

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
)

// newTestLoop is px0's, a witness, in a cluster of three; the test turns it.
func newTestLoop(t *testing.T, change ...func(*Config)) (*Loop, *clustertest.Cluster) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	files := clustertest.Files(t, clustertest.Config, log)
	counter := func() prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts{Name: "a"}) }
	cfg := Config{
		Name: "px0", Files: files, Inspectors: &drain.Inspectors{Nodes: files.Targets}, Wake: func() {}, UUID: func(string) {},
		Now: time.Now, Events: journal.New(200), Log: log,
		Metrics: Metrics{
			Turns: counter(), BadViews: counter(), Cut: counter(),
			Proposals:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a"}, []string{"kind", "result"}),
			Evictions:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "b"}, []string{"result"}),
			MoveSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "d"}, []string{"result"}),
			Decisions:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c"}, []string{"kind"}),
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	f := clustertest.New()
	v := New(cfg)
	v.own = clustertest.HealthyView()
	v.Join(f, nil)
	return v, f
}

// hear reads the agreement, as the loops do.
func hear(v *Loop) mandate.Want {
	_, want := v.Hear(mandate.Facts{})
	return want
}
