package decide

import (
	"fmt"
	"slices"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// WhatIf is what would be decided if a node died now.
type WhatIf struct {
	Node string
	// Active is the node that would take the writes then, "" if none could.
	Active string
	Moves  bool
	Reason string
	// StallMS and Stall are what [Stall] says of it.
	StallMS int64
	Stall   string
}

// IfDown asks the decision itself: every voter that is heard is taken to call the
// node down, and all else stays as it is.
func IfDown(in *Input, node string) WhatIf {
	if in.Record == nil {
		return WhatIf{Node: node, Reason: "nothing is decided yet"}
	}
	then := *in
	then.Review = false
	then.Voices = slices.Clone(in.Voices)
	for i := range then.Voices {
		view := *then.Voices[i].View
		view.Nodes = slices.Clone(view.Nodes)
		for j := range view.Nodes {
			if n := &view.Nodes[j]; n.Name == node {
				*n = model.NodeView{Name: node, Verdict: model.Down, Server: model.ServerDown, Reason: "it is supposed to have died"}
			}
		}
		then.Voices[i].View = &view
	}
	out := Decide(&then)
	w := WhatIf{Node: node, Active: in.Record.Active, Reason: out.Reason}
	switch {
	case out.NewEpoch:
		w.Active, w.Moves = out.Propose.Active, true
	case node == in.Record.Active:
		w.Active = ""
	default:
		w.Reason = fmt.Sprintf("%s is not the active: nothing moves", node)
		if left := Usable(&then, ""); len(left) == 0 {
			w.Reason += ", and no node would be left to move to"
		}
	}
	return w
}
