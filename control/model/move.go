package model

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// The ways in which sessions to the old node end in a planned move.
const (
	DrainImmediate    = "immediate"    // closed at once
	DrainGraceful     = "graceful"     // they end by themselves
	DrainTransactions = "transactions" // each is closed once it is between transactions
	// DrainAuto leaves it to the daemon that is asked, which takes one of the others
	// (decide.Auto). No record has it.
	DrainAuto = "auto"
)

// Drains are the ways that a record may have.
var Drains = []string{DrainImmediate, DrainGraceful, DrainTransactions}

// The phases of a pending move.
const (
	// PhaseDrain: sessions to the old node are drained; with a hold, new
	// connections wait in the new node's queue.
	PhaseDrain = "drain"
	// PhaseClose: the time is over, what is left on the old node is closed.
	PhaseClose = "close"
)

// Move is a planned move that is not over. It belongs to the epoch that made To
// the active: another epoch ends it, whatever it had come to. Its end is a
// revision of the record without it.
//
// Its times are durations and not moments: each member counts from when it first
// saw the move, so that no clock is compared with another one.
type Move struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Drain string `json:"drain"`
	Phase string `json:"phase"`
	// Hold: new connections wait until nothing is left on From and To has
	// applied what From committed last.
	Hold bool `json:"hold,omitempty"`
	// Keep: at the timeout the move is rolled back, instead of closing what is left.
	Keep bool `json:"keep,omitempty"`
	// Rollback: this move undoes the one of the epoch before.
	Rollback bool `json:"rollback,omitempty"`
	// TimeoutMS bounds the drain, MaxHoldMS the hold (the nearer one counts).
	TimeoutMS int64 `json:"timeout_ms"`
	MaxHoldMS int64 `json:"max_hold_ms,omitempty"`
	// Owner is the member through which it was asked for, and By who asked.
	Owner string `json:"owner"`
	By    string `json:"by"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Bound is how long the drain may take until the move is closed or rolled back.
func (m *Move) Bound() time.Duration {
	d := time.Duration(m.TimeoutMS) * time.Millisecond
	if hold := time.Duration(m.MaxHoldMS) * time.Millisecond; m.Hold && hold < d {
		return hold
	}
	return d
}

// MoveView is how far one proxy is with a planned move. It stays in the member's
// view until the next move, as the report on this one.
type MoveView struct {
	// Recovery and Epoch say of which move.
	Recovery uint64 `json:"rec,omitempty"`
	Epoch    uint64 `json:"ep"`
	// Held: new connections wait on every sticky backend of this proxy.
	Held bool `json:"h,omitempty"`
	// Left counts the sessions to the old node that are open; of these InTrx are
	// in a transaction, and Unmatched could not be found in its process list.
	Left      int `json:"l"`
	InTrx     int `json:"t,omitempty"`
	Unmatched int `json:"u,omitempty"`
	// LongestMS is the age of the longest open transaction.
	LongestMS int64 `json:"ms,omitempty"`
	// Began counts the sessions that were open when the move began; Drained those
	// closed between transactions, Finished those that ended by themselves,
	// Killed those closed when the time was over.
	Began    int `json:"b"`
	Drained  int `json:"d"`
	Finished int `json:"f"`
	Killed   int `json:"k"`
	// WaitMS is the longest time that a session was waited for.
	WaitMS int64 `json:"w,omitempty"`
	// HeldMS is how long new connections waited.
	HeldMS int64 `json:"hm,omitempty"`
	// NewMS is the last look before the first connection to the new node, 0 for none
	// yet, GoneMS the first look without a session to the old one, 0 while there is one
	// and where there never was. Both count from when this member heard of the move.
	NewMS  int64 `json:"nm,omitempty"`
	GoneMS int64 `json:"gm,omitempty"`
	// Of the killed, KilledTrx were in a transaction when they were last looked at, and
	// of KilledUnknown it is not known. Tells: this member's version counts these and
	// the times above.
	KilledTrx     int  `json:"kt,omitempty"`
	KilledUnknown int  `json:"ku,omitempty"`
	Tells         bool `json:"te,omitempty"`
	// Done: this proxy routes to the new node and has no session to the old one.
	Done    bool   `json:"done,omitempty"`
	Problem string `json:"pb,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}
