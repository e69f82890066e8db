package evict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// found is the order to empty the lists on which nothing but entries of evictions that were paid for stands; nil without such a
// list. A process that was late with its JOIN, or that joined in the second in which the lists were emptied, has learned
// the entry and was not told to forget it (found in the simulation); Galera itself forgets one after a day. Left there, it makes
// the next view wait 5 s, and nobody is evicted.
func found(in *Input) *model.Eviction {
	rec := in.Record
	if rec == nil || !rec.Speaks(3) || rec.Evict != nil || len(rec.Evicted) == 0 || (in.Mode != ModeGone && in.Mode != ModeSilent) {
		return nil
	}
	own := in.Voice(in.By)
	if own == nil {
		return nil
	}
	var e model.Eviction
	for i := range own.Nodes {
		n := &own.Nodes[i]
		g := n.Group
		if n.Verdict == model.Down || g == nil || len(g.List) == 0 || !ours(g, rec) {
			continue
		}
		if !e.Found {
			e = model.Eviction{
				Found: true, Node: n.Name, UUID: g.List[0], ConfID: g.ConfID, Owner: in.By, At: in.Now.UTC().Truncate(time.Millisecond),
				Reason: fmt.Sprintf("the entry of an earlier eviction (%s) is on the evict list of %s", strings.Join(g.List, ", "), n.Name),
			}
		}
		if g.ConfID == e.ConfID {
			e.Survivors = append(e.Survivors, model.Survivor{Node: n.Name, UUID: g.UUID, Retrans: g.Retrans})
		}
	}
	if !e.Found {
		return nil
	}
	return &e
}

// ours tells whether a list is this project's alone, and can be emptied. What stands on it beside our entries is an operator's or
// Galera's (evs.auto_evict), and emptying takes all off.
func ours(g *model.Group, rec *model.Record) bool {
	foreign := slices.ContainsFunc(g.List, func(uuid string) bool { return !slices.Contains(rec.Evicted, uuid) })
	return !foreign && g.Speaks && !g.AutoEvict && g.Lacks == "" && g.Retrans != "" && g.ConfID >= 0 && g.State == ""
}
