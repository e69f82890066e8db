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
	cut           prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
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
		badViews: counter("views_bad_total", "Views of other members that could not be understood."),
		cut:      counter("departures_cut_total", "Nodes that ended, or whose time was over, while sessions were in a transaction on them."),
	}
}

// figures are the gauges of one scrape: all of one moment, as the answers to questions.
type figures struct {
	asked func() *answer
}

// unlabelled are the gauges that have no label.
var unlabelled = []struct {
	desc *prometheus.Desc
	of   func(*answer) float64
}{
	{described("epoch", "Number of the present decision."), func(a *answer) float64 { return float64(a.Agreement.Record.Epoch) }},
	{described("agreed", "1 while a majority of the voters is heard."), func(a *answer) float64 { return gauge(a.Agreement.Fresh && a.Unread == nil) }},
	{described("frozen", "1 while automatic changes are frozen."), func(a *answer) float64 { return gauge(a.Record != nil && a.Record.Frozen) }},
	{described("move", "1 while a planned move is under way, by the record that this member knows."), func(a *answer) float64 { return gauge(a.Record != nil && a.Record.Move != nil) }},
	{described("alert", "1 while there is something that an operator must see."), func(a *answer) float64 { return gauge(a.Alert != "") }},
	{described("record_lowest_version", "The version whose formats may be written: what every voter reads."), func(a *answer) float64 { return float64(a.Lowest()) }},
	{described("steering", "1 while this daemon steers its HAProxy."), func(a *answer) float64 { return gauge(a.look.Steering) }},
	{described("converged", "1 while every key of this HAProxy routes to the active."), func(a *answer) float64 { return gauge(a.look.Want.Known && a.look.Result.Converged) }},
	{described("beacon", "1 while /beacon answers 200."), func(a *answer) float64 { return gauge(a.look.Beacon) }},
	{described("haproxy_reachable", "1 while this HAProxy's Runtime API answers."), func(a *answer) float64 { return gauge(a.look.Reachable) }},
	{described("fenced", "1 while this proxy must serve nobody and refuses new connections."), func(a *answer) float64 { return gauge(a.look.Result.Fenced) }},
	{described("held", "1 while new connections wait for the end of a planned move."), func(a *answer) float64 { return gauge(a.look.Move != nil && a.look.Move.Held) }},
	{described("sessions_elsewhere", "Open sessions of this HAProxy in sticky backends to nodes that are not the active."), func(a *answer) float64 { return float64(a.look.Result.Elsewhere) }},
}

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("haproxyd_"+name, help, labels, nil)
}

var (
	activeDesc   = described("active", "1 for the decided active node.", "node")
	goingDesc    = described("node_going", "1 while a node is about to end: its pod is being deleted, or it shuts down.", "node")
	sessionsDesc = described("sessions", "Open sessions of this HAProxy in sticky backends, by node; none while its Runtime API does not answer.", "node")
)

// Describe implements prometheus.Collector.
func (f figures) Describe(out chan<- *prometheus.Desc) {
	for _, x := range unlabelled {
		out <- x.desc
	}
	for _, desc := range []*prometheus.Desc{activeDesc, goingDesc, sessionsDesc} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (f figures) Collect(out chan<- prometheus.Metric) {
	a := f.asked()
	send := func(desc *prometheus.Desc, value float64, node ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, node...)
	}
	for _, x := range unlabelled {
		send(x.desc, x.of(a))
	}
	if a.Record != nil {
		send(activeDesc, 1, a.Record.Active)
	}
	if a.Own != nil {
		for i := range a.Own.Nodes {
			send(goingDesc, gauge(a.Own.Nodes[i].Going != nil), a.Own.Nodes[i].Name)
		}
	}
	if a.look.Reachable {
		for name, n := range a.look.Nodes {
			send(sessionsDesc, float64(n.Sessions), name)
		}
	}
}

func gauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
