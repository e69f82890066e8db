package main

import (
	"context"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// failovers measures a crash and a hang of the active, each several times: from
// the signal to the first right private entry on every proxy, and the clients'
// outage against that of a client connected straight to a surviving node. It
// does so with Galera's usual timings, as users have them, and for the crash
// also with a floor that is as low as Galera allows, which shows the proxies'
// own share.
func (b *bench) failovers(ctx context.Context) error {
	const times = 5
	for _, f := range []struct {
		what, target string
		bound        time.Duration
		end          func(*lab.Node) error
		low          bool
	}{
		{"crash of the active to all proxies moved, from the kill", "< 700 ms (500 + two probes)", 700 * time.Millisecond, func(n *lab.Node) error { n.Kill9(); return nil }, false},
		{"crash, with Galera's floor lowered", "< 700 ms", 700 * time.Millisecond, func(n *lab.Node) error { n.Kill9(); return nil }, true},
		{"hang of the active (SIGSTOP) to all proxies moved", "< 1.3 s (deadline + 0.3 s)", 1300 * time.Millisecond, func(n *lab.Node) error { return n.Pause() }, false},
	} {
		var took []time.Duration
		worst, worstFloor, worstRatio := time.Duration(0), time.Duration(0), 0.0
		for range times {
			moved, outage, floor, err := b.failover(ctx, f.end, f.low)
			if err != nil {
				return fmt.Errorf("%s: %w", f.what, err)
			}
			took = append(took, moved)
			// A hang is not seen before the probe's deadline: the floor is the later of both.
			reference := floor
			if f.bound > time.Second && !f.low {
				reference = max(floor, f.bound)
			}
			if ratio := float64(outage) / float64(reference); ratio > worstRatio {
				worst, worstFloor, worstRatio = outage, reference, ratio
			}
		}
		b.add(fmt.Sprintf("%s (%d times)", f.what, times), f.target,
			fmt.Sprintf("p50 %s, max %s", ms(percentile(took, 0.5)), ms(percentile(took, 1))), percentile(took, 1) < f.bound)
		b.add("  its outage, the worst of all proxies and runs", "within 15 % of the floor",
			fmt.Sprintf("%s against %s, ratio %.2f", ms(worst), ms(worstFloor), worstRatio), worstRatio <= 1.15)
	}
	return nil
}

func (b *bench) failover(ctx context.Context, end func(*lab.Node) error, low bool) (moved, outage, floor time.Duration, err error) {
	s, err := b.up(ctx, stack.Options{CheckInterval: 10 * time.Second})
	if err != nil {
		return 0, 0, 0, err
	}
	if low {
		if err := s.FastFloor(ctx); err != nil {
			return 0, 0, 0, err
		}
	}
	active := s.DB[0]
	load, err := s.StartLoad(ctx, lab.LoadConfig{Rate: 60, ReconnectEvery: 20, Direct: others(s, active.Name)})
	if err != nil {
		return 0, 0, 0, err
	}
	if err := within(ctx, 20*time.Second, load.WaitFlowing); err != nil {
		return 0, 0, 0, err
	}
	seen := make(chan error, len(s.PX))
	load.Mark("end")
	start := time.Now()
	if err := end(active); err != nil {
		return 0, 0, 0, err
	}
	for _, p := range s.PX {
		go func() { seen <- waitOther(ctx, p, nodeID(s, active)) }()
	}
	for range s.PX {
		if err := <-seen; err != nil {
			return 0, 0, 0, err
		}
	}
	moved = time.Since(start)
	if err := within(ctx, 30*time.Second, load.WaitFlowing); err != nil {
		return 0, 0, 0, err
	}
	log := load.Stop()
	_, outage = log.Worst("end")
	floor, _ = log.Floor("end")
	return moved, outage, floor, nil
}
