package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

func join(s []string) string { return strings.Join(s, ", ") }

// unknown is why nothing can be said of the agreement, "" if something can.
func (a *answer) unknown() string {
	switch {
	case !a.Started:
		return cmp.Or(a.FileProblem, "the daemon has not started yet")
	case a.Unread != nil:
		return a.Unread.Error()
	}
	return ""
}

// active is the agreement and how far it is carried out.
func (a *answer) active() api.Active {
	if why := a.unknown(); why != "" {
		return api.Active{Reason: why}
	}
	ag, rec := &a.Agreement, a.Record
	out := api.Active{Agreed: ag.Fresh && rec != nil, Recovery: ag.Record.Recovery, Epoch: ag.Record.Epoch, Revision: ag.Record.Revision}
	for _, m := range a.Members {
		if m.State != cluster.MemberGone {
			out.Members++
		}
	}
	if rec != nil {
		last := rec.Last()
		out.Active, out.Frozen, out.Excluded = rec.Active, rec.Frozen, rec.Excluded
		out.Reason, out.By, out.Since, out.OrderedBy = last.Reason, last.By, last.At, last.OrderedBy
	}
	if !ag.Fresh {
		out.Reason = "no majority: " + ag.Reason
	} else if rec == nil {
		out.Reason = a.Turn
	}
	for _, v := range a.Voices() {
		p := v.View.Proxy
		if p == nil {
			continue
		}
		out.Proxies++
		if p.Fenced != "" {
			out.Fenced = append(out.Fenced, v.Member+": "+p.Fenced)
		}
		if p.Steering {
			out.Steering++
		}
		if p.Moved != "" {
			out.Moved = append(out.Moved, v.Member+": "+p.Moved)
		}
		for i := range p.Astray {
			out.Astray = append(out.Astray, v.Member+": "+p.Astray[i].Words(out.Active))
		}
		switch {
		case p.Converged && v.View.At() == out.At():
			out.Converged++
		default:
			out.NotConverged = append(out.NotConverged, v.Member+": "+cmp.Or(p.Problem, "not yet at this epoch"))
		}
	}
	slices.Sort(out.NotConverged)
	slices.Sort(out.Fenced)
	slices.Sort(out.Astray)
	slices.Sort(out.Moved)
	if out.LocalOnly = a.Want.Local; out.LocalOnly != "" {
		out.Reason = fmt.Sprintf("%s was forced on this proxy alone (--local-only); %s", out.LocalOnly, out.Reason)
	}
	if rec != nil && rec.Move != nil {
		m := a.Move
		m.WaitingFor = a.Turn
		out.Move = &m
	}
	return out
}

func (a *answer) history(events []api.Event) api.History {
	h := api.History{Decisions: []api.Decision{}, Events: events}
	if rec := a.Record; rec != nil {
		for _, x := range rec.History {
			h.Decisions = append(h.Decisions, decisionOf(&x))
		}
		h.Orders = ordersOf(rec.Orders)
	}
	return h
}

// nodes joins all members' views of every node.
func (a *answer) nodes() []api.Node {
	out := []api.Node{}
	if !a.Started || a.Topology == nil {
		return out
	}
	in, rec := a.Input(), a.Record
	ages := map[string]time.Duration{a.Member: a.OwnAge}
	for _, h := range a.Heard {
		ages[h.Member] = h.Age
	}
	addresses := map[string]string{}
	for _, t := range haproxycfg.Targets(a.Topology) {
		addresses[t.Name] = t.Address
	}
	for _, name := range in.Order {
		t := decide.Count(in, name)
		n := api.Node{
			Name: name, Address: addresses[name], Healthy: t.Healthy, Down: t.Down, Unknown: t.Quiet,
			Eligible: t.Eligible >= in.Majority(), Opinions: []api.Opinion{},
		}
		stall, says := evict.Stall(a.EvictInput(in), name)
		n.StallMS, n.Stall = stall.Milliseconds(), says
		n.Lag = decide.Lag(in, name)
		if rec != nil {
			n.Active, n.Excluded = rec.Active == name, rec.IsExcluded(name)
		}
		for _, v := range in.Voices {
			w := v.View.Node(name)
			n.Sessions += w.Sessions
			n.Opinions = append(n.Opinions, api.Opinion{
				Member: v.Member, Verdict: string(w.Verdict), Eligible: w.Eligible, Avoid: w.Avoid, Reason: w.Reason, Class: w.Class,
				HAProxy: string(w.Server), Sessions: w.Sessions, AgeMS: ages[v.Member].Milliseconds(), Voter: slices.Contains(in.Voters, v.Member),
				Stuck: w.Stuck, Paused: w.Paused, Seqno: w.Seqno, Lacks: w.Lacks, Going: w.Going.Words(), Refused: w.Refused,
				Moved: movedOf(v.View.Proxy, name), Group: groupOf(w.Group),
			})
			n.Going = cmp.Or(n.Going, w.Going.Words())
		}
		slices.SortFunc(n.Opinions, func(a, b api.Opinion) int { return cmp.Compare(a.Member, b.Member) })
		out = append(out, n)
	}
	return out
}

func groupOf(g *model.Group) *api.Group {
	if g == nil {
		return nil
	}
	return &api.Group{
		UUID: g.UUID, Weight: g.Weight, ConfID: g.ConfID, Size: g.Size, ClusterWeight: g.Total, State: cmp.Or(g.State, "OPERATIONAL"),
		Evicted: g.Evicted, AutoEvict: g.AutoEvict, FloorMS: g.FloorMS(), Met: g.Met, Ended: g.End, Hangs: g.Hangs, Late: g.Late,
	}
}

// movedOf is what a proxy says of a node's address, which is configs.Compare's sentence.
func movedOf(p *model.ProxyView, node string) string {
	if p == nil || !strings.Contains(p.Moved, "/"+node+" is ") {
		return ""
	}
	return p.Moved
}

func astrayOf(list []model.Astray) []api.Astray {
	var out []api.Astray
	for _, x := range list {
		out = append(out, api.Astray{Backend: x.Backend, Server: x.Server, Connections: x.Connections, Since: x.Since, Line: x.Line})
	}
	return out
}

func (a *answer) members() []api.Member {
	out := []api.Member{}
	views := map[string]*model.View{}
	for _, v := range a.Voices() {
		views[v.Member] = v.View
	}
	for _, m := range a.Members {
		x := api.Member{
			Name: m.Name, Address: m.Address, Version: m.Version, Self: m.Self, Voter: m.Voter,
			Witness: m.Witness, Leader: m.Name == a.Agreement.Leader, Disk: fmt.Sprintf("%016x", m.Disk), State: m.State,
		}
		if v := views[m.Name]; v != nil {
			x.Observe = v.Observe
			if p := v.Proxy; p != nil {
				x.Proxy = &api.Proxy{
					Reachable: p.Reachable, Version: p.Version, Pid: p.Pid, UptimeS: p.UptimeS, Layout: p.Layout,
					Beacon: p.Beacon, Steering: p.Steering, Effective: p.Effective, Converged: p.Converged,
					Epoch: v.Epoch, Elsewhere: p.Elsewhere, Problem: p.Problem,
					Fenced: p.Fenced, SilentMS: p.SilentMS, Moved: p.Moved, LocalOnly: p.LocalOnly, Held: p.Move != nil && p.Move.Held,
					Sessions: map[string]int{}, Astray: astrayOf(p.Astray),
				}
				for _, n := range v.Nodes {
					if n.Sessions > 0 {
						x.Proxy.Sessions[n.Name] = n.Sessions
					}
				}
			}
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b api.Member) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (a *answer) register() api.Register {
	if !a.Started {
		return api.Register{State: "waiting", Reason: cmp.Or(a.FileProblem, "haproxy.cfg is not read yet")}
	}
	ag, st := &a.Agreement, &a.Register
	r := api.Register{
		State: ag.State, Cluster: ag.Cluster, Disk: fmt.Sprintf("%016x", st.Disk), Recovery: ag.Record.Recovery,
		Epoch: ag.Record.Epoch, Revision: ag.Record.Revision, Term: ag.Term, Leader: ag.Leader, Agreed: ag.Fresh,
		Reason: ag.Reason, Membership: st.Membership, File: a.cfg.DataDir, Voters: []api.Voter{},
		Notes: a.versionNotes(), Lowest: a.Lowest(), Reads: model.Protocol,
	}
	refused, disk := registerNotes(st)
	for _, note := range []string{disk, refused} {
		if note != "" {
			r.Notes = slices.Insert(r.Notes, 0, note)
		}
	}
	r.Initial = slices.Clone(a.cfg.InitialVoters)
	if a.Topology != nil && len(r.Initial) == 0 {
		r.Initial = haproxycfg.PeerNames(haproxycfg.InitialPeers(a.Topology))
	}
	for _, v := range ag.Voters {
		x := api.Voter{Name: v.Name, Disk: fmt.Sprintf("%016x", v.Disk), Live: v.Live, HeardMS: -1}
		if v.Heard >= 0 {
			x.HeardMS = v.Heard.Milliseconds()
		}
		r.Voters = append(r.Voters, x)
	}
	return r
}

// differingPeers says where haproxy.cfg and the membership differ. The record's
// own configuration counts; nothing is done about it. A file whose peers section
// does not name the others cannot differ. Of the silent is said elsewhere that they are.
func (a *answer) differingPeers(silent []string) []string {
	if a.Topology == nil || len(a.cfg.InitialVoters) > 0 {
		return nil
	}
	var out []string
	peers := haproxycfg.PeerNames(haproxycfg.InitialPeers(a.Topology))
	live := map[string]bool{}
	for _, m := range a.Members {
		if m.State == cluster.MemberGone {
			continue
		}
		live[m.Name] = true
		if !m.Witness && len(peers) > 0 && !slices.Contains(peers, m.Name) {
			out = append(out, m.Name+" is a member and no peer in haproxy.cfg")
		}
	}
	for _, p := range peers {
		if !live[p] && !slices.Contains(silent, p) {
			out = append(out, p+" is a peer in haproxy.cfg and no member now")
		}
	}
	return out
}

// registerNotes are sentences on what the register noticed: a message that it refused, and
// that this member's disk was lost; "" for neither.
func registerNotes(st *cluster.RegisterStatus) (refused, disk string) {
	if st.LastConflict != "" {
		refused = "refused a message: " + st.LastConflict
	}
	if st.Counters.LostDisks > 0 {
		disk = "the disk of this member was lost (a state file missing, cut or restored): it votes under a new id"
	}
	return refused, disk
}

// status is everything, judged.
func (a *answer) status() api.Status {
	st := api.Status{
		Member: a.Member, Version: a.cfg.Version, Mode: "steer", Active: a.active(), Nodes: a.nodes(),
		Members: a.members(), Register: a.register(), Turn: a.Turn, Warnings: slices.Clone(a.cfg.Warnings),
	}
	switch {
	case a.cfg.Observe:
		st.Mode = "observe"
	case a.cfg.Witness:
		st.Mode = "witness"
	}
	if a.Record != nil {
		st.Warnings = append(append(st.Warnings, a.trustWarnings()...), a.voterWarnings()...)
	}
	a.seen(&st).judge()
	return st
}

// seen is what is judged.
func (a *answer) seen(st *api.Status) *seen {
	s := &seen{Status: st, file: a.FileProblem, pods: a.PodsProblem, probe: a.ProbeProblem, lost: a.Look.Lost, alert: a.Alert}
	if a.Topology != nil {
		for _, w := range slices.Concat(a.Topology.Ways, a.Topology.Halves) {
			s.ways = append(s.ways, way{file: w.Pos.File, text: w.String()})
		}
	}
	if !a.Started {
		s.waits = cmp.Or(a.FileProblem, "haproxy.cfg is not read yet")
		return s
	}
	if a.Unread != nil {
		s.unread = a.Unread.Error()
	}
	heard := map[string]bool{}
	for _, v := range a.Voices() {
		heard[v.Member] = true
	}
	for _, v := range a.Agreement.Voters {
		if !heard[v.Name] {
			s.silent = append(s.silent, v.Name)
		}
	}
	s.peers = a.differingPeers(s.silent)
	s.refused, s.disk = registerNotes(&a.Register)
	if rec := a.Record; rec != nil {
		s.older, s.frozenWhy = decide.Unread(rec, published.Readers(a.Members)), rec.FrozenWhy
	}
	return s
}

// judged is the agreement with the judgement of status on it.
func (a *answer) judged() api.Active {
	st := a.status()
	st.Active.State, st.Active.Headline = st.State, st.Headline
	return st.Active
}
