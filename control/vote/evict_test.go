package vote

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// survivors is what a member says 60 ms after pxc-1, the active, was killed.
func survivors() *model.View {
	view := clustertest.HealthyView()
	for i := range view.Nodes {
		n := &view.Nodes[i]
		n.Group = &model.Group{UUID: n.Name, Weight: 1, ConfID: 7, Size: 3, Total: 3, Retrans: "PT1S", Met: true, Speaks: true, Hangs: true}
		if n.Name == "pxc-1" {
			n.Verdict, n.Eligible = model.Down, false
			n.Group.End, n.Group.Speaks, n.Group.Hangs = model.EndGone, false, false
		}
	}
	return view
}

// seen is what a probe says at that moment.
func seen() clustertest.Probes {
	var all clustertest.Probes
	now := time.Now()
	port := func(n int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(n)) }
	for _, name := range []string{"pxc-0", "pxc-1", "pxc-2"} {
		s := galera.NodeStatus{
			Node: name, State: galera.State{Verdict: galera.Healthy, Eligible: true, Class: galera.ClassSynced},
			Reading: galera.Reading{ConfID: 7, Size: 3, Weight: 3, EvsState: operational}, Options: group.Options{Weight: 1, RetransText: "PT1S"}, OptionsAt: now,
			Sight: group.Sight{}.Read(name, port(3306)).Listens(port(4567)).Knocked(port(4567), group.Spoke, name),
			Wait:  galera.Wait{}.Began(now).Looked(now.Add(30*time.Millisecond), "").Looked(now.Add(60*time.Millisecond), ""),
		}
		if name == "pxc-1" {
			s.State = galera.State{Verdict: galera.Down, Class: galera.ClassRefused}
			s.Sight, s.Wait = s.Sight.Lost().Tried(port(3306), group.Refused).Knocked(port(4567), group.Refused, ""), galera.Wait{}
		}
		all = append(all, s)
	}
	return all
}

// evicting is a loop whose record is of version 3, and the others' word that pxc-1 is gone.
func evicting(t *testing.T, change ...func(*Config)) (*Loop, *clustertest.Cluster) {
	d, f := newTestLoop(t, append([]func(*Config){func(c *Config) { c.Evict = evict.ModeGone }}, change...)...)
	f.Set(func(ag *cluster.Agreement) {
		ag.IsLeader, ag.Leader = true, "px0"
		ag.Record.Value = (&model.Record{Lowest: 3}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"}).Encode()
	})
	d.Join(f, seen())
	f.Say("px1", 0, survivors())
	f.Say("px2", 0, survivors())
	return d, f
}

// proposed is the first proposal that a turn leads to, nil for none.
func proposed(t *testing.T, d *Loop, f *clustertest.Cluster) (c *cluster.Command, rec *model.Record) {
	t.Helper()
	asked := make(chan cluster.Command, 9)
	f.OnPropose = func(c cluster.Command) error { asked <- c; return context.DeadlineExceeded }
	d.Turn(t.Context(), time.Now())
	d.mu.Lock()
	proposing := d.proposing
	d.mu.Unlock()
	if !proposing && len(asked) == 0 {
		return nil, nil
	}
	got := <-asked
	rec, err := model.DecodeRecord(got.Value)
	if err != nil {
		t.Fatal(err)
	}
	return &got, rec
}

// With the failover goes the order, in one record.
func TestEvictionWithTheFailover(t *testing.T) {
	d, f := evicting(t)
	c, rec := proposed(t, d, f)
	if c == nil || !c.NewEpoch || rec.Active != "pxc-0" || rec.Evict == nil || rec.Evict.Node != "pxc-1" || rec.Evict.Owner != "px0" || len(rec.Evictions) != 1 {
		t.Fatalf("%+v %+v", c, rec)
	}
	if s := d.Situation(); !strings.Contains(s.Evict, "pxc-1 is gone for") {
		t.Errorf("says %q", s.Evict)
	}
}

// A failover does not wait for an eviction that is not to be, and which comes later comes alone.
func TestEvictionAfterTheFailover(t *testing.T) {
	d, f := evicting(t)
	late := survivors()
	late.Nodes[0].Group.Hangs = false
	for _, member := range []string{"px1", "px2"} {
		f.Say(member, 0, late)
	}
	c, rec := proposed(t, d, f)
	if c == nil || !c.NewEpoch || rec.Evict != nil {
		t.Fatalf("%+v %+v", c, rec)
	}
	if s := d.Situation(); !strings.Contains(s.Evict, "is not evicted: a causal read on pxc-0 does not hang") {
		t.Errorf("says %q", s.Evict)
	}

	d, f = evicting(t)
	f.Set(func(ag *cluster.Agreement) {
		ag.Record.Value = (&model.Record{Lowest: 3}).WithActive(model.Decision{Epoch: 4, Active: "pxc-0"}).Encode()
	})
	if c, rec := proposed(t, d, f); c == nil || c.NewEpoch || rec.Evict == nil || rec.Active != "pxc-0" {
		t.Fatalf("%+v %+v", c, rec)
	}
}

func TestNoEviction(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"off":       func(c *Config) { c.Evict = evict.ModeOff },
		"observing": func(c *Config) { c.Observe = true },
	} {
		d, f := evicting(t, change)
		if _, rec := proposed(t, d, f); rec != nil && rec.Evict != nil {
			t.Errorf("%s: %+v", name, rec.Evict)
		}
	}
}

// opener is a prober through which nobody can be reached, and which counts who is tried.
type opener struct {
	clustertest.Probes
	tried chan string
}

func (o opener) Open(_ context.Context, node, _ string) (*conn.Session, error) {
	select {
	case o.tried <- node:
	default:
	}
	return nil, errors.New("no way there")
}

// The owner carries the order out, and the leader where the owner has fallen silent.
func TestWhoExecutes(t *testing.T) {
	for name, c := range map[string]struct {
		owner         string
		leads, silent bool
		want          bool
	}{
		"the owner":                               {"px0", false, false, true},
		"the owner, who leads":                    {"px0", true, false, true},
		"another, who does not lead":              {"px1", false, true, false},
		"the leader, while the owner is heard":    {"px1", true, false, false},
		"the leader, when the owner is silent":    {"px1", true, true, true},
		"the leader, of an owner that is no more": {"gone", true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			d, f := newTestLoop(t, func(c *Config) { c.Evict = evict.ModeGone })
			o := opener{tried: make(chan string, 9)}
			d.Join(f, o)
			age := time.Duration(0)
			if c.silent {
				age = evict.OwnerSilent
			}
			f.Say("px1", age, clustertest.HealthyView())
			order := model.Eviction{Node: "pxc-1", UUID: "u", ConfID: 7, Owner: c.owner, At: time.Now(), Survivors: []model.Survivor{{Node: "pxc-0", UUID: "v", Retrans: "PT1S"}}}
			f.Set(func(ag *cluster.Agreement) {
				if ag.IsLeader = c.leads; c.leads {
					ag.Leader = "px0"
				}
				ag.Record.Value = (&model.Record{Lowest: 3}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"}).WithEviction(order).Encode()
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			d.Turn(ctx, time.Now())
			d.mu.Lock()
			executes := d.executing.order != nil
			d.mu.Unlock()
			if executes != c.want {
				t.Fatalf("executes: %v", executes)
			}
			if !executes {
				return
			}
			if node := <-o.tried; node != "pxc-0" {
				t.Errorf("tries %s", node)
			}
			// The order is no more: nothing is done of it.
			f.Set(func(ag *cluster.Agreement) {
				ag.Record.Value = (&model.Record{Lowest: 3}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"}).Encode()
				ag.Record.Revision++
			})
			d.Turn(ctx, time.Now())
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.executing.order != nil {
				t.Error("it goes on with an order that is no more")
			}
		})
	}
}

// An entry of an earlier eviction that is found on a list is taken off once, and not again in the next moment.
func TestFoundEntry(t *testing.T) {
	d, f := evicting(t)
	probes := seen()
	for i := range probes {
		s := &probes[i]
		s.State = galera.State{Verdict: galera.Healthy, Eligible: true, Class: galera.ClassSynced}
		s.Sight, s.Wait = group.Sight{}.Read(s.Node, netip.MustParseAddrPort("10.0.0.1:3306")), galera.Wait{}
	}
	probes[2].Reading.Evicted = "u1,u2"
	d.Join(f, probes)
	f.Set(func(ag *cluster.Agreement) {
		ag.Record.Value = (&model.Record{Lowest: 3, Evicted: []string{"u2", "u1"}}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"}).Encode()
	})
	for _, member := range []string{"px1", "px2"} {
		f.Say(member, 0, clustertest.HealthyView())
	}
	c, rec := proposed(t, d, f)
	if c == nil || c.NewEpoch || rec.Evict == nil || !rec.Evict.Found || rec.Evict.Node != "pxc-2" || rec.Active != "pxc-1" {
		t.Fatalf("%+v %+v", c, rec)
	}
	d.mu.Lock()
	d.proposing = false
	d.mu.Unlock()
	if _, rec := proposed(t, d, f); rec != nil {
		t.Errorf("again at once: %+v", rec.Evict)
	}
	d.foundAt = d.foundAt.Add(-foundEvery)
	if _, rec := proposed(t, d, f); rec == nil || rec.Evict == nil {
		t.Error("never again")
	}
}

// A debt that stands is an alert.
func TestDebtAlert(t *testing.T) {
	d, f := newTestLoop(t)
	order := model.Eviction{Node: "pxc-1", UUID: "u", ConfID: 7, Owner: "px1", At: time.Now()}
	f.Say("px1", 0, clustertest.HealthyView())
	f.Set(func(ag *cluster.Agreement) {
		ag.Record.Value = (&model.Record{Lowest: 3}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"}).WithEviction(order).Encode()
	})
	now := time.Now()
	d.Turn(t.Context(), now)
	if s := d.Situation(); s.Alert != "" {
		t.Errorf("at once: %s", s.Alert)
	}
	d.Turn(t.Context(), now.Add(debtAlert))
	if s := d.Situation(); !strings.Contains(s.Alert, "are not known to be empty") || !strings.Contains(s.Alert, "the log of px1") {
		t.Errorf("later: %q", s.Alert)
	}
}

// What is more than an hour old by this leader's clock is taken out, or it would count anew for the next leader.
func TestOldEvictionsAreForgotten(t *testing.T) {
	d, f := newTestLoop(t)
	at := time.Now().Add(-24 * time.Hour)
	f.Set(func(ag *cluster.Agreement) {
		ag.IsLeader, ag.Leader = true, "px0"
		rec := (&model.Record{Lowest: 3, Evictions: []time.Time{at, at.Add(time.Second)}}).WithActive(model.Decision{Epoch: 4, Active: "pxc-1"})
		ag.Record.Value = rec.Encode()
	})
	for _, member := range []string{"px1", "px2"} {
		f.Say(member, 0, clustertest.HealthyView())
	}
	now := time.Now()
	turn := func(at time.Time) *model.Record {
		t.Helper()
		asked := make(chan cluster.Command, 1)
		f.OnPropose = func(c cluster.Command) error {
			select {
			case asked <- c:
			default:
			}
			return context.DeadlineExceeded
		}
		d.Turn(t.Context(), at)
		d.mu.Lock()
		proposing := d.proposing
		d.mu.Unlock()
		if !proposing && len(asked) == 0 {
			return nil
		}
		rec, err := model.DecodeRecord((<-asked).Value)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	if rec := turn(now); rec != nil {
		t.Fatalf("at once: %+v", rec)
	}
	if rec := turn(now.Add(900 * time.Millisecond)); rec != nil {
		t.Fatalf("soon: %+v", rec)
	}
	later := now.Add(autoMovesOld + time.Minute)
	d.Turn(t.Context(), later) // the first after such a pause looks again at what the HAProxies did
	for i := range 20 {
		if rec := turn(later.Add(time.Duration(i+1) * 500 * time.Millisecond)); rec != nil {
			if len(rec.Evictions) != 0 || rec.Active != "pxc-1" {
				t.Errorf("%+v", rec)
			}
			return
		}
	}
	t.Error("they are never forgotten")
}

// Each stall is an event, once.
func TestStallsAreTold(t *testing.T) {
	d, _ := newTestLoop(t)
	told := func() (n int) {
		for _, e := range d.cfg.Events.NewestFirst() {
			if strings.Contains(e.Message, "took a commit for about ") && strings.Contains(e.Message, "0ms after the process of pxc-1 had ended") {
				n++
			}
		}
		return n
	}
	probes := []galera.NodeStatus{{Node: "pxc-0"}, {Node: "pxc-1", Stall: 312 * time.Millisecond}}
	d.tellStalls(probes)
	d.tellStalls(probes)
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}
	d.tellStalls([]galera.NodeStatus{{Node: "pxc-1"}})
	d.tellStalls([]galera.NodeStatus{{Node: "pxc-1", Stall: 250 * time.Millisecond}})
	if n := told(); n != 2 {
		t.Errorf("the next one: told %d times", n)
	}
}

// A victim that this member itself hears again lives; one that is silent, or has a successor, does not.
func TestLives(t *testing.T) {
	order := &model.Eviction{Node: "pxc-1", UUID: "u"}
	for name, c := range map[string]struct {
		node model.NodeView
		want bool
	}{
		"gone":             {model.NodeView{Name: "pxc-1", Verdict: model.Down, Group: &model.Group{UUID: "u", End: model.EndGone}}, false},
		"it answers":       {model.NodeView{Name: "pxc-1", Verdict: model.Healthy, Group: &model.Group{UUID: "u"}}, true},
		"a port speaks":    {model.NodeView{Name: "pxc-1", Verdict: model.Down, Group: &model.Group{UUID: "u", Speaks: true}}, true},
		"its successor":    {model.NodeView{Name: "pxc-1", Verdict: model.Healthy, Group: &model.Group{UUID: "v", Speaks: true}}, false},
		"nothing is known": {model.NodeView{Name: "pxc-1"}, false},
	} {
		d, _ := newTestLoop(t)
		d.own = &model.View{Nodes: []model.NodeView{c.node}}
		if got := d.lives(order); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
