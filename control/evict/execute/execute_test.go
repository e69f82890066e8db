package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

const victim = "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db"

// group are three processes as their statements show them: a survivor that is told makes a new view, in which both
// have the entry on their lists.
type group struct {
	mu     sync.Mutex
	confID int
	listed map[string]bool
	said   []string // CALLs, by node
	deaf   map[string]bool
	uuid   map[string]string
	found  bool // the order is of an entry that was found
	lives  bool // the victim does
	known  time.Duration
}

func newGroup() *group {
	return &group{confID: 7, listed: map[string]bool{}, deaf: map[string]bool{}, uuid: map[string]string{"pxc-0": "b", "pxc-2": "a"}}
}

func (g *group) serve(node string) func(*dbtest.Fake) {
	return dbtest.ServeQueries(nil, func(f *dbtest.Fake, text string) bool {
		g.answer(f, node, text)
		return true
	})
}

func (g *group) answer(f *dbtest.Fake, node, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case strings.HasPrefix(text, "SET SESSION"):
		f.Say(strings.Split(strings.Repeat(dbtest.OKMore+"|", strings.Count(text, ";"))+dbtest.OK, "|")...)
	case strings.HasPrefix(text, "SHOW"):
		list := ""
		if g.listed[node] {
			list = victim
		}
		f.Table(dbtest.End, 2, dbtest.Row("wsrep_cluster_status", "Primary"), dbtest.Row("wsrep_cluster_conf_id", fmt.Sprint(g.confID)),
			dbtest.Row("wsrep_evs_state", "OPERATIONAL"), dbtest.Row("wsrep_evs_evict_list", list), dbtest.Row("wsrep_gcomm_uuid", g.uuid[node]))
	case strings.HasPrefix(text, "CALL haproxyd_galera."):
		g.said = append(g.said, node+" "+strings.TrimPrefix(text, "CALL haproxyd_galera."))
		word := "cleared"
		if strings.Contains(text, ".evict(") {
			if word = "evicted"; g.deaf[node] {
				word = "other-conf-id"
			} else {
				g.confID++
				g.listed["pxc-0"], g.listed["pxc-2"] = true, true
			}
		} else {
			g.listed[node] = false
		}
		f.Table(dbtest.More, 2, dbtest.Row(word, "7"))
		f.Say(dbtest.OK)
	}
}

// run carries the order out, and returns what was said to whom and what came of it.
func (g *group) run(t *testing.T, ended func(model.Survivor) bool) ([]string, Outcome, error) {
	t.Helper()
	dialers := map[string]*conn.Dialer{}
	for _, node := range []string{"pxc-0", "pxc-2"} {
		d, err := conn.NewDialer(dbtest.Serve(t, g.serve(node)), nil)
		dbtest.Must(t, err)
		dialers[node] = d
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out Outcome
	err := Run(ctx, Config{
		Order: &model.Eviction{Found: g.found, Node: "pxc-1", UUID: victim, ConfID: 7, Survivors: []model.Survivor{{Node: "pxc-2", UUID: "a", Retrans: "PT1S"}, {Node: "pxc-0", UUID: "b", Retrans: "PT0.5S"}}},
		Open: func(ctx context.Context, node, setup string) (*conn.Session, error) {
			d := *dialers[node]
			s, err := d.Open(ctx, conn.Opening{Account: conn.Account{User: "probe", PasswordFile: dbtest.PasswordFile(t, "x")}, SSL: conn.SSL{Mode: conn.SSLDisabled}, Life: ctx, Budget: time.Second})
			if err != nil {
				return nil, err
			}
			return s, s.Ask(setup, nil, nil)
		},
		Learned: time.Now().Add(-g.known), Lives: func() bool { return g.lives },
		Ended: ended, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, func(o Outcome) { out = o })
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.said, out, err
}

func none(model.Survivor) bool { return false }

func TestRun(t *testing.T) {
	t.Parallel()
	said, out, err := newGroup().run(t, none)
	if err != nil || out.Changed == 0 || len(out.Said) != 1 || out.Said[0] != "pxc-2: evicted" {
		t.Fatalf("%+v, %v", out, err)
	}
	if len(said) != 6 || said[0] != "pxc-0 clear_evicted('PT0.1S')" || said[1] != "pxc-2 evict('"+victim+"',7,'PT0.1S')" {
		t.Fatalf("%q", said)
	}
	for _, want := range []string{"pxc-2 clear_evicted('PT1S')", "pxc-0 clear_evicted('PT0.5S')"} {
		if said[2] != want && said[3] != want {
			t.Errorf("%q lacks %s", said, want)
		}
	}
}

// Nobody is told of a victim that lives after all, nor by whoever takes over from an owner that fell silent long ago; the lists are emptied all
// the same.
func TestRunTellsNobody(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*group){
		"it lives": func(g *group) { g.lives = true },
		"too late": func(g *group) { g.known = time.Second },
	} {
		g := newGroup()
		change(g)
		said, out, err := g.run(t, none)
		if err != nil || out.Changed != 0 || len(said) != 4 || strings.Contains(strings.Join(said, " "), " evict(") || strings.Contains(strings.Join(said, " "), "PT0.1S") {
			t.Errorf("%s: %q, %+v, %v", name, said, out, err)
		}
	}
}

// Where an entry was found nobody is told: the lists are emptied, and no view is waited for.
func TestRunFound(t *testing.T) {
	t.Parallel()
	g := newGroup()
	g.listed["pxc-0"], g.found = true, true
	said, out, err := g.run(t, none)
	if err != nil || out.Changed != 0 || len(out.Said) != 0 || len(said) != 4 || g.listed["pxc-0"] || strings.Contains(strings.Join(said, " "), " evict(") {
		t.Fatalf("%q, %+v, %v", said, out, err)
	}
}

// The representative does nothing: the other one is told.
func TestRunTellsTheNext(t *testing.T) {
	t.Parallel()
	g := newGroup()
	g.deaf["pxc-2"] = true
	said, out, err := g.run(t, none)
	if err != nil || out.Changed == 0 || len(said) != 7 || !strings.HasPrefix(said[2], "pxc-0 evict(") {
		t.Fatalf("%q, %+v, %v", said, out, err)
	}
}

// A survivor whose process is no more, by the views' word or by its own address's, is owed nothing.
func TestRunWithoutOne(t *testing.T) {
	t.Parallel()
	g := newGroup()
	g.uuid["pxc-0"] = "another"
	said, _, err := g.run(t, none)
	if err != nil || len(said) != 3 {
		t.Errorf("%q, %v", said, err)
	}
	said, _, err = newGroup().run(t, func(s model.Survivor) bool { return s.Node == "pxc-0" })
	if err != nil || len(said) != 3 {
		t.Errorf("%q, %v", said, err)
	}
}

// The last of two is told by a procedure of its own.
func TestCall(t *testing.T) {
	o := model.Eviction{UUID: victim, ConfID: 7}
	if is, want := call(&o), "CALL haproxyd_galera.evict('"+victim+"',7,'PT0.1S')"; is != want {
		t.Errorf("%s", is)
	}
	o.Last = true
	if is, want := call(&o), "CALL haproxyd_galera.evict_last('"+victim+"',7,'PT0.1S')"; is != want {
		t.Errorf("%s", is)
	}
}

// An order that is no more ends what is done of it.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, Config{
		Order: &model.Eviction{UUID: victim, ConfID: 7, Survivors: []model.Survivor{{Node: "pxc-0"}}},
		Open: func(context.Context, string, string) (*conn.Session, error) {
			cancel()
			return nil, errors.New("no way there")
		},
		Learned: time.Now(), Lives: func() bool { return false },
		Ended: none, Log: slog.New(slog.DiscardHandler),
	}, func(Outcome) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
