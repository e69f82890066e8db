package model

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// The ends of a process in [Group.End].
const (
	EndGone   = "gone"   // its connection was closed, and both of its ports refuse
	EndSilent = "silent" // neither port has spoken within the probe's deadline
)

// Group is what a member knows of a node's server process in Galera's group layer; from version 3 on. What the process itself
// said is of the last time that it answered.
type Group struct {
	// UUID is the process's wsrep_gcomm_uuid, which ends with it.
	UUID string `json:"u"`
	// Weight is its pc.weight, -1 if not known.
	Weight int `json:"w"`
	// ConfID, Size and Total are of the view that it is in: its number, how many members it has and what they
	// weigh; -1 if not known or not in the primary component.
	ConfID int64 `json:"c"`
	Size   int64 `json:"n"`
	Total  int64 `json:"t"`
	// State is its wsrep_evs_state where that is not OPERATIONAL, Evicted that its evict list is not empty, AutoEvict that Galera
	// may put nodes on it by itself.
	State     string `json:"s,omitempty"`
	Evicted   bool   `json:"e,omitempty"`
	AutoEvict bool   `json:"a,omitempty"`
	// List are the entries of the evict list: of this member's own view only, they are not told.
	List []string `json:"-"`
	// SuspectMS and CheckMS are evs.suspect_timeout and evs.inactive_check_period, RetransMS evs.join_retrans_period, which
	// stands in Retrans as the server writes it. 0 and "" are not known.
	SuspectMS int64  `json:"su,omitempty"`
	CheckMS   int64  `json:"ch,omitempty"`
	RetransMS int64  `json:"re,omitempty"`
	Retrans   string `json:"rt,omitempty"`
	// OptionsAt is when this member read them, OptionsListed that the list was not empty then: of its own view only.
	OptionsAt     time.Time `json:"-"`
	OptionsListed bool      `json:"-"`
	// Lacks is what this member's account lacks there for an eviction, "" for nothing.
	Lacks string `json:"x,omitempty"`
	// LacksLast is the same for an eviction of which one node is left: of this member's own view only.
	LacksLast string `json:"-"`
	// Met: the group layer's handshake of this process was read at the address where it listens: its end can be told.
	Met bool `json:"m,omitempty"`
	// End is how this member sees that the process has ended (EndGone, EndSilent), "" if it does not. Speaks: either port
	// spoke last time.
	End    string `json:"d,omitempty"`
	Speaks bool   `json:"p,omitempty"`
	// Hangs: a causal read on this node, which is not late itself, shows that the group waits for a member. Late says with
	// what it is late, "" for nothing and where nobody asks.
	Hangs bool   `json:"h,omitempty"`
	Late  string `json:"l,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// FloorMS is about how long by these timers, in ms, Galera takes to make a new view by itself after a member has died; 0 if
// they are not known.
func (g *Group) FloorMS() int64 {
	if g == nil || g.SuspectMS == 0 {
		return 0
	}
	return g.SuspectMS + g.CheckMS + g.RetransMS
}
