package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

type topology = configs.Topology

// A member enforces the record only on the word of the leader of this term.
func TestDesiredWaitsForTheLeadersWord(t *testing.T) {
	d, f := newTestDaemon(t)
	may := func(want bool, why string) {
		t.Helper()
		got := hear(d)
		if got.MayWrite != want || !strings.Contains(got.Why, why) || !got.Known || got.Active != "pxc-1" {
			t.Fatalf("got %+v, want mayWrite %v because …%s…", got, want, why)
		}
	}
	word := func(term uint64, agreed bool) *model.View {
		v := healthyView()
		v.ReviewedTerm, v.Agreed = term, agreed
		return v
	}
	may(false, "waiting until the leader")
	f.say("px2", 0, word(3, true)) // not the leader
	may(false, "waiting until the leader")
	f.say("px1", 0, word(2, true)) // its word is of an earlier term
	may(false, "waiting until the leader")
	f.say("px1", 3*time.Second, word(3, true)) // old news
	may(false, "waiting until the leader")
	f.say("px1", 0, word(3, false)) // it hears no majority
	may(false, "waiting until the leader")
	f.say("px1", 0, word(3, true))
	may(true, "")
	// Once heard, another leader need not say it again while nothing was lost.
	f.set(func(ag *cluster.Agreement) { ag.Term, ag.Leader = 4, "px2" })
	may(true, "")
	f.set(func(ag *cluster.Agreement) { ag.Fresh, ag.Reason = false, "nobody answers" })
	may(false, "no majority: nobody answers")
	f.set(func(ag *cluster.Agreement) { ag.Fresh = true })
	may(false, "waiting until the leader") // the gate closed meanwhile
	f.say("px2", 0, word(4, true))
	may(true, "")
	d.paused(time.Now()) // the process was stopped and continued
	f.say("px2", 0, word(3, true))
	may(false, "waiting until the leader")
}

func TestDesiredWithoutARecord(t *testing.T) {
	d, f := newTestDaemon(t)
	f.set(func(ag *cluster.Agreement) { ag.Known, ag.Record = false, cluster.Record{} })
	if got := hear(d); got.Known || got.MayWrite {
		t.Errorf("got %+v", got)
	}
	f.set(func(ag *cluster.Agreement) { ag.Known, ag.Record.Value = true, []byte(`{"act`) })
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
			v := healthyView()
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
	d, _ := newTestDaemon(t)
	d.votes.leaderSince = now
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
	d, f := newTestDaemon(t)
	s := d.started.Load()
	f.set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = true, "px0" })
	down := healthyView()
	down.Nodes[1] = model.NodeView{Name: "pxc-1", Verdict: model.Down, Reason: "refused"}
	f.say("px1", 0, down)
	f.say("px2", 0, down)
	f.propose = func(c cluster.Command) error {
		if !c.NewEpoch || c.Expect != (cluster.Version{Epoch: 4, Revision: 9}) {
			t.Errorf("proposed %+v", c)
		}
		return nil
	}
	d.voteTurn(context.Background(), s, time.Now())
	deadline := time.After(5 * time.Second)
	for f.Agreement().Record.Epoch != 5 {
		select {
		case <-deadline:
			t.Fatal("nothing was proposed")
		case <-d.wakeV:
		}
	}
	if r := f.record(t); r.Active != "pxc-0" || r.Last().By != "px0" {
		t.Errorf("got %+v", r)
	}
}

func TestFollowersDoNotPropose(t *testing.T) {
	d, f := newTestDaemon(t)
	down := healthyView()
	down.Nodes[1] = model.NodeView{Name: "pxc-1", Verdict: model.Down, Reason: "refused"}
	f.say("px1", 0, down)
	f.say("px2", 0, down)
	f.propose = func(cluster.Command) error { t.Error("a follower proposed"); return nil }
	d.voteTurn(context.Background(), d.started.Load(), time.Now())
	d.votes.mu.Lock()
	defer d.votes.mu.Unlock()
	if d.votes.proposing {
		t.Error("a follower proposes")
	}
}

func TestSetActive(t *testing.T) {
	ask := func(d *Daemon, req api.SetRequest) (api.SetResponse, *api.Error) {
		res, err := d.setActive(context.Background(), req)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) {
				t.Fatalf("an error without a code: %v", err)
			}
			return api.SetResponse{}, e
		}
		return res.(api.SetResponse), nil
	}
	t.Run("moves", func(t *testing.T) {
		d, f := newTestDaemon(t)
		res, e := ask(d, api.SetRequest{Node: "pxc-2"})
		if e != nil || !res.Changed || res.From != "pxc-1" || res.Epoch != 5 || len(res.Votes) != 3 {
			t.Fatalf("got %+v, %v", res, e)
		}
		if r := f.record(t); r.Active != "pxc-2" || r.Last().Kind != model.KindOperator {
			t.Errorf("record %+v", r)
		}
	})
	t.Run("a dry run changes nothing", func(t *testing.T) {
		d, f := newTestDaemon(t)
		res, e := ask(d, api.SetRequest{Node: "pxc-2", DryRun: true})
		if e != nil || res.Changed || f.Agreement().Record.Epoch != 4 {
			t.Errorf("got %+v, %v", res, e)
		}
	})
	t.Run("is refused while a proxy does not steer, unless forced", func(t *testing.T) {
		d, f := newTestDaemon(t)
		v := healthyView()
		v.Proxy.Steering, v.Proxy.Problem = false, "the socket hangs"
		f.say("px2", 0, v)
		_, e := ask(d, api.SetRequest{Node: "pxc-2"})
		if e == nil || e.Code != api.CodeRefused || !strings.Contains(e.Message, "px2 does not steer (the socket hangs)") {
			t.Fatalf("got %v", e)
		}
		res, e := ask(d, api.SetRequest{Node: "pxc-2", Force: true})
		if e != nil || !res.Changed || len(res.Warnings) != 1 {
			t.Errorf("forced: %+v, %v", res, e)
		}
	})
	t.Run("is refused while a voter is not heard", func(t *testing.T) {
		d, f := newTestDaemon(t)
		f.say("px2", time.Minute, healthyView())
		if _, e := ask(d, api.SetRequest{Node: "pxc-2"}); e == nil || !strings.Contains(e.Message, "px2 is not heard") {
			t.Errorf("got %v", e)
		}
	})
	t.Run("a refusal names the nodes that would do", func(t *testing.T) {
		d, _ := newTestDaemon(t)
		_, e := ask(d, api.SetRequest{Node: "pxc-9"})
		if e == nil || !slices.Equal(e.Candidates, []string{"pxc-0", "pxc-2"}) {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("another decision came first: refused, naming it", func(t *testing.T) {
		d, f := newTestDaemon(t)
		f.propose = func(cluster.Command) error {
			f.propose = nil
			winner := (&model.Record{Active: "pxc-1"}).WithActive(model.Decision{Epoch: 5, Active: "pxc-0", Kind: model.KindFailover, Reason: "it died", By: "px2"})
			f.ag.Record.Epoch, f.ag.Record.Revision, f.ag.Record.Value = 5, 10, winner.Encode()
			return nil
		}
		_, e := ask(d, api.SetRequest{Node: "pxc-2"})
		if e == nil || e.Winner == nil || e.Winner.Active != "pxc-0" || e.Winner.Epoch != 5 || !strings.Contains(e.Message, "it died") {
			t.Fatalf("got %+v", e)
		}
		if r := f.record(t); r.Active != "pxc-0" {
			t.Errorf("it was overruled all the same: %+v", r)
		}
	})
	t.Run("somebody froze meanwhile: asked again, not lost", func(t *testing.T) {
		d, f := newTestDaemon(t)
		f.propose = func(cluster.Command) error {
			f.propose = nil
			r, err := model.DecodeRecord(f.ag.Record.Value)
			if err != nil {
				return err
			}
			r.Frozen = true
			f.ag.Record.Revision, f.ag.Record.Value = 10, r.Encode()
			return nil
		}
		res, e := ask(d, api.SetRequest{Node: "pxc-2"})
		if e != nil || !res.Changed {
			t.Fatalf("got %+v, %v", res, e)
		}
		if r := f.record(t); r.Active != "pxc-2" || !r.Frozen {
			t.Errorf("the freeze was lost: %+v", r)
		}
	})
	for _, tt := range []struct {
		name string
		req  api.SetRequest
		code string
	}{
		{"no node", api.SetRequest{}, api.CodeBadRequest},
		{"an unknown drain", api.SetRequest{Node: "pxc-2", Drain: "slowly"}, api.CodeBadRequest},
		{"hold, without hold frontends", api.SetRequest{Node: "pxc-2", Hold: true}, api.CodeRefused},
		{"keep without a drain", api.SetRequest{Node: "pxc-2", Keep: true}, api.CodeBadRequest},
		{"a hold longer than MySQL's connect_timeout", api.SetRequest{Node: "pxc-2", Hold: true, MaxHoldMS: 60_000}, api.CodeBadRequest},
		{"a longest hold without a hold", api.SetRequest{Node: "pxc-2", MaxHoldMS: 1000}, api.CodeBadRequest},
		{"local-only with a drain", api.SetRequest{Node: "pxc-2", Drain: "graceful", LocalOnly: true}, api.CodeBadRequest},
		{"local-only with a majority", api.SetRequest{Node: "pxc-2", LocalOnly: true}, api.CodeRefused},
		{"another epoch than expected", api.SetRequest{Node: "pxc-2", ExpectEpoch: 3}, api.CodeRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, f := newTestDaemon(t)
			if _, e := ask(d, tt.req); e == nil || e.Code != tt.code || f.Agreement().Record.Epoch != 4 {
				t.Errorf("got %+v", e)
			}
		})
	}
	t.Run("no majority", func(t *testing.T) {
		d, f := newTestDaemon(t)
		f.set(func(ag *cluster.Agreement) { ag.Fresh, ag.Reason = false, "1 of 3 voters answers" })
		if _, e := ask(d, api.SetRequest{Node: "pxc-2"}); e == nil || e.Code != api.CodeNoMajority {
			t.Errorf("got %+v", e)
		}
	})
}

func TestExcludeAndFreeze(t *testing.T) {
	d, f := newTestDaemon(t)
	ctx := context.Background()
	if _, err := d.exclude(ctx, "pxc-1", true); err == nil {
		t.Error("the active was excluded")
	}
	if _, err := d.exclude(ctx, "pxc-7", true); err == nil {
		t.Error("an unknown node was excluded")
	}
	if _, err := d.exclude(ctx, "pxc-2", true); err != nil || !f.record(t).IsExcluded("pxc-2") {
		t.Errorf("not excluded: %v", err)
	}
	if _, err := d.freeze(ctx, true, "maintenance"); err != nil || !f.record(t).Frozen || f.record(t).FrozenWhy != "maintenance" {
		t.Errorf("not frozen: %v", err)
	}
	if _, err := d.exclude(ctx, "pxc-2", false); err != nil || f.record(t).IsExcluded("pxc-2") || !f.record(t).Frozen {
		t.Errorf("not included, or the freeze was lost: %v", err)
	}
	if _, err := d.freeze(ctx, false, ""); err != nil || f.record(t).Frozen {
		t.Errorf("still frozen: %v", err)
	}
	if f.Agreement().Record.Epoch != 4 {
		t.Error("a setting made a new epoch")
	}
}

func TestActiveCountsOnlyThisEpoch(t *testing.T) {
	d, f := newTestDaemon(t)
	old := healthyView()
	old.Epoch = 3
	f.say("px2", 0, old)
	a := turned(d).active()
	if a.Active != "pxc-1" || !a.Agreed || a.Proxies != 3 || a.Steering != 3 || a.Converged != 2 || len(a.NotConverged) != 1 {
		t.Errorf("got %+v", a)
	}
}

// A leader that was stopped and goes on in the same term looks again at what the
// HAProxies did meanwhile before it enforces anything, and not at views that
// waited in its socket.
func TestPausedLeaderReviewsAgain(t *testing.T) {
	d, f := newTestDaemon(t)
	s := d.started.Load()
	f.set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader = true, "px0" })
	now := time.Now()
	d.voteTurn(context.Background(), s, now)
	if !hear(d).MayWrite {
		t.Fatalf("a leader whose voters steered enforces the record: %+v", hear(d))
	}
	later := now.Add(10 * time.Second)
	d.voteTurn(context.Background(), s, later)
	if hear(d).MayWrite {
		t.Error("it enforces the old record on its word from before the pause")
	}
	d.voteTurn(context.Background(), s, later.Add(500*time.Millisecond))
	if hear(d).MayWrite {
		t.Error("it looked at views that may have waited in its socket")
	}
	d.voteTurn(context.Background(), s, later.Add(reviewWait+100*time.Millisecond))
	if !hear(d).MayWrite {
		t.Error("it never goes on")
	}
}

// A haproxy.cfg that is reread says nothing of the first voters where they were named on the command line.
func TestInitialVotersAreTheFilesOnlyByDefault(t *testing.T) {
	peers := &configs.Topology{
		Peers:  []configs.PeersSection{{Name: "mypeers", Peers: []configs.Peer{{Name: "px0"}}}},
		Sticky: []configs.StickyBackend{{PeersSection: "mypeers"}},
	}
	for _, named := range [][]string{nil, {"px0", "px1", "px2"}} {
		d, f := newTestDaemon(t)
		d.cfg.InitialVoters = named
		d.topologyChanged(peers)
		if told := len(f.initial) > 0; told != (named == nil) {
			t.Errorf("--initial-voters %v: the cluster was told %v", named, f.initial)
		}
	}
}
