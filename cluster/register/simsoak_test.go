package register

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// soakEvery is how often a soak says how far it is.
const soakEvery = 10 * time.Second

// TestSoak plays seeds that were not played before until it is stopped: by an
// interrupt, by SOAK_TIME (a duration) or by ten violations. SOAK_JOBS seeds are
// played at once, one per processor if it is not set. The first seed comes from
// the clock, or is SOAK_FIRST; a seed alone decides what happens in it.
func TestSoak(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("make soak runs this until it is stopped")
	}
	const most = 10
	k := &soak{
		next: int64(envInt("SOAK_FIRST", int(time.Now().UnixMilli()%(1<<31-1)))), began: time.Now(),
		logf: func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) },
	}
	jobs := envInt("SOAK_JOBS", runtime.GOMAXPROCS(0))
	k.logf("soak: %d at once, from seed %d", jobs, k.next)
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupt)
	var deadline <-chan time.Time
	if d, err := time.ParseDuration(os.Getenv("SOAK_TIME")); err == nil && d > 0 {
		deadline = time.After(d)
	}
	ended := make(chan struct{})
	var players sync.WaitGroup
	for range jobs {
		players.Go(func() {
			for k.play() < most {
			}
		})
	}
	go func() {
		players.Wait()
		close(ended)
	}()
	tick := time.NewTicker(soakEvery)
	defer tick.Stop()
	for stop := false; !stop; {
		select {
		case <-tick.C:
			k.report()
			continue
		case <-interrupt:
		case <-deadline:
		case <-ended:
			stop = true
			continue
		}
		k.stop()
	}
	k.report()
	k.logf("soak: %s", k.sum.String())
	if len(k.problems) > 0 {
		t.Errorf("%d violations: %v", len(k.problems), k.problems)
	}
}

// soak hands out seeds and adds up what they did.
type soak struct {
	logf  func(format string, args ...any)
	began time.Time

	mu       sync.Mutex
	next     int64
	stopped  bool
	sum      simSum
	problems []int64
	// lastOps, lastSeeds and lastAt are those of the last report.
	lastOps, lastSeeds int
	lastAt             time.Time
}

// play plays the next seed and returns how many violations there were, or more
// than enough of them when the soak is to end.
func (k *soak) play() int {
	k.mu.Lock()
	seed, stopped := k.next, k.stopped
	k.next++
	k.mu.Unlock()
	if stopped {
		return 1 << 30
	}
	s := simFor(seed)
	err := s.play()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum.add(s)
	if err != nil {
		k.problems = append(k.problems, seed)
		k.logf("VIOLATION %v\n  replay: SIM_SEED=%d go test ./cluster/register -run 'TestSimulation$' -v", err, seed)
	}
	return len(k.problems)
}

func (k *soak) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
}

// report says how much was played, in all and since the last report.
func (k *soak) report() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, last := time.Now(), k.lastAt
	if last.IsZero() {
		last = k.began
	}
	took := now.Sub(last).Seconds()
	k.logf("soak: %s, %d seeds (%.1f a second), %d operations (%.0f a second), %d violations", now.Sub(k.began).Round(time.Second),
		k.sum.seeds, float64(k.sum.seeds-k.lastSeeds)/took, k.sum.ops, float64(k.sum.ops-k.lastOps)/took, len(k.problems))
	k.lastOps, k.lastSeeds, k.lastAt = k.sum.ops, k.sum.seeds, now
}
