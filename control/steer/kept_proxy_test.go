package steer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// keepHAProxy is a HAProxy with the rendered configuration, whose beacon is up.
type keepHAProxy struct {
	*fakeHAProxy
	down, maint bool   // pxc-1,
	only        string // in this backend, "" for all
	said        []string
}

func (h *keepHAProxy) Snapshot(ctx context.Context, q runtimeapi.SnapshotQuery) (runtimeapi.Snapshot, error) {
	s, err := h.fakeHAProxy.Snapshot(ctx, q)
	for i := range s.Servers {
		if s.Servers[i].Name != "pxc-1" || h.only != "" && s.Servers[i].Backend != h.only {
			continue
		}
		if h.down || h.maint {
			s.Servers[i].OpState = runtimeapi.OpStopped
		}
		if h.maint {
			s.Servers[i].Admin = runtimeapi.AdminForcedMaint
		}
	}
	for _, b := range []string{"haproxyd", "haproxyd-alive"} {
		s.Servers = append(s.Servers, runtimeapi.ServerState{Backend: b, Name: "local", ID: 1, Addr: "127.0.0.1", Port: 9102, UserWeight: 1, OpState: runtimeapi.OpRunning})
	}
	return s, err
}

func (h *keepHAProxy) Tables(ctx context.Context) ([]runtimeapi.TableHeader, error) {
	t, err := h.fakeHAProxy.Tables(ctx)
	return append(t, runtimeapi.TableHeader{Name: "haproxyd-steer", Type: "integer", Size: 1024}), err
}

func (h *keepHAProxy) SetTable(ctx context.Context, t, k string, id int) error {
	_ = h.clear(t, k)
	h.said = append(h.said, fmt.Sprintf("set %s key %s %d", t, k, id))
	h.tables[t] = append(h.tables[t], runtimeapi.Entry{Key: k, ServerID: id})
	return nil
}

func (h *keepHAProxy) ClearSetTable(ctx context.Context, t, k string, id int) error {
	return h.SetTable(ctx, t, k, id)
}

func (h *keepHAProxy) ClearTable(_ context.Context, t, k string) error {
	h.said = append(h.said, fmt.Sprintf("clear %s key %s", t, k))
	return h.clear(t, k)
}

func (h *keepHAProxy) clear(t, k string) error {
	h.tables[t] = slices.DeleteFunc(h.tables[t], func(e runtimeapi.Entry) bool { return e.Key == k })
	return nil
}

func (h *keepHAProxy) ShutdownSessionsServer(ctx context.Context, b, s string) error {
	h.said = append(h.said, fmt.Sprintf("close %s/%s", b, s))
	return nil
}

func (h *keepHAProxy) SetServerWeight(_ context.Context, b, s string, w int) error {
	h.said = append(h.said, fmt.Sprintf("weight %s/%s %d", b, s, w))
	return nil
}

func (h *keepHAProxy) kept() bool {
	return slices.ContainsFunc(h.tables["haproxyd-steer"], func(e runtimeapi.Entry) bool { return e.Key == "4" })
}

// commands are those since the last call.
func (h *keepHAProxy) commands() []string {
	out := h.said
	h.said = nil
	return out
}

// keeping is a daemon that keeps connections on pxc-1.
func keeping(t *testing.T, rewrite func(string) string, more ...configs.RenderService) (*rig, *clustertest.Cluster, *keepHAProxy) {
	t.Helper()
	in := configs.RenderInput{
		Proxies: []configs.RenderProxy{{Name: "px0", Host: "10.0.0.10"}, {Name: "px1", Host: "10.0.0.11"}, {Name: "px2", Host: "10.0.0.12"}}, LocalProxy: "px0",
		Services: append(more, configs.Writers()),
	}
	for i := range 3 {
		in.Nodes = append(in.Nodes, configs.RenderNode{Name: fmt.Sprintf("pxc-%d", i), Host: fmt.Sprintf("10.0.0.%d", i+1)})
	}
	data, err := configs.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if rewrite != nil {
		text = rewrite(text)
	}
	d, f, fake := withProxy(t, text)
	h := &keepHAProxy{fakeHAProxy: fake}
	h.tables["haproxyd-steer"] = []runtimeapi.Entry{{Key: "1", ServerID: 2}}
	d.cfg.Dial = func(string) (HAProxy, error) { return h, nil }
	d.probes = clustertest.Healthy("pxc-1").Status
	return d, f, h
}

func turns(d *rig, n int) {
	for range n {
		d.Turn(context.Background())
	}
}

// One thing after the other that makes HAProxy's own checks rule: the key is the first
// thing that goes. A fence alone comes before it.
func TestKeepGoesFirst(t *testing.T) {
	decide := func(f *clustertest.Cluster, change func(*model.Record) *model.Record) {
		f.Set(func(ag *cluster.Agreement) {
			r, err := model.DecodeRecord(ag.Record.Value)
			if err != nil {
				panic(err)
			}
			ag.Record.Value = change(r).Encode()
			ag.Record.Revision++
		})
	}
	const letGo = "clear haproxyd-steer key 4"
	for _, c := range []struct {
		name   string
		change func(*rig, *clustertest.Cluster, *keepHAProxy)
		first  []string
	}{
		{"frozen", func(_ *rig, f *clustertest.Cluster, _ *keepHAProxy) {
			decide(f, func(r *model.Record) *model.Record { r.Frozen = true; return r })
		}, []string{letGo}},
		{"a failover", func(_ *rig, f *clustertest.Cluster, _ *keepHAProxy) {
			f.Set(func(ag *cluster.Agreement) { ag.Record.Epoch++ })
			decide(f, func(r *model.Record) *model.Record {
				return r.WithActive(model.Decision{Epoch: 5, Active: "pxc-2", From: "pxc-1", Kind: model.KindFailover})
			})
		}, []string{letGo, "set haproxyd-steer key 1 3"}},
		{"a planned move that holds", func(_ *rig, f *clustertest.Cluster, _ *keepHAProxy) {
			f.Set(func(ag *cluster.Agreement) { ag.Record.Epoch++ })
			decide(f, func(r *model.Record) *model.Record {
				r = r.WithActive(model.Decision{Epoch: 5, Active: "pxc-2", From: "pxc-1", Kind: model.KindFailover})
				r.Move = &model.Move{From: "pxc-1", To: "pxc-2", Hold: true, Phase: model.PhaseDrain, Drain: model.DrainTransactions, TimeoutMS: 10_000, MaxHoldMS: 2000}
				return r
			})
		}, []string{letGo, "weight galera-nodes/pxc-0 0"}},
		{"no majority", func(_ *rig, f *clustertest.Cluster, _ *keepHAProxy) {
			f.Set(func(ag *cluster.Agreement) { ag.Fresh, ag.FreshAge = false, -1 })
		}, []string{letGo}},
		{"nothing known", func(_ *rig, f *clustertest.Cluster, _ *keepHAProxy) {
			f.Set(func(ag *cluster.Agreement) { *ag = cluster.Agreement{Reason: "nothing is decided", FreshAge: -1} })
		}, []string{letGo}},
		{"the votes are unknown", func(_ *rig, f *clustertest.Cluster, _ *keepHAProxy) {
			f.Say("px1", 0, clustertest.Says(model.Unknown))
			f.Say("px2", 0, clustertest.Says(model.Unknown))
		}, []string{letGo}},
		{"an operator's maint", func(_ *rig, _ *clustertest.Cluster, h *keepHAProxy) { h.maint = true }, []string{"set haproxyd-steer key 2 2", letGo}},
		{"a crash, seen by this probe", func(d *rig, f *clustertest.Cluster, h *keepHAProxy) {
			h.down = true
			d.probes = clustertest.Probes{{Node: "pxc-1", State: galera.State{Verdict: galera.Down, Class: galera.ClassRefused}}}.Status
		}, []string{"set haproxyd-steer key 2 2", letGo}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, f, h := keeping(t, nil)
			turns(d, 3)
			if !h.kept() {
				t.Fatalf("not kept: %q, %+v", h.commands(), d.Look())
			}
			h.commands()
			c.change(d, f, h)
			turns(d, 3)
			if got := h.commands(); len(got) < len(c.first) || !slices.Equal(got[:len(c.first)], c.first) {
				t.Errorf("said %q, want %q first", got, c.first)
			}
			if h.kept() {
				t.Error("kept again")
			}
		})
	}
}

// A check that fails while the node serves: nobody is fenced at once, and connections
// stay; where the vote does not move, this proxy is fenced as before, 0.3 s later.
func TestFenceWaitsForTheVote(t *testing.T) {
	d, _, h := keeping(t, nil)
	now := time.Now()
	d.cfg.Now = func() time.Time { return now }
	turns(d, 3)
	h.commands()
	d.restarted = now.Add(-time.Hour) // it looks calmly, but now
	turns(d, verifyRuns)
	h.down = true
	for at := time.Duration(0); at < voteWithin; at += 20 * time.Millisecond {
		if next := d.Turn(t.Context()); next != closeInterval {
			t.Errorf("looks again in %v", next)
		}
		if l := d.Look(); l.Fenced != "" || l.Effective != "pxc-1" || !l.Result.Converged || len(h.commands()) > 0 {
			t.Fatalf("after %v: %+v", at, l)
		}
		now = now.Add(20 * time.Millisecond)
	}
	turns(d, 1)
	if got := h.commands(); !slices.Equal(got[:2], []string{"set haproxyd-steer key 2 2", "clear haproxyd-steer key 4"}) || d.Look().Fenced == "" {
		t.Errorf("said %q, %+v", got, d.Look())
	}
	h.down = false
	turns(d, 3)
	if l := d.Look(); l.Fenced != "" || !h.kept() {
		t.Errorf("the check passes again: %q, %+v", h.commands(), l)
	}
}

// A service that the active does not offer, while the others do: kept for as long as the
// vote may take, then HAProxy's to send elsewhere; nobody is fenced for it.
func TestOnePortDownIsLetGo(t *testing.T) {
	admin := configs.Admin()
	admin.NodePort = 3306 // the fake's
	d, _, h := keeping(t, nil, admin)
	now := time.Now()
	d.cfg.Now = func() time.Time { return now }
	turns(d, 3)
	if !h.kept() {
		t.Fatalf("not kept: %q, %+v", h.commands(), d.Look())
	}
	h.down, h.only = true, "galera-admin-nodes"
	turns(d, 2)
	if l := d.Look(); !h.kept() || l.Fenced != "" || l.Effective != "pxc-1" {
		t.Errorf("at once: %q, %+v", h.commands(), l)
	}
	now = now.Add(voteWithin)
	turns(d, 2)
	if l := d.Look(); h.kept() || l.Fenced != "" || l.Result.Converged {
		t.Errorf("later: %q, %+v", h.commands(), l)
	}
}

// turning is a prober that finds pxc-1 serving for so many questions, and then down.
type turning struct {
	left int
}

func (p *turning) Status() []galera.NodeStatus {
	if p.left--; p.left >= 0 {
		return clustertest.Healthy("pxc-1")
	}
	return []galera.NodeStatus{{Node: "pxc-1", State: galera.State{Verdict: galera.Down, Class: galera.ClassRefused}}}
}

// Between the look and the write the node may have died.
func TestKeepIsNotSetOnAnOldWord(t *testing.T) {
	d, _, h := keeping(t, nil)
	d.probes = (&turning{left: 2}).Status
	turns(d, 1)
	if h.kept() {
		t.Errorf("said %q", h.commands())
	}
}

// The file that 7535bfe rendered has no such line: fenced at the look that sees it down,
// and no key is ever written.
func TestNothingIsKeptWithoutTheLine(t *testing.T) {
	d, _, h := keeping(t, func(text string) string {
		var out []string
		for line := range strings.Lines(text) {
			if !strings.Contains(line, "force-persist") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	})
	turns(d, 3)
	if h.kept() {
		t.Errorf("written: %q", h.commands())
	}
	h.down = true
	turns(d, 1)
	if l := d.Look(); l.Fenced == "" {
		t.Errorf("%+v", l)
	}
}

// An orderly end lets HAProxy's own checks rule at once, before anything else is
// taken back.
func TestFarewellLetsGo(t *testing.T) {
	d, _, h := keeping(t, nil)
	turns(d, 3)
	h.commands()
	d.farewell(context.Background())
	if got := h.commands(); len(got) == 0 || got[0] != "clear haproxyd-steer key 4" || h.kept() {
		t.Errorf("said %q", got)
	}
}
