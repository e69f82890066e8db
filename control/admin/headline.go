package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// mostBroken is how many kinds of problems the headline names.
const mostBroken = 3

// brief says a kind of problem of its nodes or members, in as few words as will do; what the
// other parts of the headline say in any case, and what is only to be known, has none.
var brief = map[string]struct{ one, many string }{
	api.ProblemRecordUnreadable: {"a newer daemon's record cannot be read", ""},
	api.ProblemOlderDaemon:      {"a daemon is too old", ""},
	api.ProblemMemberSilent:     {"%s is not heard", "%s are not heard"},
	api.ProblemPeersDiffer:      {"haproxy.cfg names other peers", ""},
	api.ProblemAlert:            {"the vote needs somebody", ""},
	api.ProblemNotServing:       {"%s has no usable node", "%s have no usable node"},
	api.ProblemFenced:           {"%s is fenced", "%s are fenced"},
	api.ProblemHAProxySilent:    {"the HAProxy of %s does not answer", "the HAProxies of %s do not answer"},
	api.ProblemNotConverged:     {"%s does not follow", "%s do not follow"},
	api.ProblemNotSteered:       {"%s is not steered", "%s are not steered"},
	api.ProblemAstray:           {"connections of %s went elsewhere", "connections of %s went elsewhere"},
	api.ProblemLocalOnly:        {"%s goes its own way by an operator's order", "%s go their own way by an operator's order"},
	api.ProblemAddressDiffers:   {"%s has another address for a node", "%s have another address for a node"},
	api.ProblemConfigUnusable:   {"haproxy.cfg cannot be used", ""},
	api.ProblemConfigUnsafe:     {"haproxy.cfg lets connections go elsewhere", ""},
	api.ProblemChangesUnknown:   {"changes of an earlier daemon may be left", ""},
	api.ProblemPodsNotWatched:   {"the pods are not watched", ""},
	api.ProblemProbeShutOut:     {"no node lets the probe in", ""},
	api.ProblemNodeDown:         {"%s is down", "%s are down"},
	api.ProblemNodeDisputed:     {"%s is down for some", "%s are down for some"},
	api.ProblemNodeUnknown:      {"nobody can tell how %s is", "nobody can tell how %s are"},
	api.ProblemNodeStalls:       {"commits on %s wait", "commits on %s wait"},
	api.ProblemNoPrimary:        {"no node is in the primary component", ""},
}

// headline is one sentence: what is broken, who takes the writes, and what is left.
func (s *seen) headline(c *clientele) string {
	broken := s.broken()
	switch s.State {
	case api.StateUnknown:
		why := s.waits
		if why == "" {
			why = strings.Join(broken, ", ")
		}
		if why == "" {
			why = "no proxy is heard"
		}
		return "it cannot be told whether clients are served: " + why
	case api.StateOutage:
		return "nobody is served: " + strings.Join(broken, ", ")
	}
	parts := broken
	switch move := s.Active.Move; {
	case move != nil:
		parts = append(parts, fmt.Sprintf("the writes move from %s to %s, %d of %s left", move.From, move.To, move.Left, count(move.Moved, "session", "sessions")))
	case !s.decided():
		parts = slices.Insert(parts, 0, s.undecided())
		parts = append(parts, "HAProxy works by itself: "+c.words(""))
	default:
		parts = append(parts, c.words(s.Active.Active))
	}
	if next := s.outlook(); next != "" {
		parts = append(parts, next)
	}
	return strings.Join(parts, "; ")
}

// undecided is why no active stands, in as few words as will do.
func (s *seen) undecided() string {
	switch {
	case s.unread != "":
		return "what is agreed is not known"
	case s.Active.Agreed:
		return "no active node is decided yet"
	case s.Active.Active == "":
		return "the first start waits for all voters"
	}
	return "there is no majority"
}

// follows tells whether a kind of problem only follows from another one that is named.
func (s *seen) follows(code string) bool {
	switch code {
	case api.ProblemNodeDown:
		return slices.ContainsFunc(s.Problems, func(p api.Problem) bool { return p.Code == api.ProblemNoPrimary })
	case api.ProblemNotConverged:
		return s.dead(s.Active.Active)
	case api.ProblemFenced:
		return s.allDead()
	}
	return false
}

// broken names the worst kinds of problems, each with all its nodes or members.
func (s *seen) broken() []string {
	var codes []string
	names := map[string][]string{}
	for _, p := range s.Problems {
		if _, told := brief[p.Code]; !told || p.Severity == api.SeverityInfo || s.follows(p.Code) {
			continue
		}
		if !slices.Contains(codes, p.Code) {
			codes = append(codes, p.Code)
		}
		name := p.Node
		if p.Member != "" {
			name = p.Member
		}
		if !slices.Contains(names[p.Code], name) {
			names[p.Code] = append(names[p.Code], name)
		}
	}
	for _, of := range names {
		slices.Sort(of)
	}
	var out []string
	for _, code := range codes[:min(len(codes), mostBroken)] {
		words := brief[code]
		switch {
		case words.many == "":
			out = append(out, words.one)
		case len(names[code]) == 1:
			out = append(out, fmt.Sprintf(words.one, names[code][0]))
		default:
			out = append(out, fmt.Sprintf(words.many, list(names[code])))
		}
	}
	if more := len(codes) - mostBroken; more > 0 {
		out = append(out, fmt.Sprintf("%d more below", more))
	}
	return out
}

// outlook is what would happen next, "" where the rest says it.
func (s *seen) outlook() string {
	spares := s.spares()
	switch {
	case !s.decided():
		return "nothing fails over"
	case s.Active.Frozen:
		return "frozen, so nothing moves by itself"
	case s.observed():
		return "the daemons only observe"
	case s.Active.Move != nil, len(s.Nodes) < 2:
		return ""
	case len(spares) == 0:
		return "no spare left"
	}
	left := ""
	if len(spares) < len(s.Nodes)-1 {
		left = " left"
	}
	n := "one spare"
	if len(spares) > 1 {
		n = fmt.Sprintf("%d spares", len(spares))
	}
	return n + left + " (" + join(spares) + ")"
}

// observed tells whether no daemon that has a proxy writes to it.
func (s *seen) observed() bool {
	return !slices.ContainsFunc(s.Members, func(m api.Member) bool { return m.Proxy != nil && !m.Observe })
}
