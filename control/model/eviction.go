package model

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// MaxEvictions is how many evictions the record keeps, by their times and by their processes.
const MaxEvictions = 8

// Eviction is the order to put a dead process on the evict list of Galera's group layer, so that the survivors make a new view
// without it at once, and the debt to empty their lists again, which is paid last and whatever came of the order. It
// stands in the record from the one to the other.
type Eviction struct {
	// Found: nobody is told anything. An entry of an eviction that was paid for was found on a survivor's list, and is taken off
	// again: a process that was late with its JOIN may have kept it. Node is then where, and UUID the entry.
	Found bool `json:"found,omitempty"`
	// Last: of the view one node is left, which is kept primary (--evict-last).
	Last bool `json:"last,omitempty"`
	// Node is the database node, UUID its dead process (wsrep_gcomm_uuid) and ConfID the view that it was in: the statement does
	// nothing in another.
	Node   string `json:"node"`
	UUID   string `json:"uuid"`
	ConfID int64  `json:"conf_id"`
	// Evidence is how its end showed itself: EndGone or EndSilent.
	Evidence string `json:"evidence"`
	// Survivors are the members of the view that are told, the representative (the least UUID) first, and whose lists are
	// emptied.
	Survivors []Survivor `json:"survivors"`
	// Owner is the member that carries it out: the leader that decided it.
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"` // by the owner's clock: for people
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Survivor is a process whose list is touched.
type Survivor struct {
	Node string `json:"node"`
	UUID string `json:"uuid"`
	// Retrans is its evs.join_retrans_period before, as the server wrote it, which is put back.
	Retrans string `json:"retrans"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Same tells whether two are one order.
func (e *Eviction) Same(o *Eviction) bool {
	return e != nil && o != nil && e.UUID == o.UUID && e.ConfID == o.ConfID && e.Owner == o.Owner && e.At.Equal(o.At)
}

// Cause is what made the lists be other than empty.
func (e *Eviction) Cause() string {
	if e.Found {
		return "an earlier eviction (" + e.UUID + ", found on " + e.Node + ")"
	}
	return "the eviction of " + e.Node
}

// WithEviction returns a copy with the order.
func (r *Record) WithEviction(e Eviction) *Record {
	c := r.Clone()
	c.Evict = &e
	if e.Found {
		return c
	}
	c.Evictions = append(c.Evictions, e.At)
	c.Evictions = c.Evictions[max(len(c.Evictions)-MaxEvictions, 0):]
	c.Evicted = append(c.Evicted, e.UUID)
	c.Evicted = c.Evicted[max(len(c.Evicted)-MaxEvictions, 0):]
	return c
}

// Paid returns a copy in which no list is owed to be emptied.
func (r *Record) Paid() *Record {
	c := r.Clone()
	c.Evict = nil
	return c
}
