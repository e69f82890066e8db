package vote

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/kube"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

type fakePods struct {
	pods    []kube.Pod
	problem string
}

func (f *fakePods) Pods() []kube.Pod         { return f.pods }
func (f *fakePods) Problem() string          { return f.problem }
func (f *fakePods) Changed() <-chan struct{} { return nil }

func TestPodOf(t *testing.T) {
	pods := []kube.Pod{{Name: "cluster1-pxc-0"}, {Name: "pxc-1"}}
	for _, c := range []struct{ name, host, want string }{
		{"pxc-1", "10.0.0.1", "pxc-1"},
		{"a", "cluster1-pxc-0.cluster1-pxc.ns", "cluster1-pxc-0"},
		{"pxc-1", "cluster1-pxc-0", "pxc-1"},
		{"pxc-2", "pxc-2.pxc", ""},
		{"a", "pxc-10.pxc", ""},
		{"cluster1-pxc-0.cluster1-pxc", "cluster1-pxc.pxc-1", ""},
	} {
		got := ""
		if p := podOf(&configs.Server{Name: c.name, Host: c.host}, pods); p != nil {
			got = p.Name
		}
		if got != c.want {
			t.Errorf("%s at %s: %q, want %q", c.name, c.host, got, c.want)
		}
	}
}

// What is going stands in this member's view, is told at once and once, and is shown with its problem.
func TestGoingInTheView(t *testing.T) {
	d, f := newTestLoop(t)
	pods := &fakePods{problem: "kubernetes: no permission"}
	d.cfg.Pods = pods
	ag := f.Agreement()
	quiet := d.buildView(d.joined.Load(), &ag)
	for _, n := range quiet.Nodes {
		if n.Going != nil {
			t.Errorf("%s is going without a word: %+v", n.Name, n.Going)
		}
	}
	until := time.Date(2026, 5, 4, 12, 0, 30, 0, time.UTC)
	pods.pods = []kube.Pod{
		{Name: "pxc-0", UID: "a", Revision: "new"},
		{Name: "pxc-1", UID: "b", Revision: "old", Going: true, Until: until, Deadline: time.Now().Add(30 * time.Second)},
	}
	view := d.buildView(d.joined.Load(), &ag)
	g := view.Node("pxc-1").Going
	if g == nil || g.Pod != "b" || g.LeftMS < 29_000 || g.LeftMS > 30_000 || g.Words() != "is being deleted (pod, until 12:00:30 UTC)" ||
		view.Node("pxc-0").Going != nil || view.Node("pxc-0").Revision != "new" {
		t.Fatalf("the view has %+v", view.Nodes)
	}
	later := *view
	later.Nodes = slices.Clone(view.Nodes)
	less := *g
	less.LeftMS -= 5000
	later.Nodes[1].Going = &less
	if bytes.Equal(significantPart(quiet), significantPart(view)) || !bytes.Equal(significantPart(view), significantPart(&later)) {
		t.Error("that it is going must be told at once, that its time passes must not")
	}
	if less.LeftMS == 0 || g.LeftMS == 0 {
		t.Error("the significant part has changed the view")
	}
	again, err := model.DecodeView(view.Encode())
	if err != nil || *again.Node("pxc-1").Going != *g {
		t.Errorf("it came as %+v, %v", again, err)
	}
	// A daemon of a version before this one says nothing, and is understood.
	if strings.Contains(string(quiet.Encode()), `"z"`) {
		t.Error("a view without news has a word on it")
	}

	d.own = view
	sit := d.Renew()
	if sit.PodsProblem != "kubernetes: no permission" || sit.Own.Node("pxc-1").Going == nil {
		t.Errorf("the situation: %q, %+v", sit.PodsProblem, sit.Own.Nodes)
	}
}

// PXC sets pxc_maint_mode to SHUTDOWN by itself; MAINTENANCE is an operator's.
func TestShutdownInTheView(t *testing.T) {
	d, _ := newTestLoop(t)
	for mode, want := range map[string]bool{"SHUTDOWN": true, "MAINTENANCE": false, "DISABLED": false, "": false} {
		view := clustertest.HealthyView()
		probe := galera.NodeStatus{Node: "pxc-1", State: galera.State{Verdict: galera.Healthy}, Reading: galera.Reading{MaintMode: mode}}
		d.addGoing(view, d.cfg.Files.Topology(), []galera.NodeStatus{probe}, time.Now())
		g := view.Node("pxc-1").Going
		if (g != nil) != want || want && (!g.Shutdown || g.Words() != "is shutting down (pxc_maint_mode is SHUTDOWN)") {
			t.Errorf("%s: %+v", mode, g)
		}
	}
}

// What a node's end takes with it is told once, and only that.
func TestEnding(t *testing.T) {
	epoch := model.Epoch{N: 5}
	start := time.Unix(1000, 0)
	type turn struct {
		after                        time.Duration
		inTrx, drained, left         int
		pending, closing, down, none bool
	}
	for name, c := range map[string]struct {
		turns []turn
		want  string
	}{
		"its time is over": {[]turn{{inTrx: 2, pending: true}, {after: 5 * time.Second, inTrx: 2, pending: true, closing: true}, {after: 6 * time.Second, pending: true, closing: true, down: true}},
			"db1 was to be left and 2 sessions were in a transaction when the time was over: cut"},
		"it ends before": {[]turn{{inTrx: 1, left: 1, pending: true}, {after: 100 * time.Millisecond, inTrx: 1, pending: true}, {after: 300 * time.Millisecond}, {after: time.Second, down: true}, {after: 2 * time.Second, down: true}},
			"db1 has ended and 1 session was in a transaction: cut"},
		"the transaction ended in time": {[]turn{{inTrx: 1, drained: 11, pending: true}, {after: 100 * time.Millisecond, drained: 12}, {after: time.Second, drained: 12, down: true}}, ""},
		"one of two did":                {[]turn{{inTrx: 2, drained: 10, pending: true}, {after: time.Second, drained: 11, down: true, pending: true}}, "db1 has ended and 1 session was in a transaction: cut"},
		"it ended long before":          {[]turn{{inTrx: 1, drained: 11, pending: true}, {after: 10 * time.Second, drained: 11, down: true}}, ""},
		"no transaction":                {[]turn{{left: 3, pending: true}, {after: time.Second, pending: true, closing: true}, {after: 2 * time.Second, down: true}}, ""},
		"another kind of move":          {[]turn{{inTrx: 2, pending: true, none: true}, {after: time.Second, inTrx: 2, pending: true, closing: true, none: true}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var e ending
			var said []string
			for _, turn := range c.turns {
				m := api.Move{Epoch: 5, From: "db1", InTransaction: turn.inTrx, Drained: turn.drained, Left: turn.left}
				if s := e.note(start.Add(turn.after), &endingTurn{epoch, &m, !turn.none, turn.pending, turn.closing, map[bool]string{true: "has ended"}[turn.down]}); s != "" {
					said = append(said, s)
				}
			}
			if c.want == "" && len(said) > 0 || c.want != "" && !slices.Equal(said, []string{c.want}) {
				t.Errorf("it says %q, want %q", said, c.want)
			}
		})
	}
}

// What ends a node's sessions is its own end, or the last failed check of HAProxy's where the probe finds that it serves.
func TestEndOf(t *testing.T) {
	for want, n := range map[string]model.NodeView{
		"":                                   {Verdict: model.Healthy, Server: model.ServerUp},
		"has ended":                          {Verdict: model.Down, Server: model.ServerDown},
		"was marked down by HAProxy's check": {Verdict: model.Healthy, Server: model.ServerDown},
	} {
		if got := endOf(n); got != want {
			t.Errorf("%+v %q, want %q", n, got, want)
		}
	}
}
