package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

func join(s []string) string { return strings.Join(s, ", ") }

// active is the agreement and how far it is carried out.
func (d *Daemon) active() api.Active {
	s := d.started.Load()
	if s == nil {
		return api.Active{Reason: cmp.Or(d.files.Problem(), "the daemon has not started yet")}
	}
	ag := s.cluster.Agreement()
	rec, err := d.record(&ag)
	if err != nil {
		return api.Active{Reason: err.Error()}
	}
	return d.activeOf(&ag, rec)
}

func (d *Daemon) activeOf(ag *cluster.Agreement, rec *model.Record) api.Active {
	a := api.Active{Agreed: ag.Fresh && rec != nil, Recovery: ag.Record.Recovery, Epoch: ag.Record.Epoch, Revision: ag.Record.Revision}
	s := d.started.Load()
	if s == nil {
		return a
	}
	for _, m := range s.cluster.Members() {
		if m.State != cluster.MemberGone {
			a.Members++
		}
	}
	if rec != nil {
		last := rec.Last()
		a.Active, a.Frozen, a.Excluded = rec.Active, rec.Frozen, rec.Excluded
		a.Reason, a.By, a.Since, a.OrderedBy = last.Reason, last.By, last.At, last.OrderedBy
	}
	if !ag.Fresh {
		a.Reason = "no majority: " + ag.Reason
	} else if rec == nil {
		a.Reason = d.sentence()
	}
	in := d.input(s, ag, rec, d.clock.now())
	for _, v := range in.Voices {
		p := v.View.Proxy
		if p == nil {
			continue
		}
		a.Proxies++
		if p.Fenced != "" {
			a.Fenced = append(a.Fenced, v.Member+": "+p.Fenced)
		}
		if p.Steering {
			a.Steering++
		}
		switch {
		case p.Converged && v.View.At() == a.At():
			a.Converged++
		default:
			a.NotConverged = append(a.NotConverged, v.Member+": "+cmp.Or(p.Problem, "not yet at this epoch"))
		}
	}
	slices.Sort(a.NotConverged)
	slices.Sort(a.Fenced)
	if a.LocalOnly = d.wanted().Local; a.LocalOnly != "" {
		a.Reason = fmt.Sprintf("%s was forced on this proxy alone (--local-only); %s", a.LocalOnly, a.Reason)
	}
	if rec != nil && rec.Move != nil {
		m := d.moves.now()
		m.WaitingFor = d.sentence()
		a.Move = &m
	}
	return a
}

func (d *Daemon) sentence() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.turn
}

func (d *Daemon) history() api.History {
	h := api.History{Decisions: []api.Decision{}, Events: d.events.NewestFirst()}
	if s := d.started.Load(); s != nil {
		ag := s.cluster.Agreement()
		if rec, err := d.record(&ag); err == nil && rec != nil {
			for _, x := range rec.History {
				h.Decisions = append(h.Decisions, decisionOf(&x))
			}
			h.Orders = ordersOf(rec.Orders)
		}
	}
	return h
}

// nodes joins all members' views of every node.
func (d *Daemon) nodes() []api.Node {
	out := []api.Node{}
	s, topo := d.started.Load(), d.files.Topology()
	if s == nil || topo == nil {
		return out
	}
	ag := s.cluster.Agreement()
	rec, err := d.record(&ag)
	if err != nil {
		rec = nil
	}
	in := d.input(s, &ag, rec, d.clock.now())
	ages := map[string]time.Duration{}
	for _, v := range s.cluster.Views() {
		ages[v.Name] = v.Age
	}
	addresses := map[string]string{}
	for _, t := range haproxycfg.Targets(topo) {
		addresses[t.Name] = t.Address
	}
	for _, name := range in.Order {
		t := decide.Count(in, name)
		n := api.Node{
			Name: name, Address: addresses[name], Healthy: t.Healthy, Down: t.Down, Unknown: t.Quiet,
			Eligible: t.Eligible >= in.Majority(), Opinions: []api.Opinion{},
		}
		if rec != nil {
			n.Active, n.Excluded = rec.Active == name, rec.IsExcluded(name)
		}
		for _, v := range in.Voices {
			w := v.View.Node(name)
			n.Sessions += w.Sessions
			age := ages[v.Member]
			if v.Member == d.cfg.Name {
				age = 0
			}
			n.Opinions = append(n.Opinions, api.Opinion{
				Member: v.Member, Verdict: string(w.Verdict), Eligible: w.Eligible, Avoid: w.Avoid, Reason: w.Reason,
				HAProxy: string(w.Server), Sessions: w.Sessions, AgeMS: age.Milliseconds(), Voter: slices.Contains(in.Voters, v.Member),
				Stuck: w.Stuck, Paused: w.Paused, Seqno: w.Seqno, Lacks: w.Lacks, Going: w.Going.Words(), Refused: w.Refused,
			})
			n.Going = cmp.Or(n.Going, w.Going.Words())
		}
		slices.SortFunc(n.Opinions, func(a, b api.Opinion) int { return cmp.Compare(a.Member, b.Member) })
		out = append(out, n)
	}
	return out
}

func (d *Daemon) members() []api.Member {
	out := []api.Member{}
	s := d.started.Load()
	if s == nil {
		return out
	}
	ag := s.cluster.Agreement()
	views := map[string]*model.View{}
	for _, v := range d.input(s, &ag, nil, d.clock.now()).Voices {
		views[v.Member] = v.View
	}
	for _, m := range s.cluster.Members() {
		x := api.Member{
			Name: m.Name, Address: m.Address, Version: m.Version, Self: m.Self, Voter: m.Voter,
			Witness: m.Witness, Leader: m.Name == ag.Leader, Disk: fmt.Sprintf("%016x", m.Disk), State: m.State,
		}
		if v := views[m.Name]; v != nil {
			x.Observe = v.Observe
			if p := v.Proxy; p != nil {
				x.Proxy = &api.Proxy{
					Reachable: p.Reachable, Version: p.Version, Pid: p.Pid, UptimeS: p.UptimeS, Layout: p.Layout,
					Beacon: p.Beacon, Steering: p.Steering, Effective: p.Effective, Converged: p.Converged,
					Epoch: v.Epoch, Elsewhere: p.Elsewhere, Problem: p.Problem,
					Fenced: p.Fenced, LocalOnly: p.LocalOnly, Held: p.Move != nil && p.Move.Held, Sessions: map[string]int{},
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

func (d *Daemon) register() api.Register {
	s := d.started.Load()
	if s == nil {
		return api.Register{State: "waiting", Reason: cmp.Or(d.files.Problem(), "haproxy.cfg is not read yet")}
	}
	ag, st := s.cluster.Agreement(), s.cluster.Register()
	r := api.Register{
		State: ag.State, Cluster: ag.Cluster, Disk: fmt.Sprintf("%016x", st.Disk), Recovery: ag.Record.Recovery,
		Epoch: ag.Record.Epoch, Revision: ag.Record.Revision, Term: ag.Term, Leader: ag.Leader, Agreed: ag.Fresh,
		Reason: ag.Reason, Membership: st.Membership, File: d.cfg.DataDir, Voters: []api.Voter{}, Notes: registerNotes(&st),
		Lowest: 1, Reads: model.Protocol,
	}
	if rec, err := d.record(&ag); err == nil && rec != nil {
		r.Lowest = max(rec.Lowest, 1)
		r.Notes = append(r.Notes, d.versionNotes(s, &ag, rec)...)
	}
	r.Initial = slices.Clone(d.cfg.InitialVoters)
	if topo := d.files.Topology(); topo != nil && len(r.Initial) == 0 {
		r.Initial = haproxycfg.PeerNames(haproxycfg.InitialPeers(topo))
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
// does not name the others cannot differ.
func (d *Daemon) differingPeers(s *started) []string {
	topo := d.files.Topology()
	if topo == nil || len(d.cfg.InitialVoters) > 0 {
		return nil
	}
	var out []string
	peers := haproxycfg.PeerNames(haproxycfg.InitialPeers(topo))
	live := map[string]bool{}
	for _, m := range s.cluster.Members() {
		if m.State == cluster.MemberGone {
			continue
		}
		live[m.Name] = true
		if !m.Witness && len(peers) > 0 && !slices.Contains(peers, m.Name) {
			out = append(out, m.Name+" is a member and no peer in haproxy.cfg")
		}
	}
	for _, p := range peers {
		if !live[p] {
			out = append(out, p+" is a peer in haproxy.cfg and no member now")
		}
	}
	return out
}

// registerNotes are sentences on what the register noticed.
func registerNotes(st *cluster.RegisterStatus) []string {
	var out []string
	if st.LastConflict != "" {
		out = append(out, "refused a message: "+st.LastConflict)
	}
	if n := st.Counters.LostDisks; n > 0 {
		out = append(out, "the disk of this member was lost (a state file missing, cut or restored): it votes under a new id")
	}
	return out
}

func (d *Daemon) registerInit(ctx context.Context, r api.InitRequest) (any, error) {
	s := d.started.Load()
	if s == nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Message: "the daemon has not started: " + d.files.Problem()}
	}
	if !r.Force {
		return nil, refused("the first start happens by itself when all initial voters are there; --force starts with those that are here now")
	}
	if err := s.cluster.InitForce(ctx); err != nil {
		return nil, refused("init: %v", err)
	}
	o := d.order(ctx, model.OrderInit, "")
	d.log.Warn("an operator made the record by force, with the voters that were here", "ordered_by", o.OrderedBy, "reason", o.Reason)
	d.events.Add(d.clock.now(), "the record was made by force, with the voters that were here"+said(&o))
	d.owe(o)
	return d.register(), nil
}

func (d *Daemon) registerRecover(ctx context.Context, r api.RecoverRequest) (any, error) {
	s := d.started.Load()
	if s == nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Message: "the daemon has not started: " + d.files.Problem()}
	}
	if len(r.Voters) == 0 {
		return nil, &api.Error{Code: api.CodeBadRequest, Message: "which voters? give --voters NAME,... (live members, see `haproxyctl members`)"}
	}
	if err := s.cluster.Recover(ctx, r.Voters); err != nil {
		return nil, refused("recover: %v", err)
	}
	o := d.order(ctx, model.OrderRecover, join(r.Voters))
	d.log.Warn("an operator recovered the record", "voters", join(r.Voters), "ordered_by", o.OrderedBy, "reason", o.Reason)
	d.events.Add(d.clock.now(), "the record was recovered with the voters "+join(r.Voters)+said(&o))
	d.owe(o)
	return d.register(), nil
}

// status is everything, with what an operator must see first.
func (d *Daemon) status() api.Status {
	st := api.Status{
		Member: d.cfg.Name, Version: d.cfg.Version, Mode: "steer", Active: d.active(), Nodes: d.nodes(),
		Members: d.members(), Register: d.register(), Problems: []string{}, Turn: d.sentence(),
		Warnings: slices.Clone(d.cfg.Warnings),
	}
	switch {
	case d.cfg.Observe:
		st.Mode = "observe"
	case d.cfg.Witness:
		st.Mode = "witness"
	}
	add := func(s string) {
		if s != "" && !slices.Contains(st.Problems, s) {
			st.Problems = append(st.Problems, s)
		}
	}
	add(d.files.Problem())
	if d.deps.Pods != nil {
		add(d.deps.Pods.Problem())
	}
	if !st.Active.Agreed {
		add("not agreed: " + st.Active.Reason)
	}
	d.votes.mu.Lock()
	add(d.votes.alert)
	d.votes.mu.Unlock()
	if st.Active.LocalOnly != "" {
		add(st.Active.LocalOnly + " was forced on this proxy alone, without a majority")
	}
	for _, n := range st.Active.NotConverged {
		add(n)
	}
	if d.proxy != nil {
		add(d.proxy.undo.unread())
	}
	if st.Active.Frozen {
		add("frozen: no automatic change happens")
	}
	if s := d.started.Load(); s != nil {
		if s.prober != nil {
			add(shutOut(s.prober.Status()))
		}
		ag := s.cluster.Agreement()
		heard := map[string]bool{}
		for _, v := range d.input(s, &ag, nil, d.clock.now()).Voices {
			heard[v.Member] = true
		}
		for _, v := range ag.Voters {
			if !heard[v.Name] {
				add(v.Name + " is not heard")
			}
		}
		for _, p := range d.differingPeers(s) {
			add(p)
		}
		register := s.cluster.Register()
		for _, n := range registerNotes(&register) {
			add(n)
		}
		if rec, err := d.record(&ag); err == nil && rec != nil {
			for _, n := range decide.Unread(rec, readers(s)) {
				add(n)
			}
			st.Warnings = append(st.Warnings, d.trustWarnings(s, &ag, rec)...)
		}
	}
	return st
}

// handleCheck is this member's word on one address, for an external check.
func (d *Daemon) handleCheck(w http.ResponseWriter, r *http.Request) {
	address := r.URL.Query().Get("address")
	if _, _, err := net.SplitHostPort(address); err != nil {
		writeError(w, &api.Error{Code: api.CodeBadRequest, Message: fmt.Sprintf("address %q: give ADDR:PORT", address)})
		return
	}
	c, err := d.check(address)
	if err != nil {
		writeError(w, &api.Error{Code: api.CodeNotFound, Message: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, c)
}

func (d *Daemon) check(address string) (api.Check, error) {
	d.votes.mu.Lock()
	view := d.votes.own
	d.votes.mu.Unlock()
	topo := d.files.Topology()
	if view == nil || topo == nil {
		return api.Check{}, errors.New("the daemon has not looked yet")
	}
	for _, b := range topo.Backends {
		for _, s := range b.Servers {
			if s.Address() != address {
				continue
			}
			n := view.Node(s.Name)
			if st := d.started.Load(); st == nil || st.prober == nil {
				// The votes are HAProxy's own checks then, and this is asked by one of them.
				return api.Check{Node: s.Name, Verdict: string(model.Unknown), Reason: "this daemon does not probe (--probe-user)"}, nil
			}
			return api.Check{Node: s.Name, Usable: n.Verdict == model.Healthy, Verdict: string(n.Verdict), Reason: n.Reason}, nil
		}
	}
	return api.Check{}, fmt.Errorf("no server of haproxy.cfg has the address %s", address)
}
