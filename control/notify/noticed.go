package notify

import (
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// steady is how long something must be so, or not, before it is told: an election is no lost majority.
const steady = time.Second

// sight is a problem of the status that is told of.
type sight struct {
	code         string
	began, ended string
	// leader: all see it, and the leader tells. Else each member tells of itself.
	leader bool
	// at once, without being steady.
	atOnce bool
}

var sights = []sight{
	{code: api.ProblemFenced, began: KindFenced, ended: KindUnfenced, atOnce: true},
	{code: api.ProblemNoMajority, began: KindMajorityLost, ended: KindMajorityBack},
	{code: api.ProblemHAProxySilent, began: KindHAProxySilent, ended: KindHAProxyBack},
	{code: api.ProblemLocalOnly, began: KindLocalOnly, ended: KindLocalOnlyOver, atOnce: true},
	{code: api.ProblemAstray, began: KindAstray, ended: KindAstrayOver},
	{code: api.ProblemNodeDown, began: KindNodeDown, ended: KindNodeBack, leader: true},
	{code: api.ProblemNoSpare, began: KindNoSpare, ended: KindSpareBack, leader: true},
	{code: api.ProblemNoPrimary, began: KindNoPrimary, ended: KindPrimaryBack, leader: true},
}

// standing is a problem that was there, or is, since when it is so, and whether that it is there was told.
type standing struct {
	sight   *sight
	problem api.Problem
	is      bool
	since   time.Time
	told    bool
}

// Noticed follows the problems of one member's status.
type Noticed struct {
	member string
	all    []*standing
}

// Change is one that has begun, or ended.
type Change struct {
	Kind, Text, Subject, Node string
	// Leader: it is the leader's to tell.
	Leader bool
}

// Note takes the problems of a moment and returns what has changed and stayed so. known is false where this member cannot tell,
// which changes nothing.
func (n *Noticed) Note(problems []api.Problem, known bool, now time.Time) []Change {
	if known {
		n.see(problems, now)
	}
	var out []Change
	n.all = slices.DeleteFunc(n.all, func(s *standing) bool {
		if now.Sub(s.since) < steady && !s.sight.atOnce {
			return false
		}
		switch {
		case s.is && !s.told:
			s.told = true
			out = append(out, s.change(s.sight.began, s.problem.Text))
		case !s.is && s.told:
			out = append(out, s.change(s.sight.ended, "over: "+s.problem.Text))
		}
		return !s.is
	})
	return out
}

func (n *Noticed) see(problems []api.Problem, now time.Time) {
	for _, s := range n.all {
		if s.is && !slices.ContainsFunc(problems, s.same) {
			s.is, s.since = false, now
		}
	}
	for _, p := range problems {
		i := slices.IndexFunc(sights, func(s sight) bool { return s.code == p.Code })
		if i < 0 || !sights[i].leader && p.Member != "" && p.Member != n.member {
			continue
		}
		at := slices.IndexFunc(n.all, func(s *standing) bool { return s.same(p) })
		if at < 0 {
			n.all = append(n.all, &standing{sight: &sights[i], problem: p, is: true, since: now})
		} else if s := n.all[at]; !s.is {
			s.is, s.since = true, now
		}
	}
}

// same tells whether it is the same problem; its words may say how long it lasts.
func (s *standing) same(p api.Problem) bool {
	return p.Code == s.problem.Code && p.Member == s.problem.Member && p.Node == s.problem.Node
}

func (s *standing) change(kind, text string) Change {
	c := Change{Kind: kind, Text: text, Subject: s.problem.Node, Node: s.problem.Node, Leader: s.sight.leader}
	if c.Subject == "" {
		c.Subject = s.problem.Member
	}
	return c
}
