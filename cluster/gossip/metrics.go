package gossip

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Reasons for which a message is dropped: values of the label of gossip_dropped_total.
const (
	// ReasonKey is a packet that none of our keys opens, or one without
	// encryption while we have keys.
	ReasonKey = "wrong_key"
	// ReasonLabel is a packet of another installation.
	ReasonLabel = "wrong_label"
	// ReasonGarbage is what cannot be decoded.
	ReasonGarbage = "garbage"
	// ReasonNewer is a message or metadata of a format that this build does not read.
	ReasonNewer = "newer_version"
	// ReasonCluster is a view or a record of another cluster id.
	ReasonCluster = "other_cluster"
	// ReasonFull is a message that came faster than this process could take it,
	// or one that could not be sent for the same reason.
	ReasonFull = "queue_full"
	// ReasonUnreachable is a message to a member that is not there, or one whose
	// sending failed.
	ReasonUnreachable = "unreachable"
)

type metrics struct {
	dropped *prometheus.CounterVec
	sent    *prometheus.CounterVec
	members prometheus.Gauge
	rejoins prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gossip_dropped_total", Help: "Gossip messages that were dropped, by reason.",
		}, []string{"reason"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gossip_sent_total", Help: "Direct gossip messages that were sent, by way (packet or stream).",
		}, []string{"way"}),
		members: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gossip_members", Help: "Live members in the gossip, this one among them.",
		}),
		rejoins: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gossip_joins_total", Help: "Successful joins of an address that was not among the members.",
		}),
	}
	for _, r := range []string{ReasonKey, ReasonLabel, ReasonGarbage, ReasonNewer, ReasonCluster, ReasonFull, ReasonUnreachable} {
		m.dropped.WithLabelValues(r)
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.dropped, m.sent, m.members, m.rejoins} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }
