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
	stall    *prometheus.HistogramVec // node
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	times := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"node"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		duration: times("haproxyd_galera_probe_duration_seconds", "Time of one probe of a database node, failed ones included.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5),
		verdict: gauge("haproxyd_galera_node_verdict",
			"1 for the verdict that this daemon has of the node, 0 for the others.", "node", "verdict"),
		failures: counter("haproxyd_galera_probe_errors_total",
			"Probes that found the node down or said nothing of it, by class.", "node", "class"),
		connects: counter("haproxyd_galera_probe_connections_total", "Connections that the probe made to the node.", "node"),
		pauses: counter("haproxyd_galera_probe_own_pauses_total",
			"Probes that were discarded because this process was not running while it waited.", "node"),
		commits: times("haproxyd_galera_canary_duration_seconds", "Time of the canary's successful commits on a database node.",
			.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30),
		stuck: gauge("haproxyd_galera_node_stuck", "1 if the node's own commits are seen to hang.", "node"),
		stall: times("haproxyd_galera_stall_seconds", "How long the other nodes waited, without a commit, for this node's process that had ended.",
			.05, .1, .15, .2, .3, .4, .6, .8, 1, 1.5, 2, 3, 5, 7, 10, 15),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range m.all() {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("galera: cannot register a metric: %w", err)
		}
	}
	return m, nil
}

// forget drops the series of a node that is no longer probed.
func (m *metrics) forget(node string) {
	for _, c := range m.all() {
		c.DeletePartialMatch(prometheus.Labels{"node": node})
	}
}

func (m *metrics) all() []*prometheus.MetricVec {
	return []*prometheus.MetricVec{
		m.duration.MetricVec, m.verdict.MetricVec, m.failures.MetricVec, m.connects.MetricVec,
		m.pauses.MetricVec, m.commits.MetricVec, m.stuck.MetricVec, m.stall.MetricVec,
	}
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
	m.stall.WithLabelValues(node) // there from the beginning
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
		m.all.verdict.WithLabelValues(m.node, known.String()).Set(one(known == v))
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
