package e2e

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// The machine's clock is set by an hour in both directions, under load, at rest and
// in the middle of a planned move: nothing is decided, no HAProxy counts as restarted,
// every proxy is steered all the time, and the move is made as it was asked for. It
// is the whole machine's clock, so this runs by `make e2e-clock` alone; it is
// restored from the monotonic one whatever happens.
func TestClockSteps(t *testing.T) {
	if os.Getenv("E2E_CLOCK") == "" {
		t.Skip("it sets the machine's clock: make e2e-clock")
	}
	s := begin(t, stack.Options{DaemonArgs: []string{"--max-auto-moves", "1", "--min-stay", "1m"}})
	self, err := os.Executable()
	s.must(err)
	clock, err := lab.TakeClock(self)
	if errors.Is(err, lab.ErrClock) {
		t.Skip(err)
	}
	s.must(err)
	t.Cleanup(func() {
		if err := clock.Restore(); err != nil {
			t.Error(err)
		}
	})
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	before := s.active(s.PX[0])
	steady := s.watchSteering()
	for _, ahead := range []time.Duration{time.Hour, 0, -time.Hour, 0, time.Hour, -time.Hour, 0} {
		s.load.Mark("clock " + ahead.String())
		s.must(clock.Step(ahead))
		wait(s.ctx, 3*time.Second)
		s.unchanged(before)
	}
	if lost := steady(); lost != "" {
		t.Errorf("while the clock was set: %s", lost)
	}
	for _, p := range s.PX {
		if n := s.metric(p, "haproxyd_haproxy_restarts_total"); n != 0 {
			t.Errorf("%s counts %v restarts of its HAProxy", p.Name, n)
		}
	}

	// In the middle of a move that holds new connections.
	stepped := make(chan error, 1)
	go func() {
		wait(s.ctx, 200*time.Millisecond)
		stepped <- clock.Step(-time.Hour)
	}()
	a := s.plan(s.PX[0], "db2", "--drain", "graceful", "--timeout", "2s", "--wait")
	s.must(<-stepped)
	if a.exit != 0 {
		t.Errorf("the move: exit %d, %s", a.exit, a.words)
	}
	s.must(clock.Step(0))

	// The first automatic move of the hour is made whatever the record's times say, and the second is one too many.
	s.DB[2].Kill9()
	next := s.otherThan("db2")
	s.must(clock.Step(time.Hour))
	s.must(s.DB[2].Start(s.ctx))
	s.must(s.waitHealthy("db2"))
	s.Node(next).Kill9()
	s.must(s.WaitAll(s.within(20*time.Second), "a freeze, two hours later by the wall clock", func(a apiActive) bool { return a.Frozen }))
	s.must(clock.Restore())
	s.nothingLost(s.load.Stop())
}

// watchSteering looks until the returned function is called, which then says which
// proxy was not steered at some look, "" for none.
func (s *scenario) watchSteering() (stop func() string) {
	ctx, cancel := context.WithCancel(s.ctx)
	found := make(chan string, 1)
	go func() {
		lost := ""
		for ctx.Err() == nil {
			for _, p := range s.PX {
				a, err := client(p).Active(ctx)
				if ctx.Err() == nil && lost == "" && (err != nil || a.Steering != len(s.PX) || a.Converged != len(s.PX)) {
					lost = p.Name + ": " + a.Reason
				}
			}
			wait(ctx, 50*time.Millisecond)
		}
		found <- lost
	}()
	return func() string {
		cancel()
		return <-found
	}
}
