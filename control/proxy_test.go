package control

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// fakeHAProxy answers what a HAProxy in that state answered to the typed client.
type fakeHAProxy struct {
	mu       sync.Mutex
	hang     bool
	tables   map[string][]runtimeapi.Entry
	sessions map[string]int  // backend/server
	limits   map[string]int  // the same: its maxconn
	stuck    bool            // closing does nothing
	stubborn map[string]bool // table: sets have no effect
	calls    map[string]int
	backends []string
}

func (h *fakeHAProxy) Snapshot(ctx context.Context, q runtimeapi.SnapshotQuery) (runtimeapi.Snapshot, error) {
	h.mu.Lock()
	hang := h.hang
	h.mu.Unlock()
	if hang {
		<-ctx.Done()
		return runtimeapi.Snapshot{}, ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := runtimeapi.Snapshot{Info: runtimeapi.Info{Pid: 7, Uptime: time.Hour}, Tables: map[string]runtimeapi.Table{}}
	for _, t := range q.Tables {
		s.Tables[t] = runtimeapi.Table{Entries: append([]runtimeapi.Entry(nil), h.tables[t]...)}
	}
	for _, b := range h.backends {
		for i := range 3 {
			n := fmt.Sprintf("pxc-%d", i)
			s.Servers = append(s.Servers, runtimeapi.ServerState{Backend: b, Name: n, ID: i + 1, Addr: fmt.Sprintf("10.0.0.%d", i+1), Port: 3306, UserWeight: 1, OpState: runtimeapi.OpRunning})
			s.Stats = append(s.Stats, runtimeapi.ServerStat{Backend: b, Server: n, CurrentSessions: h.sessions[b+"/"+n], SessionLimit: h.limits[b+"/"+n]})
		}
	}
	return s, nil
}
func (h *fakeHAProxy) Tables(context.Context) ([]runtimeapi.TableHeader, error) {
	var out []runtimeapi.TableHeader
	for _, b := range h.backends {
		out = append(out, runtimeapi.TableHeader{Name: b, Type: "integer", Size: 102400})
	}
	return out, nil
}
func (h *fakeHAProxy) SetTable(_ context.Context, t, k string, id int) error {
	return h.ClearSetTable(context.Background(), t, k, id)
}
func (h *fakeHAProxy) ClearTable(_ context.Context, t, k string) error { return nil }
func (h *fakeHAProxy) ClearSetTable(_ context.Context, t, k string, id int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls["set "+t]++
	if !h.stubborn[t] {
		h.tables[t] = []runtimeapi.Entry{{Key: k, ServerID: id}}
	}
	return nil
}
func (h *fakeHAProxy) ShutdownSessionsServer(_ context.Context, b, s string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls["close "+b+"/"+s]++
	if !h.stuck {
		h.sessions[b+"/"+s] = 0
	}
	return nil
}

func (h *fakeHAProxy) Sessions(context.Context) ([]runtimeapi.Session, error) { return nil, nil }
func (h *fakeHAProxy) SessionDetails(context.Context, string, string) ([]runtimeapi.Session, error) {
	return nil, nil
}
func (h *fakeHAProxy) SessionDetail(context.Context, string) (runtimeapi.Session, error) {
	return runtimeapi.Session{}, runtimeapi.ErrSessionNotFound
}
func (h *fakeHAProxy) ShutdownSession(context.Context, string) error { return nil }
func (h *fakeHAProxy) SetServerState(_ context.Context, b, s string, m runtimeapi.ServerMode) error {
	return h.count(fmt.Sprintf("state %s/%s %s", b, s, m))
}
func (h *fakeHAProxy) HandOverQueue(_ context.Context, b, s string) error {
	return h.count(fmt.Sprintf("hand over %s/%s", b, s))
}
func (h *fakeHAProxy) SetServerWeight(_ context.Context, b, s string, w int) error {
	return h.count(fmt.Sprintf("weight %s/%s %d", b, s, w))
}
func (h *fakeHAProxy) SetServerMaxconn(_ context.Context, b, s string, n int) error {
	return h.count(fmt.Sprintf("maxconn %s/%s %d", b, s, n))
}
func (h *fakeHAProxy) count(call string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[call]++
	return nil
}

func withProxy(t *testing.T, config string) (*Daemon, *fakeCluster, *fakeHAProxy) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	_, f := newTestDaemon(t)
	h := &fakeHAProxy{tables: map[string][]runtimeapi.Entry{}, sessions: map[string]int{}, calls: map[string]int{}, stubborn: map[string]bool{}, backends: []string{"galera-nodes"}}
	if strings.Contains(config, "galera-admin-nodes") {
		h.backends = append(h.backends, "galera-admin-nodes")
	}
	for _, b := range h.backends {
		h.tables[b] = []runtimeapi.Entry{{Key: "1", ServerID: 2}}
	}
	reg := prometheus.NewRegistry()
	d, err := New(Config{Name: "px0", Version: "test", Files: []string{file}, DataDir: dir, AdminSocket: filepath.Join(dir, "s"),
		HTTPBind: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg},
		Deps{Cluster: func(*topology) (Cluster, error) { return nil, nil }, HAProxy: func(string) (HAProxy, error) { return h, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.files.Refresh(time.Now()); err != nil {
		t.Fatal(err)
	}
	d.started.Store(&started{cluster: f})
	word := healthyView()
	word.ReviewedTerm = 3
	f.say("px1", 0, word)
	return d, f, h
}

const twoBackends = testConfig + `backend galera-admin-nodes
  stick-table type integer size 100k peers mypeers
  stick on int(1)
  server pxc-0 10.0.0.1:3306 id 1 check
  server pxc-1 10.0.0.2:3306 id 2 check backup
  server pxc-2 10.0.0.3:3306 id 3 check backup
`

// A follower that lags behind the leader's decision does not enforce the old one on its word.
func TestReviewWordOfNewerRecordDoesNotOpenTheGate(t *testing.T) {
	d, f := newTestDaemon(t)
	word := healthyView()
	word.ReviewedTerm, word.Epoch = 3, 5 // the leader adopted epoch 5 by its review; here 4 is the newest known
	f.say("px1", 0, word)
	if got := hear(d); got.MayWrite {
		t.Errorf("enforces epoch %d (%s) on the leader's word about epoch 5", got.Version.Epoch, got.Active)
	}
}

// What was heard before a pause of this process does not open the gate.
func TestPauseIsNotForgottenByAnOldWord(t *testing.T) {
	d, f := newTestDaemon(t)
	word := healthyView()
	word.ReviewedTerm = 3
	f.say("px1", 0, word)
	if !hear(d).MayWrite {
		t.Fatal("closed")
	}
	// stopped for 1.3 s, continued: nothing was heard since.
	f.set(func(ag *cluster.Agreement) { ag.FreshAge = 1300 * time.Millisecond })
	f.say("px1", 1300*time.Millisecond, word)
	d.paused(time.Now())
	if hear(d).MayWrite {
		t.Error("the gate opened again on a word from before the pause")
	}
}

// A view never says that the new epoch is converged when the look was held against the old one.
func TestConvergedIsOfTheRecordInTheView(t *testing.T) {
	d, f, _ := withProxy(t, testConfig)
	d.proxy.turn(context.Background())
	d.proxy.turn(context.Background())
	ag := f.Agreement()
	if l := d.proxy.latest(); !l.Result.Converged || l.Effective != "pxc-1" {
		t.Fatalf("%+v", l)
	}
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 5, Active: "pxc-2"})
	ag.Record.Epoch, ag.Record.Value = 5, rec.Encode()
	v := d.buildView(d.started.Load(), &ag)
	if v.Epoch == 5 && v.Proxy.Converged {
		t.Errorf("says converged at epoch 5 (pxc-2) while it routes to %s", v.Proxy.Effective)
	}
}

// HAProxies that do not answer do not keep a dead active.
func TestHungHAProxiesDoNotStopTheDecision(t *testing.T) {
	d, f := newTestDaemon(t)
	s := d.started.Load()
	f.set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = true, "px0" })
	down := healthyView()
	down.Nodes[1] = model.NodeView{Name: "pxc-1", Verdict: model.Down, Reason: "refused"}
	down.Proxy = &model.ProxyView{Native: true, Problem: "socket hangs"}
	f.say("px1", 0, down)
	f.say("px2", 0, down)
	asked := make(chan struct{}, 1)
	f.propose = func(c cluster.Command) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil
	}
	now := time.Now()
	for i := range 60 {
		d.voteTurn(context.Background(), s, now.Add(time.Duration(i)*time.Second))
	}
	select {
	case <-asked:
	case <-time.After(time.Second):
		t.Errorf("a minute as leader, the active down for 2 of 3 voters, and nothing proposed: %q", d.asked().Turn)
	}
}

// One backend that cannot use the active keeps no sessions in the others.
func TestOneBackendDownDoesNotKeepStragglers(t *testing.T) {
	b := func(name string) plan.Backend {
		return plan.Backend{Name: name, Table: name, Keys: []string{"1"}, Servers: []plan.Server{{Name: "a", ID: 1}, {Name: "b", ID: 2, Backup: true}}}
	}
	in := &plan.Input{Layout: plan.Layout{Backends: []plan.Backend{b("writers"), b("mysqlx")}}, Active: "b", MayClose: true, NativeDue: true,
		Observed: plan.Observed{
			Tables: map[string]map[string]plan.Entry{"writers": {"1": {ServerID: 2}}, "mysqlx": {"1": {ServerID: 2}}},
			Servers: map[string]map[string]plan.ServerNow{
				"writers": {"a": {ID: 1, Running: true, Sessions: 9}, "b": {ID: 2, Running: true}},
				"mysqlx":  {"a": {ID: 1, Running: true}, "b": {ID: 2}}, // the X plugin of b does not answer
			}}}
	r := plan.Make(in)
	for _, a := range r.Actions {
		if a.Op == plan.OpClose && a.Backend == "writers" && a.Server == "a" {
			return
		}
	}
	t.Errorf("9 writer sessions stay on a although writers lead to b: %+v", r)
}

// A drained server takes no new connections by load balancing.
func TestDrainedServerIsNotBalancedTo(t *testing.T) {
	d, _, _ := withProxy(t, testConfig)
	snap := &runtimeapi.Snapshot{}
	for i, admin := range []runtimeapi.AdminState{8, 0, 0} { // as 2.6 to 3.4 print it after `set server state drain`: op 2, admin 8
		snap.Servers = append(snap.Servers, runtimeapi.ServerState{Backend: "galera-nodes", Name: fmt.Sprintf("pxc-%d", i), ID: i + 1, UserWeight: 1, OpState: runtimeapi.OpRunning, Admin: admin})
	}
	obs, _ := observe(d.files, snap)
	if got := plan.EffectiveAll(&plan.Input{Layout: d.files.Layout, Observed: obs}); got != "pxc-1" {
		t.Errorf("says new connections go to %q; HAProxy sends them to pxc-1", got)
	}
}

// A hung socket is no pause of this process.
func TestHungSocketDoesNotFloodTheEvents(t *testing.T) {
	d, _, h := withProxy(t, testConfig)
	d.proxy.turn(context.Background())
	h.hang = true
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	_ = d.proxy.run(ctx, d.wakeP)
	n := 0
	for _, e := range d.events.NewestFirst() {
		if strings.Contains(e.Message, "stood still") {
			n++
		}
	}
	if n > 1 {
		t.Errorf("%d times \"this daemon stood still\" in 6 s of a hung HAProxy", n)
	}
}

// A table that cannot be put right is written calmly, and starves no other.
func TestOneStubbornTableDoesNotStarveTheOthers(t *testing.T) {
	d, _, h := withProxy(t, twoBackends)
	h.tables["galera-nodes"] = []runtimeapi.Entry{{Key: "1", ServerID: 1}}
	h.stubborn["galera-nodes"] = true
	ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
	defer cancel()
	_ = d.proxy.run(ctx, d.wakeP) // wrong for more than two seconds: calm now
	h.mu.Lock()
	h.tables["galera-admin-nodes"] = []runtimeapi.Entry{{Key: "1", ServerID: 1}}
	h.mu.Unlock()
	ctx, cancel = context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	before := h.calls["set galera-nodes"]
	_ = d.proxy.run(ctx, d.wakeP)
	if before > 500 {
		t.Errorf("%d writes of one entry in 2.5 s", before)
	}
	if h.calls["set galera-admin-nodes"] == 0 {
		t.Errorf("galera-admin-nodes stays wrong for 3 s, galera-nodes was written %d times meanwhile (and %d before)", h.calls["set galera-nodes"]-before, before)
	}
}

// A loop that hangs does not claim to steer.
func TestStuckProxyLoopDoesNotClaimToSteer(t *testing.T) {
	d, f, _ := withProxy(t, testConfig)
	d.proxy.turn(context.Background())
	d.proxy.turn(context.Background())
	d.proxy.mu.Lock()
	l := *d.proxy.last
	l.At = l.At.Add(-time.Minute) // its turn hangs in a write to the disk since
	d.proxy.last = &l
	d.proxy.mu.Unlock()
	ag := f.Agreement()
	if v := d.buildView(d.started.Load(), &ag); v.Proxy.Steering || v.Proxy.Converged {
		t.Errorf("a look of a minute ago is published as the present: %+v", v.Proxy)
	}
}
