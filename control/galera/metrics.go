package galera

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of all nodes.
type metrics struct {
	duration *prometheus.HistogramVec // node
	verdict  *prometheus.GaugeVec     // node, verdict
	failures *prometheus.CounterVec   // node, class
	connects *prometheus.CounterVec   // node
	pauses   *prometheus.CounterVec   // node
	commits  *prometheus.HistogramVec // node
	stuck    *prometheus.GaugeVec     // node
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "haproxyd_galera_probe_duration_seconds",
			Help:    "Time of one probe of a database node, failed ones included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"node"}),
		verdict: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "haproxyd_galera_node_verdict",
			Help: "1 for the verdict that this daemon has of the node, 0 for the others.",
		}, []string{"node", "verdict"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "haproxyd_galera_probe_errors_total",
			Help: "Probes that found the node down or said nothing of it, by class.",
		}, []string{"node", "class"}),
		connects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "haproxyd_galera_probe_connections_total",
			Help: "Connections that the probe made to the node.",
		}, []string{"node"}),
		pauses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "haproxyd_galera_probe_own_pauses_total",
			Help: "Probes that were discarded because this process was not running while it waited.",
		}, []string{"node"}),
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "haproxyd_galera_canary_duration_seconds",
			Help:    "Time of the canary's successful commits on a database node.",
			Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"node"}),
		stuck: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "haproxyd_galera_node_stuck",
			Help: "1 if the node's own commits are seen to hang.",
		}, []string{"node"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.duration, m.verdict, m.failures, m.connects, m.pauses, m.commits, m.stuck} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("galera: cannot register a metric: %w", err)
		}
	}
	return m, nil
}

// forget drops the series of a node that is no longer probed.
func (m *metrics) forget(node string) {
	labels := prometheus.Labels{"node": node}
	m.duration.DeletePartialMatch(labels)
	m.verdict.DeletePartialMatch(labels)
	m.failures.DeletePartialMatch(labels)
	m.connects.DeletePartialMatch(labels)
	m.pauses.DeletePartialMatch(labels)
	m.commits.DeletePartialMatch(labels)
	m.stuck.DeletePartialMatch(labels)
}

func (m *metrics) stuckNow(node string, stuck bool) {
	value := 0.0
	if stuck {
		value = 1
	}
	m.stuck.WithLabelValues(node).Set(value)
}

// nodeMetrics are those of one node, with their labels looked up once.
type nodeMetrics struct {
	all      *metrics
	node     string
	duration prometheus.Observer
	connects prometheus.Counter
	pauses   prometheus.Counter
	commits  prometheus.Observer
}

func (m *metrics) of(node string) nodeMetrics {
	return nodeMetrics{
		all: m, node: node,
		duration: m.duration.WithLabelValues(node),
		connects: m.connects.WithLabelValues(node),
		pauses:   m.pauses.WithLabelValues(node),
		commits:  m.commits.WithLabelValues(node),
	}
}

func (m nodeMetrics) observe(o Outcome, took time.Duration) {
	m.duration.Observe(took.Seconds())
	if o.Kind == KindDown || o.Kind == KindUnknown {
		m.all.failures.WithLabelValues(m.node, string(o.Class)).Inc()
	}
}

func (m nodeMetrics) verdict(v Verdict) {
	for _, known := range []Verdict{Unknown, Healthy, Down} {
		value := 0.0
		if known == v {
			value = 1
		}
		m.all.verdict.WithLabelValues(m.node, known.String()).Set(value)
	}
}
