package load

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Verdict is what clients saw in a part of a log.
type Verdict struct {
	// Commits is the number of acknowledged ones, of all clients.
	Commits int
	// Outage is the longest time in which nobody's commit was acknowledged.
	Outage time.Duration
	// Worst is the longest time in which one single client (or the pool) had none, and Whose it was.
	Worst time.Duration
	Whose string
	// Path are the nodes in the order in which they took commits, strays left out.
	Path []string
	// Two is how long two nodes took commits at once.
	Two lab.TwoWriters
	// Connections are failures of the workers that connect anew, Pool those of the pool. Of these,
	// Pool.Transactions() had been begun on a connection that was tested just before.
	Connections, Pool lab.Failures
	// Long are the pool's failures in the writer with long transactions.
	Long lab.Failures
}

// Judge goes through a part of a log, from a moment (lab.Log.End is the other end).
func Judge(log *lab.Log, from time.Duration) Verdict {
	v := Verdict{Path: log.SettledPath(""), Two: log.TwoWriters(),
		Connections: only(log, ViaConnections).Failures("", ""), Pool: only(log, ViaPool).Failures("", ""),
		Long: only(log, ViaLong).Failures("", "")}
	last := map[string]time.Duration{}
	all := from
	for _, c := range log.Commits {
		if !c.Acked() {
			continue
		}
		v.Commits++
		v.Outage = max(v.Outage, c.Ack-all)
		all = c.Ack
		if c.Via == ViaLong {
			continue // it is silent for as long as a transaction takes
		}
		who := whose(c)
		v.worst(who, c.Ack-max(last[who], from))
		last[who] = c.Ack
	}
	v.Outage = max(v.Outage, log.End-all)
	for who, at := range last {
		v.worst(who, log.End-at)
	}
	return v
}

func (v *Verdict) worst(who string, silent time.Duration) {
	if silent > v.Worst {
		v.Worst, v.Whose = silent, who
	}
}

// whose names a client; the pool's writers share their connections and so count as one.
func whose(c lab.Commit) string {
	if c.Via == ViaPool {
		return ViaPool
	}
	return fmt.Sprintf("%s-%d", c.Via, c.Client)
}

// only returns the part of a log that one kind of clients wrote.
func only(log *lab.Log, via string) *lab.Log {
	part := *log
	part.Commits = slices.DeleteFunc(slices.Clone(log.Commits), func(c lab.Commit) bool { return c.Via != via })
	part.Connections = slices.DeleteFunc(slices.Clone(log.Connections), func(c lab.Connection) bool { return c.Via != via })
	return &part
}

// Failed tells in words which transactions failed and where; "0" for none.
func Failed(f lab.Failures) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{f.NoConnection, "no connection"}, {f.Begins, "at begin"}, {f.Statements, "in the transaction"},
		{f.Commits, "at commit"}, {f.Unknown, "in one packet"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// Lost returns the acknowledged commits of a log whose rows are not there.
func Lost(log *lab.Log, rows map[lab.Key]bool) []lab.Commit {
	var lost []lab.Commit
	for _, c := range log.Commits {
		if c.Acked() && !rows[c.Key()] {
			lost = append(lost, c)
		}
	}
	return lost
}

// sourcePort is what makes the same error another text each time.
var sourcePort = regexp.MustCompile(`[0-9.]+:[0-9]+->`)

// Errors counts what clients were told, of transactions and of attempts to connect, as "pool: commit: invalid
// connection": whether it was the database's, the proxies' or the cluster's own doing shows in the words.
func Errors(log *lab.Log) map[string]int {
	counts := map[string]int{}
	for _, c := range log.Commits {
		if !c.Acked() {
			counts[c.Via+": "+string(c.Failed)+": "+sourcePort.ReplaceAllString(c.Err, "")]++
		}
	}
	for _, c := range log.Connections {
		if c.Err != "" {
			counts[c.Via+": connecting: "+sourcePort.ReplaceAllString(c.Err, "")]++
		}
	}
	return counts
}
