package control

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// restless is a cluster that is another one at each reading: another decision, and
// another number of members.
type restless struct {
	*fakeCluster
	read int
}

func (r *restless) Agreement() cluster.Agreement {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read++
	epoch := uint64(4 + r.read)
	rec := (&model.Record{Frozen: r.read%2 == 0}).WithActive(model.Decision{Epoch: epoch, Active: fmt.Sprintf("pxc-%d", r.read%3), Reason: fmt.Sprint("decision ", epoch)})
	r.ag.Record.Epoch, r.ag.Record.Revision, r.ag.Record.Value = epoch, epoch, rec.Encode()
	r.ag.Leader = fmt.Sprintf("px%d", r.read%2+1)
	return r.ag
}

func (r *restless) Members() []cluster.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, cluster.Member{Name: fmt.Sprint("more", len(r.members))})
	return slices.Clone(r.members)
}

// One answer shows one moment, whatever happens while it is made.
func TestAnAnswerIsOfOneMoment(t *testing.T) {
	d, f := newTestDaemon(t)
	s := &started{cluster: &restless{fakeCluster: f}}
	d.started.Store(s)
	d.voteTurn(context.Background(), s, time.Now())
	for range 3 {
		st := d.asked().status()
		if st.Active.Epoch != st.Register.Epoch || st.Active.Revision != st.Register.Revision {
			t.Errorf("the active is of epoch %d, the register of %d", st.Active.Epoch, st.Register.Epoch)
		}
		if st.Active.Reason != fmt.Sprint("decision ", st.Active.Epoch) || st.Active.Frozen != slices.Contains(st.Problems, "frozen: no automatic change happens") {
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

// So does a scrape, and one answer after an order shows what it has changed, whichever
// turn of the vote loop is still under way.
func TestOneMomentAfterAnOrder(t *testing.T) {
	d, f := newTestDaemon(t)
	s := d.started.Load()
	before := d.asked().Situation
	if _, err := d.setActive(t.Context(), api.SetRequest{Node: "pxc-2"}); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		a := d.asked()
		if got := a.active(); got.Active != "pxc-2" || got.Epoch != 5 {
			t.Errorf("%s: the active is %s of epoch %d", what, got.Active, got.Epoch)
		}
		if e, active := scraped(t, d.cfg.Gatherer, "haproxyd_epoch"), scraped(t, d.cfg.Gatherer, "haproxyd_active"); e[""] != 5 || len(active) != 1 || active["pxc-2"] != 1 {
			t.Errorf("%s: scraped %v, %v", what, e, active)
		}
	}
	check("at once")
	d.situate(before) // of a turn that began before the order
	check("after a turn that began before")
	if _, err := d.freeze(t.Context(), true, "why"); err != nil || !d.asked().active().Frozen {
		t.Errorf("frozen, and not shown: %v", err)
	}
	f.set(func(ag *cluster.Agreement) { ag.Voters = ag.Voters[:2] })
	d.voteTurn(t.Context(), s, time.Now())
	if n := len(d.asked().register().Voters); n != 2 {
		t.Errorf("%d voters", n)
	}
}

// What the vote loop knew last is not told as of now for ever.
func TestAnOldSituationSaysThatItIsOld(t *testing.T) {
	s := newStood(t, nil)
	s.f.set(func(ag *agreement) { ag.FreshAge, ag.Voters[1].Heard = 200*time.Millisecond, 100*time.Millisecond })
	s.renew(s.started.Load())
	s.pass(250 * time.Millisecond)
	a := s.asked()
	if r := a.register(); !r.Agreed || r.Voters[0].HeardMS != 0 || r.Voters[1].HeardMS != 350 || a.Agreement.FreshAge != 450*time.Millisecond {
		t.Errorf("%+v", r)
	}
	for _, o := range a.nodes()[0].Opinions {
		if o.AgeMS != 250 {
			t.Errorf("%+v", o)
		}
	}
	s.pass(1100 * time.Millisecond)
	if a := s.asked().active(); a.Agreed || a.Reason != "no majority: this daemon's vote loop has not turned for 1.35s" || a.Proxies != 3 {
		t.Errorf("%+v", a)
	}
	s.pass(200 * time.Millisecond)
	if st := s.asked().status(); st.Active.Proxies != 0 || st.Register.Agreed || !slices.Contains(st.Problems, "px0 is not heard") || !slices.Contains(st.Problems, "px1 is not heard") {
		t.Errorf("%+v", st)
	}
	if s.renew(s.started.Load()); !s.asked().active().Agreed {
		t.Error("it goes on, and nobody is told")
	}
}
