package steer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
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

// withProxy is px0's proxy, a cluster that the mandate hears, and its HAProxy.
func withProxy(t *testing.T, config string) (*rig, *clustertest.Cluster, *fakeHAProxy) {
	t.Helper()
	h := &fakeHAProxy{tables: map[string][]runtimeapi.Entry{}, sessions: map[string]int{}, calls: map[string]int{}, stubborn: map[string]bool{}, backends: []string{"galera-nodes"}}
	if strings.Contains(config, "galera-admin-nodes") {
		h.backends = append(h.backends, "galera-admin-nodes")
	}
	for _, b := range h.backends {
		h.tables[b] = []runtimeapi.Entry{{Key: "1", ServerID: 2}}
	}
	r := newRig(t, config)
	r.cfg.Dial = func(string) (HAProxy, error) { return h, nil }
	word := clustertest.HealthyView()
	word.ReviewedTerm = 3
	r.cluster.Say("px1", 0, word)
	return r, r.cluster, h
}

const twoBackends = clustertest.Config + `backend galera-admin-nodes
  stick-table type integer size 100k peers mypeers
  stick on int(1)
  server pxc-0 10.0.0.1:3306 id 1 check
  server pxc-1 10.0.0.2:3306 id 2 check backup
  server pxc-2 10.0.0.3:3306 id 3 check backup
`

// A drained server takes no new connections by load balancing.
func TestDrainedServerIsNotBalancedTo(t *testing.T) {
	d, _, _ := withProxy(t, clustertest.Config)
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
	d, _, h := withProxy(t, clustertest.Config)
	d.Turn(context.Background())
	h.hang = true
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	_ = d.Run(ctx, nil)
	n := 0
	for _, e := range d.cfg.Events.NewestFirst() {
		if strings.Contains(e.Message, "stood still") {
			n++
		}
	}
	if n > 1 {
		t.Errorf("%d times \"this daemon stood still\" in 6 s of a hung HAProxy", n)
	}
}

// Since when a HAProxy has not answered is told from the first look that found it so, until it
// answers.
func TestSilentSince(t *testing.T) {
	d, _, h := withProxy(t, clustertest.Config)
	look := func() *published.Look {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		d.Turn(ctx)
		return d.Look()
	}
	if d.Turn(t.Context()); !d.Look().Silent.IsZero() {
		t.Errorf("it answers: %+v", d.Look())
	}
	h.hang = true
	first := look()
	if first.Silent.IsZero() || first.Reachable || first.Problem != "HAProxy's admin socket /run/none.sock: no answer in time" {
		t.Errorf("it hangs: %+v", first)
	}
	if again := look(); !again.Silent.Equal(first.Silent) || !again.At.After(first.At) {
		t.Errorf("it hangs on: %v, at first %v", again.Silent, first.Silent)
	}
	h.hang = false
	if d.Turn(t.Context()); !d.Look().Silent.IsZero() || !d.Look().Reachable {
		t.Errorf("it answers again: %+v", d.Look())
	}
}

// A table that cannot be put right is written calmly, and starves no other.
func TestOneStubbornTableDoesNotStarveTheOthers(t *testing.T) {
	d, _, h := withProxy(t, twoBackends)
	h.tables["galera-nodes"] = []runtimeapi.Entry{{Key: "1", ServerID: 1}}
	h.stubborn["galera-nodes"] = true
	ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
	defer cancel()
	_ = d.Run(ctx, nil) // wrong for more than two seconds: calm now
	h.mu.Lock()
	h.tables["galera-admin-nodes"] = []runtimeapi.Entry{{Key: "1", ServerID: 1}}
	h.mu.Unlock()
	ctx, cancel = context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	before := h.calls["set galera-nodes"]
	_ = d.Run(ctx, nil)
	if before > 500 {
		t.Errorf("%d writes of one entry in 2.5 s", before)
	}
	if h.calls["set galera-admin-nodes"] == 0 {
		t.Errorf("galera-admin-nodes stays wrong for 3 s, galera-nodes was written %d times meanwhile (and %d before)", h.calls["set galera-nodes"]-before, before)
	}
}

// A proxy that watches only says so, steers nothing and is no beacon.
func TestObserverMayNothing(t *testing.T) {
	for _, observes := range []bool{false, true} {
		d, _, h := withProxy(t, clustertest.Config)
		d.cfg.Observe = observes
		d.rules = mandate.New(mandate.Policy{Name: "px0", Observe: observes}, time.Now())
		d.beacon.after = 0
		h.tables["galera-nodes"] = nil
		for range 3 {
			d.Turn(context.Background())
		}
		l := d.Look()
		if l.Want.MayWrite == observes || !l.Want.Known || l.Native != observes || h.calls["set galera-nodes"] > 0 == observes || d.BeaconOn() == observes {
			t.Errorf("observe %v: %+v, calls %v, beacon %v", observes, l, h.calls, d.BeaconOn())
		}
		if said := l.Want.Why == "--observe: this daemon never writes"; said != observes {
			t.Errorf("observe %v: why %q", observes, l.Want.Why)
		}
	}
}

// The beacon goes with the majority's word, not with the next turn at this HAProxy.
func TestBeaconGoesWithTheMajority(t *testing.T) {
	on := func(t *testing.T) (*rig, *clustertest.Cluster) {
		t.Helper()
		d, f, _ := withProxy(t, clustertest.Config)
		d.beacon.after = 0
		for range 3 {
			d.Turn(context.Background())
		}
		if !d.BeaconOn() {
			t.Fatal("it never came on")
		}
		return d, f
	}
	for name, lose := range map[string]func(*rig, *clustertest.Cluster){
		"lost": func(_ *rig, f *clustertest.Cluster) { f.Set(func(ag *cluster.Agreement) { ag.Fresh = false }) },
		"forgotten": func(_ *rig, f *clustertest.Cluster) {
			f.Set(func(ag *cluster.Agreement) { ag.Known, ag.Record = false, cluster.Record{} })
		},
		"broken": func(_ *rig, f *clustertest.Cluster) {
			f.Set(func(ag *cluster.Agreement) { ag.Record.Value = []byte("{") })
		},
		"a pause": func(d *rig, f *clustertest.Cluster) {
			f.Set(func(ag *cluster.Agreement) { ag.FreshAge = time.Second })
			d.hear(mandate.Facts{Paused: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, f := on(t)
			lose(d, f)
			d.hear(mandate.Facts{}) // the vote loop is woken by the change
			if d.BeaconOn() {
				t.Error("it stays on")
			}
		})
	}
}

// A word that nobody renews is none, also where no loop turns to notice.
func TestBeaconGoesWithAnOldWord(t *testing.T) {
	d, f, _ := withProxy(t, clustertest.Config)
	d.beacon.after, d.beacon.within = 0, time.Hour
	for range 3 {
		d.Turn(context.Background())
	}
	f.Set(func(ag *cluster.Agreement) { ag.FreshAge = cluster.FreshFor - 20*time.Millisecond })
	d.hear(mandate.Facts{})
	if !d.BeaconOn() {
		t.Fatal("off within the time")
	}
	time.Sleep(30 * time.Millisecond)
	if d.BeaconOn() {
		t.Error("on although the majority was last heard longer than FreshFor ago")
	}
}

// meddler has something happen right after the first command.
type meddler struct {
	*fakeHAProxy
	first sync.Once
	then  func()
}

func (m *meddler) SetTable(ctx context.Context, table, key string, id int) error {
	return m.ClearSetTable(ctx, table, key, id)
}

func (m *meddler) ClearSetTable(ctx context.Context, table, key string, id int) error {
	err := m.fakeHAProxy.ClearSetTable(ctx, table, key, id)
	m.first.Do(m.then)
	return err
}

// Before each command the agreement is read again: what was wanted at the look alone is not written.
func TestEachCommandHearsTheAgreementAgain(t *testing.T) {
	for name, c := range map[string]struct {
		then  func(*rig, *clustertest.Cluster)
		wrote int
	}{
		"nothing happens":  {func(*rig, *clustertest.Cluster) {}, 2},
		"no majority":      {func(_ *rig, f *clustertest.Cluster) { f.Set(func(ag *cluster.Agreement) { ag.Fresh = false }) }, 1},
		"another decision": {func(_ *rig, f *clustertest.Cluster) { f.Set(func(ag *cluster.Agreement) { ag.Record.Epoch++ }) }, 1},
		"an order":         {func(_ *rig, f *clustertest.Cluster) { f.Set(func(ag *cluster.Agreement) { ag.Record.Revision++ }) }, 1},
		"the word gets old": {func(_ *rig, f *clustertest.Cluster) {
			f.Set(func(ag *cluster.Agreement) { ag.FreshAge = 501 * time.Millisecond })
		}, 1},
		"a pause": {func(d *rig, f *clustertest.Cluster) {
			f.Set(func(ag *cluster.Agreement) { ag.FreshAge = 100 * time.Millisecond })
			d.hear(mandate.Facts{Paused: true})
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d, f, h := withProxy(t, twoBackends)
			for _, table := range h.backends {
				h.tables[table] = nil
			}
			m := &meddler{fakeHAProxy: h, then: func() { c.then(d, f) }}
			d.cfg.Dial = func(string) (HAProxy, error) { return m, nil }
			d.Turn(t.Context())
			if n := h.calls["set galera-nodes"] + h.calls["set galera-admin-nodes"]; n != c.wrote {
				t.Errorf("%d commands, want %d: %v", n, c.wrote, h.calls)
			}
		})
	}
}
