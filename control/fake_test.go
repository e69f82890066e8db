package control

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// fakeCluster is an Agreement whose every word the test sets. Its register is a
// compare-and-set like the real one.
type fakeCluster struct {
	mu      sync.Mutex
	ag      cluster.Agreement
	views   []cluster.View
	members []cluster.Member
	own     *model.View
	propose func(cluster.Command) error // nil: compare and set
	remove  error
	initial []string // by SetInitialVoters
}

func (f *fakeCluster) Agreement() cluster.Agreement {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ag
}

func (f *fakeCluster) Propose(_ context.Context, c cluster.Command) (cluster.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.propose != nil {
		if err := f.propose(c); err != nil {
			return cluster.Record{}, err
		}
	}
	if c.Expect != f.ag.Record.Version {
		return cluster.Record{}, &cluster.RefusedError{Expect: c.Expect, Current: f.ag.Record}
	}
	f.ag.Record.Revision++
	if c.NewEpoch {
		f.ag.Record.Epoch++
	}
	f.ag.Known, f.ag.Record.Value, f.ag.Record.CommandID = true, c.Value, c.ID
	return f.ag.Record, nil
}

func (f *fakeCluster) Publish(b []byte) {
	v, err := model.DecodeView(b)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own = v
}

func (f *fakeCluster) Views() []cluster.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]cluster.View(nil), f.views...)
}

func (f *fakeCluster) Members() []cluster.Member               { return f.members }
func (f *fakeCluster) Changed() <-chan struct{}                { return nil }
func (f *fakeCluster) Register() cluster.RegisterStatus        { return cluster.RegisterStatus{} }
func (f *fakeCluster) InitForce(context.Context) error         { return nil }
func (f *fakeCluster) Recover(context.Context, []string) error { return nil }
func (f *fakeCluster) SetInitialVoters(names []string)         { f.initial = names }
func (f *fakeCluster) Security() cluster.Security              { return cluster.Security{} }
func (f *fakeCluster) SetLowest(uint8)                         {}

func (f *fakeCluster) Remove(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.remove != nil {
		return f.remove
	}
	f.ag.Voters = slices.DeleteFunc(slices.Clone(f.ag.Voters), func(v cluster.VoterInfo) bool { return v.Name == name })
	return nil
}

func (f *fakeCluster) set(change func(*cluster.Agreement)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.ag)
}

// say sets another member's view.
func (f *fakeCluster) say(member string, age time.Duration, v *model.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.views {
		if f.views[i].Name == member {
			f.views = append(f.views[:i], f.views[i+1:]...)
			break
		}
	}
	f.views = append(f.views, cluster.View{Name: member, Voter: true, Live: true, Age: age, Data: v.Encode()})
}

func (f *fakeCluster) record(t *testing.T) *model.Record {
	t.Helper()
	r, err := model.DecodeRecord(f.Agreement().Record.Value)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hear has a daemon read the agreement, as its loops do.
func hear(d *Daemon) mandate.Want {
	_, want := d.hear(mandate.Facts{})
	return want
}

// turned is what a daemon answers once its vote loop has seen what is so now.
func turned(d *Daemon) *answer {
	d.renew(d.started.Load())
	return d.asked()
}

const testConfig = `global
  stats socket /run/none.sock level admin
defaults
  mode tcp
  timeout connect 1s
  timeout client 1s
  timeout server 1s
peers mypeers
  peer px0 10.0.0.10:10000
  peer px1 10.0.0.11:10000
  peer px2 10.0.0.12:10000
frontend galera-in
  bind 127.0.0.1:3306
  default_backend galera-nodes
backend galera-nodes
  stick-table type integer size 100k peers mypeers
  stick on int(1)
  server pxc-0 10.0.0.1:3306 id 1 check
  server pxc-1 10.0.0.2:3306 id 2 check backup
  server pxc-2 10.0.0.3:3306 id 3 check backup
`

// healthyView is a steering member's word: all nodes healthy.
func healthyView() *model.View {
	v := &model.View{Agreed: true, Epoch: 4, Proxy: &model.ProxyView{Reachable: true, Steering: true, Converged: true, Effective: "pxc-1"}}
	for _, n := range []string{"pxc-0", "pxc-1", "pxc-2"} {
		v.Nodes = append(v.Nodes, model.NodeView{Name: n, Verdict: model.Healthy, Eligible: true, Server: model.ServerUp})
	}
	return v
}

// newTestDaemon is px0 of three, with a record at epoch 4 whose active is
// pxc-1. Its loops do not run: the test turns them.
func newTestDaemon(t *testing.T) (*Daemon, *fakeCluster) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(testConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	f := &fakeCluster{}
	d, err := New(Config{
		Name: "px0", Version: "test", Files: []string{file}, DataDir: dir, AdminSocket: filepath.Join(dir, "s"),
		HTTPBind: "127.0.0.1:0", Witness: true, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg,
	}, Deps{Cluster: func(*topology) (Cluster, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.files.Refresh(time.Now()); err != nil {
		t.Fatal(err)
	}
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1", Kind: model.KindAdopt, Reason: "adopted", By: "px1"})
	f.ag = cluster.Agreement{
		Known: true, Fresh: true, Voting: true, Term: 3, Leader: "px1",
		Record: cluster.Record{Version: cluster.Version{Epoch: 4, Revision: 9}, Value: rec.Encode()},
		Voters: []cluster.VoterInfo{{Name: "px0"}, {Name: "px1"}, {Name: "px2"}},
	}
	f.members = []cluster.Member{{Name: "px0", Self: true}, {Name: "px1"}, {Name: "px2"}}
	d.votes.own = healthyView()
	for _, m := range []string{"px1", "px2"} {
		f.say(m, 0, healthyView())
	}
	d.started.Store(&started{cluster: f})
	d.renew(d.started.Load())
	return d, f
}
