package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// figures are the distributions of each shape.
func figures(played []*round) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-18s %6s %7s %5s | %-24s | %-24s | %-24s | %-24s | %s\n", "shape", "rounds", "evicted", "wrong",
		"worst proxy p50 p99 max", "direct p50 p99 max", "end to order", "order to view", "rejoin (ms)")
	var names []string
	by := map[string][]*round{}
	for _, r := range played {
		if by[r.shape.name] == nil {
			names = append(names, r.shape.name)
		}
		by[r.shape.name] = append(by[r.shape.name], r)
	}
	for _, name := range names {
		evicted, wrong := 0, 0
		for _, r := range by[name] {
			if r.evicted {
				evicted++
			}
			if len(r.wrong) > 0 {
				wrong++
			}
		}
		fmt.Fprintf(&b, "%-18s %6d %7d %5d", name, len(by[name]), evicted, wrong)
		for _, of := range []func(*round) time.Duration{
			func(r *round) time.Duration { return r.outage }, func(r *round) time.Duration { return r.direct },
			func(r *round) time.Duration { return r.order }, func(r *round) time.Duration { return r.view },
			func(r *round) time.Duration { return r.rejoin },
		} {
			var all []time.Duration
			for _, r := range by[name] {
				if d := of(r); d > 0 {
					all = append(all, d)
				}
			}
			fmt.Fprintf(&b, " | %-24s", distribution(all))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// distribution is the median, the 99th percentile and the longest, in ms.
func distribution(all []time.Duration) string {
	if len(all) == 0 {
		return "-"
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[min(int(q*float64(len(all))), len(all)-1)]) / float64(time.Millisecond)
	}
	return fmt.Sprintf("%.0f %.0f %.0f", at(0.5), at(0.99), at(1))
}
