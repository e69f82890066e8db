package admin

import (
	"cmp"
	"slices"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// seen is what is judged: what the status shows, and what it shows nowhere else.
type seen struct {
	*api.Status
	// waits is why the daemon has not started, unread why its record cannot be read; "" for
	// neither.
	waits, unread string
	// file, pods, probe and lost are what is wrong with haproxy.cfg as it is now, with the
	// view of the pods, with the probe, and with what an earlier daemon has left.
	file, pods, probe, lost string
	// alert is what the last turn of the vote needs an operator for.
	alert string
	// frozenWhy is why the record is frozen.
	frozenWhy string
	// ways are the lines of haproxy.cfg by which connections may go elsewhere.
	ways []way
	// silent are the members that should be heard and are not.
	silent []string
	// peers and older are sentences: where haproxy.cfg's peers are not the members, and who does
	// not read the record. disk and refused are what the register noticed.
	peers, older  []string
	disk, refused string
}

// way is a line of haproxy.cfg, by its file, and what it lets connections do.
type way struct{ file, text string }

// judge sets the state, the headline and the problems. It is the one place that says whether
// all is well: nothing that asks the daemon judges again.
func (s *seen) judge() {
	c := s.clientele()
	s.Problems = []api.Problem{}
	s.agreement(c)
	s.database()
	s.proxies(c)
	s.installation()
	s.figures()
	slices.SortStableFunc(s.Problems, func(a, b api.Problem) int { return cmp.Compare(rank(a), rank(b)) })
	s.State = s.state(c)
	s.Headline = s.headline(c)
}

// rank sorts by severity, the worst first.
func rank(p api.Problem) int {
	return slices.Index([]string{api.SeverityCritical, api.SeverityWarning, api.SeverityInfo}, p.Severity)
}

// add notes a problem, unless the same was said already.
func (s *seen) add(p api.Problem) {
	if p.Text != "" && !slices.ContainsFunc(s.Problems, func(q api.Problem) bool { return q.Text == p.Text }) {
		s.Problems = append(s.Problems, p)
	}
}

// state follows from who is served and, where somebody is, from the problems.
func (s *seen) state(c *clientele) string {
	switch {
	case s.waits != "":
		return api.StateUnknown
	case c.served() > 0:
	case s.allDead():
		return api.StateOutage
	case len(c.unserved) > 0 && len(c.doubt) == 0:
		return api.StateOutage
	default:
		return api.StateUnknown
	}
	if s.broke() {
		return api.StateDegraded
	}
	return api.StateOK
}

// broke tells whether a problem is more than something to know.
func (s *seen) broke() bool {
	return slices.ContainsFunc(s.Problems, func(p api.Problem) bool { return p.Severity != api.SeverityInfo })
}

// decided tells whether a majority stands behind an active node now.
func (s *seen) decided() bool { return s.Active.Agreed && s.Active.Active != "" }
