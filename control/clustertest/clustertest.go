// Package clustertest is a cluster for unit tests of what stands on one.
package clustertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Cluster is a cluster whose every word the test sets. Its register is a
// compare-and-set like the real one.
type Cluster struct {
	mu sync.Mutex // guards what follows, once loops run
	// Ag is what is agreed: Set changes it.
	Ag        cluster.Agreement
	Heard     []cluster.View // of the others
	Nearby    []cluster.Member
	Own       *model.View                 // by Publish
	OnPropose func(cluster.Command) error // nil: compare and set
	OnRemove  error
	Initial   []string // by SetInitialVoters
}

// New is a cluster of px0, which asks, px1, the leader of term 3, and px2, at epoch 4, whose
// active is pxc-1. The others say that all is well.
func New() *Cluster {
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1", Kind: model.KindAdopt, Reason: "adopted", By: "px1"})
	f := &Cluster{
		Ag: cluster.Agreement{
			Known: true, Fresh: true, Voting: true, Term: 3, Leader: "px1",
			Record: cluster.Record{Version: cluster.Version{Epoch: 4, Revision: 9}, Value: rec.Encode()},
			Voters: []cluster.VoterInfo{{Name: "px0"}, {Name: "px1"}, {Name: "px2"}},
		},
		Nearby: []cluster.Member{{Name: "px0", Self: true}, {Name: "px1"}, {Name: "px2"}},
	}
	for _, m := range []string{"px1", "px2"} {
		f.Say(m, 0, HealthyView())
	}
	return f
}

// Agreement implements vote.Cluster.
func (f *Cluster) Agreement() cluster.Agreement {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Ag
}

// Propose implements vote.Cluster.
func (f *Cluster) Propose(_ context.Context, c cluster.Command) (cluster.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.OnPropose != nil {
		if err := f.OnPropose(c); err != nil {
			return cluster.Record{}, err
		}
	}
	if c.Expect != f.Ag.Record.Version {
		return cluster.Record{}, &cluster.RefusedError{Expect: c.Expect, Current: f.Ag.Record}
	}
	f.Ag.Record.Revision++
	if c.NewEpoch {
		f.Ag.Record.Epoch++
	}
	f.Ag.Known, f.Ag.Record.Value, f.Ag.Record.CommandID = true, c.Value, c.ID
	return f.Ag.Record, nil
}

// Publish implements vote.Cluster.
func (f *Cluster) Publish(b []byte) {
	v, err := model.DecodeView(b)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Own = v
}

// Views implements vote.Cluster.
func (f *Cluster) Views() []cluster.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]cluster.View(nil), f.Heard...)
}

// Members implements vote.Cluster.
func (f *Cluster) Members() []cluster.Member { return f.Nearby }

// Changed implements vote.Cluster.
func (f *Cluster) Changed() <-chan struct{} { return nil }

// Register implements vote.Cluster.
func (f *Cluster) Register() cluster.RegisterStatus { return cluster.RegisterStatus{} }

// InitForce implements vote.Cluster.
func (f *Cluster) InitForce(context.Context) error { return nil }

// Recover implements vote.Cluster.
func (f *Cluster) Recover(context.Context, []string) error { return nil }

// SetInitialVoters implements vote.Cluster.
func (f *Cluster) SetInitialVoters(names []string) { f.Initial = names }

// Security implements vote.Cluster.
func (f *Cluster) Security() cluster.Security { return cluster.Security{} }

// SetLowest implements vote.Cluster.
func (f *Cluster) SetLowest(uint8) {}

// Remove implements vote.Cluster.
func (f *Cluster) Remove(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.OnRemove != nil {
		return f.OnRemove
	}
	f.Ag.Voters = slices.DeleteFunc(slices.Clone(f.Ag.Voters), func(v cluster.VoterInfo) bool { return v.Name == name })
	return nil
}

// Set changes what is agreed.
func (f *Cluster) Set(change func(*cluster.Agreement)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.Ag)
}

// Say sets another member's view.
func (f *Cluster) Say(member string, age time.Duration, v *model.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.Heard {
		if f.Heard[i].Name == member {
			f.Heard = append(f.Heard[:i], f.Heard[i+1:]...)
			break
		}
	}
	f.Heard = append(f.Heard, cluster.View{Name: member, Voter: true, Live: true, Age: age, Data: v.Encode()})
}

// Record is what is agreed, decoded.
func (f *Cluster) Record(t *testing.T) *model.Record {
	t.Helper()
	r, err := model.DecodeRecord(f.Agreement().Record.Value)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Config is a haproxy.cfg of three proxies and three nodes.
const Config = `global
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

// HealthyView is a steering member's word: all nodes healthy.
func HealthyView() *model.View {
	v := &model.View{Agreed: true, Epoch: 4, Proxy: &model.ProxyView{Reachable: true, Steering: true, Converged: true, Effective: "pxc-1"}}
	for _, n := range []string{"pxc-0", "pxc-1", "pxc-2"} {
		v.Nodes = append(v.Nodes, model.NodeView{Name: n, Verdict: model.Healthy, Eligible: true, Server: model.ServerUp})
	}
	return v
}

// Says is a member's view with another verdict on the active.
func Says(v model.Verdict) *model.View {
	view := HealthyView()
	for i := range view.Nodes {
		if view.Nodes[i].Name == "pxc-1" {
			view.Nodes[i].Verdict = v
		}
	}
	return view
}

// Probes are what a prober says.
type Probes []galera.NodeStatus

// Healthy is a prober that finds a node serving.
func Healthy(node string) Probes {
	return Probes{{Node: node, State: galera.State{Verdict: galera.Healthy, Class: galera.ClassSynced}}}
}

// Status implements vote.Prober, as the others.
func (p Probes) Status() []galera.NodeStatus { return p }

// Arbitrators are none.
func (p Probes) Arbitrators() []string { return nil }

// Changed never wakes.
func (p Probes) Changed() <-chan struct{} { return nil }

// SetNodes does nothing.
func (p Probes) SetNodes([]galera.Target) {}

// Open makes no session: nothing is behind these.
func (Probes) Open(context.Context, string, string) (*conn.Session, error) {
	return nil, errors.New("no database here")
}
