package decide

import (
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// A healthy active whose clients wait is kept when moving would not help, and the sentence says so.
func TestKeptThoughClientsWait(t *testing.T) {
	const help = "moving would not help"
	for name, c := range map[string]struct {
		change func(*model.NodeView)
		says   string
	}{
		"its commits hang as everybody's do": {func(n *model.NodeView) { n.Stuck = "its own commits hang" }, "its own commits hang, and no other node's proceed (seen by px1)"},
		"flow control":                       {func(n *model.NodeView) { n.Paused = true }, "flow control holds it back (seen by px1)"},
		"it is well":                         {func(*model.NodeView) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := input("hhh", "hhh", "hhh")
			c.change(&in.Voices[1].View.Nodes[1])
			out := Decide(in)
			if out.Propose != nil || !strings.HasPrefix(out.Reason, "pxc-1 is healthy for all 3 voters") ||
				!strings.Contains(out.Reason, c.says) || strings.Contains(out.Reason, help) != (c.says != "") {
				t.Errorf("got %+v", out)
			}
		})
	}
}
