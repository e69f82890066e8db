package steer

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// newTestProxy is px0's, of which nothing is wanted yet. It has no HAProxy.
func newTestProxy(t *testing.T) *Proxy {
	t.Helper()
	return newProxy(t, clustertest.Config)
}

func newProxy(t *testing.T, config string) *Proxy {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	want := func() mandate.Want { return mandate.Want{} }
	counter := func() prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts{Name: "a"}) }
	return New(Config{
		OnBlind: BlindFence, Readers: ReadersAll, DataDir: t.TempDir(), Files: clustertest.Files(t, config, log), Hear: want, Wanted: want, Notify: func() {}, Paused: func() {},
		Now: time.Now, Events: journal.New(10), Log: log,
		Metrics: Metrics{
			Turns: counter(), RuntimeErrors: counter(), Restarts: counter(),
			Actions:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a"}, []string{"op"}),
			Sessions:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "b"}, []string{"outcome"}),
			LookSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "a"}),
		},
	})
}

// wentDown is what a look would tell.
func wentDown(m *memory) []string {
	var l published.Look
	m.tell(&l)
	return l.WentDown
}

// rig is a proxy that hears of a cluster by a real mandate.
type rig struct {
	*Proxy
	cluster *clustertest.Cluster
	probes  func() []galera.NodeStatus // nil: no probe
	rules   mandate.Mandate
	want    mandate.Want
}

func newRig(t *testing.T, config string) *rig {
	r := &rig{
		Proxy: newProxy(t, config), cluster: clustertest.New(),
		rules: mandate.New(mandate.Policy{Name: "px0"}, time.Now()), want: mandate.Want{Why: "not started yet"},
	}
	r.cfg.Hear = func() mandate.Want { return r.hear(mandate.Facts{}) }
	r.cfg.Wanted = func() mandate.Want { return r.want }
	return r
}

// hear is what the daemon has of the cluster, and a step of the mandate with it.
func (r *rig) hear(f mandate.Facts) mandate.Want {
	now := time.Now()
	f.Agreement = r.cluster.Agreement()
	f.Voters = published.VoterNames(&f.Agreement)
	if ag := &f.Agreement; ag.Known {
		f.Record, f.Unread = model.DecodeRecord(ag.Record.Value)
	}
	var heard []published.Heard
	for _, v := range r.cluster.Views() {
		view, err := model.DecodeView(v.Data)
		if err != nil {
			panic(err)
		}
		heard = append(heard, published.Heard{Member: v.Name, Voter: v.Voter, Live: v.Live, Age: v.Age, View: view})
	}
	f.Voices = append(published.Voices(heard), decide.Voice{Member: "px0", View: clustertest.HealthyView()})
	if r.probes != nil {
		f.Probes = r.probes()
	}
	r.want, _ = r.rules.Step(now, &f)
	return r.want
}
