package galera

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// stuckAfter (D below) is how long a node must have committed nothing while another one went
	// on in order to count as stuck by what can be read.
	stuckAfter = 2 * time.Second
	// stuckBy (N below) is by how many write sets the other one must have gone on.
	stuckBy = 10
)

// flowShare is the part of the time between two readings that flow control must
// have taken for the node to count as paused. Below it the cluster is slow and
// moves.
const flowShare = 0.5

// # Stuck, by what can be read
//
// Galera commits in one order on all nodes. A node that does not commit the next
// write set, whosever it is, cannot commit any later one, and every commit of its own
// is a later one: measured, a node whose applier is blocked lets its own
// commits wait ("Waiting for certification") although nothing else stops them. So
// a wsrep_last_committed that stands still while there is something to commit is
// the fact that the node's own commits hang.
//
// A node is stuck, by [stuckBehind], if over the last D
//
//   - it answered, in the primary component, synced or as a donor, and its
//     wsrep_last_committed did not move at all. Applying lags by some write sets
//     all the time, and slow is not stuck: one step within D is enough.
//   - another node of the same history (state UUID) was ahead of it from the
//     beginning: there was a write set to commit for all of D. Without this an
//     idle node would be called stuck when others commit a batch, or when one
//     that lagged catches up with it.
//   - that other node went on by at least N: the others do proceed. An idle cluster,
//     and DDL, which stops all nodes at the same position, say nothing.
//   - and flow control paused neither of the two at the end: a paused cluster is
//     slow for everybody, and moving does not help.
//
// A donor or desynced node is not spared. A backup's FLUSH TABLES WITH READ LOCK or
// BACKUP STAGE BLOCK_COMMIT desyncs the node (measured: wsrep_local_state 2) and
// really stops its commits meanwhile; a desynced node that does apply moves. A node
// that has joined and is catching up (3) is left out: it cannot be the active yet.
//
// What it cannot see: a stuck node that alone takes the writes. Nobody else has
// anything to commit then, so the cluster looks idle. The canary sees that, and of a
// donor the statements that wait do.

// sample is what the rule needs of a reading.
type sample struct {
	// asked is when the probe asked: the value is at least as new. An answer that lay
	// in the socket while this process was stopped is not taken for a new one.
	asked     time.Time
	uuid      string
	committed int64
	commits   bool // in the primary component, synced or a donor
	waits     bool // statements wait for a transfer or a backup
}

// track is the recent past of a node: the newest sample that is at least as old as the
// rule looks back, and all later ones.
type track struct {
	samples []sample
	paused  bool // by flow control, between the last two readings
	flowNs  int64
}

// add appends a reading and forgets what is older than needed. A gap makes
// it begin anew: what was in it, nobody knows.
func (t *track) add(r Reading, asked time.Time, gap time.Duration) {
	if n := len(t.samples); n > 0 {
		since := asked.Sub(t.samples[n-1].asked)
		t.paused = flowPaused(t.flowNs, r.FlowPausedNs, since)
		if since > gap {
			t.samples, t.paused = t.samples[:0], false
		}
	}
	t.flowNs = r.FlowPausedNs
	t.samples = append(t.samples, sample{
		asked: asked, uuid: r.StateUUID, committed: r.LastCommitted,
		commits: r.ClusterStatus == primary && r.Ready && r.LastCommitted >= 0 &&
			(r.LocalState == StateSynced || r.LocalState == StateDonor),
		waits: r.Waiting > 0,
	})
	old := 0
	for old+1 < len(t.samples) && asked.Sub(t.samples[old+1].asked) >= stuckAfter {
		old++
	}
	t.samples = append(t.samples[:0], t.samples[old:]...) // in place: no garbage
}

// flowPaused tells whether flow control took most of the time between two readings
// of wsrep_flow_control_paused_ns. A counter that went back is a new process's.
func flowPaused(before, now int64, between time.Duration) bool {
	return between > 0 && now > before && float64(now-before) >= flowShare*float64(between)
}

// covers tells whether the track reaches from D ago to now.
func (t *track) covers(now time.Time, gap time.Duration) bool {
	n := len(t.samples)
	return n > 1 && now.Sub(t.samples[n-1].asked) <= gap &&
		t.samples[n-1].asked.Sub(t.samples[0].asked) >= stuckAfter
}

// stands tells whether the node had the same position all the time.
func (t *track) stands() bool {
	first := t.samples[0]
	return !slices.ContainsFunc(t.samples, func(s sample) bool {
		return !s.commits || s.uuid != first.uuid || s.committed != first.committed
	})
}

// stuckBehind tells whether node is stuck while other proceeds, and how many write
// sets other committed meanwhile. The rule and its reasons are above.
func stuckBehind(node, other *track, now time.Time, gap time.Duration) (by int64, stuck bool) {
	if !node.covers(now, gap) || !other.covers(now, gap) || node.paused || other.paused || !node.stands() {
		return 0, false
	}
	at, from, to := node.samples[0], other.samples[0], other.samples[len(other.samples)-1]
	if !from.commits || !to.commits || from.uuid != at.uuid || to.uuid != at.uuid || from.committed <= at.committed {
		return 0, false
	}
	by = to.committed - from.committed
	return by, by >= stuckBy
}

// assess draws the conclusions about all nodes that depend on the time or on the other
// nodes: Stuck, StuckAlone and FlowPaused. It tells whether a node
// is newly stuck, or no longer, or newly alone with it. Only of a node that is
// healthy anything is said: of another one the verdict says enough.
func assess(all []*record, now time.Time, gap time.Duration, canary *CanaryConfig) (changed bool) {
	for _, r := range all {
		was, alone := r.Stuck != "", r.StuckAlone
		r.Stuck, r.StuckAlone, r.FlowPaused = "", false, false
		if r.Verdict == Healthy {
			r.FlowPaused = r.track.paused
			r.judgeStuck(all, now, gap, canary)
		}
		changed = changed || was != (r.Stuck != "") || alone != r.StuckAlone
	}
	return changed
}

// judgeStuck asks the canary first: it has tried.
func (r *record) judgeStuck(all []*record, now time.Time, gap time.Duration, canary *CanaryConfig) {
	if r.hang.why != "" {
		r.Stuck, r.StuckAlone = r.hang.why, r.othersCommit(all, now, canary)
		return
	}
	r.proof = time.Time{}
	if r.Stuck = r.waits(now, gap); r.Stuck != "" {
		r.StuckAlone = true
		return
	}
	for _, other := range all {
		if by, stuck := stuckBehind(&r.track, &other.track, now, gap); stuck && other.Verdict == Healthy {
			r.StuckAlone = true
			r.Stuck = fmt.Sprintf("its own commits hang: it has committed nothing for %.1f s while %s went on by %d write sets",
				now.Sub(r.track.samples[0].asked).Seconds(), other.Node, by)
			return
		}
	}
}

// othersCommit tells whether the hang is the node's own: a canary of another node of
// its history committed when this one's waited already, and this one has not followed
// since. The last commit before a pause of the whole cluster proves nothing, and it
// may have begun at the same moment as the hanging one; when such a pause ends, all
// commits are released together. Hence settle, twice. Once proven it holds for as
// long as the hang lasts and another node commits.
func (r *record) othersCommit(all []*record, now time.Time, canary *CanaryConfig) bool {
	going := false
	for _, other := range all {
		if other == r || other.Verdict != Healthy || !strings.EqualFold(other.StateUUID, r.StateUUID) ||
			other.hang.why != "" || now.Sub(other.CanaryAt) > canary.fresh() ||
			other.CanaryAt.Sub(r.hang.since) < max(canary.Deadline-settle, settle) {
			continue
		}
		going = true
		if r.proof.IsZero() {
			r.proof = other.CanaryAt
		}
	}
	return going && now.Sub(r.proof) >= settle
}
