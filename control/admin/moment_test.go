package admin

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/walltest"
)

// restless is a cluster that is another one at each reading: another decision, and
// another number of members.
type restless struct {
	*clustertest.Cluster
	mu   sync.Mutex // guards read and Nearby
	read int
}

func (r *restless) Agreement() cluster.Agreement {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read++
	epoch := uint64(4 + r.read)
	rec := (&model.Record{Frozen: r.read%2 == 0}).WithActive(model.Decision{Epoch: epoch, Active: fmt.Sprintf("pxc-%d", r.read%3), Reason: fmt.Sprint("decision ", epoch)})
	r.Ag.Record.Epoch, r.Ag.Record.Revision, r.Ag.Record.Value = epoch, epoch, rec.Encode()
	r.Ag.Leader = fmt.Sprintf("px%d", r.read%2+1)
	return r.Ag
}

func (r *restless) Members() []cluster.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Nearby = append(r.Nearby, cluster.Member{Name: fmt.Sprint("more", len(r.Nearby))})
	return slices.Clone(r.Nearby)
}

// tells whether one of the problems begins like that.
func tells(st *api.Status, text string) bool {
	return slices.ContainsFunc(st.Problems, func(p api.Problem) bool { return strings.HasPrefix(p.Text, text) })
}

// One answer shows one moment, whatever happens while it is made.
func TestAnAnswerIsOfOneMoment(t *testing.T) {
	d, f := newTestServer(t)
	d.cfg.Vote.Join(&restless{Cluster: f}, nil)
	d.cfg.Vote.Turn(t.Context(), time.Now())
	for range 3 {
		st := d.asked().status()
		if st.Active.Epoch != st.Register.Epoch || st.Active.Revision != st.Register.Revision {
			t.Errorf("the active is of epoch %d, the register of %d", st.Active.Epoch, st.Register.Epoch)
		}
		if st.Active.Reason != fmt.Sprint("decision ", st.Active.Epoch) || st.Active.Frozen != tells(&st, "frozen: no automatic change happens") {
			t.Errorf("%+v, %q", st.Active, st.Problems)
		}
		for _, n := range st.Nodes {
			if n.Active != (n.Name == st.Active.Active) {
				t.Errorf("the active is %s, and of the nodes %+v", st.Active.Active, n)
			}
		}
		if len(st.Members) != st.Active.Members {
			t.Errorf("%d members, and by the active %d", len(st.Members), st.Active.Members)
		}
		for _, m := range st.Members {
			if m.Leader != (m.Name == st.Register.Leader) {
				t.Errorf("the leader is %s, and of the members %+v", st.Register.Leader, m)
			}
		}
	}
}

// One answer after an order shows what it has changed.
func TestOneMomentAfterAnOrder(t *testing.T) {
	d, f := newTestServer(t)
	if _, err := d.setActive(t.Context(), api.SetRequest{Node: "pxc-2"}); err != nil {
		t.Fatal(err)
	}
	if got := d.asked().active(); got.Active != "pxc-2" || got.Epoch != 5 {
		t.Errorf("the active is %s of epoch %d", got.Active, got.Epoch)
	}
	if _, err := d.freeze(t.Context(), true, "why"); err != nil || !d.asked().active().Frozen {
		t.Errorf("frozen, and not shown: %v", err)
	}
	f.Set(func(ag *cluster.Agreement) { ag.Voters = ag.Voters[:2] })
	d.cfg.Vote.Turn(t.Context(), time.Now())
	if n := len(d.asked().register().Voters); n != 2 {
		t.Errorf("%d voters", n)
	}
}

// What is going is shown with its problem, and with each vote on it.
func TestGoingIsShown(t *testing.T) {
	d, f := newTestServer(t)
	view := clustertest.HealthyView()
	g := &model.Going{Pod: "b", Until: time.Date(2026, 5, 4, 12, 0, 30, 0, time.UTC), LeftMS: 30_000}
	view.Nodes[1].Going = g
	f.Say("px1", 0, view)
	a := turned(d)
	a.PodsProblem = "kubernetes: no permission"
	if st := a.status(); !tells(&st, "kubernetes: no permission") || st.Nodes[1].Going != g.Words() || g.Words() == "" {
		t.Errorf("status: %q, %+v", st.Problems, st.Nodes[1])
	}
	if e := a.explain(); !slices.ContainsFunc(e.Votes, func(s string) bool { return strings.HasSuffix(s, "; it "+g.Words()) }) {
		t.Errorf("explain: %q", e.Votes)
	}
}

// What the vote loop knew last is not told as of now for ever.
func TestAnOldSituationSaysThatItIsOld(t *testing.T) {
	clock := walltest.New()
	s, f := newTestServer(t, func(c *Config) { c.Now = clock.Now })
	f.Set(func(ag *cluster.Agreement) {
		ag.FreshAge, ag.Voters[1].Heard = 200*time.Millisecond, 100*time.Millisecond
	})
	s.cfg.Vote.Renew()
	clock.Pass(250 * time.Millisecond)
	a := s.asked()
	if r := a.register(); !r.Agreed || r.Voters[0].HeardMS != 0 || r.Voters[1].HeardMS != 350 || a.Agreement.FreshAge != 450*time.Millisecond {
		t.Errorf("%+v", r)
	}
	for _, o := range a.nodes()[0].Opinions {
		if o.AgeMS != 250 {
			t.Errorf("%+v", o)
		}
	}
	clock.Pass(1100 * time.Millisecond)
	if a := s.asked().active(); a.Agreed || a.Reason != "no majority: this daemon's vote loop has not turned for 1.35s" || a.Proxies != 3 {
		t.Errorf("%+v", a)
	}
	clock.Pass(200 * time.Millisecond)
	if st := s.asked().status(); st.Active.Proxies != 0 || st.Register.Agreed || !tells(&st, "px0 is not heard") || !tells(&st, "px1 is not heard") {
		t.Errorf("%+v", st)
	}
	if s.cfg.Vote.Renew(); !s.asked().active().Agreed {
		t.Error("it goes on, and nobody is told")
	}
}

// What status shows nowhere else is judged too, and GET /v1/active has the judgement.
func TestAllIsSeen(t *testing.T) {
	d, _ := newTestServer(t)
	a := turned(d)
	if act := a.judged(); act.State != api.StateOK || act.Headline != "pxc-1 takes the writes on 3 of 3 proxies; 2 spares (pxc-0, pxc-2)" || act.Active != "pxc-1" {
		t.Errorf("%+v", act)
	}
	topology := *a.Topology
	topology.Ways = []configs.Way{{Pos: configs.Position{File: "/etc/a.cfg", Line: 7}, Problem: "use-server", Why: "it goes elsewhere"}}
	look := *a.Look
	look.Lost = "a list is cut in half"
	sit := *a.Situation
	sit.Topology, sit.FileProblem, sit.PodsProblem, sit.ProbeProblem, sit.Alert = &topology, "it does not parse", "no permission", "access denied", "look here"
	sit.Register.LastConflict, sit.Register.Counters.LostDisks = "another cluster", 1
	sit.Members = append(slices.Clone(sit.Members), cluster.Member{Name: "px9"})
	rec := sit.Record.Clone()
	rec.Frozen, rec.FrozenWhy, sit.Record = true, "moving house", rec
	a.Situation, a.Look = &sit, &look
	st := a.status()
	for code, text := range map[string]string{
		api.ProblemConfigUnusable: "it does not parse", api.ProblemPodsNotWatched: "no permission", api.ProblemProbeShutOut: "access denied",
		api.ProblemAlert: "look here", api.ProblemConfigUnsafe: "use-server", api.ProblemChangesUnknown: "a list is cut in half",
		api.ProblemForeignMessage: "another cluster", api.ProblemDiskLost: "the disk of this member was lost",
		api.ProblemPeersDiffer: "px9 is a member", api.ProblemFrozen: "moving house",
	} {
		i := slices.IndexFunc(st.Problems, func(p api.Problem) bool { return p.Code == code })
		if i < 0 || !strings.Contains(st.Problems[i].Text, text) {
			t.Errorf("nothing of %s: %+v", code, st.Problems)
		} else if code == api.ProblemConfigUnsafe && st.Problems[i].Next != "haproxyctl config lint /etc/a.cfg" {
			t.Errorf("to be typed: %q", st.Problems[i].Next)
		}
	}
	sit.Started = false
	if st := a.status(); st.State != api.StateUnknown || st.Problems[0].Code != api.ProblemNotStarted || st.Headline != "it cannot be told whether clients are served: it does not parse" {
		t.Errorf("not started: %s: %s: %+v", st.State, st.Headline, st.Problems)
	}
}
