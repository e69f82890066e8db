package lab

import "time"

// HandOver is what a log says about a move of the writes from one node to another. Direct clients never count.
type HandOver struct {
	// LastOld is the last acknowledgement by the old node, FirstNew the first one by the new node.
	LastOld, FirstNew time.Duration
	// LastOldSeqno is the highest seqno of a commit on the old node, FirstNewSeqno the lowest one on the new node: the
	// order in which Galera itself committed. 0 where no seqno is known.
	LastOldSeqno, FirstNewSeqno int64
	// Unordered counts commits of which it is not known on which side of the hand-over they were: without a seqno (the
	// session was closed before it was read, or the COMMIT was never answered), and not placed by time either.
	Unordered int
}

// Pause is the time from the last acknowledgement by the old node to the first one by the new node, negative while
// both acknowledged.
func (h HandOver) Pause() time.Duration { return h.FirstNew - h.LastOld }

// InOrder tells whether it is proved that the last commit on the old node came before the first one on the new node,
// in Galera's own order.
func (h HandOver) InOrder() bool {
	return h.LastOldSeqno > 0 && h.FirstNewSeqno > h.LastOldSeqno && h.Unordered == 0
}

// HandOver judges a move from a node to another, and returns false unless both took commits. A log of several moves is
// to be cut first (Between).
func (l *Log) HandOver(from, to string) (HandOver, bool) {
	var h HandOver
	var lastOld, firstNew Commit // by seqno
	old, fresh := false, false
	for _, c := range l.Commits {
		if c.Direct() || !c.Acked() {
			continue
		}
		switch c.Node {
		case from:
			h.LastOld, old = max(h.LastOld, c.Ack), true
			if c.Seqno > lastOld.Seqno {
				lastOld = c
			}
		case to:
			if !fresh || c.Ack < h.FirstNew {
				h.FirstNew, fresh = c.Ack, true
			}
			if c.Seqno > 0 && (firstNew.Seqno == 0 || c.Seqno < firstNew.Seqno) {
				firstNew = c
			}
		}
	}
	if !old || !fresh {
		return HandOver{}, false
	}
	h.LastOldSeqno, h.FirstNewSeqno = lastOld.Seqno, firstNew.Seqno
	for _, c := range l.Commits {
		// A transaction that failed before its COMMIT was sent was rolled back, whatever happened then.
		if c.Direct() || c.Seqno > 0 || c.Failed == AtStatement {
			continue
		}
		// A commit that was acknowledged before another one was begun has the lower seqno.
		before := c.Acked() && firstNew.Seqno > 0 && c.Ack <= firstNew.Start
		after := lastOld.Seqno > 0 && c.Start >= lastOld.Ack
		// One packet that was lost with its answer may have been committed anywhere.
		lost := c.Node == "" && c.Failed == "" && !c.Acked()
		if c.Node == from && !before || c.Node == to && !after || lost {
			h.Unordered++
		}
	}
	return h, true
}

// window returns the times of two marks, the start and the end of the run for "".
func (l *Log) window(from, to string) (begin, end time.Duration) {
	end = l.End
	if from != "" {
		begin, _ = l.At(from)
	}
	if at, ok := l.At(to); to != "" && ok {
		end = at
	}
	return begin, end
}

// Between returns the part of a log between two marks, "" being the start and the end of the run: the transactions that
// ended in it and the connections that were open in it, with their times as they were.
func (l *Log) Between(from, to string) *Log {
	begin, end := l.window(from, to)
	part := *l
	part.Commits, part.Connections, part.End = nil, nil, end
	for _, c := range l.Commits {
		if c.Ack >= begin && c.Ack <= end {
			part.Commits = append(part.Commits, c)
		}
	}
	for _, c := range l.Connections {
		if c.Start <= end && (c.End == 0 || c.End >= begin) {
			part.Connections = append(part.Connections, c)
		}
	}
	return &part
}

// Failures counts what went wrong for clients, by where it did. Direct clients never count.
type Failures struct {
	// Connections are attempts to connect that failed. database/sql hides up to two of them from its application.
	Connections int
	// NoConnection are transactions that got no connection.
	NoConnection int
	// Begins were refused at BEGIN, Statements lost within the transaction, Commits not answered at COMMIT.
	Begins, Statements, Commits int
	// Unknown are failed transactions that were sent in one packet (LoadConfig.Hold 0).
	Unknown int
}

// Transactions are those that failed after something was sent for them.
func (f Failures) Transactions() int { return f.Begins + f.Statements + f.Commits + f.Unknown }

// Failures counts the failures that came to light between two marks, "" being the start and the end of the run.
func (l *Log) Failures(from, to string) Failures {
	begin, end := l.window(from, to)
	var f Failures
	for _, c := range l.Connections {
		if !c.Direct() && c.Err != "" && c.End >= begin && c.End <= end {
			f.Connections++
		}
	}
	counts := map[Stage]*int{AtConnect: &f.NoConnection, AtBegin: &f.Begins, AtStatement: &f.Statements,
		AtCommit: &f.Commits, "": &f.Unknown}
	for _, c := range l.Commits {
		if !c.Direct() && !c.Acked() && c.Ack >= begin && c.Ack <= end {
			*counts[c.Failed]++
		}
	}
	return f
}

// LongestGreeting returns the connection through a proxy that waited longest for its greeting between two marks, ""
// being the start and the end of the run, and how long: from connect to the greeting, to the end of an attempt that got
// none, or to the end of the run. HAProxy accepts at once, so that is how long it held a client. A wait that began
// before the first mark counts in full.
func (l *Log) LongestGreeting(from, to string) (time.Duration, Connection) {
	begin, end := l.window(from, to)
	var longest time.Duration
	var which Connection
	for _, c := range l.Connections {
		until := c.Greeted
		if until == 0 {
			until = c.End
		}
		if until == 0 {
			until = l.End
		}
		if wait := until - c.Start; !c.Direct() && c.Start <= end && until >= begin && wait > longest {
			longest, which = wait, c
		}
	}
	return longest, which
}

// LongestWait returns the transaction of a pool that waited longest until it had a connection, of those begun or
// served between two marks, and how long: what an application sees of a hold.
func (l *Log) LongestWait(from, to string) (time.Duration, Commit) {
	begin, end := l.window(from, to)
	var longest time.Duration
	var which Commit
	for _, c := range l.Commits {
		until := c.Got
		if until == 0 && c.Failed == AtConnect {
			until = c.Ack
		}
		if wait := until - c.Start; !c.Direct() && c.Start <= end && until >= begin && wait > longest {
			longest, which = wait, c
		}
	}
	return longest, which
}
