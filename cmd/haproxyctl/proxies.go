package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

func yesNo(ok bool) cell {
	if ok {
		return cell{"yes", styleGood}
	}
	return cell{"no", styleBad}
}

// proxiesTable is the members by what their HAProxy does; witnesses have none. What
// is wrong with one stands below, where it has room.
func (a *app) proxiesTable(w io.Writer, members []api.Member) {
	g := newGrid("PROXY", "GOES TO", "AS AGREED", "EPOCH", "STEERED", "LAYOUT", "UP", "SESSIONS")
	var notes []string
	for _, m := range members {
		if m.Witness {
			continue
		}
		if n := words.ProxyNotes(m, time.Local); len(n) > 0 {
			notes = append(notes, m.Name+": "+strings.Join(n, "; "))
		}
		p := m.Proxy
		if p == nil || !p.Reachable {
			unknown := cell{"?", styleBad}
			g.add(memberCell(m), unknown, unknown, unknown, unknown, unknown, unknown, unknown)
			continue
		}
		epoch := plainCell(strconv.FormatUint(p.Epoch, 10))
		if p.Epoch == 0 {
			epoch.text = "-"
		}
		g.add(memberCell(m), whereCell(*p), yesNo(p.Converged && len(p.Astray) == 0), epoch, yesNo(p.Steering), layoutCell(*p),
			plainCell(words.Roughly(time.Duration(p.UptimeS)*time.Second)), proxySessions(*p))
	}
	a.write(w, g)
	for _, n := range notes {
		fmt.Fprintf(w, "  %s\n", strings.Join(a.foldIn(styleBad, n, 2*gap), "\n    "))
	}
}

// whereCell is where a proxy's new connections go.
func whereCell(p api.Proxy) cell {
	switch {
	case p.Fenced != "":
		return cell{"FENCED", styleBad}
	case p.LocalOnly != "":
		return cell{p.LocalOnly + " (local only)", styleBad}
	case p.Held:
		return cell{cmp.Or(p.Effective, "?") + " (held)", styleWarn}
	case p.Effective == "":
		return cell{"?", styleWarn}
	}
	return plainCell(p.Effective)
}

// layoutCell is how far haproxy.cfg lets the daemon steer.
func layoutCell(p api.Proxy) cell {
	switch {
	case p.Layout == "":
		return plainCell("-")
	case p.Layout != "steer":
		return plainCell(p.Layout)
	case p.Beacon:
		return plainCell("steer, beacon on")
	}
	return cell{"steer, beacon off", styleWarn}
}

// proxySessions are a proxy's open sessions by node, the busiest node first.
func proxySessions(p api.Proxy) cell {
	names := slices.SortedFunc(maps.Keys(p.Sessions), func(a, b string) int {
		return cmp.Or(p.Sessions[b]-p.Sessions[a], strings.Compare(a, b))
	})
	var parts []string
	for _, n := range names {
		if p.Sessions[n] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", n, p.Sessions[n]))
		}
	}
	if len(parts) == 0 && p.Elsewhere > 0 {
		parts = []string{fmt.Sprintf("%d elsewhere", p.Elsewhere)}
	}
	return cell{orNone(strings.Join(parts, ", ")), either(p.Elsewhere > 0, styleWarn, styleNone)}
}
