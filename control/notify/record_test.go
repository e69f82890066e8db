package notify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

var now = time.Date(2026, 11, 30, 22, 0, 0, 0, time.UTC)

func decision(epoch uint64, kind, from, active string) model.Decision {
	return model.Decision{Epoch: epoch, Kind: kind, From: from, Active: active, Reason: "because", By: "px0", At: now}
}

// at is a record of version 3 that says all of these, the last one now.
func at(revision uint64, all ...model.Decision) *At {
	r := &model.Record{Lowest: 3, StateUUID: "u"}
	for _, d := range all {
		r = r.WithActive(d)
	}
	return &At{Record: r, Epoch: r.Last().Epoch, Revision: revision}
}

func (a *At) with(change func(*model.Record)) *At {
	r := a.Clone()
	change(r)
	return &At{Record: r, Recovery: a.Recovery, Epoch: a.Epoch, Revision: a.Revision + 1}
}

// words are the events in short.
func words(all []Event) string {
	var out []string
	for _, e := range all {
		out = append(out, strings.TrimSpace(e.Data.Kind+" "+e.Subject))
	}
	return strings.Join(out, ", ")
}

func TestCommitted(t *testing.T) {
	first := decision(1, model.KindAdopt, "", "db0")
	base := at(1, first)
	moving := at(2, first, decision(2, model.KindOperator, "db0", "db1")).with(func(r *model.Record) { r.Move = &model.Move{From: "db0", To: "db1"} })
	order := func(kind, what string) *At {
		return base.with(func(r *model.Record) {
			*r = *r.WithOrder(model.Order{Revision: 5, Kind: kind, What: what, By: "px1", OrderedBy: "ana", At: now})
			r.Frozen = kind == model.OrderFreeze
		})
	}
	evicted := func(found bool) *At {
		return base.with(func(r *model.Record) {
			*r = *r.WithEviction(model.Eviction{Found: found, Node: "db2", UUID: "u2", Owner: "px0", At: now})
		})
	}
	for name, c := range map[string]struct {
		before, after *At
		want          string
	}{
		"the first decision, seen from the start": {nil, base, "adopted db0"},
		"nothing":                     {base, base.with(func(*model.Record) {}), ""},
		"a failover":                  {base, at(2, first, decision(2, model.KindFailover, "db0", "db1")), "failover db1"},
		"a move that is over at once": {base, at(2, first, decision(2, model.KindOperator, "db0", "db1")), "move-begun db1, move-ended db1"},
		"a move begins":               {base, moving, "move-begun db1"},
		"it goes on":                  {moving, moving.with(func(r *model.Record) { r.Move.Phase = "drain" }), ""},
		"it ends":                     {moving, moving.with(func(r *model.Record) { r.Move = nil }), "move-ended db1"},
		"it is undone":                {moving, at(9, first, decision(2, model.KindOperator, "db0", "db1"), decision(3, model.KindRollback, "db1", "db0")), "move-rolled-back db0"},
		"the active dies meanwhile":   {moving, at(9, first, decision(2, model.KindOperator, "db0", "db1"), decision(3, model.KindFailover, "db1", "db2")), "failover db2"},
		"two that were missed":        {base, at(9, first, decision(2, model.KindFailover, "db0", "db1"), decision(3, model.KindDeparture, "db1", "db2")), "failover db1, move-begun db2, move-ended db2"},
		"an older generation is before a newer one": {at(9, first, decision(7, model.KindFailover, "db0", "db1")), &At{Record: (&model.Record{StateUUID: "u"}).WithActive(model.Decision{Recovery: 1, Epoch: 1, Kind: model.KindAdopt, Active: "db0", At: now}), Recovery: 1, Epoch: 1}, "adopted db0"},
		"excluded":             {base, order(model.OrderExclude, "db2"), "order db2"},
		"frozen by an order":   {base, order(model.OrderFreeze, ""), "frozen"},
		"frozen by itself":     {base, base.with(func(r *model.Record) { r.Frozen, r.FrozenWhy = true, "too many" }), "frozen"},
		"an eviction":          {base, evicted(false), "eviction db2"},
		"it is under way":      {evicted(false), evicted(false), ""},
		"a left entry is none": {base, evicted(true), ""},
		"an old record, by a daemon that has started": {nil, base.with(func(r *model.Record) { r.History[0].At = now.Add(-2 * time.Minute) }), ""},
	} {
		if got := words(Committed(c.before, *c.after, now)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Whatever records a member has missed, it derives the same ids; and no two events have one.
func TestIDsAreTheSameForAll(t *testing.T) {
	first := decision(1, model.KindAdopt, "", "db0")
	a := at(1, first)
	b := a.with(func(r *model.Record) {
		*r = *r.WithOrder(model.Order{Revision: 2, Kind: model.OrderExclude, What: "db2", By: "px1", At: now})
	})
	c := &At{Record: b.WithActive(decision(2, model.KindFailover, "db0", "db1")), Epoch: 2, Revision: 3}
	d := c.with(func(r *model.Record) {
		*r = *r.WithOrder(model.Order{Revision: 4, Kind: model.OrderInclude, What: "db2", By: "px1", At: now})
	})
	e := d.with(func(r *model.Record) {
		*r = *r.WithEviction(model.Eviction{Node: "db0", UUID: "u0", At: now})
	})
	ids := func(steps ...*At) []string {
		var out []string
		for i := 1; i < len(steps); i++ {
			for _, x := range Committed(steps[i-1], *steps[i], now) {
				out = append(out, x.Source+" "+x.ID)
			}
		}
		slices.Sort(out)
		return out
	}
	all, few := ids(a, b, c, d, e), ids(a, e)
	if !slices.Equal(all, few) {
		t.Errorf("step by step\n%s, at once\n%s", strings.Join(all, "\n"), strings.Join(few, "\n"))
	}
	if len(slices.Compact(slices.Clone(all))) != len(all) || len(all) != 4 {
		t.Errorf("%q", all)
	}
}

func TestEnvelope(t *testing.T) {
	e := Committed(at(1, decision(1, model.KindAdopt, "", "db0")), *at(2, decision(1, model.KindAdopt, "", "db0"), decision(2, model.KindFailover, "db0", "db1")), now)[0]
	want := `{"id":"0.2.failover","source":"/haproxyd/cluster/u","type":"haproxy-peers.failover","subject":"db1","time":"2026-11-30T22:00:00Z",` +
		`"data":{"kind":"failover","text":"the active is db1, before db0: because","member":"","node":"db1","from":"db0","by":"px0","epoch":2},` +
		`"specversion":"1.0","datacontenttype":"application/json"}`
	if got := string(e.json()); got != want {
		t.Errorf("%s", got)
	}
	if env := fmt.Sprint(environment(&e)); !strings.Contains(env, "HAPROXYD_EVENT=failover ") || !strings.Contains(env, "HAPROXYD_EVENT_FROM=db0 ") {
		t.Error(env)
	}
}
