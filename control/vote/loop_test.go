package vote

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// A member enforces the record only on the word of the leader of this term.
func TestDesiredWaitsForTheLeadersWord(t *testing.T) {
	d, f := newTestLoop(t)
	may := func(want bool, why string) {
		t.Helper()
		got := hear(d)
		if got.MayWrite != want || !strings.Contains(got.Why, why) || !got.Known || got.Active != "pxc-1" {
			t.Fatalf("got %+v, want mayWrite %v because …%s…", got, want, why)
		}
	}
	word := func(term uint64, agreed bool) *model.View {
		v := clustertest.HealthyView()
		v.ReviewedTerm, v.Agreed = term, agreed
		return v
	}
	may(false, "waiting until the leader")
	f.Say("px2", 0, word(3, true)) // not the leader
	may(false, "waiting until the leader")
	f.Say("px1", 0, word(2, true)) // its word is of an earlier term
	may(false, "waiting until the leader")
	f.Say("px1", 3*time.Second, word(3, true)) // old news
	may(false, "waiting until the leader")
	f.Say("px1", 0, word(3, false)) // it hears no majority
	may(false, "waiting until the leader")
	f.Say("px1", 0, word(3, true))
	may(true, "")
	// Once heard, another leader need not say it again while nothing was lost.
	f.Set(func(ag *cluster.Agreement) { ag.Term, ag.Leader = 4, "px2" })
	may(true, "")
	f.Set(func(ag *cluster.Agreement) { ag.Fresh, ag.Reason = false, "nobody answers" })
	may(false, "no majority: nobody answers")
	f.Set(func(ag *cluster.Agreement) { ag.Fresh = true })
	may(false, "waiting until the leader") // the gate closed meanwhile
	f.Say("px2", 0, word(4, true))
	may(true, "")
	d.Paused(time.Now()) // the process was stopped and continued
	f.Say("px2", 0, word(3, true))
	may(false, "waiting until the leader")
}

func TestDesiredWithoutARecord(t *testing.T) {
	d, f := newTestLoop(t)
	f.Set(func(ag *cluster.Agreement) { ag.Known, ag.Record = false, cluster.Record{} })
	if got := hear(d); got.Known || got.MayWrite {
		t.Errorf("got %+v", got)
	}
	f.Set(func(ag *cluster.Agreement) { ag.Known, ag.Record.Value = true, []byte(`{"act`) })
	if got := hear(d); got.MayWrite || !strings.Contains(got.Why, "cannot be understood") {
		t.Errorf("got %+v", got)
	}
}

// A new leader decides at once where a majority steered all the time, and
// otherwise hears the voters first.
func TestReadyToReview(t *testing.T) {
	now := time.Now()
	in := func(natives ...bool) *decide.Input {
		in := &decide.Input{Voters: []string{"px0", "px1", "px2"}}
		for i, native := range natives {
			v := clustertest.HealthyView()
			v.Proxy.Native = native
			in.Voices = append(in.Voices, decide.Voice{Member: in.Voters[i], View: v})
		}
		return in
	}
	moved := in(true, true, true)
	moved.Record, moved.Order = &model.Record{Active: "pxc-1"}, []string{"pxc-0", "pxc-1", "pxc-2"}
	for _, v := range moved.Voices {
		v.View.Proxy.WentDown = []string{"pxc-1"}
		v.View.Nodes = []model.NodeView{{Name: "pxc-2", Verdict: model.Unknown, Sessions: 3}}
	}
	d, _ := newTestLoop(t)
	d.leaderSince = now
	for _, tt := range []struct {
		name string
		in   *decide.Input
		at   time.Duration
		want bool
	}{
		{"two of three steered", in(false, false), 0, true},
		{"all heard", in(true, true, true), 0, true},
		{"two of three were native: wait for the third", in(true, true), 0, false},
		{"but not for long", in(true, true), time.Second, true},
		{"one of three is no majority", in(true), time.Hour, false},
		{"the proxies moved to a node that nobody has probed yet", moved, time.Second, false},
		{"and nobody can", moved, 5 * time.Second, true},
	} {
		if got := d.readyToReview(tt.in, now.Add(tt.at)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// The leader proposes what the decision says, with the version it decided on.
func TestVoteTurnProposes(t *testing.T) {
	d, f := newTestLoop(t)
	f.Set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = true, "px0" })
	down := clustertest.HealthyView()
	down.Nodes[1] = model.NodeView{Name: "pxc-1", Verdict: model.Down, Reason: "refused"}
	f.Say("px1", 0, down)
	f.Say("px2", 0, down)
	f.OnPropose = func(c cluster.Command) error {
		if !c.NewEpoch || c.Expect != (cluster.Version{Epoch: 4, Revision: 9}) {
			t.Errorf("proposed %+v", c)
		}
		return nil
	}
	d.Turn(context.Background(), time.Now())
	deadline := time.After(5 * time.Second)
	for f.Agreement().Record.Epoch != 5 {
		select {
		case <-deadline:
			t.Fatal("nothing was proposed")
		case <-d.wake:
		}
	}
	if r := f.Record(t); r.Active != "pxc-0" || r.Last().By != "px0" {
		t.Errorf("got %+v", r)
	}
}

func TestFollowersDoNotPropose(t *testing.T) {
	d, f := newTestLoop(t)
	down := clustertest.HealthyView()
	down.Nodes[1] = model.NodeView{Name: "pxc-1", Verdict: model.Down, Reason: "refused"}
	f.Say("px1", 0, down)
	f.Say("px2", 0, down)
	f.OnPropose = func(cluster.Command) error { t.Error("a follower proposed"); return nil }
	d.Turn(context.Background(), time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.proposing {
		t.Error("a follower proposes")
	}
}

// A leader that was stopped and goes on in the same term looks again at what the
// HAProxies did meanwhile before it enforces anything, and not at views that
// waited in its socket.
func TestPausedLeaderReviewsAgain(t *testing.T) {
	d, f := newTestLoop(t)
	f.Set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = true, "px0" })
	now := time.Now()
	d.Turn(context.Background(), now)
	if !hear(d).MayWrite {
		t.Fatalf("a leader whose voters steered enforces the record: %+v", hear(d))
	}
	later := now.Add(10 * time.Second)
	d.Turn(context.Background(), later)
	if hear(d).MayWrite {
		t.Error("it enforces the old record on its word from before the pause")
	}
	d.Turn(context.Background(), later.Add(500*time.Millisecond))
	if hear(d).MayWrite {
		t.Error("it looked at views that may have waited in its socket")
	}
	d.Turn(context.Background(), later.Add(reviewWait+100*time.Millisecond))
	if !hear(d).MayWrite {
		t.Error("it never goes on")
	}
}

// HAProxies that do not answer do not keep a dead active.
func TestHungHAProxiesDoNotStopTheDecision(t *testing.T) {
	d, f := newTestLoop(t)
	f.Set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = true, "px0" })
	down := clustertest.HealthyView()
	down.Nodes[1] = model.NodeView{Name: "pxc-1", Verdict: model.Down, Reason: "refused"}
	down.Proxy = &model.ProxyView{Native: true, Problem: "socket hangs"}
	f.Say("px1", 0, down)
	f.Say("px2", 0, down)
	asked := make(chan struct{}, 1)
	f.OnPropose = func(c cluster.Command) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil
	}
	now := time.Now()
	for i := range 60 {
		d.Turn(context.Background(), now.Add(time.Duration(i)*time.Second))
	}
	select {
	case <-asked:
	case <-time.After(time.Second):
		t.Errorf("a minute as leader, the active down for 2 of 3 voters, and nothing proposed: %q", d.Situation().Turn)
	}
}

// Of two situations the later one stays, whichever turn is still under way.
func TestLaterSituationStays(t *testing.T) {
	d, f := newTestLoop(t)
	before := d.Renew()
	f.Set(func(ag *cluster.Agreement) { ag.Record.Epoch++ })
	d.Renew()
	d.situate(before) // of a turn that began before
	if got := d.Situation().Epoch(); got.N != 5 {
		t.Errorf("the situation is of epoch %d", got.N)
	}
}

// What this member's probe has called down since HAProxy was last steered is told with
// what HAProxy has, until it is steered again.
func TestDownsSinceSteered(t *testing.T) {
	var d downs
	at := time.Unix(1000, 0)
	view := func(native bool, down string) *model.View {
		v := &model.View{Proxy: &model.ProxyView{Native: native}, Nodes: []model.NodeView{{Name: "a"}, {Name: "b"}}}
		for i := range v.Nodes {
			if v.Nodes[i].Name == down {
				v.Nodes[i].Verdict = model.Down
			}
		}
		return v
	}
	for i, c := range []struct {
		look published.Look
		view *model.View
		want []string
	}{
		{published.Look{}, view(true, "a"), []string{"a"}},
		{published.Look{}, view(true, ""), []string{"a"}},
		{published.Look{WentDown: []string{"b"}}, view(true, ""), []string{"a", "b"}},
		{published.Look{LastSteered: at}, view(false, "b"), nil},
		{published.Look{LastSteered: at}, view(true, "b"), []string{"b"}},
		{published.Look{LastSteered: at}, view(true, ""), []string{"b"}},
		{published.Look{LastSteered: at.Add(1)}, view(true, ""), nil}, // steered in between
	} {
		if got := d.note(&c.look, c.view); !slices.Equal(got, c.want) {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}
