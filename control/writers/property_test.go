package writers_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawWrites draws a run of commits that begins at a time, and returns its end. A rate with much scatter must not be
// so low that chance alone makes an edge of a tenth of a second.
func drawWrites(t *rapid.T, w *world, node string, from time.Duration, rng *rand.Rand) time.Duration {
	length := time.Duration(rapid.IntRange(300, 4000).Draw(t, node+" length, ms")) * ms
	scatter := rapid.Bool().Draw(t, node+" scatter")
	least := 20
	if scatter {
		least = 200
	}
	w.write(node, from, from+length, float64(rapid.IntRange(least, 2000).Draw(t, node+" rate")), scatter, rng)
	return from + length
}

// drawGap draws a pause that is clearly one, with a restart of the node within it or not.
func drawGap(t *rapid.T, w *world, node string, from time.Duration) time.Duration {
	length := time.Duration(rapid.IntRange(400, 2000).Draw(t, node+" gap, ms")) * ms
	if rapid.Bool().Draw(t, node+" restarts") {
		w.resets[node] = append(w.resets[node], from+length/2)
	}
	return from + length
}

func drawWorld(t *rapid.T) (*world, *rand.Rand) {
	w := newWorld(15 * second)
	w.seed = rapid.Uint64().Draw(t, "seed")
	w.hold("px0", 0, 0*second, []string{"db0", "db1", "db2"})
	return w, rand.New(rand.NewPCG(w.seed, 2))
}

// What the counters say is what the judge sees in the commits themselves: within 100 ms for each overlap.
func TestAgreesWithTheJudge(t *testing.T) {
	var errs []time.Duration
	rapid.Check(t, func(t *rapid.T) {
		w, rng := drawWorld(t)
		for _, node := range []string{"db0", "db1", "db2"}[:rapid.IntRange(2, 3).Draw(t, "nodes")] {
			for at := drawGap(t, w, node, 0); at < 10*second; {
				at = drawGap(t, w, node, drawWrites(t, w, node, at, rng))
			}
		}
		got, judged := w.measure(), w.log().TwoWriters()
		overlaps := max(1, len(judged.Overlaps))
		each := time.Duration(float64(got-judged.Total) / float64(overlaps))
		errs = append(errs, each)
		if each.Abs() > 100*ms {
			t.Fatalf("%v of two writers, the judge says %v in %d overlaps", got, judged.Total, overlaps)
		}
	})
	distribution(t, errs)
}

// Where one node at a time writes, the figure is 0 and not almost.
func TestNothingWithoutTwoWriters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rng := drawWorld(t)
		last := ""
		for at := time.Duration(0); at < 12*second; {
			node := rapid.SampledFrom([]string{"db0", "db1", "db2"}).Draw(t, "node")
			if node == last {
				at = drawGap(t, w, node, at)
			}
			last = node
			at = drawWrites(t, w, node, at, rng) + time.Duration(rapid.IntRange(201, 1000).Draw(t, "margin, ms"))*ms
		}
		if got, judged := w.measure(), w.log().TwoWriters().Total; got != 0 || judged != 0 {
			t.Fatalf("%v of two writers, the judge says %v", got, judged)
		}
	})
}

// A clean move has no margin: the last commit on the old node and the first on the new one are within 10 ms. Even
// commits never made more of it than it was, those at random by more than 20 ms in 4 of 7582 moves.
func TestCleanMoves(t *testing.T) {
	var errs []time.Duration
	rapid.Check(t, func(t *rapid.T) {
		w, rng := drawWorld(t)
		scatter := rapid.Bool().Draw(t, "scatter")
		least := 20
		if scatter {
			least = 200
		}
		rate := float64(rapid.IntRange(least, 2000).Draw(t, "rate"))
		over := time.Duration(rapid.IntRange(-10, 10).Draw(t, "over, ms")) * ms
		moved := 5*second + time.Duration(rapid.IntRange(0, 100).Draw(t, "moved, ms"))*ms
		w.write("db0", 0, moved, rate, scatter, rng)
		w.write("db1", moved-over, 9*second, rate, scatter, rng)
		got, judged := w.measure(), w.log().TwoWriters().Total
		errs = append(errs, got-judged)
		limit := 5 * ms
		if scatter {
			limit = 60 * ms
		}
		if got > judged+limit {
			t.Fatalf("%v of two writers, the judge says %v", got, judged)
		}
	})
	distribution(t, errs)
}

func distribution(t *testing.T, errs []time.Duration) {
	slices.Sort(errs)
	n := len(errs)
	t.Logf("%d figures less the judge's: least %v, 5%% %v, half %v, 95%% %v, most %v", n,
		errs[0].Round(ms), errs[n/20].Round(ms), errs[n/2].Round(ms), errs[n-1-n/20].Round(ms), errs[n-1].Round(ms))
}
