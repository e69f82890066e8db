package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/steer"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// rightHAProxy leads to pxc-1, whatever it is told.
type rightHAProxy struct{ steer.HAProxy }

func (rightHAProxy) Snapshot(_ context.Context, q runtimeapi.SnapshotQuery) (runtimeapi.Snapshot, error) {
	s := runtimeapi.Snapshot{Info: runtimeapi.Info{Pid: 7, Uptime: time.Hour}, Tables: map[string]runtimeapi.Table{}}
	for _, t := range q.Tables {
		s.Tables[t] = runtimeapi.Table{Entries: []runtimeapi.Entry{{Key: "1", ServerID: 2}}}
	}
	for i := range 3 {
		n := fmt.Sprintf("pxc-%d", i)
		s.Servers = append(s.Servers, runtimeapi.ServerState{Backend: "galera-nodes", Name: n, ID: i + 1, Addr: fmt.Sprintf("10.0.0.%d", i+1), Port: 3306, UserWeight: 1, OpState: runtimeapi.OpRunning})
	}
	return s, nil
}

func (rightHAProxy) Tables(context.Context) ([]runtimeapi.TableHeader, error) {
	return []runtimeapi.TableHeader{{Name: "galera-nodes", Type: "integer", Size: 102400}}, nil
}

func (rightHAProxy) ClearSetTable(context.Context, string, string, int) error     { return nil }
func (rightHAProxy) ShutdownSessionsServer(context.Context, string, string) error { return nil }

// newTestDaemon is px0, which has joined a cluster of three whose leader has looked. Its
// loops do not run: the test turns them.
func newTestDaemon(t *testing.T) (*Daemon, *clustertest.Cluster) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(clustertest.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	d, err := New(Config{
		Name: "px0", Version: "test", Files: []string{file}, DataDir: dir, AdminSocket: filepath.Join(dir, "s"),
		HTTPBind: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg,
	}, Deps{
		Cluster: func(*configs.Topology) (Cluster, error) { return nil, nil },
		HAProxy: func(string) (steer.HAProxy, error) { return rightHAProxy{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.files.Refresh(time.Now()); err != nil {
		t.Fatal(err)
	}
	f := clustertest.New()
	word := clustertest.HealthyView()
	word.ReviewedTerm = 3
	f.Say("px1", 0, word)
	d.vote.Join(f, nil)
	return d, f
}

// Whoever asks changes nothing: not what is wanted, not how long a decision has been known, not a move's report. Here
// the agreement is another one by now than at the last step, which a step would take.
func TestQuestionsChangeNothing(t *testing.T) {
	d, f := newTestDaemon(t)
	turn := func() {
		d.steer.Turn(t.Context())
		d.vote.Turn(t.Context(), time.Now())
	}
	public, private := d.admin.Public(), d.admin.Private()
	ask := func(h http.Handler, path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return w.Code
	}
	for began := time.Now(); ask(public, "/beacon") != http.StatusOK; time.Sleep(20 * time.Millisecond) {
		if turn(); time.Since(began) > 10*time.Second {
			t.Fatalf("the beacon is off: %+v", d.steer.Look())
		}
	}
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 5, Active: "pxc-2"})
	rec.Move = &model.Move{From: "pxc-1", To: "pxc-2", Drain: model.DrainGraceful, Phase: model.PhaseDrain, TimeoutMS: 5000}
	rec.AutoMoves = []time.Time{time.Now()}
	f.Set(func(ag *cluster.Agreement) {
		ag.Fresh, ag.IsLeader, ag.Leader, ag.Term = false, true, "px0", 9
		ag.Record.Epoch, ag.Record.Value = 5, rec.Encode()
	})
	want, moves, look := d.vote.Wanted(), d.vote.Situation().Move, d.steer.Look()
	for _, path := range []string{"/beacon", "/healthz", "/readyz", "/active", "/metrics"} {
		ask(public, path)
	}
	for _, path := range []string{
		api.PathStatus, api.PathActive, api.PathHistory, api.PathNodes, api.PathMembers, api.PathRegister, api.PathMove,
		api.PathExplain, api.PathCheck + "?address=10.0.0.2:3306",
	} {
		if code := ask(private, path); code != http.StatusOK {
			t.Errorf("%s says %d", path, code)
		}
	}
	if !reflect.DeepEqual(d.vote.Wanted(), want) || !reflect.DeepEqual(d.vote.Situation().Move, moves) || d.steer.Look() != look {
		t.Errorf("asked, and changed: %+v %+v %+v", d.vote.Wanted(), d.vote.Situation().Move, d.steer.Look())
	}
	if d.vote.Hear(mandate.Facts{}); reflect.DeepEqual(d.vote.Wanted(), want) {
		t.Error("a step changes nothing either: this test shows nothing")
	}
}

// Steps come from both loops and the drainer, questions from everywhere.
func TestStepsFromEverywhere(t *testing.T) {
	d, f := newTestDaemon(t)
	private := d.admin.Private()
	var all sync.WaitGroup
	for _, do := range []func(int){
		func(int) { d.vote.Hear(mandate.Facts{}) },
		func(int) { d.vote.Turn(t.Context(), time.Now()) },
		func(int) { d.steer.Turn(t.Context()) },
		func(int) { d.beacon() },
		func(i int) {
			path := []string{api.PathStatus, api.PathMove}[i%2]
			private.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		},
		func(i int) {
			f.Set(func(ag *cluster.Agreement) { ag.Fresh, ag.Record.Revision = i%3 > 0, ag.Record.Revision+1 })
		},
		func(i int) {
			if i%8 == 0 {
				d.vote.Hear(mandate.Facts{Order: "pxc-2"})
				d.vote.Paused(time.Now())
			}
		},
	} {
		all.Go(func() {
			for i := range 40 {
				do(i)
			}
		})
	}
	all.Wait()
	f.Set(func(ag *cluster.Agreement) { ag.Fresh, ag.FreshAge = true, 0 })
	if d.vote.Hear(mandate.Facts{}); !d.vote.Wanted().MayWrite || d.vote.Wanted().Local != "" {
		t.Errorf("%+v", d.vote.Wanted())
	}
}
