// Package writers measures how long two nodes take commits through the proxies
// at once. It is pure: no clock, no I/O; the caller gives every time.
//
// # What is measured
//
// The figure is that of the end-to-end tests' judge (e2e/lab, TwoWriters): a node
// writes from the first commit of a run to the last, a run has no pause of more
// than 250 ms, and where runs of two nodes overlap there are two writers. The judge
// sees the clients' acknowledgements. A daemon sees the nodes' counters of
// replicated write sets (wsrep_replicated), about every 100 ms, and how many
// sessions each proxy has to each node.
//
// # How
//
// Between two readings a counter tells how many commits there were, not when. In
// the middle of a run that does not matter. At its edges the time is interpolated:
// k commits in the edge's interval, at the rate r of the intervals inside the run,
// take k/r of it. What remains is the scatter of single commits, so an overlap at a
// hand-over (one run ends where the other begins) that the scatter explains counts
// as none: a clean planned move is 0, or rarely some milliseconds.
//
// A counter does not tell through whom a commit came. A node is taken for a writer
// only while a proxy has sessions to it. Views of sessions are late and brief
// sessions are between them, so a run that begins shortly before the sessions are
// seen, or ends within a second after they were seen to end, belongs to them as a
// whole. A run that was there before, or goes on afterwards, is somebody else's
// outside of them.
//
// What was not seen is not counted: an edge within a long gap of the readings is
// put to the gap's near end, and such a gap is within a run only if the counter
// grew as before and after it.
//
// # Limits
//
// A client that is connected straight to a node cannot be told from one that comes
// through a proxy which has sessions, be they idle, to the same node. wsrep_replicated
// counts DDL and the statements that are replicated like it (ANALYZE TABLE, FLUSH) as
// well; it does not count what is applied from other nodes.
//
// Whether silence of about 250 ms ended a run cannot be told from readings 100 ms
// apart. If this judges it otherwise than the judge of the end-to-end tests, their
// figures differ by the silence, which is more than 100 ms: on a busy machine 5 s
// with two writers were up to half a second off by such pauses.
package writers
