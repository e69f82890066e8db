package writers_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/writers"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

const ms = time.Millisecond

// world is a made-up cluster: which node took a commit when, and what a daemon sees of that.
type world struct {
	commits  map[string][]commit
	sessions []view
	resets   map[string][]time.Duration // when a node's counter begins at 0 again
	blind    []span                     // when no node is read
	deaf     map[string][]span          // when one node is not read
	end      time.Duration

	background int           // see writers.New
	every      time.Duration // between readings; default 100 ms
	jitter     time.Duration // each reading is up to that much early or late; default 20 ms
	pace       time.Duration // between two calls of Advance; default 33 ms
	seed       uint64
	stopped    []span // when Advance is not called
}

type commit struct {
	at     time.Duration
	direct bool // not through a proxy
	other  bool // of nobody whom the judge knows: the canary
}

type span struct{ from, to time.Duration }

type view struct {
	at     time.Duration
	proxy  string
	byNode map[string]int
}

func newWorld(end time.Duration) *world {
	return &world{commits: map[string][]commit{}, resets: map[string][]time.Duration{}, deaf: map[string][]span{},
		end: end, every: 100 * ms, jitter: 20 * ms, pace: 33 * ms, seed: 1}
}

// write makes commits of a node at a rate per second: each client's evenly, or with scatter at random but without
// pauses of more than 150 ms.
func (w *world) write(node string, from, to time.Duration, rate float64, scatter bool, rng *rand.Rand) {
	step := time.Duration(float64(time.Second) / rate)
	at := from
	for at <= to {
		w.commits[node] = append(w.commits[node], commit{at: at})
		if scatter {
			at += max(time.Microsecond, min(150*ms, time.Duration(rng.ExpFloat64()*float64(step))))
		} else {
			at += step*8/10 + time.Duration(rng.Float64()*float64(step)*0.4)
		}
	}
}

// hold gives a proxy sessions to a node from a time until another, as seen late by a lag.
func (w *world) hold(proxy string, lag time.Duration, steps ...any) {
	for i := 0; i < len(steps); i += 2 {
		byNode := map[string]int{}
		for _, n := range steps[i+1].([]string) {
			byNode[n] = 3
		}
		w.sessions = append(w.sessions, view{steps[i].(time.Duration) + lag, proxy, byNode})
	}
}

// log is what the judge sees.
func (w *world) log() *lab.Log {
	l := &lab.Log{End: w.end}
	for node, commits := range w.commits {
		for _, c := range commits {
			via := "px0"
			if c.direct {
				via = "direct:" + node
			}
			if !c.other {
				l.Commits = append(l.Commits, lab.Commit{Via: via, Ack: c.at, Node: node})
			}
		}
	}
	slices.SortFunc(l.Commits, func(a, b lab.Commit) int { return cmp.Compare(a.Ack, b.Ack) })
	return l
}

// at is a moment of the world as the meter is told it.
func at(d time.Duration) time.Time { return time.Unix(1000, 0).Add(d) }

type event struct {
	at time.Duration
	do func()
}

// measure lets a meter look at the world, and returns its total.
func (w *world) measure() time.Duration {
	m := writers.New(w.background)
	rng := rand.New(rand.NewPCG(w.seed, 7))
	var events []event
	for _, commits := range w.commits {
		slices.SortFunc(commits, func(a, b commit) int { return cmp.Compare(a.at, b.at) })
	}
	nodes := []string{"db0", "db1", "db2"}
	for _, node := range nodes {
		phase := time.Duration(rng.Int64N(int64(w.every)))
		for grid := phase; grid < w.end+3*time.Second; grid += w.every {
			read := grid + time.Duration((2*rng.Float64()-1)*float64(w.jitter))
			if within(w.blind, read) || within(w.deaf[node], read) {
				continue
			}
			n := w.counter(node, read)
			events = append(events, event{read, func() { m.Sample(node, at(read), n) }})
		}
	}
	for _, v := range w.sessions {
		events = append(events, event{v.at, func() { m.Sessions(at(v.at), v.proxy, v.byNode) }})
	}
	total := time.Duration(0)
	for now := time.Duration(0); now <= w.end+7*time.Second; now += w.pace {
		if !within(w.stopped, now) {
			events = append(events, event{now, func() { total += m.Advance(at(now)) }})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for _, e := range events {
		e.do()
	}
	return total
}

// counter is a node's wsrep_replicated at a time.
func (w *world) counter(node string, at time.Duration) int64 {
	begin := time.Duration(-1)
	for _, r := range w.resets[node] {
		if r <= at {
			begin = max(begin, r)
		}
	}
	return int64(w.taken(node, at) - w.taken(node, begin))
}

// taken is how many commits a node took up to a time. The commits are in order.
func (w *world) taken(node string, at time.Duration) int {
	n, _ := slices.BinarySearchFunc(w.commits[node], at, func(c commit, at time.Duration) int {
		if c.at <= at {
			return -1
		}
		return 1
	})
	return n
}

func within(spans []span, at time.Duration) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return at > s.from && at <= s.to })
}
