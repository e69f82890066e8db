package vote

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

func TestUntroubled(t *testing.T) {
	var u untroubled
	one, two := model.Epoch{N: 1}, model.Epoch{N: 2}
	at := time.Now()
	for i, turn := range []struct {
		epoch model.Epoch
		quiet bool
		after time.Duration
		want  time.Duration
	}{
		{one, false, 0, 0}, // it was so when it was made the active
		{one, true, 10 * time.Second, 1},
		{one, true, 20 * time.Second, 10 * time.Second},
		{one, false, 25 * time.Second, 10 * time.Second}, // until the words of now began
		{one, false, 90 * time.Second, 10 * time.Second},
		{one, true, 100 * time.Second, 1},
		{two, false, 101 * time.Second, 0}, // another decision
		{two, false, 300 * time.Second, 0},
	} {
		if got := u.note(turn.epoch, turn.quiet, at.Add(turn.after)); got != turn.want {
			t.Errorf("turn %d: %v, want %v", i, got, turn.want)
		}
		if got := u.lasted(turn.epoch); got != turn.want {
			t.Errorf("turn %d, asked again: %v, want %v", i, got, turn.want)
		}
	}
	if got := u.lasted(one); got != 0 {
		t.Errorf("of an epoch that is over: %v", got)
	}
}

// That a check begins to refuse a node is told at once, and shown; not to daemons that would not keep it, and not of a
// server that is not up.
func TestRefusedInTheView(t *testing.T) {
	l := &published.Look{Reachable: true, Nodes: map[string]published.Node{
		"pxc-0": {State: model.ServerUp, Refused: true}, "pxc-1": {State: model.ServerDown, Refused: true}, "pxc-2": {State: model.ServerUp},
	}}
	view := &model.View{}
	for _, n := range []string{"pxc-0", "pxc-1", "pxc-2"} {
		view.Nodes = append(view.Nodes, nodeView(n, l, nil, true))
	}
	if !view.Nodes[0].Refused || view.Nodes[1].Refused || view.Nodes[2].Refused {
		t.Fatalf("the view has %+v", view.Nodes)
	}
	quiet := *view
	quiet.Nodes = slices.Clone(view.Nodes)
	quiet.Proxy, quiet.Arbitrators = &model.ProxyView{CanWait: true}, []string{"10.0.0.9:4567"}
	forgetNewer(&quiet, nil)
	if quiet.Nodes[0].Refused || bytes.Contains(quiet.Encode(), []byte(`"h"`)) || bytes.Contains(quiet.Encode(), []byte(`"cw"`)) || quiet.Arbitrators != nil {
		t.Errorf("a view for daemons of version 1 has %s", quiet.Encode())
	}
	if bytes.Equal(significantPart(view), significantPart(&quiet)) {
		t.Error("it is not told at once")
	}
	again, err := model.DecodeView(view.Encode())
	if err != nil || !again.Nodes[0].Refused {
		t.Errorf("it came as %+v, %v", again, err)
	}
}

// The words that decide knows are the probe's.
func TestDonorIsOneWord(t *testing.T) {
	if galera.ClassDonor != "donor" {
		t.Errorf("decide takes donor for %q", galera.ClassDonor)
	}
}
