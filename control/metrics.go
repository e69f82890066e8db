package control

import (
	"errors"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/notify"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/steer"
	"github.com/haproxy-peers/haproxy-peers/control/vote"
)

// metrics are what the loops count. The cluster and the probe register their own.
type metrics struct {
	vote  vote.Metrics
	steer steer.Metrics
	told  *prometheus.CounterVec // by receiver and result
}

func newMetrics(r prometheus.Registerer) metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "haproxyd", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "haproxyd", Name: name, Help: help}, labels)
	}
	evictions := counters("evictions_total", "Evictions of dead databases from Galera's view that this member carried out, by result: done, or vain (no other view was seen).", "result")
	for _, result := range []string{"done", "vain"} {
		evictions.WithLabelValues(result) // from the start, so that the first one is an increase
	}
	decisions := counters("decisions_total", "Decisions about the active node that this member has seen come about, by kind.", "kind")
	for _, kind := range model.DecisionKinds() {
		decisions.WithLabelValues(kind)
	}
	told := counters("event_deliveries_total", "Events at --on-event (command) and --webhook: told, failed (an attempt, it is made again) and given up.", "receiver", "result")
	for _, receiver := range []string{"command", "webhook"} {
		for _, result := range []string{notify.ResultTold, notify.ResultFailed, notify.ResultGivenUp} {
			told.WithLabelValues(receiver, result)
		}
	}
	moves := f.NewHistogramVec(prometheus.HistogramOpts{Namespace: "haproxyd", Name: "move_duration_seconds",
		Help: "Moves that have ended, as this member saw them, by result: done, rolled_back, overtaken (another decision came before the end). Those at once (drain immediate) at the member that was asked alone.", Buckets: []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}}, []string{"result"})
	for _, result := range []string{api.MoveDone, api.MoveRolledBack, api.MoveOvertaken} {
		moves.WithLabelValues(result)
	}
	left := counters("left_sessions_total", "Sessions of this HAProxy to a node that a move or a failover has left, by what became of them: drained (closed between transactions), finished (by their clients), killed (the time was over), killed_in_transaction.", "outcome")
	for _, outcome := range steer.Outcomes() {
		left.WithLabelValues(outcome)
	}
	turns := counters("turns_total", "Turns of the daemon's loops.", "loop")
	return metrics{
		told: told,
		vote: vote.Metrics{
			Turns:       turns.WithLabelValues("vote"),
			Proposals:   counters("proposals_total", "Changes of the record that this member proposed, by kind and result.", "kind", "result"),
			Evictions:   evictions,
			Decisions:   decisions,
			MoveSeconds: moves,
			BadViews:    counter("views_bad_total", "Views of other members that could not be understood."),
			Cut:         counter("departures_cut_total", "Nodes that ended, or whose time was over, while sessions were in a transaction on them."),
		},
		steer: steer.Metrics{
			Turns:         turns.WithLabelValues("proxy"),
			Actions:       counters("actions_total", "Runtime API commands that put this HAProxy right.", "op"),
			RuntimeErrors: counter("runtime_errors_total", "Runtime API exchanges that failed."),
			Sessions:      left,
			Restarts:      counter("haproxy_restarts_total", "Restarts and reloads of this HAProxy that were noticed."),
			LookSeconds: f.NewHistogram(prometheus.HistogramOpts{Namespace: "haproxyd", Name: "look_seconds",
				Help: "Duration of one look at this HAProxy.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
		},
	}
}

// registerLate registers what is read when it is asked for, and the build's name. What has a new name has the old one for
// one release more.
func registerLate(r prometheus.Registerer, version string, moment func() published.Moment, twoWriters func() time.Duration) error {
	const says = "ime in which two or more nodes took commits through the proxies, from the nodes' wsrep_replicated and all proxies' sessions; the same figure on every member."
	counter := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "haproxyd", Name: name, Help: help}, f)
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		figures{moment},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "haproxyd", Name: "build_info", Help: "1; the labels say what runs.",
			ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}}, func() float64 { return 1 }),
		counter("two_writer_seconds_total", "T"+says, func() float64 { return twoWriters().Seconds() }),
		counter("two_writer_milliseconds_total", "DEPRECATED, use haproxyd_two_writer_seconds_total. T"+says, func() float64 { return float64(twoWriters().Milliseconds()) }),
	} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

// figures are the gauges of one scrape: all of one moment, as the answers to questions.
type figures struct {
	moment func() published.Moment
}

// unlabelled are the gauges that have no label.
var unlabelled = []struct {
	desc *prometheus.Desc
	of   func(published.Moment) float64
}{
	{described("epoch", "Number of the present decision."), func(m published.Moment) float64 { return float64(m.Agreement.Record.Epoch) }},
	{described("agreed", "1 while a majority of the voters is heard."), func(m published.Moment) float64 { return gauge(m.Agreement.Fresh && m.Unread == nil) }},
	{described("frozen", "1 while automatic changes are frozen."), func(m published.Moment) float64 { return gauge(m.Record != nil && m.Record.Frozen) }},
	{described("move", "1 while a planned move is under way, by the record that this member knows."), func(m published.Moment) float64 { return gauge(m.Record != nil && m.Record.Move != nil) }},
	{described("failover_possible", "1 while another node would take over if the active died now, by the decision itself."), func(m published.Moment) float64 {
		if m.Record == nil || !m.Agreement.Fresh {
			return 0
		}
		return gauge(decide.IfDown(m.Input(), m.Record.Active).Moves)
	}},
	{described("alert", "1 while there is something that an operator must see."), func(m published.Moment) float64 { return gauge(m.Alert != "") }},
	{described("record_lowest_version", "The version whose formats may be written: what every voter reads."), func(m published.Moment) float64 { return float64(m.Lowest()) }},
	{described("steering", "1 while this daemon steers its HAProxy."), func(m published.Moment) float64 { return gauge(m.Look.Steering) }},
	{described("converged", "1 while every key of this HAProxy routes to the active."), func(m published.Moment) float64 { return gauge(m.Look.Want.Known && m.Look.Result.Converged) }},
	{described("beacon", "1 while /beacon answers 200."), func(m published.Moment) float64 { return gauge(m.Look.Beacon) }},
	{described("haproxy_reachable", "1 while this HAProxy's Runtime API answers."), func(m published.Moment) float64 { return gauge(m.Look.Reachable) }},
	{described("fenced", "1 while this proxy must serve nobody and refuses new connections."), func(m published.Moment) float64 { return gauge(m.Look.Result.Fenced) }},
	{described("held", "1 while new connections wait for the end of a planned move."), func(m published.Moment) float64 { return gauge(m.Look.Move != nil && m.Look.Move.Held) }},
	{described("astray_connections", "Connections of this HAProxy to servers that are not the active's since every key has led to the active."), func(m published.Moment) float64 {
		n := int64(0)
		for _, x := range m.Look.Astray {
			n += x.Connections
		}
		return float64(n)
	}},
	{described("sessions_elsewhere", "Open sessions of this HAProxy in sticky backends to nodes that are not the active."), func(m published.Moment) float64 { return float64(m.Look.Result.Elsewhere) }},
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
	m := f.moment()
	send := func(desc *prometheus.Desc, value float64, node ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, node...)
	}
	for _, x := range unlabelled {
		send(x.desc, x.of(m))
	}
	if m.Record != nil {
		send(activeDesc, 1, m.Record.Active)
	}
	if m.Own != nil {
		for i := range m.Own.Nodes {
			send(goingDesc, gauge(m.Own.Nodes[i].Going != nil), m.Own.Nodes[i].Name)
		}
	}
	if m.Look.Reachable {
		for name, n := range m.Look.Nodes {
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
