package control

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what the daemon exports of itself. The cluster and the probe
// register their own.
type metrics struct {
	turns            *prometheus.CounterVec
	actions          *prometheus.CounterVec
	runtimeErrors    prometheus.Counter
	restarts         prometheus.Counter
	proposals        *prometheus.CounterVec
	twoWriterSeconds prometheus.Counter
	lookSeconds      prometheus.Histogram
	badViews         prometheus.Counter

	active    *prometheus.GaugeVec
	epoch     prometheus.Gauge
	agreed    prometheus.Gauge
	frozen    prometheus.Gauge
	steering  prometheus.Gauge
	converged prometheus.Gauge
	beacon    prometheus.Gauge
	reachable prometheus.Gauge
	elsewhere prometheus.Gauge
	alert     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Namespace: "haproxyd", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "haproxyd", Name: name, Help: help})
	}
	return &metrics{
		turns: f.NewCounterVec(prometheus.CounterOpts{Namespace: "haproxyd", Name: "turns_total",
			Help: "Turns of the daemon's loops."}, []string{"loop"}),
		actions: f.NewCounterVec(prometheus.CounterOpts{Namespace: "haproxyd", Name: "actions_total",
			Help: "Runtime API commands that put this HAProxy right."}, []string{"op"}),
		runtimeErrors: counter("runtime_errors_total", "Runtime API exchanges that failed."),
		restarts:      counter("haproxy_restarts_total", "Restarts and reloads of this HAProxy that were noticed."),
		proposals: f.NewCounterVec(prometheus.CounterOpts{Namespace: "haproxyd", Name: "proposals_total",
			Help: "Changes of the record that this member proposed, by kind and result."}, []string{"kind", "result"}),
		twoWriterSeconds: counter("two_writer_seconds_total", "Time in which this HAProxy had sessions to the active and to another node in sticky backends."),
		lookSeconds: f.NewHistogram(prometheus.HistogramOpts{Namespace: "haproxyd", Name: "look_seconds",
			Help: "Duration of one look at this HAProxy.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
		badViews: counter("views_bad_total", "Views of other members that could not be understood."),
		active: f.NewGaugeVec(prometheus.GaugeOpts{Namespace: "haproxyd", Name: "active",
			Help: "1 for the decided active node."}, []string{"node"}),
		epoch:     gauge("epoch", "Number of the present decision."),
		agreed:    gauge("agreed", "1 while a majority of the voters is heard."),
		frozen:    gauge("frozen", "1 while automatic changes are frozen."),
		steering:  gauge("steering", "1 while this daemon steers its HAProxy."),
		converged: gauge("converged", "1 while every key of this HAProxy routes to the active."),
		beacon:    gauge("beacon", "1 while /beacon answers 200."),
		reachable: gauge("haproxy_reachable", "1 while this HAProxy's Runtime API answers."),
		elsewhere: gauge("sessions_elsewhere", "Open sessions of this HAProxy in sticky backends to nodes that are not the active."),
		alert:     gauge("alert", "1 while there is something that an operator must see."),
	}
}

func (m *metrics) observe(l *look) {
	set := func(g prometheus.Gauge, b bool) {
		if b {
			g.Set(1)
		} else {
			g.Set(0)
		}
	}
	set(m.steering, l.steering)
	set(m.converged, l.want.known && l.result.Converged)
	set(m.beacon, l.beacon)
	set(m.reachable, l.reachable)
	m.elsewhere.Set(float64(l.result.Elsewhere))
}
