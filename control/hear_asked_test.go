package control

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// An operator's order for this proxy alone.
func TestWishOfALocalOrder(t *testing.T) {
	s := newStood(t, func(c *Config) { c.OnNoMajority, c.FenceAfter = NoMajorityFence, 3*time.Second })
	move := model.Move{From: "pxc-0", To: "pxc-1", Drain: model.DrainGraceful}
	s.record(func(r *model.Record) { r.Frozen, r.Move, r.History[0].From = true, &move, "pxc-0" })
	s.majority(false)
	s.heard(-1)
	s.pass(time.Hour)
	if w := s.may(false, noMajorit); w.Cut == "" || !w.KeepFence {
		t.Fatalf("not cut off: %+v", w)
	}
	s.order("pxc-2")
	w := s.may(true, "an operator forced pxc-2 on this proxy alone")
	if !w.Known || w.Active != "pxc-2" || w.Local != "pxc-2" || w.Frozen || w.Move != nil || w.Left != "" || w.Cut != "" || w.KeepFence || w.Blind != "" || w.Unserved != "" {
		t.Errorf("%+v", w)
	}
	if w.Version.Epoch != 4 || w.Version.Revision == 9 || !w.Heard(s.clock.Now().Add(time.Hour)) {
		t.Errorf("%+v", w)
	}
	if turned(s.Daemon).active().LocalOnly != "pxc-2" {
		t.Error("nobody is told")
	}
	s.pass(time.Hour)
	if again := s.may(true, "forced pxc-2"); again.Version != w.Version {
		t.Errorf("another order without one: %+v", again)
	}
	s.order("pxc-2")
	if second := s.may(true, "forced pxc-2"); second.Version == w.Version {
		t.Errorf("the second order is not seen: %+v", second)
	}
	s.set(func(ag *agreement) { ag.Known, ag.Record = false, cluster.Record{} })
	if w := s.may(true, "forced pxc-2"); !w.Known || w.Active != "pxc-2" {
		t.Errorf("without a record: %+v", w)
	}
	s.majority(true)
	s.heard(0)
	for len(s.wakeP) > 0 {
		<-s.wakeP
	}
	if w := s.may(false, "nobody answers"); w.Local != "" || turned(s.Daemon).active().LocalOnly != "" || len(s.wakeP) != 1 {
		t.Errorf("a majority is back: %+v", w)
	}
	s.majority(false)
	s.may(false, "nobody answers")
	if n := strings.Count(s.said.String(), "is dropped"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if e := s.events.NewestFirst(); len(e) != 1 || e[0].Message != "a majority is back: the order for pxc-2 on this proxy alone is dropped" {
		t.Errorf("events %+v", e)
	}
}

// Cut off for want of a majority, by policy, until the record may be enforced.
func TestWishWithoutAMajority(t *testing.T) {
	fence := func(c *Config) { c.OnNoMajority, c.FenceAfter = NoMajorityFence, 3*time.Second }
	t.Run("native", func(t *testing.T) {
		s := newStood(t, nil)
		s.majority(false)
		s.heard(-1)
		s.pass(time.Hour)
		if w := s.may(false, noMajorit); w.Cut != "" || w.KeepFence {
			t.Errorf("%+v", w)
		}
	})
	t.Run("fence", func(t *testing.T) {
		s := newStood(t, fence)
		cut := func(want bool) {
			t.Helper()
			if w := hear(s.Daemon); (w.Cut == "no majority of the voters for more than 3s") != want || !want && w.Cut != "" || w.KeepFence == s.f.Agreement().Fresh {
				t.Fatalf("cut off %v wanted: %+v", want, w)
			}
		}
		s.opened()
		s.majority(false)
		s.heard(-1) // a leader that stepped down
		s.pass(2999 * time.Millisecond)
		cut(false)
		s.pass(time.Millisecond)
		cut(true)
		s.heard(100 * time.Millisecond) // heard lately, by another count
		cut(true)
		s.majority(true)
		s.heard(0)
		s.pass(time.Millisecond)
		s.f.views = nil
		s.may(false, waits)
		cut(true) // and nothing is enforced
		s.word("px1", 3, 0, 4)
		s.may(true, "")
		cut(false)
		s.majority(false)
		cut(false) // counted anew
		s.set(func(ag *agreement) { ag.Known, ag.Record = false, cluster.Record{} })
		s.heard(-1)
		s.pass(3 * time.Second)
		cut(true)
	})
	t.Run("from the start on", func(t *testing.T) {
		s := newStood(t, fence)
		s.majority(false)
		s.heard(time.Hour)
		if w := hear(s.Daemon); w.Cut != "" || !w.KeepFence {
			t.Errorf("just started: %+v", w)
		}
		s.heard(time.Second)
		s.pass(time.Hour)
		if w := hear(s.Daemon); w.Cut != "" {
			t.Errorf("heard a second ago: %+v", w)
		}
	})
}

// A move's age counts from when this member first knew the decision, whoever leads.
func TestAgeOfAMove(t *testing.T) {
	s := newStood(t, nil)
	age := func(want time.Duration) {
		t.Helper()
		if got := hear(s.Daemon).MoveAge; got != want {
			t.Errorf("age %v, want %v", got, want)
		}
		if got := turned(s.Daemon).Input().MoveAge; got != want {
			t.Errorf("the decision is told %v, want %v", got, want)
		}
	}
	age(0)
	s.pass(time.Second)
	age(time.Second)
	s.set(func(ag *agreement) { ag.Term, ag.Leader = 9, "px2" })
	s.pass(time.Second)
	age(2 * time.Second)
	s.leads(10)
	s.majority(false)
	s.pass(time.Second)
	age(3 * time.Second)
	s.majority(true)
	s.paused(s.clock.Now())
	s.version(cluster.Version{Epoch: 4, Revision: 10})
	s.pass(time.Second)
	age(4 * time.Second)
	s.version(cluster.Version{Epoch: 5, Revision: 11})
	age(0)
	s.pass(time.Second)
	age(time.Second)
	s.version(cluster.Version{Recovery: 1, Epoch: 5, Revision: 12})
	age(0)
}

// A majority's word that is older than a few heartbeats is no leave to write, for who hears it at each of them.
func TestWordOfAVoter(t *testing.T) {
	s := newStood(t, nil)
	s.opened()
	if w := s.may(true, ""); !w.Heard(s.clock.Now().Add(500*time.Millisecond)) || w.Heard(s.clock.Now().Add(501*time.Millisecond)) {
		t.Errorf("%+v", w)
	}
	s.heard(501 * time.Millisecond)
	if w := s.may(true, ""); w.Heard(s.clock.Now()) {
		t.Errorf("%+v", w)
	}
	s.set(func(ag *agreement) { ag.Voting = false })
	if w := s.may(true, ""); !w.Heard(s.clock.Now()) || !w.Heard(s.clock.Now().Add(time.Hour)) {
		t.Errorf("a member that only follows: %+v", w)
	}
}

// What the probes say of the active counts where the record may be enforced, and only there.
func TestWishAndTheProbes(t *testing.T) {
	s := newStood(t, nil)
	found := func(verdict galera.Verdict, class galera.Class) {
		s.started.Store(&started{cluster: s.f, prober: looks{found: []galera.NodeStatus{
			{Node: "pxc-0", State: galera.State{Verdict: galera.Down, Class: galera.ClassRefused, Reason: "another"}},
			{Node: "pxc-1", State: galera.State{Verdict: verdict, Class: class, Reason: "because"}},
		}}})
	}
	found(galera.Down, galera.ClassRefused)
	if w := s.may(false, waits); w.Blind != "" || w.Unserved != "" {
		t.Errorf("waiting: %+v", w)
	}
	s.opened()
	if w := s.may(true, ""); w.Blind != "because" || w.Unserved != "this daemon's probe does not find pxc-1 serving" {
		t.Errorf("down: %+v", w)
	}
	found(galera.Down, galera.ClassSilent)
	if w := s.may(true, ""); w.Blind != "" || w.Unserved == "" {
		t.Errorf("silent: %+v", w)
	}
	found(galera.Healthy, galera.ClassSynced)
	if w := s.may(true, ""); w.Blind != "" || w.Unserved != "" {
		t.Errorf("healthy: %+v", w)
	}
	down := healthyView()
	down.ReviewedTerm = 3
	down.Nodes[1].Verdict = model.Down
	s.f.say("px1", 0, down)
	if w := s.may(true, ""); w.Unserved != "" {
		t.Errorf("two of three: %+v", w)
	}
	s.f.say("px2", 0, down)
	if w := s.may(true, ""); w.Unserved != "1 of 3 voters' probes find pxc-1 serving, no majority" {
		t.Errorf("one of three: %+v", w)
	}
	s.f.say("px2", time.Minute, healthyView())
	if w := s.may(true, ""); w.Unserved == "" {
		t.Errorf("one of three, and old news: %+v", w)
	}
	s.started.Store(&started{cluster: s.f})
	if w := s.may(true, ""); w.Blind != "" || w.Unserved != "this daemon's probe does not find pxc-1 serving" {
		t.Errorf("nobody probes: %+v", w)
	}
}

// A proxy that watches only says so, steers nothing and is no beacon.
func TestObserverMayNothing(t *testing.T) {
	for _, observes := range []bool{false, true} {
		d, _, h := withProxy(t, testConfig)
		d.cfg.Observe, d.proxy.cfg.Observe = observes, observes
		d.mandate.rules = mandate.New(mandate.Policy{Name: "px0", Observe: observes}, d.born)
		d.proxy.beacon.after = 0
		h.tables["galera-nodes"] = nil
		for range 3 {
			d.proxy.turn(context.Background())
		}
		l := d.proxy.latest()
		if l.Want.MayWrite == observes || !l.Want.Known || l.Native != observes || h.calls["set galera-nodes"] > 0 == observes || d.proxy.beaconOn() == observes {
			t.Errorf("observe %v: %+v, calls %v, beacon %v", observes, l, h.calls, d.proxy.beaconOn())
		}
		if said := l.Want.Why == "--observe: this daemon never writes"; said != observes {
			t.Errorf("observe %v: why %q", observes, l.Want.Why)
		}
	}
}

// The beacon goes with the majority's word, not with the next turn at this HAProxy.
func TestBeaconGoesWithTheMajority(t *testing.T) {
	on := func(t *testing.T) (*Daemon, *fakeCluster) {
		t.Helper()
		d, f, _ := withProxy(t, testConfig)
		d.proxy.beacon.after = 0
		for range 3 {
			d.proxy.turn(context.Background())
		}
		if !d.proxy.beaconOn() {
			t.Fatal("it never came on")
		}
		return d, f
	}
	for name, lose := range map[string]func(*Daemon, *fakeCluster){
		"lost": func(_ *Daemon, f *fakeCluster) { f.set(func(ag *agreement) { ag.Fresh = false }) },
		"forgotten": func(_ *Daemon, f *fakeCluster) {
			f.set(func(ag *agreement) { ag.Known, ag.Record = false, cluster.Record{} })
		},
		"broken": func(_ *Daemon, f *fakeCluster) { f.set(func(ag *agreement) { ag.Record.Value = []byte("{") }) },
		"a pause": func(d *Daemon, f *fakeCluster) {
			f.set(func(ag *agreement) { ag.FreshAge = time.Second })
			d.paused(time.Now())
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, f := on(t)
			lose(d, f)
			d.voteTurn(context.Background(), d.started.Load(), time.Now()) // woken by the change
			if d.proxy.beaconOn() {
				t.Error("it stays on")
			}
		})
	}
}

// A word that nobody renews is none, also where no loop turns to notice.
func TestBeaconGoesWithAnOldWord(t *testing.T) {
	d, f, _ := withProxy(t, testConfig)
	d.proxy.beacon.after, d.proxy.beacon.within = 0, time.Hour
	for range 3 {
		d.proxy.turn(context.Background())
	}
	f.set(func(ag *agreement) { ag.FreshAge = cluster.FreshFor - 20*time.Millisecond })
	hear(d)
	if !d.proxy.beaconOn() {
		t.Fatal("off within the time")
	}
	time.Sleep(30 * time.Millisecond)
	if d.proxy.beaconOn() {
		t.Error("on although the majority was last heard longer than FreshFor ago")
	}
}

// Whoever asks changes nothing: not what is wanted, not how long a decision has been known, not a move's report. Here
// the agreement is another one by now than at the last step, which a step would take.
func TestQuestionsChangeNothing(t *testing.T) {
	d, f, _ := withProxy(t, testConfig)
	d.proxy.beacon.after = 0
	for range 3 {
		d.proxy.turn(context.Background())
	}
	d.voteTurn(context.Background(), d.started.Load(), time.Now())
	public, admin := d.publicHandler(), d.adminHandler()
	ask := func(h http.Handler, path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return w.Code
	}
	if code := ask(public, "/beacon"); code != http.StatusOK {
		t.Fatalf("the beacon says %d", code)
	}
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 5, Active: "pxc-2"})
	rec.Move = &model.Move{From: "pxc-1", To: "pxc-2", Drain: model.DrainGraceful, Phase: model.PhaseDrain, TimeoutMS: 5000}
	rec.AutoMoves = []time.Time{time.Now()}
	f.set(func(ag *agreement) {
		ag.Fresh, ag.IsLeader, ag.Leader, ag.Term = false, true, "px0", 9
		ag.Record.Epoch, ag.Record.Value = 5, rec.Encode()
	})
	rules, want, moves, last := d.mandate.rules, d.wanted(), d.moves.now(), d.proxy.latest()
	for _, path := range []string{"/beacon", "/healthz", "/readyz", "/active", "/metrics"} {
		ask(public, path)
	}
	for _, path := range []string{
		api.PathStatus, api.PathActive, api.PathHistory, api.PathNodes, api.PathMembers, api.PathRegister, api.PathMove,
		api.PathExplain, api.PathCheck + "?address=10.0.0.2:3306",
	} {
		if code := ask(admin, path); code != http.StatusOK {
			t.Errorf("%s says %d", path, code)
		}
	}
	if d.mandate.rules != rules || !reflect.DeepEqual(d.wanted(), want) || !reflect.DeepEqual(d.moves.now(), moves) || d.proxy.latest() != last ||
		d.autoMoves.term != 0 || len(d.autoMoves.moves) != 0 {
		t.Errorf("asked, and changed: %+v %+v %+v %+v", d.mandate.rules, d.wanted(), d.moves.now(), d.autoMoves.moves)
	}
	if hear(d); d.mandate.rules == rules || reflect.DeepEqual(d.wanted(), want) {
		t.Error("a step changes nothing either: this test shows nothing")
	}
}

// Steps come from both loops and the drainer, questions from everywhere.
func TestStepsFromEverywhere(t *testing.T) {
	d, f, _ := withProxy(t, testConfig)
	var all sync.WaitGroup
	for _, do := range []func(int){
		func(int) { hear(d) },
		func(int) { d.voteTurn(t.Context(), d.started.Load(), time.Now()) },
		func(int) { d.proxy.turn(t.Context()) },
		func(int) { d.proxy.beaconOn() },
		func(int) { d.asked().status() },
		func(int) { d.asked().move() },
		func(i int) {
			f.set(func(ag *agreement) { ag.Fresh, ag.Record.Revision = i%3 > 0, ag.Record.Revision+1 })
		},
		func(i int) {
			if i%8 == 0 {
				d.hear(mandate.Facts{Order: "pxc-2"})
				d.paused(time.Now())
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
	f.set(func(ag *agreement) { ag.Fresh, ag.FreshAge = true, 0 })
	if hear(d); !d.wanted().MayWrite || d.wanted().Local != "" {
		t.Errorf("%+v", d.wanted())
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
		then  func(*Daemon, *fakeCluster)
		wrote int
	}{
		"nothing happens":   {func(*Daemon, *fakeCluster) {}, 2},
		"no majority":       {func(_ *Daemon, f *fakeCluster) { f.set(func(ag *agreement) { ag.Fresh = false }) }, 1},
		"another decision":  {func(_ *Daemon, f *fakeCluster) { f.set(func(ag *agreement) { ag.Record.Epoch++ }) }, 1},
		"an order":          {func(_ *Daemon, f *fakeCluster) { f.set(func(ag *agreement) { ag.Record.Revision++ }) }, 1},
		"the word gets old": {func(_ *Daemon, f *fakeCluster) { f.set(func(ag *agreement) { ag.FreshAge = 501 * time.Millisecond }) }, 1},
		"a pause": {func(d *Daemon, f *fakeCluster) {
			f.set(func(ag *agreement) { ag.FreshAge = 100 * time.Millisecond })
			d.paused(time.Now())
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d, f, h := withProxy(t, twoBackends)
			for _, table := range h.backends {
				h.tables[table] = nil
			}
			m := &meddler{fakeHAProxy: h, then: func() { c.then(d, f) }}
			d.proxy.dial = func(string) (HAProxy, error) { return m, nil }
			d.proxy.turn(t.Context())
			if n := h.calls["set galera-nodes"] + h.calls["set galera-admin-nodes"]; n != c.wrote {
				t.Errorf("%d commands, want %d: %v", n, c.wrote, h.calls)
			}
		})
	}
}
