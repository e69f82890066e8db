package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// agreement says what is wrong with what is agreed.
func (s *seen) agreement(c *clientele) {
	act := &s.Active
	switch {
	case s.waits != "":
		s.add(api.Problem{Code: api.ProblemNotStarted, Severity: api.SeverityCritical, Member: s.Member, Text: "haproxyd has not started: " + s.waits})
	case s.unread != "":
		s.add(api.Problem{Code: api.ProblemRecordUnreadable, Severity: api.SeverityCritical, Member: s.Member, Text: s.unread})
	case !act.Agreed && act.Active == "":
		s.add(api.Problem{Code: api.ProblemFirstStart, Severity: api.SeverityWarning, Text: "nothing is agreed yet: " + s.Register.Reason, Next: "haproxyctl register init --force"})
	case !act.Agreed:
		s.add(api.Problem{Code: api.ProblemNoMajority, Severity: api.SeverityCritical, Text: "no majority, nothing is decided: " + s.Register.Reason, Next: s.withoutMajority(c)})
	case act.Active == "":
		s.add(api.Problem{Code: api.ProblemNotDecided, Severity: api.SeverityWarning, Text: "no active node is decided yet: " + act.Reason})
	}
	for _, name := range s.silent {
		s.add(api.Problem{Code: api.ProblemMemberSilent, Severity: api.SeverityWarning, Member: name,
			Text: name + " is not heard: start its daemon or see to the network; meanwhile its HAProxy works by itself"})
	}
	for _, text := range s.peers {
		s.add(api.Problem{Code: api.ProblemPeersDiffer, Severity: api.SeverityWarning, Text: text})
	}
	for _, text := range s.older {
		s.add(api.Problem{Code: api.ProblemOlderDaemon, Severity: api.SeverityWarning, Text: text})
	}
	if act.Frozen {
		s.add(api.Problem{Code: api.ProblemFrozen, Severity: api.SeverityInfo, Text: "frozen: no automatic change happens" + why(s.frozenWhy), Next: "haproxyctl unfreeze"})
	}
	for _, node := range act.Excluded {
		s.add(api.Problem{Code: api.ProblemExcluded, Severity: api.SeverityInfo, Node: node, Text: node + " is excluded: it is never chosen automatically", Next: "haproxyctl include " + node})
	}
}

// withoutMajority is what helps where no majority is there: an order for this proxy alone
// where it serves nobody although a node would do, else a new generation.
func (s *seen) withoutMajority(c *clientele) string {
	alive := func(n *api.Node) bool {
		return !dead(n) && slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return o.Verdict == "healthy" })
	}
	best := ""
	for i := range s.Nodes {
		if n := &s.Nodes[i]; alive(n) && (best == "" || n.Active) {
			best = n.Name
		}
	}
	if best != "" && slices.Contains(c.unserved, s.Member) {
		return fmt.Sprintf("haproxyctl active set %s --local-only", best)
	}
	var here, gone []string
	for i := range s.Members {
		if m := &s.Members[i]; m.State != cluster.MemberGone && !slices.Contains(s.silent, m.Name) {
			here = append(here, m.Name)
		}
	}
	voters := 0 // that can vote
	for _, v := range s.Register.Voters {
		switch {
		case !slices.Contains(here, v.Name):
			gone = append(gone, v.Name)
		case v.Live: // else it is here with another disk
			voters++
		}
	}
	if len(here) == 0 || 2*voters > len(s.Register.Voters) {
		return "" // an election, or this daemon's own trouble
	}
	next := "haproxyctl register recover --voters " + strings.Join(here, ",")
	if len(gone) > 0 {
		next += fmt.Sprintf("   # only if the disks of %s are gone for good", list(gone))
	}
	return next
}

// proxies says what is wrong with the proxies that are heard.
func (s *seen) proxies(c *clientele) {
	for i := range s.Members {
		m := &s.Members[i]
		if m.Observe {
			s.add(api.Problem{Code: api.ProblemObserves, Severity: api.SeverityInfo, Member: m.Name, Text: m.Name + " only observes: it never writes to its HAProxy"})
		}
		if m.Proxy != nil {
			s.proxy(m, m.Proxy, slices.Contains(c.unserved, m.Name))
		}
	}
}

// figures have the last word: where a proxy is not counted and nothing else is wrong, that is
// the problem.
func (s *seen) figures() {
	act := &s.Active
	if act.Agreed && act.Move == nil && act.Converged < act.Proxies && !s.broke() {
		s.add(api.Problem{Code: api.ProblemNotConverged, Severity: api.SeverityWarning, Member: s.Member, Text: fmt.Sprintf("only %d of %s go to %s", act.Converged, count(act.Proxies, "proxy", "proxies"), act.Active)})
	}
}

// proxy says what is wrong with one.
func (s *seen) proxy(m *api.Member, p *api.Proxy, unserved bool) {
	act := &s.Active
	note := func(code, severity, text string) {
		s.add(api.Problem{Code: code, Severity: severity, Member: m.Name, Text: text})
	}
	behind := !p.Converged || p.Epoch != act.Epoch // as NotConverged has it
	switch {
	case p.Fenced != "":
		note(api.ProblemFenced, api.SeverityCritical, fmt.Sprintf("%s is fenced, it serves nobody: %s", m.Name, p.Fenced))
	case !p.Reachable && p.SilentMS > 0:
		note(api.ProblemHAProxySilent, api.SeverityCritical, fmt.Sprintf("the HAProxy of %s does not answer on its admin socket since %s: restart it or look at its log (%s)",
			m.Name, roughly(time.Duration(p.SilentMS)*time.Millisecond), p.Problem))
	case !p.Reachable:
		note(api.ProblemHAProxySilent, api.SeverityCritical, m.Name+": "+cmp.Or(p.Problem, "its HAProxy was not looked at yet"))
	case s.allDead(): // which is told of the nodes
	case unserved:
		note(api.ProblemNotServing, api.SeverityCritical, m.Name+" serves nobody: no node is usable in its HAProxy")
	case !s.decided(), act.Move != nil: // each is told by itself
	case behind && p.Effective != "" && p.Effective != act.Active && !s.dead(act.Active):
		text := fmt.Sprintf("new connections of %s go to %s and not to %s", m.Name, p.Effective, act.Active)
		if !strings.Contains(p.Problem, " go to ") { // which says no more
			text += why(p.Problem)
		}
		note(api.ProblemNotConverged, api.SeverityCritical, text)
	case behind:
		note(api.ProblemNotConverged, api.SeverityWarning, m.Name+": "+cmp.Or(p.Problem, "it has not followed the last decision yet"))
	case p.Problem != "" && !m.Observe:
		note(api.ProblemNotSteered, api.SeverityWarning, m.Name+": "+p.Problem)
	}
	local := p.LocalOnly
	if m.Name == s.Member {
		local = act.LocalOnly
	}
	if local != "" {
		note(api.ProblemLocalOnly, api.SeverityCritical, fmt.Sprintf("%s was forced on this proxy alone (%s), without a majority: two nodes may take writes until one is back", local, m.Name))
	}
	if p.Moved != "" {
		note(api.ProblemAddressDiffers, api.SeverityWarning, m.Name+": "+p.Moved)
	}
	for _, x := range p.Astray {
		note(api.ProblemAstray, api.SeverityCritical, m.Name+": "+astrayWords(x, act.Active))
	}
}

// installation says what is wrong with how this daemon is set up.
func (s *seen) installation() {
	mine := func(code, severity, text, next string) {
		s.add(api.Problem{Code: code, Severity: severity, Member: s.Member, Text: text, Next: next})
	}
	if s.waits == "" {
		mine(api.ProblemConfigUnusable, api.SeverityWarning, s.file, "")
	}
	for _, w := range s.ways {
		mine(api.ProblemConfigUnsafe, api.SeverityWarning, w.text, "haproxyctl config lint "+w.file)
	}
	mine(api.ProblemProbeShutOut, api.SeverityWarning, s.probe, "")
	mine(api.ProblemPodsNotWatched, api.SeverityWarning, s.pods, "")
	mine(api.ProblemChangesUnknown, api.SeverityWarning, s.lost, "")
	mine(api.ProblemDiskLost, api.SeverityInfo, s.disk, "")
	mine(api.ProblemForeignMessage, api.SeverityInfo, s.refused, "")
	if !slices.ContainsFunc(s.Problems, func(p api.Problem) bool { return p.Code == api.ProblemNoMajority || p.Text == s.alert }) {
		mine(api.ProblemAlert, api.SeverityWarning, s.alert, "")
	}
}

// astrayWords says where connections went.
func astrayWords(x api.Astray, active string) string {
	m := model.Astray{Backend: x.Backend, Server: x.Server, Connections: x.Connections, Since: x.Since, Line: x.Line}
	return m.Words(active)
}

// roughly writes a time for people, who look again anyway.
func roughly(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

// why puts a reason behind a sentence, if there is one.
func why(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
