package galera

import "fmt"

// Verdict is what this daemon says of a node in the vote.
type Verdict int

const (
	// Unknown is no statement; it counts neither for the node nor against it.
	Unknown Verdict = iota
	// Healthy means that the node serves.
	Healthy
	// Down means that the node was seen not to serve, several times in a row.
	Down
)

// String returns "unknown", "healthy" or "down".
func (v Verdict) String() string {
	switch v {
	case Unknown:
		return "unknown"
	case Healthy:
		return "healthy"
	case Down:
		return "down"
	}
	return fmt.Sprintf("verdict(%d)", int(v))
}

// State is what a sequence of outcomes says of a node.
type State struct {
	Verdict Verdict
	// Eligible: the node may be chosen as the active.
	Eligible bool
	// Avoid: the node serves and may stay the active, but may be chosen only if
	// nothing else is left and policy allows (see Class).
	Avoid bool
	// OtherCluster: the node had another state UUID than the record when it was last
	// in a primary component. It may never be chosen, not by force either.
	OtherCluster bool
	// Failures counts the failed attempts in a row, up to the number that makes the
	// node down.
	Failures int
	// Class and Reason are those of the last outcome. While 0 < Failures < N they
	// tell of the failure, and the rest of what was before it.
	Class  Class
	Reason string
}

// Start is the state of a node that has not been probed.
func Start() State {
	return State{Class: ClassNotProbed, Reason: "the node has not been probed yet"}
}

// Next is the state after one more outcome, where n failures in a row make a node
// down.
//
//   - A node is healthy at the first good reading: what to make of a node that
//     comes and goes is the decision's matter.
//   - It is down at the n-th failure in a row; before that it stays what it was, so
//     that one lost packet is no event.
//   - It is unknown at the first attempt that says nothing. That also begins the
//     count anew: only consecutive failures count.
//   - A node of another cluster is not eligible from the first reading on, and is
//     taken for one until it is read as serving with the right UUID.
func Next(s State, o Outcome, n int) State {
	next := State{Class: o.Class, Reason: o.Reason}
	next.OtherCluster = s.OtherCluster && o.Kind != KindHealthy && o.Kind != KindDegraded
	switch o.Kind {
	case KindHealthy:
		next.Verdict, next.Eligible = Healthy, true
	case KindDegraded:
		next.Verdict, next.Avoid = Healthy, true
	case KindDown:
		next.OtherCluster = next.OtherCluster || o.Class == ClassOtherCluster
		next.Failures = min(s.Failures+1, n)
		if next.Failures >= n {
			next.Verdict = Down
			break
		}
		next.Verdict = s.Verdict
		next.Eligible = s.Eligible && !next.OtherCluster
		next.Avoid = s.Avoid && !next.OtherCluster
		next.Reason = fmt.Sprintf("%s (failure %d of %d)", o.Reason, next.Failures, n)
	}
	return next
}
