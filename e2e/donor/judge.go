package donor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// The moments of a rejoin: the active is killed, the move has settled and it is started
// again, everything is as before.
const (
	killed   = "killed"
	returned = "returned"
	over     = "over"
)

// round is one rejoin.
type round struct {
	number        int
	killed, donor string // nodes
	given         lab.Donation
	// atCrash and atDonor are the decisions before and after the node's return, in their order.
	atCrash, atDonor []api.Decision
}

// mark is the name of a moment of this round in the log.
func (r round) mark(moment string) string { return fmt.Sprintf("%s %d", moment, r.number) }

func (r round) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s killed, %s was a donor for %v", r.killed, r.donor, r.given.Long.Round(10*time.Millisecond))
	for _, d := range r.atCrash {
		fmt.Fprintf(&b, "; crash: %s to %s (%s)", d.Kind, d.Active, d.Reason)
	}
	for _, d := range r.atDonor {
		fmt.Fprintf(&b, "; donor: %s to %s (%s)", d.Kind, d.Active, d.Reason)
	}
	return b.String()
}

// Figures are what clients saw of one part of all rejoins.
type Figures struct {
	// Moves counts the decisions by their kind.
	Moves map[string]int
	// Failed counts transactions that the application saw failing, Avoidable those of
	// them that need not have failed.
	Failed, Avoidable int
	// How counts the avoidable ones by how far they were, how long they had been open, and what the application was told.
	How map[string]int
	// Gap is the longest time without a commit through one proxy.
	Gap time.Duration
}

// moves is how many decisions there were.
func (f Figures) moves() (n int) {
	for _, of := range f.Moves {
		n += of
	}
	return n
}

// kinds are the moves as a text.
func (f Figures) kinds() string {
	if len(f.Moves) == 0 {
		return "none"
	}
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(f.Moves)) {
		out = append(out, fmt.Sprintf("%d %s", f.Moves[kind], kind))
	}
	return strings.Join(out, ", ")
}

// Result is what came of a combination.
type Result struct {
	Combination Combination
	Rejoins     int
	// Crash is from the kill to the node's return, Donor from there until all is as before.
	Crash, Donor Figures
	// Given is the shortest and the longest time that the active was a donor.
	Given [2]time.Duration
	// TwoWriters is how long two nodes took commits, Strays how many lay inside another node's.
	TwoWriters time.Duration
	Strays     int
	// Lost counts acknowledged commits that some node lacks.
	Lost int
	// Wrong says what is not as it must be, a sentence each.
	Wrong []string
}

// judge reads the clients' log. It is pure.
func judge(c Combination, log *lab.Log, rounds []round, lost int) Result {
	two := log.TwoWriters()
	r := Result{Combination: c, Rejoins: len(rounds), TwoWriters: two.Total, Strays: two.Strays, Lost: lost,
		Crash: Figures{Moves: map[string]int{}, How: map[string]int{}}, Donor: Figures{Moves: map[string]int{}, How: map[string]int{}}}
	path := []string{}
	for i, one := range rounds {
		if i == 0 {
			path = append(path, one.killed)
			r.Given = [2]time.Duration{one.given.Long, one.given.Long}
		}
		r.Given = [2]time.Duration{min(r.Given[0], one.given.Long), max(r.Given[1], one.given.Long)}
		for _, d := range slices.Concat(one.atCrash, one.atDonor) {
			path = append(path, d.Active)
		}
		r.Wrong = append(r.Wrong, one.wrong()...)
		at, _ := log.At(one.mark(killed))
		back, _ := log.At(one.mark(returned))
		end, _ := log.At(one.mark(over))
		r.Crash.add(log, at, back, one.atCrash, func(c lab.Commit) bool { return c.Start > at+noticed })
		r.Donor.add(log, back, end, one.atDonor, func(t lab.Commit) bool {
			standing := c.Transfer == lab.RSync && (t.Failed == lab.AtCommit || t.Ack-t.Start > stands)
			beginning := t.Failed == lab.AtStatement && t.Ack-t.Start < begins
			return t.Failed == lab.AtConnect || t.Node != "" && !standing && !beginning
		})
	}
	if got := log.SettledPath(""); !slices.Equal(got, path) {
		r.wrong("the commits went %s, decided was %s", strings.Join(got, " > "), strings.Join(path, " > "))
	}
	if r.TwoWriters > 0 {
		r.wrong("two nodes took commits for %v", r.TwoWriters.Round(time.Millisecond))
	}
	if r.Lost > 0 {
		r.wrong("%d acknowledged commits are lost", r.Lost)
	}
	if r.Donor.Avoidable > 0 {
		r.wrong("%d transactions failed at the donor's time: %v", r.Donor.Avoidable, r.Donor.How)
	}
	return r
}

func (r *Result) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

// wrong says where a round has other moves than one for the crash and at most one, drained, for the donor.
func (r round) wrong() (out []string) {
	if len(r.atCrash) != 1 || r.atCrash[0].Kind != model.KindFailover {
		out = append(out, fmt.Sprintf("rejoin %d: %d moves for the crash", r.number+1, len(r.atCrash)))
	}
	if len(r.atDonor) > 1 {
		out = append(out, fmt.Sprintf("rejoin %d: %d moves for the donor", r.number+1, len(r.atDonor)))
	}
	for _, d := range r.atDonor {
		if !drained(d) {
			out = append(out, fmt.Sprintf("rejoin %d: a second failover, %s from %s to %s: %s", r.number+1, d.Kind, d.From, d.Active, d.Reason))
		}
	}
	return out
}

// stands is longer than any transaction of the load is open by itself.
const stands = time.Second

// begins is how long after its BEGIN the load's first statement has ended where nothing holds it up.
const begins = 100 * time.Millisecond

// noticed is how long after a crash of the active every proxy may still lead to it (docs/moves.md, "Failover").
const noticed = 200 * time.Millisecond

// add counts what happened between two moments. A transaction of an application need not have failed where avoidable
// says so: at a crash, where it was begun after the crash was noticed; at the donor's time, where it was open or found
// no connection at all. What met the close of an idle connection at its beginning, up to its first statement, is the
// documented race (docs/moves.md, "Which sessions are in a transaction"); and a COMMIT
// or a write that stands still on the donor while rsync copies ends by failing, or as a second writer's.
func (f *Figures) add(log *lab.Log, from, to time.Duration, moves []api.Decision, avoidable func(lab.Commit) bool) {
	for _, d := range moves {
		f.Moves[d.Kind]++
	}
	for _, c := range log.Commits {
		if c.Direct() || c.Acked() || c.Ack < from || c.Ack > to {
			continue
		}
		f.Failed++
		if avoidable(c) {
			f.Avoidable++
			f.How[fmt.Sprintf("%s after %v: %s", c.Failed, (c.Ack-c.Start).Round(time.Millisecond), c.Err)]++
		}
	}
	for _, via := range log.Vias {
		f.Gap = max(f.Gap, gap(log, via, from, to))
	}
}

// gap is the longest part of a time in which nothing was acknowledged through a proxy.
func gap(log *lab.Log, via string, from, to time.Duration) time.Duration {
	longest, last := time.Duration(0), from
	for _, c := range log.Commits {
		if c.Via == via && c.Acked() && c.Ack > from && c.Ack < to {
			longest, last = max(longest, c.Ack-last), c.Ack
		}
	}
	return max(longest, to-last)
}

// Header is the head of the table that Row's rows make.
const Header = "| transfer | check | inter | file | HAProxy | rejoins | moves, crash | moves, donor | drained | donor for " +
	"| failed, crash (avoidable) | failed, donor (avoidable) | two writers | lost | longest gap, crash / donor | |\n" +
	"|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"

// Row is the result as a row of a markdown table.
func (r Result) Row() string {
	drainedMoves := r.Donor.Moves[model.KindPlanned] + r.Donor.Moves[model.KindDeparture]
	verdict := "ok"
	if len(r.Wrong) > 0 {
		verdict = "**wrong**"
	}
	c := r.Combination
	cells := []string{string(c.Transfer), string(c.Check), c.Inter.String(), string(c.File), c.HAProxy, strconv.Itoa(r.Rejoins),
		r.Crash.kinds(), r.Donor.kinds(), fmt.Sprintf("%d of %d", drainedMoves, r.Donor.moves()),
		fmt.Sprintf("%.1f to %.1f s", r.Given[0].Seconds(), r.Given[1].Seconds()), r.Crash.failures(), r.Donor.failures(),
		fmt.Sprintf("%d ms", r.TwoWriters.Milliseconds()), strconv.Itoa(r.Lost),
		fmt.Sprintf("%.1f / %.1f s", r.Crash.Gap.Seconds(), r.Donor.Gap.Seconds()), verdict}
	return "| " + strings.Join(cells, " | ") + " |"
}

func (f Figures) failures() string { return fmt.Sprintf("%d (%d)", f.Failed, f.Avoidable) }
