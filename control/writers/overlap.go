package writers

import (
	"cmp"
	"slices"
	"time"
)

// scatter is how many times its uncertainty an overlap at a hand-over must exceed.
const scatter = 1.5

// appendOverlaps appends the times in which runs of two nodes overlap. They may
// overlap each other.
func appendOverlaps(overlaps []span, runs []run) []span {
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if a.node == b.node {
				continue
			}
			if b.from < a.from {
				overlaps = append(overlaps, overlap(b, a))
			} else {
				overlaps = append(overlaps, overlap(a, b))
			}
		}
	}
	return slices.DeleteFunc(overlaps, func(s span) bool { return s.to <= s.from })
}

// overlap is when both of two runs were, of which the second begins later. If it
// ends later too this may be a clean hand-over, and an overlap shorter than two
// readings may come from the uncertainty of the edges: what that explains is taken
// off.
func overlap(first, second run) span {
	o := span{second.from, min(first.to, second.to)}
	if second.to > first.to && o.to-o.from < 2*Interval {
		o.from += time.Duration(scatter * float64(hypot(first.toError, second.fromError)))
	}
	return o
}

// covered is how much of a time lies in at least one of the spans, which it sorts.
func covered(spans []span, within span) time.Duration {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	total, end := time.Duration(0), within.from
	for _, s := range spans {
		from, to := max(s.from, end), min(s.to, within.to)
		if to > from {
			total += to - from
			end = to
		}
	}
	return total
}
