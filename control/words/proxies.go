package words

import (
	"fmt"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Role is what a member does in the agreement and beside it.
func Role(m api.Member) string {
	var parts []string
	switch {
	case m.Leader:
		parts = append(parts, "leader")
	case m.Voter:
		parts = append(parts, "voter")
	default:
		parts = append(parts, "follower")
	}
	if m.Witness {
		parts = append(parts, "witness")
	}
	if m.Observe {
		parts = append(parts, "only observes")
	}
	return strings.Join(parts, ", ")
}

// Proxy says in a few words what a member's HAProxy does.
func Proxy(m api.Member) string {
	p := m.Proxy
	switch {
	case m.Witness:
		return ""
	case p == nil:
		return "nothing heard of it"
	case !p.Reachable:
		return "does not answer" + Colon(p.Problem)
	case p.Fenced != "":
		return "FENCED, serves nobody: " + p.Fenced
	}
	text := "goes to " + p.Effective
	if p.Effective == "" {
		text = "goes nowhere in particular"
	}
	switch {
	case p.LocalOnly != "":
		text += ", LOCAL ONLY: forced to " + p.LocalOnly + " on this proxy alone"
	case p.Steering:
		text += ", steered"
	default:
		text += ", by itself"
	}
	if p.Held {
		text += ", new connections wait"
	}
	return text + Colon(p.Problem)
}

// ProxyNotes are sentences on what is not as it should be, with times as they are in a zone.
func ProxyNotes(m api.Member, zone *time.Location) []string {
	var notes []string
	if m.State != "alive" {
		notes = append(notes, "its daemon is "+m.State)
	}
	p := m.Proxy
	if p == nil {
		return append(notes, "nothing heard of its HAProxy")
	}
	if !p.Reachable {
		return append(notes, "its HAProxy does not answer"+Colon(p.Problem))
	}
	if p.Fenced != "" {
		notes = append(notes, "fenced, it serves nobody: "+p.Fenced)
	}
	if p.LocalOnly != "" {
		notes = append(notes, fmt.Sprintf("an operator forced %s on this proxy alone; two nodes may take writes until a majority returns", p.LocalOnly))
	}
	if p.Problem != "" {
		notes = append(notes, p.Problem)
	}
	for _, x := range p.Astray {
		notes = append(notes, fmt.Sprintf("%s to %s of backend %s since %s, although its tables lead elsewhere: see `haproxyctl config lint`",
			Count(int(x.Connections), "connection"), x.Server, x.Backend, x.Since.In(zone).Format("15:04:05 MST")))
	}
	return notes
}
