package writers

import (
	"math"
	"time"
)

// interval is the time between two readings of a node's counter.
type interval struct {
	from, to time.Duration
	// count is how much the counter grew.
	count float64
	// excess is count without the background's share.
	excess float64
	// commits is excess, or 0 if the background explains all of it or if the interval
	// is blind.
	commits float64
	// blind: the interval is long and not within a run, so nobody knows when in it
	// the counter grew.
	blind bool
}

func (i interval) length() time.Duration { return i.to - i.from }
func (i interval) active() bool          { return i.commits > 0 }

// rate is in commits per nanosecond.
func (i interval) rate() float64 { return i.count / float64(i.length()) }

// run is a time in which a node took commits.
type run struct {
	node     string
	from, to time.Duration
	// fromError and toError are how uncertain the edges are if commits are at random.
	fromError, toError time.Duration
	// fromStep and toStep are the time between two commits at the edges: how uncertain
	// they are if commits are even.
	fromStep, toStep time.Duration
}

const (
	// longIntervals is how many Intervals make a gap in the readings: one lost
	// reading, and another that is late, make none.
	longIntervals = 3.5
	// steady is the part of the rate around a long gap that must be kept up in it for
	// the gap to be within a run. A pause longer than the judge's would be unseen in a
	// gap, but one of a third of it would not.
	steady = 0.7
	// edgeIntervals is how many intervals inside a run its edges take their rate from.
	edgeIntervals = 5
	// quietIntervals is how many intervals without commits can be within a run.
	quietIntervals = 2
)

// split makes intervals of readings.
func (m *Meter) split(all []interval, samples []sample) []interval {
	for i := 1; i < len(samples); i++ {
		a, b := samples[i-1], samples[i]
		count := b.n - a.n
		if count < 0 {
			count = b.n // the node has begun at 0 again
		}
		all = append(all, interval{from: a.at, to: b.at, count: float64(max(count, 0))})
	}
	for i := range all {
		in := &all[i]
		in.excess = max(0, in.count-m.usual*in.length().Seconds())
		in.blind = float64(in.length()) > longIntervals*float64(Interval) && !goesOn(all, i)
		if !in.blind && !m.background(all, i) {
			in.commits = in.excess
		}
	}
	return all
}

// goesOn tells whether the counter grew in a long interval as it did around it.
func goesOn(all []interval, i int) bool {
	if i == 0 || i == len(all)-1 || all[i-1].count == 0 || all[i+1].count == 0 {
		return false
	}
	return all[i].rate() >= steady*min(all[i-1].rate(), all[i+1].rate())
}

// background tells whether what one is used to explains an interval's commits: if
// half a second from it on, or up to it, has no more than the background makes in a
// second. Both sides are tried, so that a run is not prolonged by what comes next
// to it.
func (m *Meter) background(all []interval, i int) bool {
	const window = 500 * time.Millisecond
	if all[i].count == 0 || m.usual == 0 {
		return false
	}
	usual := math.Ceil(m.usual)
	before, after := 0.0, 0.0
	for j := i; j >= 0 && all[i].to-all[j].from <= window; j-- {
		before += all[j].count
	}
	for j := i; j < len(all) && all[j].to-all[i].from <= window; j++ {
		after += all[j].count
	}
	// What comes after the newest readings is not known yet.
	return before <= usual || after <= usual && all[len(all)-1].to-all[i].from > window
}

// appendRuns appends the runs in a node's intervals.
func (m *Meter) appendRuns(runs []run, name string, all []interval) []run {
	first := len(runs)
	for a := 0; a < len(all); a++ {
		if !all[a].active() {
			continue
		}
		b := a
		for b+1 < len(all) && all[b+1].active() {
			b++
		}
		r := edges(all, a, b)
		r.node = name
		if last := len(runs) - 1; last >= first &&
			r.from-runs[last].to-hypot(r.fromStep, runs[last].toStep) <= pause {
			runs[last].to, runs[last].toError, runs[last].toStep = r.to, r.toError, r.toStep
		} else {
			runs = append(runs, r)
		}
		a = b
	}
	return runs
}

// edges is where a run of which the intervals a to b have commits, and those beside
// them none, begins and ends.
func edges(all []interval, a, b int) run {
	var r run
	if rate := rateInside(all, a, +1); rate > 0 {
		var taken time.Duration
		taken, r.fromError, r.fromStep = edge(all, a, -1, rate)
		r.from = all[a].to - taken
	} else {
		r.from = all[a].from + alone(all[a])
		r.fromError, r.fromStep = all[a].length()/3, all[a].length()/3
	}
	if rate := rateInside(all, b, -1); rate > 0 {
		var taken time.Duration
		taken, r.toError, r.toStep = edge(all, b, +1, rate)
		r.to = all[b].from + taken
	} else {
		r.to = all[b].to - alone(all[b])
		r.toError, r.toStep = all[b].length()/3, all[b].length()/3
	}
	if r.from > r.to {
		// One interval, and silence on both sides, or a single commit.
		r.from = (all[a].from + all[b].to) / 2
		r.to = r.from
	}
	return r
}

// edge is how long the commits of an edge's interval take at the rate of the run,
// and how uncertain that is (see run). The last of k even commits is expected half a commit
// before k/rate, but clients that began together commit together: of pairs it is a
// whole one, which errs by half a commit for single clients and for three. Commits which the background was taken to explain, in the interval
// beside it outside, count as well: they prolong a run by their own time only.
func edge(all []interval, i, outside int, rate float64) (taken, random, step time.Duration) {
	commits, limit := all[i].commits, all[i].length()
	if j := i + outside; j >= 0 && j < len(all) && all[j].excess > 0 && !all[j].blind {
		commits += all[j].excess
		limit += all[j].length()
	}
	taken = min(time.Duration(max(0, commits-1)/rate), limit)
	random = min(time.Duration(math.Sqrt(commits)/rate), all[i].length()/3)
	return taken, random, time.Duration(1 / rate)
}

// alone is what is left of an interval on either side of its commits if nothing is
// known of their rate: they are taken to be in the middle half.
func alone(i interval) time.Duration {
	share := max(0, i.count-1) / max(1, i.count)
	return time.Duration(math.Ceil((1 - share/2) / 2 * float64(i.length())))
}

// rateInside is the rate of a run, in commits per nanosecond, from the intervals
// beside an edge's interval i in one direction, or 0 if there are none.
func rateInside(all []interval, i, inside int) float64 {
	var commits, length, lastCommits, lastLength float64 // up to an interval with commits, and up to the one before
	quiet, seen, ended := 0, 0, true
	pending := 0.0
	for j := i + inside; j >= 0 && j < len(all); j += inside {
		if seen == edgeIntervals {
			ended = false
			break
		}
		if all[j].blind || quiet > quietIntervals {
			break
		}
		seen++
		pending += float64(all[j].length())
		if !all[j].active() {
			quiet++
			continue
		}
		quiet = 0
		lastCommits, lastLength = commits, length
		commits, length, pending = commits+all[j].commits, length+pending, 0
	}
	switch {
	case length == 0:
		return 0
	case !ended:
		return commits / length
	case lastLength > 0:
		return lastCommits / lastLength // without the other edge
	}
	// Two edges and nothing between: each is at most its interval long, and on
	// average three quarters of the longer one.
	return 4.0 / 3 * max(commits/length, all[i].commits/float64(all[i].length()))
}

// hypot is the uncertainty of a difference.
func hypot(a, b time.Duration) time.Duration {
	return time.Duration(math.Hypot(float64(a), float64(b)))
}
