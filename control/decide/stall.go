package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// galeraDefaults are the timers whose defaults make the stall, with these, in ms (Galera's documentation, "Galera
// Parameters").
var galeraDefaults = []struct {
	name string
	is   int64
}{{"evs.suspect_timeout", 5000}, {"evs.inactive_check_period", 500}, {"evs.join_retrans_period", 1000}}

// Stall is about how long no commit goes through on any node after this one has died, until Galera has made a new view without
// it, and a sentence on that; 0 and "" where no other node's timers are known. The longest of the others' counts.
func Stall(in *Input, node string) (time.Duration, string) {
	longest, at := int64(0), []string(nil)
	for _, v := range in.Voices {
		for i := range v.View.Nodes {
			n := &v.View.Nodes[i]
			if n.Name == node || n.Group == nil {
				continue
			}
			g := n.Group
			if floor := g.FloorMS(); floor > longest {
				longest, at = floor, nil
				for i, is := range []int64{g.SuspectMS, g.CheckMS, g.RetransMS} {
					if d := galeraDefaults[i]; is == d.is {
						at = append(at, fmt.Sprintf("%s %v", d.name, time.Duration(is)*time.Millisecond))
					}
				}
			}
		}
	}
	if longest == 0 {
		return 0, ""
	}
	d := time.Duration(longest) * time.Millisecond
	says := fmt.Sprintf("no node commits for about %.1f s, until Galera has made a view without it", d.Seconds())
	if slices.Contains(at, "evs.suspect_timeout 5s") {
		says += " (" + strings.Join(at, ", ") + ": the defaults)"
	}
	return d, says
}
