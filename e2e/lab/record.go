package lab

import (
	"slices"
	"strings"
	"time"
)

// directPrefix begins the Via of clients that go straight to a node.
const directPrefix = "direct:"

// Commit is one transaction that a client sent. All times are since the load's start, by a monotonic clock.
type Commit struct {
	// Via is the proxy ("px0"), or for a client straight to a node "direct:" and the node's name.
	Via string
	// Client is the client's number among those of the same Via.
	Client int
	// Seq counts the client's transactions. None is ever sent twice: after an error the next one has a new number.
	Seq int64
	// Start is when the transaction was begun.
	Start time.Duration
	// Ack is when its commit was acknowledged, or when it failed.
	Ack time.Duration
	// Node is the node that took it, read back from the row within the transaction. Empty if that was not reached.
	Node string
	// Err is empty for an acknowledged commit. One with an error may be in the database or not: nobody was promised.
	Err string
	// Seqno is the commit's place in the order of all commits of the cluster (see gtidSeqno), 0 if it is not known.
	Seqno int64
	// Got is when a pool's writer had a connection, 0 if it got none. A load's clients have theirs before Start.
	Got time.Duration
	// Failed is how far a transaction that failed had come. Empty for one that was sent in one packet.
	Failed Stage
}

// Stage is a part of a transaction.
type Stage string

// Stages of a pool's transaction, in their order.
const (
	// AtConnect: no connection could be had, or it was found broken before anything was sent.
	AtConnect Stage = "connect"
	// AtBegin: BEGIN was sent and not answered. The application sees an error though nothing was begun.
	AtBegin Stage = "begin"
	// AtStatement: an open transaction was lost before its COMMIT was sent, or its connection was closed by then.
	AtStatement Stage = "statement"
	// AtCommit: COMMIT was sent and not answered: it may be in the database.
	AtCommit Stage = "commit"
)

// Acked tells whether the commit was acknowledged.
func (c Commit) Acked() bool { return c.Err == "" }

// Direct tells whether the client went straight to a node.
func (c Commit) Direct() bool { return strings.HasPrefix(c.Via, directPrefix) }

// Connection is one attempt of a client to connect.
type Connection struct {
	Via string
	// Client is the client's number, -1 for a connection of a pool, which serves many.
	Client int
	// Start is when the connection was begun, before its SYN was sent.
	Start time.Duration
	// Greeted is when the node's greeting was read, 0 if none came.
	Greeted time.Duration
	// End is when the connection was closed or given up, 0 while it is open.
	End time.Duration
	// Node is the node that greeted. Empty if none did.
	Node string
	// Err says why the connection could not be used, "" if it could.
	Err string
}

// Direct tells whether the client went straight to a node.
func (c Connection) Direct() bool { return strings.HasPrefix(c.Via, directPrefix) }

// Mark is a moment that the scenario gave a name to.
type Mark struct {
	Name string
	At   time.Duration
}

// Log is all that a load's clients have written down. The judge's functions are its methods: pure, and none changes it.
type Log struct {
	// Run tells the rows of several loads in one table apart.
	Run string
	// Commits are in the order of Ack.
	Commits []Commit
	// Connections are in the order of Start.
	Connections []Connection
	// Marks are in the order in which they were made.
	Marks []Mark
	// Vias are all proxies and direct clients that took part, whether anything went through them or not.
	Vias []string
	// End is when the load was stopped.
	End time.Duration
}

// Key identifies a commit within a run.
type Key struct {
	Via    string
	Client int
	Seq    int64
}

// Key returns the commit's key.
func (c Commit) Key() Key { return Key{c.Via, c.Client, c.Seq} }

// sorted puts the log in order.
func (l *Log) sorted() {
	slices.SortStableFunc(l.Commits, func(a, b Commit) int { return compare(a.Ack, b.Ack) })
	slices.SortStableFunc(l.Connections, func(a, b Connection) int { return compare(a.Start, b.Start) })
}

func compare(a, b time.Duration) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// At returns the time of a mark, the last one of that name.
func (l *Log) At(mark string) (time.Duration, bool) {
	for i := len(l.Marks) - 1; i >= 0; i-- {
		if l.Marks[i].Name == mark {
			return l.Marks[i].At, true
		}
	}
	return 0, false
}
