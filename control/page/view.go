package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// mark is a word with the sign that stands for its meaning where no colour is seen: good, warn, bad or none.
type mark struct {
	Kind, Text string
}

// Sign is what is drawn before the word.
func (m mark) Sign() string {
	return map[string]string{"good": "✓", "warn": "!", "bad": "✗"}[m.Kind]
}

// view is what the page shows.
type view struct {
	api.Overview
	State    mark
	Taker    string // who takes the writes
	Facts    []fact
	Problems []problem
	Move     *move
	Nodes    []node
	Proxies  []proxy
	Voters   []voter
	Line     line
}

// fact is a line of a list.
type fact struct {
	Name string
	Text mark
	At   time.Time
}

type problem struct {
	mark
	Severity, Next string
}

type node struct {
	api.Node
	State   mark
	Votes   []mark // one of each voter, with its name
	Count   string
	Behind  string
	Sayings []words.Saying
	IfDown  mark
}

type proxy struct {
	Name, Here string
	Goes       mark
	Steered    mark
	HAProxy    string
	Sessions   string
	Notes      []string
}

type voter struct {
	Name, Role, Disk, Version string
	Heard                     mark
}

type move struct {
	api.Move
	Line, Kind string
	Running    bool
	Done       int // of Moved
	State      mark
}

// stateKinds are the signs of Status.State.
var stateKinds = map[string]string{api.StateOK: "good", api.StateDegraded: "warn", api.StateOutage: "bad", api.StateUnknown: "bad"}

// see makes the page's content of the answers, as of a moment.
func see(o api.Overview, now time.Time) view {
	s := &o.Status
	v := view{Overview: o, State: mark{cmp.Or(stateKinds[s.State], "bad"), strings.ToUpper(cmp.Or(s.State, api.StateUnknown))}}
	v.Taker = cmp.Or(s.Active.Active, "nobody yet")
	v.Facts = facts(&o)
	kinds := map[string]string{api.SeverityCritical: "bad", api.SeverityWarning: "warn"}
	for _, p := range s.Problems {
		v.Problems = append(v.Problems, problem{mark{kinds[p.Severity], p.Text}, p.Severity, p.Next})
	}
	for _, w := range s.Warnings {
		v.Problems = append(v.Problems, problem{mark{"warn", w}, api.SeverityWarning, ""})
	}
	v.Move = seeMove(&o)
	for _, n := range s.Nodes {
		v.Nodes = append(v.Nodes, seeNode(n, o.Explanation.IfDown))
	}
	for _, m := range s.Members {
		if !m.Witness {
			v.Proxies = append(v.Proxies, seeProxy(m))
		}
	}
	v.Voters = voters(s)
	v.Line = lineOf(o.History, now)
	return v
}

// facts are what stands beside the name of who takes the writes.
func facts(o *api.Overview) []fact {
	a := &o.Status.Active
	plain := func(text string) mark { return mark{"", text} }
	all := []fact{{Name: "Why", Text: plain(a.Reason)}}
	if a.Agreed {
		all = append(all, fact{Name: "Agreed", Text: mark{"good", "by a majority of the voters"}})
	} else {
		all = append(all, fact{Name: "Agreed", Text: mark{"bad", "no: HAProxy works by itself"}})
	}
	if a.Active != "" {
		by := "by " + a.By
		if a.OrderedBy != "" {
			by += ", ordered by " + a.OrderedBy
		}
		all = append(all, fact{Name: "Since", Text: plain(by), At: a.Since})
	}
	follow := mark{"good", fmt.Sprintf("%d of %d proxies", a.Converged, a.Proxies)}
	switch {
	case a.Proxies == 0:
		follow.Kind = ""
	case a.Converged < a.Proxies:
		follow.Kind = "bad"
	}
	all = append(all, fact{Name: "Followed by", Text: follow})
	if a.Frozen {
		all = append(all, fact{Name: "Frozen", Text: mark{"warn", "no automatic change happens"}})
	}
	if len(a.Excluded) > 0 {
		all = append(all, fact{Name: "Excluded", Text: mark{"warn", strings.Join(a.Excluded, ", ")}})
	}
	return append(all, fact{Name: "Now", Text: plain(o.Status.Turn)})
}

// seeMove is the last move while it runs, and for as long as it is what the active is here by.
func seeMove(o *api.Overview) *move {
	m, at := o.Move, o.Status.Active.Epoch
	if m.State == api.MoveRolledBack {
		at-- // what undoes it is a decision of its own
	}
	if m.Epoch == 0 || m.State == "" || m.Epoch != at || m.Recovery != o.Status.Active.Recovery {
		return nil
	}
	v := &move{Move: m, Line: words.MoveLine(m), Kind: words.MoveKind(m), Done: m.Moved - m.Left}
	switch m.State {
	case api.MovePending, api.MoveClosing:
		v.Running, v.State = true, mark{"warn", "under way"}
		if m.State == api.MoveClosing {
			v.State.Text = "its time is over: what is left is closed"
		}
	case api.MoveDone:
		v.State = mark{"good", "done"}
	default:
		v.State = mark{"bad", strings.ReplaceAll(m.State, "_", " ")}
	}
	return v
}

// verdictKinds are the signs of a voter's verdict.
var verdictKinds = map[string]string{"healthy": "good", "down": "bad"}

func seeNode(n api.Node, ifDown []api.WhatIf) node {
	v := node{Node: n, State: mark{"", words.NodeState(n)}, Count: words.Votes(n), Sayings: words.Sayings(n)}
	switch {
	case n.Excluded || n.Going != "":
		v.State.Kind = "warn"
	case n.Active || n.Eligible:
		v.State.Kind = "good"
	default:
		v.State.Kind = "bad"
	}
	for _, o := range n.Opinions {
		if o.Voter {
			v.Votes = append(v.Votes, mark{cmp.Or(verdictKinds[o.Verdict], "warn"), o.Member + ": " + o.Verdict})
		}
	}
	switch {
	case n.Healthy == 0, !slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return o.Seqno > 0 }):
		v.Behind = "?" // nobody has read how far it is
	case n.Lag > 0:
		v.Behind = words.Count(int(n.Lag), "write set")
	default:
		v.Behind = "none"
	}
	if n.Down > 0 && n.Healthy == 0 {
		v.IfDown, v.Stall = mark{"", "it is down"}, ""
		return v
	}
	for _, w := range ifDown {
		if w.Node != n.Name {
			continue
		}
		switch {
		case w.Moves:
			v.IfDown = mark{"good", w.Active + " takes the writes"}
		case n.Active:
			v.IfDown = mark{"bad", "nobody takes the writes: " + w.Reason}
		case w.Active == "":
			v.IfDown = mark{"", w.Reason}
		default:
			v.IfDown = mark{"", "the writes stay on " + w.Active}
		}
	}
	return v
}

func seeProxy(m api.Member) proxy {
	v := proxy{Name: m.Name, Notes: words.ProxyNotes(m, time.UTC), Goes: mark{"bad", "?"}, Steered: mark{"bad", "?"}, HAProxy: "?"}
	if m.Self {
		v.Here = "here"
	}
	p := m.Proxy
	switch {
	case p == nil:
		return v
	case !p.Reachable:
		v.HAProxy = "does not answer"
		return v
	}
	v.HAProxy = p.Version + ", up " + words.Roughly(time.Duration(p.UptimeS)*time.Second)
	v.Goes = mark{"good", cmp.Or(p.Effective, "?")}
	switch {
	case p.Fenced != "":
		v.Goes = mark{"bad", "nowhere: fenced"}
	case p.Held:
		v.Goes = mark{"warn", "new ones wait for " + p.Effective}
	case p.LocalOnly != "":
		v.Goes = mark{"bad", p.Effective + ", by an order for this proxy alone"}
	case !p.Converged || len(p.Astray) > 0 || p.Effective == "":
		v.Goes.Kind = "bad"
	}
	v.Steered = mark{"good", "yes"}
	if !p.Steering {
		v.Steered = mark{"warn", "no: by itself"}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p.Sessions)) {
		if p.Sessions[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, p.Sessions[name]))
		}
	}
	v.Sessions = cmp.Or(strings.Join(parts, ", "), "none")
	return v
}

// voters are the daemons, with when their votes were heard.
func voters(s *api.Status) []voter {
	var all []voter
	for _, m := range s.Members {
		v := voter{Name: m.Name, Role: words.Role(m), Disk: m.Disk, Version: m.Version, Heard: mark{"good", m.State}}
		if m.State != "alive" {
			v.Heard.Kind = "bad"
		}
		i := slices.IndexFunc(s.Register.Voters, func(r api.Voter) bool { return r.Name == m.Name })
		if i >= 0 && !s.Register.Voters[i].Live {
			v.Heard = mark{"bad", "its vote is not heard"}
		}
		all = append(all, v)
	}
	for _, r := range s.Register.Voters {
		if !slices.ContainsFunc(s.Members, func(m api.Member) bool { return m.Name == r.Name }) {
			all = append(all, voter{Name: r.Name, Role: "voter", Disk: r.Disk, Heard: mark{"bad", "no member"}})
		}
	}
	return all
}
