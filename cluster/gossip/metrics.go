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
	// ReasonStranger is a view of a process that is no member. It may become one
	// within a moment; else nothing of it is kept.
	ReasonStranger = "stranger"
	// ReasonHeld is a view with a number that its process cannot have reached; it
	// is believed only if the process goes on from there.
	ReasonHeld = "held"
	// ReasonUnreachable is a message to a member that is not there, or one whose
	// sending failed.
	ReasonUnreachable = "unreachable"
	// ReasonOld is a packet or a stream without a seal, after all members agreed
	// to seal (see Gossip.SetStrict).
	ReasonOld = "old_format"
	// ReasonReplayed is a sealed packet that came before, or a stream played again.
	ReasonReplayed = "replayed"
	// ReasonStale is a sealed packet for another process or for another life of
	// this one. A few come after a start, from those that knew the life before.
	ReasonStale = "stale"
)

// reasonOf is the reason for which a message with an error is dropped.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, errLabel):
		return ReasonLabel
	case errors.Is(err, errKey), errors.Is(err, errTag):
		return ReasonKey
	case errors.Is(err, errRate):
		return ReasonFull
	case errors.Is(err, ErrNewer):
		return ReasonNewer
	}
	return ReasonGarbage
}

type metrics struct {
	dropped *prometheus.CounterVec
	sent    *prometheus.CounterVec
	members prometheus.Gauge
	rejoins prometheus.Counter

	encrypted, protected prometheus.Gauge
	plain                prometheus.Counter
	rivals               prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		dropped:   counters("gossip_dropped_total", "Gossip messages that were dropped, by reason.", "reason"),
		sent:      counters("gossip_sent_total", "Direct gossip messages that were sent, by way (packet or stream).", "way"),
		members:   gauge("gossip_members", "Live members in the gossip, this one among them."),
		rejoins:   counter("gossip_joins_total", "Successful joins of an address that was not among the members."),
		encrypted: gauge("gossip_encrypted", "1 where the gossip that is sent is encrypted and nothing else is taken."),
		protected: gauge("gossip_replay_protected", "1 where recorded gossip is refused when it comes again: encryption is required, and all members speak the sealed format."),
		plain:     counter("gossip_plain_packets_total", "Gossip packets and streams that were taken although they were not encrypted (--gossip-encrypt accept or send)."),
		rivals:    gauge("gossip_name_conflicts", "Other live processes of this member's name that say that this one has to stop, and that it does not stop for."),
	}
	for _, r := range []string{ReasonKey, ReasonLabel, ReasonGarbage, ReasonNewer, ReasonCluster, ReasonFull, ReasonStranger, ReasonHeld, ReasonUnreachable, ReasonOld, ReasonReplayed, ReasonStale} {
		m.dropped.WithLabelValues(r)
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.dropped, m.sent, m.members, m.rejoins, m.encrypted, m.protected, m.plain, m.rivals} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }
