package writers_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const second = time.Second

var (
	none = []string{}
	db0  = []string{"db0"}
	db1  = []string{"db1"}
	both = []string{"db0", "db1"}
)

// direct makes the commits of a client that goes straight to a node.
func (w *world) direct(node string, from, to time.Duration, rate float64, rng *rand.Rand) {
	w.mark(node, func() { w.write(node, from, to, rate, false, rng) }, func(c *commit) { c.direct = true })
}

// canary makes the writes of a canary on every node: each member's once a second, all at the same moment.
func (w *world) canary(members int) {
	for _, node := range []string{"db0", "db1", "db2"} {
		for range members {
			for at := 500 * ms; at < w.end; at += second {
				w.commits[node] = append(w.commits[node], commit{at: at, other: true})
			}
		}
	}
	w.background = members
}

// mark changes the commits that do adds.
func (w *world) mark(node string, do func(), change func(*commit)) {
	before := len(w.commits[node])
	do()
	for i := before; i < len(w.commits[node]); i++ {
		change(&w.commits[node][i])
	}
}

// onPurpose is five seconds of two writers, from 3 s to 8 s.
func onPurpose(w *world, rate float64, rng *rand.Rand) {
	w.write("db0", 0, 12*second, rate, false, rng)
	w.write("db1", 3*second, 8*second, rate, false, rng)
	w.hold("px0", 30*ms, 0*second, db0)
	w.hold("px1", 30*ms, 0*second, db0, 3*second, db1, 8*second, db0)
}

// move is a planned move at 3 s: the last commit on the old node is so long after the first on the new one.
func move(w *world, over time.Duration, rng *rand.Rand) {
	w.write("db0", 0, 3*second, 180, false, rng)
	w.write("db1", 3*second-over, 8*second, 180, false, rng)
	w.hold("px0", 30*ms, 0*second, db0, 3*second-over.Abs(), both, 3*second, db1)
}

// failover is a crash of db0 at 3 s; commits flow again at 4 s, on db1.
func failover(w *world, rng *rand.Rand) {
	w.write("db0", 0, 3*second, 180, false, rng)
	w.deaf["db0"] = []span{{3 * second, time.Hour}}
	w.write("db1", 4*second, 10*second, 180, false, rng)
	w.hold("px0", 30*ms, 0*second, db0, 3900*ms, db1)
}

func TestMeter(t *testing.T) {
	tests := []struct {
		name     string
		build    func(w *world, rng *rand.Rand)
		want     time.Duration
		within   time.Duration // 0: exactly
		unjudged bool          // the judge knows more than the daemons can
	}{
		{name: "nobody", build: func(w *world, _ *rand.Rand) {}},
		{name: "one writer", build: func(w *world, rng *rand.Rand) {
			w.write("db0", 0, 10*second, 180, true, rng)
			w.hold("px0", 30*ms, 0*second, db0)
		}},
		{name: "a planned move, 3 ms apart", build: func(w *world, rng *rand.Rand) { move(w, -3*ms, rng) }},
		{name: "a planned move, 3 ms over", build: func(w *world, rng *rand.Rand) { move(w, 3*ms, rng) }, want: 3 * ms, within: 20 * ms},
		{name: "a planned move between nodes with direct clients", build: func(w *world, rng *rand.Rand) {
			move(w, -3*ms, rng)
			w.direct("db0", 0, 8*second, 60, rng)
			w.direct("db1", 0, 8*second, 60, rng)
		}},
		{name: "crash failover", build: failover},
		{name: "crash failover to a node with a direct client", build: func(w *world, rng *rand.Rand) {
			failover(w, rng)
			w.direct("db1", 0, 10*second, 60, rng)
		}},
		{name: "the crashed node returns, its counter at 0", build: func(w *world, rng *rand.Rand) {
			failover(w, rng)
			w.deaf["db0"] = []span{{3 * second, 6 * second}}
			w.resets["db0"] = []time.Duration{5500 * ms}
			w.direct("db0", 6*second, 10*second, 60, rng)
		}},
		{name: "readings missing for 3 s, a move in them", build: func(w *world, rng *rand.Rand) {
			move(w, -3*ms, rng)
			w.blind = []span{{1500 * ms, 4500 * ms}}
		}},
		{name: "the daemon stopped for 3 s, a move meanwhile", build: func(w *world, rng *rand.Rand) {
			w.write("db0", 0, 3*second, 180, false, rng)
			w.write("db1", 3*second, 8*second, 180, false, rng)
			w.hold("px0", 30*ms, 0*second, db0, 4500*ms, db1)
			w.blind = []span{{1500 * ms, 4500 * ms}}
			w.stopped = w.blind
		}},
		{name: "a direct writer on the other node", build: func(w *world, rng *rand.Rand) {
			w.write("db0", 0, 10*second, 180, false, rng)
			w.direct("db1", 0, 10*second, 300, rng)
			w.hold("px0", 30*ms, 0*second, db0)
		}},
		{name: "the canary on nodes with idle sessions", build: func(w *world, rng *rand.Rand) {
			w.write("db0", 0, 10*second, 60, false, rng)
			w.hold("px0", 30*ms, 0*second, both)
			w.canary(3)
		}},
		{name: "single commits on the other node", build: func(w *world, rng *rand.Rand) {
			w.write("db0", 0, 10*second, 180, false, rng)
			for at := second; at < 9*second; at += second {
				w.commits["db1"] = append(w.commits["db1"], commit{at: at})
			}
			w.hold("px0", 30*ms, 0*second, both)
		}},
		// At such a rate the first and last commits themselves are tens of milliseconds off; the judge's 100 ms hold.
		{name: "5 s on purpose, 20 a second", build: func(w *world, rng *rand.Rand) { onPurpose(w, 20, rng) }, want: 5 * second, within: 150 * ms},
		{name: "5 s on purpose, 60 a second", build: func(w *world, rng *rand.Rand) { onPurpose(w, 60, rng) }, want: 5 * second, within: 50 * ms},
		{name: "5 s on purpose, 2000 a second", build: func(w *world, rng *rand.Rand) { onPurpose(w, 2000, rng) }, want: 5 * second, within: 10 * ms},
		{name: "5 s on purpose and the canary", build: func(w *world, rng *rand.Rand) {
			onPurpose(w, 60, rng)
			w.canary(3)
		}, want: 5 * second, within: 100 * ms},
		{name: "5 s on purpose, counters of both reset meanwhile", build: func(w *world, rng *rand.Rand) {
			onPurpose(w, 60, rng)
			w.resets["db0"], w.resets["db1"] = []time.Duration{5 * second}, []time.Duration{6 * second}
		}, want: 5 * second, within: 50 * ms},
		{name: "5 s on purpose, readings missing for a second", build: func(w *world, rng *rand.Rand) {
			onPurpose(w, 60, rng)
			w.blind = []span{{4500 * ms, 5500 * ms}}
		}, want: 5 * second, within: 50 * ms},
		{name: "5 s on purpose, with direct clients", build: func(w *world, rng *rand.Rand) {
			onPurpose(w, 60, rng)
			w.direct("db1", 0, 12*second, 60, rng)
		}, want: 5 * second, within: 100 * ms},
		{name: "5 s on purpose, a connection for each transaction", build: func(w *world, rng *rand.Rand) {
			onPurpose(w, 60, rng)
			w.sessions = nil
			for at := time.Duration(0); at < 12*second; at += 50 * ms {
				w.hold("px0", 0, at, []([]string){db0, none}[rng.IntN(2)])
				w.hold("px1", 0, at, []([]string){db1, none, none, none}[rng.IntN(4)])
			}
		}, want: 5 * second, within: 100 * ms},
		{name: "three writers count once", build: func(w *world, rng *rand.Rand) {
			onPurpose(w, 60, rng)
			w.write("db2", 4*second, 7*second, 60, false, rng)
			w.hold("px2", 30*ms, 0*second, db0, 4*second, []string{"db2"}, 7*second, db0)
		}, want: 5 * second, within: 100 * ms},
		{name: "a proxy whose daemon is dead stays on the old node", build: func(w *world, rng *rand.Rand) {
			w.write("db0", 0, 8*second, 60, false, rng)
			w.write("db1", 3*second, 12*second, 60, false, rng)
			w.hold("px0", 30*ms, 0*second, db0, 3*second, db1)
			w.hold("px1", 30*ms, 0*second, db0)
		}, want: 5 * second, within: 50 * ms},
		{name: "a proxy that is no member any more has no sessions", build: func(w *world, rng *rand.Rand) {
			w.write("db0", 0, 8*second, 60, false, rng)
			w.write("db1", 3*second, 12*second, 60, false, rng)
			w.hold("px0", 30*ms, 0*second, db0, 3*second, db1)
			w.hold("px1", 30*ms, 0*second, db0, 5*second, none)
		}, want: 2 * second, within: 100 * ms, unjudged: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(20) {
				rng := rand.New(rand.NewPCG(seed, 1))
				w := newWorld(12 * second)
				w.seed = seed
				tt.build(w, rng)
				got := w.measure()
				if d := (got - tt.want).Abs(); d > tt.within {
					t.Errorf("seed %d: %v of two writers, want %v within %v", seed, got, tt.want, tt.within)
				}
				judged := w.log().TwoWriters().Total
				if d := (got - judged).Abs(); d > 100*ms && !tt.unjudged {
					t.Errorf("seed %d: %v of two writers, the judge says %v", seed, got, judged)
				}
			}
		})
	}
}

// The pace of Advance changes no result, and the order of maps neither.
func TestMeterIsDeterministic(t *testing.T) {
	var totals []time.Duration
	for _, pace := range []time.Duration{33 * ms, 33 * ms, 10 * ms, 700 * ms} {
		w := newWorld(12 * second)
		w.pace = pace
		rng := rand.New(rand.NewPCG(1, 1))
		onPurpose(w, 60, rng)
		w.write("db2", 9*second, 9500*ms, 60, true, rng)
		w.hold("px2", 30*ms, 0*second, []string{"db2"})
		totals = append(totals, w.measure())
	}
	if totals[0] < 5*second || len(slices.Compact(totals)) != 1 {
		t.Errorf("totals %v: want all the same, more than 5 s", totals)
	}
}
