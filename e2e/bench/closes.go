package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// atRisk finds in a daemon's log how long the last look and the close of a session took together.
var atRisk = regexp.MustCompile(`at_risk_us"?[=:](\d+)`)

// closes measures the race that a drain cannot rule out: a BEGIN between the last
// look at a session and its close. Pools with random pauses are drained back and
// forth between two nodes until so many sessions were closed; every transaction
// that failed at its beginning is one that met its close.
func (b *bench) closes(ctx context.Context) error {
	const (
		enough  = 10_000
		writers = 150
		hold    = 10 * time.Millisecond
		think   = 500 * time.Millisecond // on average: 0 to twice as long
	)
	s, err := b.up(ctx, stack.Options{DaemonArgs: []string{"--log-level", "debug"}})
	if err != nil {
		return err
	}
	pool, err := s.StartPool(ctx, lab.PoolConfig{Writers: writers, Hold: hold, Think: think, RandomThink: true, Apart: true, NoSeqnos: true})
	if err != nil {
		return err
	}
	active := s.DB[0].Name
	drained, killed, moves := 0, 0, 0
	for ; drained < enough; moves++ {
		if err := within(ctx, 20*time.Second, func(ctx context.Context) error { return waitSessions(ctx, s, active, writers*9/10) }); err != nil {
			return err
		}
		to := others(s, active)[0]
		if _, err := client(s.PX[0]).Set(ctx, api.SetRequest{Node: to.Name, Drain: "transactions", TimeoutMS: 20_000}); err != nil {
			return err
		}
		var m api.Move
		err := within(ctx, 30*time.Second, func(ctx context.Context) (err error) { m, err = waitOver(ctx, s.PX[0], to.Name); return err })
		if err != nil {
			return err
		}
		drained, killed, active = drained+m.Drained, killed+m.Killed, to.Name
	}
	log := pool.Stop()
	f := log.Failures("", "")
	var windows []time.Duration
	for _, p := range s.PX {
		text, err := os.ReadFile(p.Daemon.Process().Log)
		if err != nil {
			return err
		}
		for _, m := range atRisk.FindAllSubmatch(text, -1) {
			us, err := strconv.Atoi(string(m[1]))
			if err != nil {
				return err
			}
			windows = append(windows, time.Duration(us)*time.Microsecond)
		}
	}
	races := f.Transactions() - killed
	b.add(fmt.Sprintf("sessions closed between transactions, %d moves of %d writers that pause for %v on average", moves, writers, think),
		fmt.Sprintf("%d closes", enough), fmt.Sprintf("%d of %d transactions, %d killed", drained, len(log.Commits), killed), drained >= enough && killed == 0)
	b.add("  met a BEGIN that came between the look and the close", "none: it is published",
		fmt.Sprintf("%d (%.2f %%): %d at BEGIN, %d behind it", races, 100*float64(races)/float64(drained), f.Begins, f.Statements), f.Commits == 0)
	b.add("  from the last look to the close done", "none: it is the race",
		fmt.Sprintf("p50 %s, p99 %s", ms(percentile(windows, 0.5)), ms(percentile(windows, 0.99))), len(windows) >= drained)
	b.add("  other failures of theirs", "0", fmt.Sprintf("%d transactions without a connection", f.NoConnection), f.NoConnection == 0)
	return nil
}

// waitSessions waits until a node has so many sessions through all proxies, and no move is pending.
func waitSessions(ctx context.Context, s *stack.Stack, node string, n int) error {
	return poll(ctx, fmt.Sprintf("%d sessions on %s", n, node), func() (bool, error) {
		a, err := client(s.PX[0]).Active(ctx)
		if err != nil || a.Move != nil || a.Converged < len(s.PX) || a.Steering < len(s.PX) {
			return false, err
		}
		nodes, err := client(s.PX[0]).Nodes(ctx)
		if err != nil {
			return false, err
		}
		for _, d := range nodes {
			if d.Name != node {
				continue
			}
			// The privileges are looked at a moment after the start.
			for _, o := range d.Opinions {
				if o.Lacks != "" {
					return false, nil
				}
			}
			return d.Sessions >= n, nil
		}
		return false, nil
	})
}

// waitOver waits for the end of the move to a node.
func waitOver(ctx context.Context, p *lab.Proxy, to string) (m api.Move, err error) {
	err = poll(ctx, "the move to "+to+" to be over", func() (bool, error) {
		if m, err = client(p).Move(ctx); err != nil || m.To != to {
			return false, err
		}
		switch m.State {
		case api.MoveRolledBack, api.MoveOvertaken:
			return false, fmt.Errorf("the move to %s was not made: %s", to, m.Reason)
		}
		return m.State == api.MoveDone, nil
	})
	return m, err
}

// poll asks every 20 ms until the answer is yes.
func poll(ctx context.Context, what string, ok func() (bool, error)) error {
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
