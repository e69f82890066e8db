package control

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what the daemon exports of itself. The cluster and the probe
// register their own.
type metrics struct {
	turns         *prometheus.CounterVec
	actions       *prometheus.CounterVec
	runtimeErrors prometheus.Counter
	restarts      prometheus.Counter
	proposals     *prometheus.CounterVec
	twoWriterMS   prometheus.Counter
	lookSeconds   prometheus.Histogram
	badViews      prometheus.Counter

	active    *prometheus.GaugeVec
	sessions  *prometheus.GaugeVec
	epoch     prometheus.Gauge
	agreed    prometheus.Gauge
	frozen    prometheus.Gauge
	steering  prometheus.Gauge
	converged prometheus.Gauge
	beacon    prometheus.Gauge
	reachable prometheus.Gauge
	elsewhere prometheus.Gauge
	fenced    prometheus.Gauge
	held      prometheus.Gauge
	move      prometheus.Gauge
	alert     prometheus.Gauge
	going     *prometheus.GaugeVec
	cut       prometheus.Counter
	lowest    prometheus.Gauge

	counted map[string]bool // the nodes in sessions; the proxy loop's alone
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Namespace: "haproxyd", Name: name, Help: help})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Namespace: "haproxyd", Name: name, Help: help}, []string{"node"})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "haproxyd", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "haproxyd", Name: name, Help: help}, labels)
	}
	return &metrics{
		turns:         counters("turns_total", "Turns of the daemon's loops.", "loop"),
		actions:       counters("actions_total", "Runtime API commands that put this HAProxy right.", "op"),
		runtimeErrors: counter("runtime_errors_total", "Runtime API exchanges that failed."),
		restarts:      counter("haproxy_restarts_total", "Restarts and reloads of this HAProxy that were noticed."),
		proposals:     counters("proposals_total", "Changes of the record that this member proposed, by kind and result.", "kind", "result"),
		twoWriterMS:   counter("two_writer_milliseconds_total", "Time in which two or more nodes took commits through the proxies, from the nodes' wsrep_replicated and all proxies' sessions; the same figure on every member."),
		lookSeconds: f.NewHistogram(prometheus.HistogramOpts{Namespace: "haproxyd", Name: "look_seconds",
			Help: "Duration of one look at this HAProxy.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
		badViews:  counter("views_bad_total", "Views of other members that could not be understood."),
		active:    gauges("active", "1 for the decided active node."),
		sessions:  gauges("sessions", "Open sessions of this HAProxy in sticky backends, by node; none while its Runtime API does not answer."),
		epoch:     gauge("epoch", "Number of the present decision."),
		agreed:    gauge("agreed", "1 while a majority of the voters is heard."),
		frozen:    gauge("frozen", "1 while automatic changes are frozen."),
		steering:  gauge("steering", "1 while this daemon steers its HAProxy."),
		converged: gauge("converged", "1 while every key of this HAProxy routes to the active."),
		beacon:    gauge("beacon", "1 while /beacon answers 200."),
		reachable: gauge("haproxy_reachable", "1 while this HAProxy's Runtime API answers."),
		elsewhere: gauge("sessions_elsewhere", "Open sessions of this HAProxy in sticky backends to nodes that are not the active."),
		fenced:    gauge("fenced", "1 while this proxy must serve nobody and refuses new connections."),
		held:      gauge("held", "1 while new connections wait for the end of a planned move."),
		move:      gauge("move", "1 while a planned move is under way, by the record that this member knows."),
		going:     gauges("node_going", "1 while a node is about to end: its pod is being deleted, or it shuts down."),
		cut:       counter("departures_cut_total", "Nodes that ended, or whose time was over, while sessions were in a transaction on them."),
		lowest:    gauge("record_lowest_version", "The version whose formats may be written: what every voter reads."),
		alert:     gauge("alert", "1 while there is something that an operator must see."),
	}
}

func (m *metrics) observe(l *look) {
	m.steering.Set(boolGauge(l.steering))
	m.converged.Set(boolGauge(l.want.Known && l.result.Converged))
	m.beacon.Set(boolGauge(l.beacon))
	m.reachable.Set(boolGauge(l.reachable))
	m.fenced.Set(boolGauge(l.result.Fenced))
	m.held.Set(boolGauge(l.move != nil && l.move.Held))
	m.elsewhere.Set(float64(l.result.Elsewhere))
	m.countSessions(l)
}

// countSessions sets the sessions by node, and drops the figures that this look
// does not have. A scrape in between never finds a node missing that is there.
func (m *metrics) countSessions(l *look) {
	now := map[string]bool{}
	if l.reachable {
		for node, n := range l.nodes {
			m.sessions.WithLabelValues(node).Set(float64(n.sessions))
			now[node] = true
		}
	}
	for node := range m.counted {
		if !now[node] {
			m.sessions.DeleteLabelValues(node)
		}
	}
	m.counted = now
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
