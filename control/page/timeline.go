package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

const (
	// day is what the line shows.
	day = 24 * time.Hour
	// mostListed is how many entries stand below it.
	mostListed = 60
	// near is how much of the line one dot takes, in percent: what is nearer stands in one.
	near = 1.2
)

// line is the last day: the newest on the right.
type line struct {
	Hours   []hour
	Dots    []dot
	Entries []entry // the newest first
	Left    int     // entries that are not listed
	Label   string
}

type hour struct {
	X    string // percent of the width
	Text string
}

// dot stands for one entry, or for several that are near each other. What it is about is told by its form, and by its row.
type dot struct {
	X, Text string
	Row     string // of the drawing: decision, order or event
	N       int
	at      float64
}

// entry is one decision, order or event.
type entry struct {
	At         time.Time
	Row, Title string
	Text       string
	who        string
}

// lineOf makes the line of what the history has.
func lineOf(h api.History, now time.Time) line {
	var all []entry
	for _, d := range h.Decisions {
		title := d.Kind
		if d.From != "" && d.From != d.Active {
			title += ": " + d.From + " → " + d.Active
		} else {
			title += ": " + d.Active
		}
		all = append(all, entry{At: d.At, Row: "decision", Title: title, Text: d.Reason, who: cmp.Or(d.OrderedBy, d.By)})
	}
	for _, o := range h.Orders {
		all = append(all, entry{At: o.At, Row: "order", Title: strings.TrimSpace(o.Kind + " " + o.What), Text: o.Reason, who: cmp.Or(o.OrderedBy, o.By)})
	}
	for _, e := range h.Events {
		all = append(all, entry{At: e.At, Row: "event", Text: e.Message})
	}
	all = slices.DeleteFunc(all, func(e entry) bool { return now.Sub(e.At) > day })
	slices.SortStableFunc(all, func(a, b entry) int { return b.At.Compare(a.At) })
	for i := range all {
		if all[i].who != "" {
			all[i].Text = strings.TrimPrefix(all[i].Text+" — "+all[i].who, " — ")
		}
	}
	l := line{Dots: dots(all, now), Entries: all}
	l.Label = fmt.Sprintf("the last 24 hours: %d decisions, %d orders, %d events", rows(all, "decision"), rows(all, "order"), rows(all, "event"))
	if len(all) > mostListed {
		l.Entries, l.Left = all[:mostListed], len(all)-mostListed
	}
	for ago := 24; ago >= 0; ago -= 6 {
		h := hour{X: percent(now.Add(-time.Duration(ago)*time.Hour), now), Text: fmt.Sprintf("%d h ago", ago)}
		if ago == 0 {
			h.Text = "now"
		}
		l.Hours = append(l.Hours, h)
	}
	return l
}

func rows(all []entry, row string) (n int) {
	for _, e := range all {
		if e.Row == row {
			n++
		}
	}
	return n
}

// dots joins what is near, each row by itself, from the oldest on.
func dots(all []entry, now time.Time) []dot {
	var out []dot
	last := map[string]int{}
	for _, e := range slices.Backward(all) {
		at := place(e.At, now)
		text := e.At.UTC().Format(time.TimeOnly) + " " + strings.TrimSpace(e.Title+" "+e.Text)
		if i, ok := last[e.Row]; ok && at-out[i].at < near {
			out[i].N++
			out[i].Text += "\n" + text
			continue
		}
		last[e.Row] = len(out)
		out = append(out, dot{X: percent(e.At, now), Row: e.Row, Text: text, N: 1, at: at})
	}
	return out
}

// place is where a time stands on the line, in percent. There is room for a dot at both ends.
func place(at, now time.Time) float64 {
	share := 1 - float64(now.Sub(at))/float64(day)
	return 2 + 96*min(max(share, 0), 1)
}

func percent(at, now time.Time) string { return fmt.Sprintf("%.2f%%", place(at, now)) }
