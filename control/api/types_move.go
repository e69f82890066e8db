package api

// The states of a Move.
const (
	MovePending    = "pending"     // sessions are drained, or new connections held
	MoveClosing    = "closing"     // the time is over: what is left is being closed
	MoveDone       = "done"        // over: nothing is left on the old node
	MoveRolledBack = "rolled_back" // undone: the old node is the active again
	MoveOvertaken  = "overtaken"   // another decision came before its end
)

// Move is a move that an operator or a policy has planned, or an operator's that waits for
// nobody (drain immediate), pending or over, summed up over all proxies.
type Move struct {
	// Epoch is the one that made To the active.
	Recovery uint64 `json:"recovery"`
	Epoch    uint64 `json:"epoch"`
	State    string `json:"state"`
	From     string `json:"from"`
	To       string `json:"to"`
	Drain    string `json:"drain"`
	Hold     bool   `json:"hold"`
	Keep     bool   `json:"keep"`
	// TimeoutMS is the bound after which what is left is closed or the move rolled back.
	TimeoutMS int64 `json:"timeout_ms"`
	// ElapsedMS counts from when the asked daemon saw the move, to its end.
	ElapsedMS int64 `json:"elapsed_ms"`
	// Moved is the number of sessions that were open on From when it began: Drained
	// were closed between transactions, Finished ended by themselves, Killed were
	// closed because the time was over, Left are open now.
	Moved    int `json:"moved"`
	Drained  int `json:"drained"`
	Finished int `json:"finished"`
	Killed   int `json:"killed"`
	Left     int `json:"left"`
	// KilledInTransaction of the killed were in a transaction when they were last looked at;
	// of KilledUnknown it is not known.
	KilledInTransaction int `json:"killed_in_transaction"`
	KilledUnknown       int `json:"killed_unknown"`
	// BothMS is for how long at most both nodes could be written to: from the last look
	// before the first new connection to To until the first at which From had none, over all
	// proxies. Each counts from when it heard of the move, and looks every 20 ms.
	BothMS int64 `json:"both_ms"`
	// InTransaction of the sessions that are left are inside a transaction, the
	// longest of them for LongestMS. Unmatched could not be found in From's process list.
	InTransaction int   `json:"in_transaction"`
	LongestMS     int64 `json:"longest_ms"`
	Unmatched     int   `json:"unmatched,omitempty"`
	// LongestWaitMS is how long the last session was waited for, HeldMS how long new
	// connections waited.
	LongestWaitMS int64 `json:"longest_wait_ms"`
	HeldMS        int64 `json:"held_ms"`
	// WaitingFor says in a sentence what the move waits for now, "" when it is over.
	WaitingFor string `json:"waiting_for,omitempty"`
	// Reason says why it ended as it did.
	Reason string `json:"reason,omitempty"`
	// Cut says in a sentence what was closed because the time was over, or because From
	// ended, and how much of it was in a transaction; "" where nothing was.
	Cut     string      `json:"cut,omitempty"`
	Proxies []MoveProxy `json:"proxies"`
}

// Pending tells whether the move is still under way.
func (m *Move) Pending() bool { return m.State == MovePending || m.State == MoveClosing }

// MoveProxy is one proxy's part in a move.
type MoveProxy struct {
	Member        string `json:"member"`
	Held          bool   `json:"held"`
	Moved         int    `json:"moved"`
	Drained       int    `json:"drained"`
	Finished      int    `json:"finished"`
	Killed        int    `json:"killed"`
	Left          int    `json:"left"`
	InTransaction int    `json:"in_transaction"`
	Done          bool   `json:"done"`
	Problem       string `json:"problem,omitempty"`
}

// CancelRequest rolls the pending move of this epoch back; 0 means whichever is pending.
type CancelRequest struct {
	Epoch uint64 `json:"epoch,omitempty"`
}

// Explanation tells why the active is what it is, and what would happen.
type Explanation struct {
	Active string `json:"active"`
	Epoch  uint64 `json:"epoch"`
	// Why are sentences: the decision and what stands behind it now.
	Why []string `json:"why"`
	// Votes are sentences: what each voter says of the active.
	Votes []string `json:"votes"`
	// IfDown tells what would happen if each node died now, in the configured order.
	IfDown []WhatIf `json:"if_down"`
}

// WhatIf is what would happen if a node died now.
type WhatIf struct {
	Node string `json:"node"`
	// Active is the node that would take the writes then, "" for none.
	Active string `json:"active"`
	Moves  bool   `json:"moves"`
	Reason string `json:"reason"`
	// StallMS is about how long, in ms, no commit goes through on any node then, and Stall a sentence on it; absent where it
	// is not known.
	StallMS int64  `json:"stall_ms,omitempty"`
	Stall   string `json:"stall,omitempty"`
}
