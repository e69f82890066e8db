package cluster

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the register's; the gossip registers its own.
type metrics struct {
	fsyncs     prometheus.Histogram
	fsyncFails prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		fsyncs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "register_fsync_seconds", Help: "Time to write the register's state file to disk.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		fsyncFails: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "register_write_errors_total", Help: "Failed writes of the register's state file.",
		}),
	}
}

func (m *metrics) fsync(took time.Duration, err error) {
	m.fsyncs.Observe(took.Seconds())
	if err != nil {
		m.fsyncFails.Inc()
	}
}

// register registers the metrics; most are read from the status when scraped.
func (m *metrics) register(reg prometheus.Registerer, c *Cluster) error {
	errs := []error{reg.Register(m.fsyncs), reg.Register(m.fsyncFails)}
	gauge := func(name, help string, value func(RegisterStatus) float64) {
		errs = append(errs, reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(c.register.Status()) })))
	}
	counter := func(name, help string, labels prometheus.Labels, value func(RegisterStatus) uint64) {
		errs = append(errs, reg.Register(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value(c.register.Status())) })))
	}
	gauge("register_fresh", "1 while a majority of the voters was heard within the last seconds.",
		func(s RegisterStatus) float64 { return number(s.Fresh) })
	gauge("register_voting", "1 while this member is a voter.",
		func(s RegisterStatus) float64 { return number(s.Voting) })
	gauge("register_voters", "Voters of the record, dead or alive.",
		func(s RegisterStatus) float64 { all, _ := voters(s); return all })
	gauge("register_voters_live", "Voters of the record that are in the gossip with their disk.",
		func(s RegisterStatus) float64 { _, live := voters(s); return live })
	gauge("register_leader", "1 while this member leads the voters.",
		func(s RegisterStatus) float64 { return number(s.IsLeader) })
	gauge("register_term", "Term of the register.", func(s RegisterStatus) float64 { return float64(s.Term) })
	gauge("register_epoch", "Epoch of the newest record known here.",
		func(s RegisterStatus) float64 { return float64(s.Record.Epoch) })
	gauge("register_revision", "Revision of the newest record known here.",
		func(s RegisterStatus) float64 { return float64(s.Record.Revision) })
	gauge("register_generation", "Recovery generation of the cluster.",
		func(s RegisterStatus) float64 { return float64(s.Generation) })
	counter("register_writes_total", "Writes of the state file.", nil,
		func(s RegisterStatus) uint64 { return s.Counters.Writes })
	counter("register_campaigns_total", "Elections that this member started.", nil,
		func(s RegisterStatus) uint64 { return s.Counters.Campaigns })
	counter("register_leader_changes_total", "Changes of the leader seen here.", nil,
		func(s RegisterStatus) uint64 { return s.Counters.LeaderChanges })
	counter("register_config_changes_total", "Changes of the voters applied here.", nil,
		func(s RegisterStatus) uint64 { return s.Counters.ConfigChanges })
	counter("register_commands_total", "Commands applied here, refused ones included.", nil,
		func(s RegisterStatus) uint64 { return s.Counters.Commands })
	counter("register_refused_total", "Commands that were refused because the record had moved on.", nil,
		func(s RegisterStatus) uint64 { return s.Counters.Refused })
	counter("register_lost_disks_total", "State files that were found damaged or copied.", nil,
		func(s RegisterStatus) uint64 { return s.Counters.LostDisks })
	for reason, value := range map[string]func(RegisterStatus) uint64{
		"garbage":          func(s RegisterStatus) uint64 { return s.Counters.DroppedGarbage },
		"newer_version":    func(s RegisterStatus) uint64 { return s.Counters.DroppedNewer },
		"other_cluster":    func(s RegisterStatus) uint64 { return s.Counters.DroppedCluster },
		"other_generation": func(s RegisterStatus) uint64 { return s.Counters.DroppedGeneration },
		"other_disk":       func(s RegisterStatus) uint64 { return s.Counters.DroppedDisk },
		"other":            func(s RegisterStatus) uint64 { return s.Counters.DroppedOther },
	} {
		counter("register_dropped_total", "Messages of the register that were dropped, by reason.",
			prometheus.Labels{"reason": reason}, value)
	}
	return errors.Join(errs...)
}

func voters(s RegisterStatus) (all, live float64) {
	for _, v := range s.Voters {
		if v.Learner {
			continue
		}
		all++
		live += number(v.Live)
	}
	return all, live
}

func number(v bool) float64 {
	if v {
		return 1
	}
	return 0
}
