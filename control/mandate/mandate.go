package mandate

import (
	"cmp"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// localBit makes the version of a local order differ from every agreed one.
const localBit = 1 << 63

// Policy is what of the configuration the mandate depends on.
type Policy struct {
	// Name is this member's.
	Name string
	// Observe: this daemon never writes.
	Observe bool
	// FenceAfter is after how long without a majority this proxy must serve nobody, 0
	// for never.
	FenceAfter time.Duration
}

// Facts are what one step takes into account.
type Facts struct {
	Agreement cluster.Agreement
	// Record is the agreement's, nil before the first decision. It is not changed.
	// Unread is why it cannot be understood, nil if it can.
	Record *model.Record
	Unread error
	// Voters are the agreement's, by name.
	Voters []string
	// Voices are the fresh views of the others and this member's own.
	Voices []decide.Voice
	// ReviewedTerm is the term in which this member, leading, has looked at what the
	// HAProxies did while nobody decided; 0 for none.
	ReviewedTerm uint64
	// Probes are what this member's own probe says of the nodes, nil without one.
	Probes []galera.NodeStatus
	// Paused: this process did not run for a while.
	Paused bool
	// Order is the node that an operator forces on this proxy alone from now on, ""
	// without a new order.
	Order string
}

// Event is something that a step has changed beside what is wanted.
type Event struct {
	Kind EventKind
	// Node is the node of a dropped order.
	Node string
}

// EventKind says what has changed.
type EventKind int

const (
	// Closed: the gate was closed. A leader's own word on what the HAProxies did is
	// not true any more: it must look again.
	Closed EventKind = iota + 1
	// Dropped: a majority ended an operator's order for this proxy alone.
	Dropped
)

// Mandate is what is remembered from step to step.
type Mandate struct {
	policy Policy
	// open: the gate. It is closed while this member must not enforce the record
	// although it knows it: after a start, after losing the majority, after a pause of
	// the process; closed is when it was last. It opens when the leader has looked, in
	// its term, at what the HAProxies did meanwhile.
	open   bool
	closed time.Time
	// touched is when a majority last stood behind the record, over changes of this
	// member's role: a leader that steps down, for want of a majority or for another
	// leader, knows as a follower only what it has heard as one. A start counts as it.
	touched time.Time
	// cut is why this proxy was cut off, and has not been allowed to write since.
	cut string
	// local is the break-glass: the node of an operator's order for this proxy alone,
	// given while there is no majority, "" for none. It is in memory only, and gone when
	// a majority returns: then the agreement rules, and adopts or undoes what was done.
	local string
	// orders counts these orders.
	orders uint64
	// decision is the newest one, known here since then.
	decision cluster.Version
	since    time.Time
}

// New returns the mandate of a daemon that starts at born.
func New(policy Policy, born time.Time) Mandate {
	return Mandate{policy: policy, touched: born}
}

// Step takes the facts of now into account, and returns what is wanted. now is no
// later than the moment at which they were read, and goes on from step to step.
func (m *Mandate) Step(now time.Time, f *Facts) (Want, []Event) {
	ag := &f.Agreement
	events := m.note(now, f)
	if f.Unread != nil {
		return Want{Why: f.Unread.Error()}, events
	}
	if m.local != "" && !ag.Fresh {
		return m.alone(now, ag), events
	}
	if m.local != "" {
		events = append(events, Event{Kind: Dropped, Node: m.local})
		m.local = ""
	}
	// Once cut off it stays so until it may write what a majority wants: that may have
	// moved meanwhile, and what this proxy's tables say is as old as its last write.
	m.cut = cmp.Or(m.cutOff(now, ag), m.cut)
	keep := m.policy.FenceAfter > 0 && !ag.Fresh
	if f.Record == nil {
		return Want{Why: cmp.Or(ag.Reason, "nothing is decided yet"), Cut: m.cut, KeepFence: keep}, events
	}
	rec := f.Record
	want := Want{
		Known: true, Active: rec.Active, Left: rec.Last().From, Asked: rec.Last().Kind == model.KindOperator, Version: ag.Record.Version, Fresh: now.Add(-ag.FreshAge), Voting: ag.Voting,
		Frozen: rec.Frozen, Move: rec.Move, Since: m.since, MoveAge: now.Sub(m.since), Cut: m.cut, KeepFence: keep,
	}
	switch {
	case !ag.Fresh:
		want.Why = "no majority: " + ag.Reason
	case !m.passes(f, want.Fresh):
		want.Why = "waiting until the leader has looked at what the HAProxies did meanwhile"
	default:
		m.cut, want.Cut = "", ""
		want.Blind, want.Unserved = blind(f), unserved(f)
		if want.MayWrite = !m.policy.Observe; !want.MayWrite {
			want.Why = "--observe: this daemon never writes"
		}
	}
	return want, events
}

// note remembers what the facts say of the majority, of the decision and of orders.
func (m *Mandate) note(now time.Time, f *Facts) (events []Event) {
	ag := &f.Agreement
	if fresh := now.Add(-ag.FreshAge); ag.Fresh && fresh.After(m.touched) {
		m.touched = fresh
	}
	if !ag.Fresh || f.Paused {
		if m.open {
			events = append(events, Event{Kind: Closed})
		}
		m.open, m.closed = false, now
	}
	if m.since.IsZero() || EpochOf(m.decision) != EpochOf(ag.Record.Version) {
		m.decision, m.since = ag.Record.Version, now
	}
	if f.Order != "" && !m.policy.Observe {
		m.local = f.Order
		m.orders++
	}
	return events
}

// alone is what an order for this proxy alone wants of it.
func (m *Mandate) alone(now time.Time, ag *cluster.Agreement) Want {
	version := ag.Record.Version
	version.Revision = localBit + m.orders
	return Want{
		Known: true, Active: m.local, Version: version, MayWrite: true, Fresh: now, Since: m.since, Local: m.local,
		Why: fmt.Sprintf("an operator forced %s on this proxy alone", m.local),
	}
}

// cutOff tells why this proxy must serve nobody for want of a majority, "" if it
// may, by policy or because there is one.
func (m *Mandate) cutOff(now time.Time, ag *cluster.Agreement) string {
	if m.policy.FenceAfter == 0 || ag.Fresh {
		return ""
	}
	alone := now.Sub(m.touched)
	if ag.FreshAge >= 0 {
		alone = min(alone, ag.FreshAge)
	}
	if alone < m.policy.FenceAfter {
		return ""
	}
	return "no majority of the voters for more than " + m.policy.FenceAfter.String()
}

// passes opens the gate on the leader's word, and tells whether it is open. fresh is
// when the majority stood behind the record: what was true before the gate was closed
// does not open it.
func (m *Mandate) passes(f *Facts, fresh time.Time) bool {
	if !m.open {
		m.open = fresh.After(m.closed) && m.reviewed(f)
	}
	return m.open
}

// reviewed tells whether the leader of this term has looked at what the
// HAProxies did while nobody decided.
func (m *Mandate) reviewed(f *Facts) bool {
	ag := &f.Agreement
	if ag.IsLeader {
		return f.ReviewedTerm == ag.Term && ag.Term != 0
	}
	known := ag.Record.Version
	for _, v := range f.Voices {
		view := v.View
		switch {
		case v.Member == m.policy.Name, ag.Leader != "" && v.Member != ag.Leader:
		case view.ReviewedTerm == 0, !view.Agreed:
		case view.Recovery > known.Recovery, view.Recovery == known.Recovery && view.Epoch > known.Epoch:
			// It speaks of a newer decision than is known here.
		case !ag.Voting, view.ReviewedTerm == ag.Term:
			return true // a member that only follows may not know the term
		}
	}
	return false
}

// blind is what this member's own probe says of the active if it calls it down and
// finds no way to it. A node that lets a connection be made and says nothing on it is
// busy or hangs, which the vote is about; while this HAProxy's check passes its clients
// go nowhere else. (Seen: one probe late by a moment on a busy machine, and a proxy
// that fenced itself for 0.1 s cut the transactions of all its clients.)
func blind(f *Facts) string {
	if n := f.probe(); n != nil && n.Verdict == galera.Down && n.Class != galera.ClassSilent {
		return n.Reason
	}
	return ""
}

// unserved tells why the probes do not say that the active serves, "" if they do:
// those of a majority of all voters, freshly, and this member's own, which alone
// knows the way from here.
func unserved(f *Facts) string {
	active := f.Record.Active
	if n := f.probe(); n == nil || n.Verdict != galera.Healthy {
		return fmt.Sprintf("this daemon's probe does not find %s serving", active)
	}
	in := &decide.Input{Record: f.Record, Voters: f.Voters, Voices: f.Voices}
	if t := decide.Count(in, active); t.Healthy < decide.Majority(len(in.Voters)) {
		return fmt.Sprintf("%d of %d voters' probes find %s serving, no majority", t.Healthy, len(in.Voters), active)
	}
	return ""
}

// probe is what this member's own probe says of the active, nil for nothing.
func (f *Facts) probe() *galera.NodeStatus {
	for i := range f.Probes {
		if f.Probes[i].Node == f.Record.Active {
			return &f.Probes[i]
		}
	}
	return nil
}
