package admin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

func TestSetActive(t *testing.T) {
	ask := func(d *Server, req api.SetRequest) (api.SetResponse, *api.Error) {
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
		d, f := newTestServer(t)
		res, e := ask(d, api.SetRequest{Node: "pxc-2"})
		if e != nil || !res.Changed || res.From != "pxc-1" || res.Epoch != 5 || len(res.Votes) != 3 {
			t.Fatalf("got %+v, %v", res, e)
		}
		if r := f.Record(t); r.Active != "pxc-2" || r.Last().Kind != model.KindOperator {
			t.Errorf("record %+v", r)
		}
	})
	t.Run("a dry run changes nothing", func(t *testing.T) {
		d, f := newTestServer(t)
		res, e := ask(d, api.SetRequest{Node: "pxc-2", DryRun: true})
		if e != nil || res.Changed || f.Agreement().Record.Epoch != 4 {
			t.Errorf("got %+v, %v", res, e)
		}
	})
	t.Run("is refused while a proxy does not steer, unless forced", func(t *testing.T) {
		d, f := newTestServer(t)
		v := clustertest.HealthyView()
		v.Proxy.Steering, v.Proxy.Problem = false, "the socket hangs"
		f.Say("px2", 0, v)
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
		d, f := newTestServer(t)
		f.Say("px2", time.Minute, clustertest.HealthyView())
		if _, e := ask(d, api.SetRequest{Node: "pxc-2"}); e == nil || !strings.Contains(e.Message, "px2 is not heard") {
			t.Errorf("got %v", e)
		}
	})
	t.Run("a refusal names the nodes that would do", func(t *testing.T) {
		d, _ := newTestServer(t)
		_, e := ask(d, api.SetRequest{Node: "pxc-9"})
		if e == nil || !slices.Equal(e.Candidates, []string{"pxc-0", "pxc-2"}) {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("another decision came first: refused, naming it", func(t *testing.T) {
		d, f := newTestServer(t)
		f.OnPropose = func(cluster.Command) error {
			f.OnPropose = nil
			winner := (&model.Record{Active: "pxc-1"}).WithActive(model.Decision{Epoch: 5, Active: "pxc-0", Kind: model.KindFailover, Reason: "it died", By: "px2"})
			f.Ag.Record.Epoch, f.Ag.Record.Revision, f.Ag.Record.Value = 5, 10, winner.Encode()
			return nil
		}
		_, e := ask(d, api.SetRequest{Node: "pxc-2"})
		if e == nil || e.Winner == nil || e.Winner.Active != "pxc-0" || e.Winner.Epoch != 5 || !strings.Contains(e.Message, "it died") {
			t.Fatalf("got %+v", e)
		}
		if r := f.Record(t); r.Active != "pxc-0" {
			t.Errorf("it was overruled all the same: %+v", r)
		}
	})
	t.Run("somebody froze meanwhile: asked again, not lost", func(t *testing.T) {
		d, f := newTestServer(t)
		f.OnPropose = func(cluster.Command) error {
			f.OnPropose = nil
			r, err := model.DecodeRecord(f.Ag.Record.Value)
			if err != nil {
				return err
			}
			r.Frozen = true
			f.Ag.Record.Revision, f.Ag.Record.Value = 10, r.Encode()
			return nil
		}
		res, e := ask(d, api.SetRequest{Node: "pxc-2"})
		if e != nil || !res.Changed {
			t.Fatalf("got %+v, %v", res, e)
		}
		if r := f.Record(t); r.Active != "pxc-2" || !r.Frozen {
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
		{"keep without a drain", api.SetRequest{Node: "pxc-2", Drain: "immediate", Keep: true}, api.CodeBadRequest},
		{"keep where nobody is waited for", api.SetRequest{Node: "pxc-2", Keep: true, Force: true}, api.CodeBadRequest},
		{"a hold longer than MySQL's connect_timeout", api.SetRequest{Node: "pxc-2", Hold: true, MaxHoldMS: 60_000}, api.CodeBadRequest},
		{"a longest hold without a hold", api.SetRequest{Node: "pxc-2", MaxHoldMS: 1000}, api.CodeBadRequest},
		{"local-only with a drain", api.SetRequest{Node: "pxc-2", Drain: "graceful", LocalOnly: true}, api.CodeBadRequest},
		{"local-only with a majority", api.SetRequest{Node: "pxc-2", LocalOnly: true}, api.CodeRefused},
		{"another epoch than expected", api.SetRequest{Node: "pxc-2", ExpectEpoch: 3}, api.CodeRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, f := newTestServer(t)
			if _, e := ask(d, tt.req); e == nil || e.Code != tt.code || f.Agreement().Record.Epoch != 4 {
				t.Errorf("got %+v", e)
			}
		})
	}
	t.Run("no majority", func(t *testing.T) {
		d, f := newTestServer(t)
		f.Set(func(ag *cluster.Agreement) { ag.Fresh, ag.Reason = false, "1 of 3 voters answers" })
		if _, e := ask(d, api.SetRequest{Node: "pxc-2"}); e == nil || e.Code != api.CodeNoMajority {
			t.Errorf("got %+v", e)
		}
	})
}

func TestExcludeAndFreeze(t *testing.T) {
	d, f := newTestServer(t)
	ctx := context.Background()
	if _, err := d.exclude(ctx, "pxc-1", true); err == nil {
		t.Error("the active was excluded")
	}
	if _, err := d.exclude(ctx, "pxc-7", true); err == nil {
		t.Error("an unknown node was excluded")
	}
	if _, err := d.exclude(ctx, "pxc-2", true); err != nil || !f.Record(t).IsExcluded("pxc-2") {
		t.Errorf("not excluded: %v", err)
	}
	if _, err := d.freeze(ctx, true, "maintenance"); err != nil || !f.Record(t).Frozen || f.Record(t).FrozenWhy != "maintenance" {
		t.Errorf("not frozen: %v", err)
	}
	if _, err := d.exclude(ctx, "pxc-2", false); err != nil || f.Record(t).IsExcluded("pxc-2") || !f.Record(t).Frozen {
		t.Errorf("not included, or the freeze was lost: %v", err)
	}
	if _, err := d.freeze(ctx, false, ""); err != nil || f.Record(t).Frozen {
		t.Errorf("still frozen: %v", err)
	}
	if f.Agreement().Record.Epoch != 4 {
		t.Error("a setting made a new epoch")
	}
}

func TestActiveCountsOnlyThisEpoch(t *testing.T) {
	d, f := newTestServer(t)
	old := clustertest.HealthyView()
	old.Epoch = 3
	f.Say("px2", 0, old)
	a := turned(d).active()
	if a.Active != "pxc-1" || !a.Agreed || a.Proxies != 3 || a.Steering != 3 || a.Converged != 2 || len(a.NotConverged) != 1 {
		t.Errorf("got %+v", a)
	}
}

// The report of an earlier move is not that of one that needed none.
func TestAMoveFromADeadNodeIsNoPlannedOne(t *testing.T) {
	d, f := newTestServer(t)
	now := f.Agreement().Record
	was := f.Record(t).Clone()
	was.Move = &model.Move{From: "pxc-0", To: "pxc-1", Drain: model.DrainGraceful, Phase: model.PhaseDrain, TimeoutMS: 1000}
	for _, at := range []cluster.Record{
		{Version: cluster.Version{Epoch: 3, Revision: 7}, Value: was.Encode()},
		{Version: cluster.Version{Epoch: 3, Revision: 8}, Value: now.Value}, now,
	} {
		f.Set(func(ag *cluster.Agreement) { ag.Record = at })
		d.cfg.Vote.Turn(t.Context(), time.Now())
	}
	if m := d.asked().move(); m.Epoch != 3 || m.State != api.MoveDone {
		t.Fatalf("the earlier move: %+v", m)
	}
	for _, m := range []string{"px1", "px2"} {
		v := clustertest.HealthyView()
		v.Nodes[1] = model.NodeView{Name: "pxc-1", Verdict: model.Down, Reason: "refused"}
		f.Say(m, 0, v)
	}
	res, err := d.setActive(t.Context(), api.SetRequest{Node: "pxc-2", Drain: model.DrainGraceful})
	if err != nil {
		t.Fatal(err)
	}
	if r := res.(api.SetResponse); !r.Changed || r.Move != nil {
		t.Errorf("%+v", r.Move)
	}
}
