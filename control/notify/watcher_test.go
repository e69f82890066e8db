package notify

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

type nobody struct{}

func (nobody) Name() string                       { return "nobody" }
func (nobody) Tell(context.Context, *Event) error { return nil }

// member is a watcher whose world the test sets.
type member struct {
	*Watcher
	sit      published.Situation
	problems []api.Problem
	two      time.Duration
	at       time.Time
}

func newMember(name string) *member {
	m := &member{at: now}
	m.sit.Started = true
	m.Watcher = New(Config{
		Member: name, Born: now, Look: func() *published.Situation { s := m.sit; return &s },
		Status: func() api.Status { return api.Status{Problems: m.problems} }, TwoWriters: func() time.Duration { return m.two },
		Receivers: []Receiver{nobody{}}, Count: func(string, string) {}, Log: slog.New(slog.DiscardHandler),
	})
	return m
}

func (m *member) leads(is bool) { m.sit.Agreement.IsLeader, m.sit.Agreement.Fresh = is, is }

func (m *member) knows(a *At) {
	m.sit.Record = a.Record
	v := &m.sit.Agreement.Record.Version
	v.Recovery, v.Epoch, v.Revision = a.Recovery, a.Epoch, a.Revision
}

// turn lets time pass, looks, and returns what is told by it.
func (m *member) turn(passed time.Duration) string {
	m.at = m.at.Add(passed)
	m.look(m.at)
	q := m.queues[0]
	var all []Event
	for _, x := range q.all {
		all = append(all, x.event)
	}
	q.all = nil
	return words(all)
}

// The leader tells a decision once; whoever leads next repeats it by the same id, if it is of the last minute.
func TestLeaderTells(t *testing.T) {
	px0, px1 := newMember("px0"), newMember("px1")
	px0.leads(true)
	first := decision(1, model.KindAdopt, "", "db0")
	first.At = now.Add(-time.Hour)
	failover := decision(2, model.KindFailover, "db0", "db1")
	for _, m := range []*member{px0, px1} {
		m.knows(at(1, first))
		if told := m.turn(0); told != "" {
			t.Fatalf("at the start: %s", told)
		}
		m.knows(at(2, first, failover))
	}
	if told := px0.turn(time.Second); told != "failover db1" {
		t.Errorf("the leader tells %q", told)
	}
	if told := px0.turn(time.Second) + px1.turn(2*time.Second); told != "" {
		t.Errorf("again, or by another: %q", told)
	}
	px1.leads(true)
	if told := px1.turn(50 * time.Second); told != "failover db1" {
		t.Errorf("the next leader tells %q", told)
	}
	px2 := newMember("px2")
	px2.knows(at(1, first))
	px2.turn(0)
	px2.knows(at(2, first, failover))
	px2.turn(0)
	px2.leads(true)
	if told := px2.turn(Recent + time.Second); told != "" {
		t.Errorf("one that leads much later tells %q", told)
	}
}

// A member tells what it alone sees, leader or not; a dead node is the leader's.
func TestMemberTells(t *testing.T) {
	m := newMember("px0")
	m.problems = []api.Problem{{Code: api.ProblemFenced, Member: "px0", Text: "fenced"}, {Code: api.ProblemNodeDown, Node: "db1", Text: "down"}}
	if told := m.turn(0); told != "fenced px0" {
		t.Errorf("%q", told)
	}
	if told := m.turn(time.Second); told != "" {
		t.Errorf("%q", told)
	}
	m.leads(true)
	if told := m.turn(time.Second); told != "node-down db1" {
		t.Errorf("%q", told)
	}
	if !strings.HasPrefix(m.ring[0].event.ID, "1796076000000.") || m.ring[0].event.Source != "/haproxyd/member/px0" {
		t.Errorf("%+v", m.ring[0].event)
	}
}

// Two writers are told by one who reads the nodes, the leader if it does, and every ten seconds while it goes on.
func TestTwoWritersAreTold(t *testing.T) {
	sees := func(verdicts ...model.Verdict) *model.View {
		v := &model.View{}
		for _, verdict := range verdicts {
			v.Nodes = append(v.Nodes, model.NodeView{Verdict: verdict})
		}
		return v
	}
	all, some := sees(model.Healthy, model.Healthy), sees(model.Healthy, model.Down)
	for name, tt := range map[string]struct {
		leader string
		views  map[string]*model.View
		teller string
	}{
		"the leader sees all":  {"px1", map[string]*model.View{"px0": all, "px1": all, "px2": all}, "px1"},
		"the leader is blind":  {"px0", map[string]*model.View{"px0": some, "px1": all, "px2": all}, "px1"},
		"there is no leader":   {"", map[string]*model.View{"px0": some, "px1": some, "px2": some}, "px0"},
		"nobody sees anything": {"px2", map[string]*model.View{"px0": sees(), "px1": sees(), "px2": sees()}, "px2"},
		"the leader is gone":   {"px9", map[string]*model.View{"px1": all, "px0": all}, "px0"},
	} {
		var tellers []string
		for member := range tt.views {
			m := newMember(member)
			m.sit.Member, m.sit.Own, m.sit.Agreement.Leader = member, tt.views[member], tt.leader
			for other, view := range tt.views {
				if other != member {
					m.sit.Heard = append(m.sit.Heard, published.Heard{Member: other, Voter: true, Live: true, View: view})
				}
			}
			m.two = 200 * time.Millisecond
			if told := m.turn(0); told != "" {
				tellers = append(tellers, member+" "+told)
				m.two += time.Second
				if told := m.turn(twoEvery - time.Second); told != "" {
					t.Errorf("%s: again before its time: %q", name, told)
				}
				if told := m.turn(time.Second); told != "two-writers" {
					t.Errorf("%s: then %q", name, told)
				}
				m.two += 20 * time.Millisecond
				if told := m.turn(twoEvery); told != "" {
					t.Errorf("%s: for what clocks differ by: %q", name, told)
				}
			}
		}
		if len(tellers) != 1 || tellers[0] != tt.teller+" two-writers" {
			t.Errorf("%s: %q, want %s", name, tellers, tt.teller)
		}
	}
}
