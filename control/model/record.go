package model

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// Limits of what is kept in the record: it travels in one datagram.
const (
	// MaxHistory is how many decisions the record keeps.
	MaxHistory = 16
	// MaxAutoMoves is how many times of automatic moves the record keeps.
	MaxAutoMoves = 32
	// MaxOrders is how many orders that made no decision the record keeps.
	MaxOrders = 8
	// MaxEncoded is how many bytes an encoded record of version 2 has at most: half
	// of what the register takes, so that a longer sentence never stops a failover.
	MaxEncoded = 16 << 10
)

// Kinds of decisions.
const (
	KindAdopt    = "adopt"    // the first decision: what the HAProxies did already
	KindFailover = "failover" // the votes called the active down
	KindNative   = "native"   // HAProxies moved by themselves while nothing was decided
	KindOperator = "operator" // somebody asked for it
	KindPlanned  = "planned"  // the active is to be left before it ends (donor, maintenance)
	KindRollback = "rollback" // a planned move was undone
	KindFollow   = "follow"   // a node that every proxy reaches, by policy
	// KindDeparture: the active is about to end (its pod is deleted, it shuts down).
	KindDeparture = "departure"
)

// DecisionKinds are all kinds of decisions.
func DecisionKinds() []string {
	return []string{KindAdopt, KindFailover, KindNative, KindOperator, KindPlanned, KindRollback, KindFollow, KindDeparture}
}

// Record is the content of the replicated record: everything that must survive
// and that others must respect. Its epoch and revision are the register's.
type Record struct {
	// Active is the node that takes the writes. Never empty in a stored record.
	Active string `json:"active"`
	// Frozen stops automatic changes; FrozenWhy is shown to everybody.
	Frozen    bool   `json:"frozen,omitempty"`
	FrozenWhy string `json:"frozen_why,omitempty"`
	// Excluded nodes are never chosen automatically. Sorted.
	Excluded []string `json:"excluded,omitempty"`
	// AutoMoves are the times of the last automatic moves, oldest first, by the
	// proposers' clocks: for people, and to tell one from another. How long ago they
	// were is counted by each leader's own monotonic clock, and those of more than an
	// hour ago are taken out (anti-flap).
	AutoMoves []time.Time `json:"auto_moves,omitempty"`
	// StateUUID is Galera's wsrep_cluster_state_uuid: a node of another UUID is
	// another database.
	StateUUID string `json:"state_uuid,omitempty"`
	// History are the last decisions, newest first; the first one is the present.
	History []Decision `json:"history,omitempty"`
	// Move is the planned move of this epoch that is not over, nil without one.
	Move *Move `json:"move,omitempty"`
	// Lowest is the lowest version of the formats that every voter reads (Protocol),
	// 0 meaning 1: what only a later version reads is not written.
	Lowest int `json:"lowest,omitempty"`
	// LowestHeld keeps Lowest where an operator has put it, for a rollback.
	LowestHeld bool `json:"lowest_held,omitempty"`
	// Orders are the last orders that made no decision, newest first: MaxOrders at
	// most, from version 2 on.
	Orders []Order `json:"orders,omitempty"`
	// Evict is the eviction that is under way or whose lists are owed to be emptied, nil without one; Evictions are
	// when the last were ordered, oldest first, by the proposers' clocks (as AutoMoves); Evicted are the processes that were
	// evicted last, oldest first: their entries are ours to take off a list. From version 3 on.
	Evict     *Eviction   `json:"evict,omitempty"`
	Evictions []time.Time `json:"evictions,omitempty"`
	Evicted   []string    `json:"evicted,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Decision tells how one epoch came about.
type Decision struct {
	Recovery uint64    `json:"recovery,omitempty"`
	Epoch    uint64    `json:"epoch"`
	Active   string    `json:"active"`
	From     string    `json:"from,omitempty"`
	Kind     string    `json:"kind"`
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	// OrderedBy is who gave the order at that member, "" for what nobody ordered;
	// from version 2 on.
	OrderedBy string `json:"ordered_by,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Last returns the decision that made the present active, or a zero one.
func (r *Record) Last() Decision {
	if len(r.History) == 0 {
		return Decision{}
	}
	return r.History[0]
}

// IsExcluded tells whether node is excluded.
func (r *Record) IsExcluded(node string) bool {
	return slices.Contains(r.Excluded, node)
}

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	c := *r
	c.Excluded = slices.Clone(r.Excluded)
	c.AutoMoves = slices.Clone(r.AutoMoves)
	c.History = slices.Clone(r.History)
	c.Orders = slices.Clone(r.Orders)
	if r.Move != nil {
		m := *r.Move
		c.Move = &m
	}
	if r.Evict != nil {
		e := *r.Evict
		e.Survivors = slices.Clone(e.Survivors)
		c.Evict = &e
	}
	c.Evictions, c.Evicted = slices.Clone(r.Evictions), slices.Clone(r.Evicted)
	return &c
}

// WithActive returns a copy in which d is the newest decision and no move is
// pending.
func (r *Record) WithActive(d Decision) *Record {
	c := r.Clone()
	c.Active, c.Move = d.Active, nil
	c.History = append([]Decision{d}, c.History...)
	c.History = c.History[:min(len(c.History), MaxHistory)]
	if d.Kind == KindFailover || d.Kind == KindPlanned || d.Kind == KindFollow {
		c.AutoMoves = append(c.AutoMoves, d.At)
		c.AutoMoves = c.AutoMoves[max(len(c.AutoMoves)-MaxAutoMoves, 0):]
	}
	return c
}

// WithExcluded returns a copy in which node is excluded or not.
func (r *Record) WithExcluded(node string, excluded bool) *Record {
	c := r.Clone()
	i, found := slices.BinarySearch(c.Excluded, node)
	switch {
	case excluded && !found:
		c.Excluded = slices.Insert(c.Excluded, i, node)
	case !excluded && found:
		c.Excluded = slices.Delete(c.Excluded, i, i+1)
	}
	return c
}

// Encode returns the record's bytes: with what only version 2 reads where every
// voter reads it (Lowest), and then never more than MaxEncoded while leaving out
// the oldest orders and decisions helps. Where not, the bytes are those of
// version 1.
func (r *Record) Encode() []byte {
	if !r.Speaks(2) {
		return mustEncode(r.version1())
	}
	b := mustEncode(r)
	for c := r; len(b) > MaxEncoded; b = mustEncode(c) {
		if c = c.shorter(); c == nil {
			break
		}
	}
	return b
}

// version1 is the record without what version 1 does not write.
func (r *Record) version1() *Record {
	c := r.Clone()
	c.Orders, c.Evict, c.Evictions, c.Evicted = nil, nil, nil, nil
	for i := range c.History {
		c.History[i].OrderedBy = ""
	}
	return c
}

// shorter is a copy without the oldest order or decision, nil where only the last
// of each is left.
func (r *Record) shorter() *Record {
	c := r.Clone()
	switch {
	case len(c.History) > 1 && len(c.History) >= len(c.Orders):
		c.History = c.History[:len(c.History)-1]
	case len(c.Orders) > 1:
		c.Orders = c.Orders[:len(c.Orders)-1]
	default:
		return nil
	}
	return c
}

func mustEncode(v any) []byte {
	b, err := keep.Marshal(v)
	if err != nil {
		// Only strings, numbers, booleans and times: a year past 9999 is the one failure.
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}

// DecodeRecord reads what Encode wrote, and keeps what a newer version has added.
func DecodeRecord(b []byte) (*Record, error) {
	var r Record
	if err := keep.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("record cannot be understood: %w", err)
	}
	if r.Lowest > Protocol {
		return nil, fmt.Errorf("record cannot be understood: its lowest version is %d and this daemon reads %d: upgrade it", r.Lowest, Protocol)
	}
	if r.Active == "" {
		return nil, errors.New("record cannot be understood: it names no active node")
	}
	slices.Sort(r.Excluded)
	return &r, nil
}
