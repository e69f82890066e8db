package evict

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

const entry = "e0000000-0000-0000-0000-000000000000"

// left is what is seen an hour after an eviction: all is well, but pxc-0, which joined while the lists were emptied, has kept the
// entry.
func left() *Input {
	in := dead()
	in.Record.Evicted = []string{"f0000000-0000-0000-0000-000000000000", entry}
	each(in, "pxc-1", func(n *model.NodeView) { n.Verdict, n.Group.End, n.Group.Speaks = model.Healthy, "", true })
	each(in, "pxc-0", group(func(g *model.Group) { g.Evicted, g.List = true, []string{entry} }))
	return in
}

func TestFound(t *testing.T) {
	is := Decide(left())
	if is.Order == nil || !is.Order.Found || is.Order.Node != "pxc-0" || is.Order.UUID != entry || is.Order.Owner != "px0" || len(is.Order.Survivors) != 1 ||
		is.Order.Survivors[0] != (model.Survivor{Node: "pxc-0", UUID: uuids["pxc-0"], Retrans: "PT1S"}) {
		t.Fatalf("%+v", is.Order)
	}
	if want := "the entry of an earlier eviction (" + entry + ") is on the evict list of pxc-0: the list is emptied"; is.Why != want {
		t.Errorf("%s", is.Why)
	}
	// It is no eviction: neither its time nor its process is remembered as one.
	if rec := left().Record.WithEviction(*is.Order); rec.Evict == nil || len(rec.Evictions) != 0 || len(rec.Evicted) != 2 {
		t.Errorf("%+v", rec)
	}
	// A joiner is no member that answers to clients, and a list on two nodes is one order.
	two := left()
	each(two, "pxc-0", func(n *model.NodeView) { n.Verdict = model.Unknown })
	each(two, "pxc-2", group(func(g *model.Group) { g.List = []string{entry} }))
	if is := Decide(two); is.Order == nil || len(is.Order.Survivors) != 2 {
		t.Errorf("%+v", is.Order)
	}
}

// Each of these alone keeps a list as it is: it is somebody else's, or cannot be emptied and put back.
func TestNotFound(t *testing.T) {
	own := func(change func(*model.Group)) func(*Input) {
		return func(in *Input) { each(in, "pxc-0", group(change), 0) }
	}
	for name, change := range map[string]func(*Input){
		"an operator's beside ours": own(func(g *model.Group) { g.List = append(g.List, "0a000000-0000-0000-0000-000000000000") }),
		"nobody's of ours":          func(in *Input) { in.Record.Evicted = in.Record.Evicted[:1] },
		"none":                      own(func(g *model.Group) { g.List = nil }),
		"only another member's":     own(func(g *model.Group) { g.List = nil }),
		"evs.auto_evict":            own(func(g *model.Group) { g.AutoEvict = true }),
		"no rights":                 own(func(g *model.Group) { g.Lacks = "the right" }),
		"no period":                 own(func(g *model.Group) { g.Retrans = "" }),
		"not primary":               own(func(g *model.Group) { g.ConfID = -1 }),
		"a view is being made":      own(func(g *model.Group) { g.State = "GATHER" }),
		"of the last time":          own(func(g *model.Group) { g.Speaks = false }),
		"a process that is down":    func(in *Input) { each(in, "pxc-0", func(n *model.NodeView) { n.Verdict = model.Down }, 0) },
		"owed already":              func(in *Input) { in.Record.Evict = &model.Eviction{Node: "pxc-1"} },
		"off":                       func(in *Input) { in.Mode = ModeOff },
		"not every version":         func(in *Input) { in.Record.Lowest = 2 },
	} {
		in := left()
		change(in)
		if is := Decide(in); is.Order != nil {
			t.Errorf("%s: %+v", name, is.Order)
		}
	}
}

// Nobody is told anything: the lists are emptied, and looked at twice.
func TestProgressOfFound(t *testing.T) {
	listed := Seen{Answered: true, Primary: true, ConfID: 7, Operational: true, Listed: true}
	empty := listed
	empty.Listed = false
	p := Begin(&model.Eviction{Found: true, ConfID: 7, Survivors: make([]model.Survivor, 1)})
	for _, s := range []at{
		{0, []Seen{listed}, clearing(0)},
		{5 * ms, []Seen{empty}, nothing},
		{500 * ms, []Seen{listed}, clearing(0)},
		{505 * ms, []Seen{empty}, nothing},
		{1505 * ms, []Seen{empty}, clearing(0)},
		{1510 * ms, []Seen{empty}, nothing},
		{2510 * ms, []Seen{empty}, paid},
	} {
		if got := p.Next(s.age, s.seen, false); got.Tell != s.want.Tell || got.Paid != s.want.Paid || len(got.Clear) != len(s.want.Clear) || len(got.Prepare) > 0 {
			t.Fatalf("at %v: %+v, want %+v", s.age, got, s.want)
		}
	}
}

// What would happen at a death is told of the death, not of the list that is emptied now.
func TestForecastBesideAnEntry(t *testing.T) {
	in := left()
	if why := Forecast(in, "pxc-1"); !strings.Contains(why, "the evict list of pxc-0 is not empty") {
		t.Errorf("%q", why)
	}
}

func TestCause(t *testing.T) {
	found := &model.Eviction{Found: true, Node: "pxc-0", UUID: entry, At: time.Now()}
	if s := found.Cause(); !strings.Contains(s, "an earlier eviction ("+entry) {
		t.Error(s)
	}
}
