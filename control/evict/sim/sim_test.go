package sim

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestMain lets more garbage lie about: a history makes little but that.
func TestMain(m *testing.M) {
	debug.SetGCPercent(4000)
	debug.SetMemoryLimit(512 << 20)
	os.Exit(m.Run())
}

func envInt(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// many plays histories, on every processor, until one sees no reason to go on.
func many(first uint64, n int, m *mutant, enough func(result) bool) {
	var mu sync.Mutex
	var all sync.WaitGroup
	next, end := first, first+uint64(n) //nolint:gosec // a count
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				mu.Unlock()
				if seed >= end {
					return
				}
				r := play(seed, m)
				mu.Lock()
				if enough(r) {
					next = end
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// Whatever happens: never two primary components, no acknowledged commit lost, nobody evicted without a majority or while all hear
// it; in the end nothing is owed; and a plain crash is over at once. SIM_SEED=N plays one history and prints it.
func TestSimulation(t *testing.T) {
	first, n := envInt("SOAK_FIRST", 1), envInt("SIM_HISTORIES", 3000)
	switch {
	case os.Getenv("SIM_SEED") != "":
		first, n = envInt("SIM_SEED", 1), 1
	case os.Getenv("SOAK") != "":
		n = envInt("SIM_HISTORIES", 100_000)
	}
	const most = 5
	sum := sums{}
	failed := 0
	many(uint64(first), n, &mutant{}, func(r result) bool {
		for name, n := range r.sums {
			sum[name] += n
			if strings.HasPrefix(name, "FINDING") {
				t.Logf("seed %d: %s", r.seed, name)
			}
		}
		if len(r.wrongs) > 0 {
			failed++
			t.Errorf("seed %d: %s\n%s", r.seed, strings.Join(r.wrongs, "; "), strings.Join(r.script, "\n"))
		} else if os.Getenv("SIM_SEED") != "" {
			t.Log(strings.Join(r.script, "\n"))
		}
		return failed >= most
	})
	t.Log(sum.String())
	if all, in := sum[crashes[0]], sum[ended[0]]; all > 20 && in*20 < all*19 {
		t.Errorf("%d of %d plain crashes were over within %v", in, all, endedWithin)
	}
}
