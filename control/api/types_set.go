package api

import "fmt"

// SetRequest asks for another active node.
type SetRequest struct {
	Node string `json:"node"`
	// Drain is how sessions to the old node end: "immediate" (closed at once), "graceful"
	// (they end by themselves), "transactions" (each is closed once it is between
	// transactions) or "auto" (the default): transactions where the old node is healthy
	// and every proxy can tell which sessions are in one, else immediate, or graceful
	// with Keep; immediate with Force and LocalOnly. Versions without "auto" take none
	// for immediate.
	Drain string `json:"drain,omitempty"`
	// Hold makes new connections wait until nothing is left on the old node and
	// the new one has applied what the old one committed last.
	Hold bool `json:"hold,omitempty"`
	// Keep rolls the move back at the timeout, instead of closing what is left.
	Keep bool `json:"keep,omitempty"`
	// TimeoutMS bounds the drain (default 10 s, of auto 5 s), MaxHoldMS the hold (default
	// 2 s).
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	MaxHoldMS int64 `json:"max_hold_ms,omitempty"`
	// LocalOnly forces the node on the asked daemon's own proxy, without a
	// majority; refused while there is one, dropped when one returns.
	LocalOnly bool `json:"local_only,omitempty"`
	// Force proceeds although not every proxy steers, or although the votes do
	// not call the node healthy; a node that the votes call down also freezes.
	Force bool `json:"force,omitempty"`
	// DryRun checks everything and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// ExpectEpoch, if not zero, refuses the move when the epoch is another.
	ExpectEpoch uint64 `json:"expect_epoch,omitempty"`
	Reasoned
}

// SetResponse tells what became of a SetRequest.
type SetResponse struct {
	// Changed is false when the node was the active already, and in a dry run.
	Changed bool   `json:"changed"`
	DryRun  bool   `json:"dry_run,omitempty"`
	From    string `json:"from"`
	To      string `json:"to"`
	Epoch   uint64 `json:"epoch"`
	// Drain is the way that was taken, or would be, and never "auto"; DrainWhy says why in
	// a sentence. Both are "" where nothing moves, and of a version without "auto".
	Drain    string `json:"drain,omitempty"`
	DrainWhy string `json:"drain_why,omitempty"`
	// TimeoutMS bounds the sessions' time, 0 where they have none.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// Open are the sessions to From when it was asked for, nil where nothing moves.
	Open *Open `json:"open,omitempty"`
	// Votes are sentences: what each voter says of the node.
	Votes []string `json:"votes"`
	// Warnings are sentences: what the operator should know although it was done.
	Warnings []string `json:"warnings"`
	Active   Active   `json:"state"`
	// Move is the planned move that this began (drain other than immediate, or a
	// hold). In haproxyctl's output it is the end of that one or of a move at once.
	Move *Move `json:"move,omitempty"`
}

// Open are the sessions that are open to a node.
type Open struct {
	// Sessions are those of the proxies, and Proxies each one's, by member.
	Sessions int            `json:"sessions"`
	Proxies  map[string]int `json:"proxies"`
	// InTransaction of the node's own sessions are in a transaction, through whichever way
	// they came; -1 where that is not known, and Unknown says why.
	InTransaction int    `json:"in_transaction"`
	Unknown       string `json:"unknown,omitempty"`
}

// ClosedAtOnce says what n sessions to From are that a move which waits for nobody closes, as
// far as it is known. The answer must have Open.
func (r *SetResponse) ClosedAtOnce(n int) string {
	sessions, closed, were, asked := fmt.Sprintf("%d sessions", n), "were closed", "were", " when it was asked for"
	if n == 1 {
		sessions, closed = "1 session", "was closed"
	}
	if r.DryRun {
		closed, were, asked = "would be closed", "are", ""
	}
	text := fmt.Sprintf("%s to %s %s at once; ", sessions, r.From, closed)
	if r.Open.InTransaction < 0 {
		return text + "how many are in a transaction is not known: " + r.Open.Unknown
	}
	return text + fmt.Sprintf("%d of that node's sessions %s in a transaction%s", r.Open.InTransaction, were, asked)
}
