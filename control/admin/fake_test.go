package admin

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/vote"
)

// newTestServer is px0's, whose HAProxy does what epoch 4 wants, in a cluster of three. Its
// vote loop has turned once; the test turns it again.
func newTestServer(t *testing.T, change ...func(*Config)) (*Server, *clustertest.Cluster) {
	t.Helper()
	dir := t.TempDir()
	cfg := Config{
		Name: "px0", Version: "test", DataDir: dir, Socket: filepath.Join(dir, "s"), HTTPBind: "127.0.0.1:0",
		Beacon: func() bool { return true }, Turning: func() bool { return true }, Wake: func() {},
		Now: time.Now, Events: journal.New(200), Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	cfg.Files = clustertest.Files(t, clustertest.Config, cfg.Log)
	look := func() *published.Look {
		l := &published.Look{
			At: cfg.Now(), Reachable: true, Steering: true, Effective: "pxc-1", Result: plan.Result{Converged: true}, Nodes: map[string]published.Node{},
			Want: mandate.Want{Known: true, MayWrite: true, Active: "pxc-1", Version: cluster.Version{Epoch: 4, Revision: 9}},
		}
		for _, n := range []string{"pxc-0", "pxc-1", "pxc-2"} {
			l.Nodes[n] = published.Node{State: model.ServerUp}
		}
		return l
	}
	inspectors, probes := &drain.Inspectors{Nodes: cfg.Files.Targets}, vote.Prober(nil)
	if cfg.InTransaction != nil { // the probe's account may look
		all := clustertest.Probes{}
		for _, n := range []string{"pxc-0", "pxc-1", "pxc-2"} {
			all = append(all, clustertest.Healthy(n)...)
			all[len(all)-1].Eligible = true
		}
		probes = all
		looked := make(chan struct{}, 1)
		inspectors.Dial = func(galera.Target) (drain.NodeInspector, error) { return mayLook{}, nil }
		inspectors.Looked = func() { nudge.Send(looked) }
		go func() { _ = inspectors.Run(t.Context()) }()
		<-looked
	}
	counter := func() prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts{Name: "a"}) }
	cfg.Vote = vote.New(vote.Config{
		Name: "px0", Files: cfg.Files, Inspectors: inspectors, Look: look,
		Wake: func() {}, UUID: func(string) {}, Now: cfg.Now, Events: cfg.Events, Log: cfg.Log,
		Metrics: vote.Metrics{
			Turns: counter(), BadViews: counter(), Cut: counter(),
			Proposals:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a"}, []string{"kind", "result"}),
			Evictions:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "b"}, []string{"result"}),
			MoveSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "d"}, []string{"result"}),
			Decisions:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c"}, []string{"kind"}),
		},
	})
	cfg.Moment = func() published.Moment { return published.Moment{Situation: cfg.Vote.Situation(), Look: look()} }
	f := clustertest.New()
	cfg.Vote.Join(f, probes)
	cfg.Vote.Turn(t.Context(), cfg.Now())
	return New(cfg), f
}

// mayLook lacks no privilege.
type mayLook struct{ drain.NodeInspector }

func (mayLook) Lacks(context.Context) (string, error) { return "", nil }
func (mayLook) Close()                                {}

// turned is what is answered once the vote loop has seen what is so now.
func turned(s *Server) *answer {
	s.cfg.Vote.Renew()
	return s.asked()
}
