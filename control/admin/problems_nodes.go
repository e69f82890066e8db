package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// notPrimary is galera.ClassNotPrimary: the node lives, in a part of the cluster that is no
// majority of it.
const notPrimary = "not-primary"

// bootstrap makes the component of a node the primary one.
const bootstrap = "SET GLOBAL wsrep_provider_options='pc.bootstrap=true'"

// database says what is wrong with the database nodes.
func (s *seen) database() {
	s.primary()
	for i := range s.Nodes {
		s.node(&s.Nodes[i])
	}
	act := &s.Active
	if s.decided() && len(s.Nodes) > 1 && len(s.spares()) == 0 && !s.dead(act.Active) {
		s.add(api.Problem{Code: api.ProblemNoSpare, Severity: api.SeverityWarning, Node: act.Active,
			Text: "no other node could take over from " + act.Active + ": " + s.noSpares(), Next: s.includable()})
	}
	s.grants()
}

// node says what is wrong with one.
func (s *seen) node(n *api.Node) {
	note := func(code, severity, text, next string) {
		s.add(api.Problem{Code: code, Severity: severity, Node: n.Name, Text: text, Next: next})
	}
	active := n.Name == s.Active.Active
	by, reason := against(n)
	switch {
	case dead(n) && active:
		text, next := s.alert, ""
		if !strings.Contains(text, n.Name+" is down") {
			text = n.Name + ", the active node, is down" + why(reason)
		}
		switch {
		case !s.decided():
		case s.Active.Frozen:
			next = "haproxyctl unfreeze"
		case len(s.spares()) == 0:
			next = s.includable()
		}
		note(api.ProblemNodeDown, api.SeverityCritical, text, next)
	case dead(n):
		note(api.ProblemNodeDown, api.SeverityWarning, n.Name+" is down"+why(reason), "")
	case n.Down > 0:
		note(api.ProblemNodeDisputed, api.SeverityWarning, fmt.Sprintf("%s is down for %s only", n.Name, list(by))+why(reason), "")
	case n.Healthy == 0 && s.probe == "" && len(n.Opinions) > 0:
		_, reason := said(n, func(o api.Opinion) string { return o.Reason })
		note(api.ProblemNodeUnknown, api.SeverityWarning, fmt.Sprintf("nobody can tell whether %s is healthy", n.Name)+why(reason), "")
	}
	if n.Going != "" {
		note(api.ProblemNodeGoing, api.SeverityInfo, n.Name+" "+n.Going, "")
	}
	for _, o := range n.Opinions {
		switch {
		case dead(n):
		case o.Stuck != "":
			note(api.ProblemNodeStalls, api.SeverityWarning, fmt.Sprintf("commits on %s wait: %s", n.Name, o.Stuck), "")
		case o.Paused:
			note(api.ProblemNodeStalls, api.SeverityWarning, fmt.Sprintf("commits on %s wait: Galera's flow control holds it back", n.Name), "")
		default:
			continue
		}
		break
	}
}

// primary says that no node is in the primary component, and on which it is to be made anew:
// the one with the most writes of those that answer.
func (s *seen) primary() {
	best, most := "", int64(-1)
	var silent []string
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if !dead(n) {
			return
		}
		out := slices.IndexFunc(n.Opinions, func(o api.Opinion) bool { return o.Class == notPrimary })
		if out < 0 {
			silent = append(silent, n.Name)
			continue
		}
		for _, o := range n.Opinions {
			if o.Seqno > most {
				best, most = n.Name, o.Seqno
			}
		}
	}
	if best == "" {
		return
	}
	text := fmt.Sprintf("no node is in Galera's primary component, so none takes writes: %s has the most of them (seqno %d)", best, most)
	if len(silent) > 0 {
		text += fmt.Sprintf("; to be typed on it alone, and only if %s will not come back with more", list(silent))
	} else {
		text += "; to be typed on it alone, the others join it"
	}
	s.add(api.Problem{Code: api.ProblemNoPrimary, Severity: api.SeverityCritical, Node: best, Text: text, Next: bootstrap})
}

// includable is how an excluded node that is healthy comes back, "" where none is.
func (s *seen) includable() string {
	for i := range s.Nodes {
		if n := &s.Nodes[i]; n.Excluded && n.Eligible && !n.Active {
			return "haproxyctl include " + n.Name
		}
	}
	return ""
}

// grants names the privileges that drains need and the probe's account does not have, each
// once: Galera replicates accounts.
func (s *seen) grants() {
	var grants []string
	on := map[string][]string{}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		for _, o := range n.Opinions {
			if !strings.HasPrefix(o.Lacks, "GRANT ") {
				continue
			}
			if !slices.Contains(grants, o.Lacks) {
				grants = append(grants, o.Lacks)
			}
			if !slices.Contains(on[o.Lacks], n.Name) {
				on[o.Lacks] = append(on[o.Lacks], n.Name)
			}
		}
	}
	for _, g := range grants {
		s.add(api.Problem{Code: api.ProblemGrantMissing, Severity: api.SeverityInfo, Next: g,
			Text: fmt.Sprintf("which sessions of %s are in a transaction cannot be told: moves cut them, or are refused with --drain transactions", list(on[g]))})
	}
}

// noSpares says of each node that is not the active why it would not do.
func (s *seen) noSpares() string {
	var out []string
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Active {
			continue
		}
		why := "is healthy for no majority"
		switch _, reason := said(n, func(o api.Opinion) string { return o.Reason }); {
		case n.Excluded:
			why = "is excluded"
		case dead(n):
			why = "is down"
		case n.Going != "":
			why = n.Going
		case reason != "":
			why = "would not do (" + reason + ")"
		}
		out = append(out, n.Name+" "+why)
	}
	return list(out)
}

// against are the members that count against a node, and why. Where none says so itself it is
// another database than the record's.
func against(n *api.Node) (by []string, why string) {
	by, why = said(n, func(o api.Opinion) string {
		switch {
		case o.Verdict == "down":
			return cmp.Or(o.Reason, "down")
		case o.Stuck != "":
			return "its commits hang: " + o.Stuck
		}
		return ""
	})
	if n.Down > 0 && len(by) == 0 {
		why = "it is another database: its Galera state UUID is not the one that was agreed on"
	}
	return by, why
}

// said are the members that something is said by, and the different things.
func said(n *api.Node, of func(api.Opinion) string) (by []string, what string) {
	var all []string
	for _, o := range n.Opinions {
		text := of(o)
		if text == "" {
			continue
		}
		by = append(by, o.Member)
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return by, strings.Join(all, "; ")
}
