package lab

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Outage returns the longest time in which nothing was acknowledged through a proxy (or to a direct client) during
// the whole run: from one acknowledgement to the next, from the last one to the end. What was before the first one
// does not count, unless there was none at all: then it is the whole run.
func (l *Log) Outage(via string) time.Duration { return l.outage(via, 0) }

// OutageAfter is Outage for what happened after a mark: of all gaps that end after it, the longest, in full length
// (a gap that spans the mark began at the last acknowledgement before it). A mark that was never made counts as the
// start of the run.
func (l *Log) OutageAfter(via, mark string) time.Duration {
	at, _ := l.At(mark)
	return l.outage(via, at)
}

func (l *Log) outage(via string, after time.Duration) time.Duration {
	last := time.Duration(-1)
	var longest time.Duration
	for _, c := range l.Commits {
		if c.Via != via || !c.Acked() {
			continue
		}
		if last >= 0 && c.Ack >= after {
			longest = max(longest, c.Ack-last)
		}
		last = c.Ack
	}
	if last < 0 {
		return l.End
	}
	return max(longest, l.End-last)
}

// Floor is the shortest outage after a mark that a direct client saw: Galera's own share. False if there was none.
func (l *Log) Floor(mark string) (time.Duration, bool) {
	var floor time.Duration
	found := false
	for _, via := range l.Vias {
		if strings.HasPrefix(via, directPrefix) {
			if o := l.OutageAfter(via, mark); !found || o < floor {
				floor, found = o, true
			}
		}
	}
	return floor, found
}

// Worst returns the longest OutageAfter of all proxies, and whose it was.
func (l *Log) Worst(mark string) (via string, outage time.Duration) {
	for _, v := range l.Vias {
		if o := l.OutageAfter(v, mark); !strings.HasPrefix(v, directPrefix) && (via == "" || o > outage) {
			via, outage = v, o
		}
	}
	return via, outage
}

// writerGap is how long a writing node may be silent and still count as writing.
const writerGap = 250 * time.Millisecond

// Run is a time in which one node took commits without a pause longer than 250 ms: from the acknowledgement of the
// first to that of the last.
type Run struct {
	Node        string
	First, Last time.Duration
	Commits     int
}

// Runs returns the runs of all nodes through a proxy, "" for all proxies together, in the order of their beginning.
// Direct clients never count.
func (l *Log) Runs(via string) []Run {
	var done []Run
	open := map[string]*Run{}
	for _, c := range l.Commits {
		if !c.Acked() || c.Direct() || via != "" && c.Via != via {
			continue
		}
		r := open[c.Node]
		if r != nil && c.Ack-r.Last <= writerGap {
			r.Last = c.Ack
			r.Commits++
			continue
		}
		if r != nil {
			done = append(done, *r)
		}
		open[c.Node] = &Run{Node: c.Node, First: c.Ack, Last: c.Ack, Commits: 1}
	}
	for _, r := range open {
		done = append(done, *r)
	}
	slices.SortFunc(done, func(a, b Run) int {
		return cmp.Or(compare(a.First, b.First), compare(a.Last, b.Last), cmp.Compare(a.Node, b.Node))
	})
	return done
}

// Overlap is a time in which two or more nodes took commits.
type Overlap struct {
	From, To time.Duration
	Nodes    []string
}

// TwoWriters is how long, and how much, several nodes took commits through the proxies at once.
type TwoWriters struct {
	// Total is the sum of all overlaps.
	Total time.Duration
	// Longest is the longest single overlap.
	Longest time.Duration
	// Overlaps are the times in which runs of at least two nodes overlap.
	Overlaps []Overlap
	// Strays is the number of commits acknowledged strictly inside a run of another node, of two such runs those of
	// the one with fewer commits. It is more than 0 where a single commit, too short for a time, went elsewhere.
	Strays int
}

// TwoWriters judges the whole run. Two nodes write at once while runs (see Run) of both overlap: a run lasts from its
// first acknowledgement to its last, so a planned move whose last commit on the old node is acknowledged 3 ms after
// the first one on the new node has 3 ms. An acknowledgement comes at most one round trip after its commit, and that
// much is the error of the figure. Direct clients never count.
func (l *Log) TwoWriters() TwoWriters {
	runs := l.Runs("")
	var points []time.Duration
	for _, r := range runs {
		points = append(points, r.First, r.Last)
	}
	slices.Sort(points)
	points = slices.Compact(points)
	var result TwoWriters
	for i := 0; i+1 < len(points); i++ {
		nodes := map[string]bool{}
		for _, r := range runs {
			if r.First <= points[i] && r.Last >= points[i+1] && r.First < r.Last {
				nodes[r.Node] = true
			}
		}
		if len(nodes) < 2 {
			continue
		}
		names := slices.Sorted(maps.Keys(nodes))
		if last := len(result.Overlaps) - 1; last >= 0 && result.Overlaps[last].To == points[i] &&
			slices.Equal(result.Overlaps[last].Nodes, names) {
			result.Overlaps[last].To = points[i+1]
			continue
		}
		result.Overlaps = append(result.Overlaps, Overlap{From: points[i], To: points[i+1], Nodes: names})
	}
	for _, o := range result.Overlaps {
		result.Total += o.To - o.From
		result.Longest = max(result.Longest, o.To-o.From)
	}
	result.Strays = l.strays(runs)
	return result
}

// strays counts, for each pair of runs of different nodes, the commits of the shorter run strictly inside the other.
func (l *Log) strays(runs []Run) int {
	total := 0
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if a.Node != b.Node {
				if a.Commits < b.Commits {
					total += l.inside(a, b)
				} else {
					total += l.inside(b, a)
				}
			}
		}
	}
	return total
}

// inside counts the commits of a run strictly between the first and last of another.
func (l *Log) inside(run, other Run) int {
	n := 0
	for _, c := range l.Commits {
		if c.Acked() && !c.Direct() && c.Node == run.Node && c.Ack >= run.First && c.Ack <= run.Last &&
			c.Ack > other.First && c.Ack < other.Last {
			n++
		}
	}
	return n
}

// Path returns the nodes in the order in which they took commits through a proxy ("" for all), repetitions left out.
// While two nodes write at once every change counts; see SettledPath.
func (l *Log) Path(via string) []string {
	var path []string
	for _, c := range l.Commits {
		if c.Acked() && !c.Direct() && (via == "" || c.Via == via) && (len(path) == 0 || path[len(path)-1] != c.Node) {
			path = append(path, c.Node)
		}
	}
	return path
}

// SettledPath is Path by runs: the nodes in the order in which their runs began, without the jitter of the moment in
// which a move happens, and without runs that lie wholly inside another node's (those are strays, see TwoWriters).
// A failover is [old new]; a second one, or a bounce, has more.
func (l *Log) SettledPath(via string) []string {
	runs := l.Runs(via)
	var path []string
	for i, r := range runs {
		within := slices.ContainsFunc(runs, func(o Run) bool {
			return o.Node != r.Node && o.First < r.First && o.Last > r.Last
		})
		if !within && (len(path) == 0 || path[len(path)-1] != runs[i].Node) {
			path = append(path, r.Node)
		}
	}
	return path
}

// Wrong returns the connections through proxies that began at or after a time and were greeted by another node than
// the one they should have reached.
func (l *Log) Wrong(after time.Duration, node string) []Connection {
	var wrong []Connection
	for _, c := range l.Connections {
		if !c.Direct() && c.Start >= after && c.Node != "" && c.Node != node {
			wrong = append(wrong, c)
		}
	}
	return wrong
}

// WrongCommits returns the acknowledged commits through proxies that were begun at or after a time and were taken by
// another node.
func (l *Log) WrongCommits(after time.Duration, node string) []Commit {
	var wrong []Commit
	for _, c := range l.Commits {
		if c.Acked() && !c.Direct() && c.Start >= after && c.Node != node {
			wrong = append(wrong, c)
		}
	}
	return wrong
}

// Missing returns the acknowledged commits, direct ones included, whose row is not among those of a node.
func (l *Log) Missing(rows map[Key]string) []Commit {
	var missing []Commit
	for _, c := range l.Commits {
		if _, ok := rows[c.Key()]; c.Acked() && !ok {
			missing = append(missing, c)
		}
	}
	return missing
}

// Acked counts the acknowledged commits through a proxy or of a direct client.
func (l *Log) Acked(via string) int {
	n := 0
	for _, c := range l.Commits {
		if c.Via == via && c.Acked() {
			n++
		}
	}
	return n
}

// String is a summary for people: one line per proxy and direct client, one for all.
func (l *Log) String() string {
	var b strings.Builder
	for _, via := range l.Vias {
		failed, connections := 0, 0
		for _, c := range l.Commits {
			if c.Via == via && !c.Acked() {
				failed++
			}
		}
		for _, c := range l.Connections {
			if c.Via == via {
				connections++
			}
		}
		fmt.Fprintf(&b, "%-12s %6d commits, %4d failed, %5d connections, longest outage %7.1f ms",
			via, l.Acked(via), failed, connections, milliseconds(l.Outage(via)))
		if path := l.SettledPath(via); len(path) > 0 {
			fmt.Fprintf(&b, ", path %s", strings.Join(path, " > "))
		}
		b.WriteByte('\n')
	}
	two := l.TwoWriters()
	fmt.Fprintf(&b, "%-12s path %s, two writers for %.1f ms (%d stray commits)\n", "all",
		strings.Join(l.SettledPath(""), " > "), milliseconds(two.Total), two.Strays)
	return b.String()
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
