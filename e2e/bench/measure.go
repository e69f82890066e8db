package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

const steerTable, nativeTable = "haproxyd-steer", "galera-nodes"

// command compares one command of the client with the same bytes over a bare
// socket, alternating, so that both see the same machine.
func (b *bench) command(ctx context.Context) error {
	s, err := b.up(ctx, stack.Options{})
	if err != nil {
		return err
	}
	p := s.PX[0]
	c, err := runtimeapi.New(runtimeapi.Config{Socket: p.AdminSocket})
	if err != nil {
		return err
	}
	var typed, bare []time.Duration
	for range 3000 {
		start := time.Now()
		if _, err := c.Snapshot(ctx, runtimeapi.SnapshotQuery{Tables: []string{steerTable}}); err != nil {
			return err
		}
		typed = append(typed, time.Since(start))
		start = time.Now()
		if err := roundTrip(p.AdminSocket, "show table "+steerTable+"\n"); err != nil {
			return err
		}
		bare = append(bare, time.Since(start))
	}
	over := percentile(typed, 0.5) - percentile(bare, 0.5)
	b.add("one Runtime API command, on top of a bare socket round trip (p50 of 3000)", "< 50 µs",
		fmt.Sprintf("%d µs (%d µs over %d µs)", over.Microseconds(), percentile(typed, 0.5).Microseconds(), percentile(bare, 0.5).Microseconds()),
		over < 50*time.Microsecond)
	return nil
}

func roundTrip(socket, line string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, line); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// rest measures CPU and memory of a daemon and its HAProxy with nothing to do,
// and subtracts what the same HAProxy uses without a daemon (its own health
// checks and peers).
func (b *bench) rest(ctx context.Context) error {
	const span = 20 * time.Second
	s, err := b.up(ctx, stack.Options{Sticky: 3})
	if err != nil {
		return err
	}
	// A HAProxy that has just started is watched closely for ten seconds.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(12 * time.Second):
	}
	p := s.PX[1]
	pid, err := p.Pid(ctx)
	if err != nil {
		return err
	}
	usage := func(pid int) (time.Duration, int64, error) {
		before, err := lab.UsageOf(pid)
		if err != nil {
			return 0, 0, err
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(span):
		}
		after, err := lab.UsageOf(pid)
		return after.CPU - before.CPU, after.RSS, err
	}
	var daemon, with time.Duration
	var rss int64
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { daemon, rss, errs[0] = usage(p.Daemon.Process().Pid) })
	wg.Go(func() { with, _, errs[1] = usage(pid) })
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for _, q := range s.PX {
		q.Daemon.Kill9()
	}
	without, _, err := usage(pid)
	if err != nil {
		return err
	}
	share := func(d time.Duration) float64 { return 100 * float64(d) / float64(span) }
	total := share(daemon) + max(0, share(with-without))
	b.add("at rest, 3 sticky backends, 3 nodes: the daemon and its HAProxy's share", "< 2 % of a core",
		fmt.Sprintf("%.2f %% (daemon %.2f, HAProxy %.2f with and %.2f without)", total, share(daemon), share(with), share(without)), total < 2)
	b.add("resident memory of the daemon", "< 40 MiB", fmt.Sprintf("%.1f MiB", float64(rss)/(1<<20)), rss < 40<<20)
	return nil
}

// move measures `active set` under 500 connections a second, at once and by default: from the
// request to the first right read on all proxies, what connections that start after that do,
// and how long the sessions that were open take.
func (b *bench) move(ctx context.Context) error {
	for _, how := range []struct{ drain, name string }{{"immediate", "active set --drain immediate"}, {"", "active set"}} {
		if err := b.moves(ctx, how.drain, how.name); err != nil {
			return fmt.Errorf("%s: %w", how.name, err)
		}
	}
	return nil
}

func (b *bench) moves(ctx context.Context, drain, name string) error {
	const moves = 60
	s, err := b.up(ctx, stack.Options{})
	if err != nil {
		return err
	}
	load, err := s.StartLoad(ctx, lab.LoadConfig{Clients: 8, Rate: 167, ReconnectEvery: 1})
	if err != nil {
		return err
	}
	if err := within(ctx, 20*time.Second, load.WaitFlowing); err != nil {
		return err
	}
	a, err := client(s.PX[0]).Active(ctx)
	if err != nil {
		return err
	}
	if err := within(ctx, 20*time.Second, func(ctx context.Context) error { return waitSessions(ctx, s, a.Active, 0) }); err != nil {
		return err
	}
	var took, over, both []time.Duration
	wrong, connections, killed := 0, 0, 0
	for i := range moves {
		to := others(s, a.Active)[i%2]
		id := nodeID(s, to)
		start := time.Now()
		seen := make(chan error, len(s.PX))
		at := make(chan time.Duration, len(s.PX))
		for _, p := range s.PX {
			go func() {
				err := waitEntry(ctx, p, steerTable, id)
				at <- time.Since(start)
				seen <- err
			}()
		}
		asked := s.PX[i%3]
		r, err := client(asked).Set(ctx, api.SetRequest{Node: to.Name, Drain: drain})
		if err != nil {
			return err
		}
		if want := cmp.Or(drain, "transactions"); r.Drain != want {
			return fmt.Errorf("it took %s: %s", r.Drain, r.DrainWhy)
		}
		last := time.Duration(0) // the answer may come later: it waits for the look at transactions
		for range s.PX {
			if err := <-seen; err != nil {
				return err
			}
			last = max(last, <-at)
		}
		took = append(took, last)
		moved := load.Mark("moved")
		err = within(ctx, 10*time.Second, func(ctx context.Context) error {
			m, err := waitOver(ctx, asked, to.Name)
			over, both, killed = append(over, time.Since(start)), append(both, time.Duration(m.BothMS)*time.Millisecond), killed+m.Killed
			return err
		})
		if err != nil {
			return err
		}
		err = within(ctx, 10*time.Second, func(ctx context.Context) error {
			return s.WaitAll(ctx, to.Name+" to be the active", func(a api.Active) bool {
				return a.Agreed && a.Active == to.Name && a.Move == nil && a.Converged >= len(s.PX) && a.Steering >= len(s.PX)
			})
		})
		if err != nil {
			return err
		}
		log := load.Snapshot()
		wrong += len(log.Wrong(moved, to.Name))
		for _, c := range log.Connections {
			if c.Start >= moved && c.Node != "" {
				connections++
			}
		}
		a = r.Active
	}
	log := load.Stop()
	rate := float64(len(log.Connections)) / log.End.Seconds()
	fsync, err := fsyncTime(s.PX[0].Daemon.DataDir)
	if err != nil {
		return err
	}
	p50, p99 := percentile(took, 0.5), percentile(took, 0.99)
	what := fmt.Sprintf("%s to the first right read on all 3 proxies, %d moves under %.0f connections/s (fsync %s)", name, moves, rate, ms(fsync))
	b.add(what, "p50 < 20 ms, p99 < 100 ms", fmt.Sprintf("p50 %s, p99 %s", ms(p50), ms(p99)), p50 < 20*time.Millisecond && p99 < 100*time.Millisecond)
	b.add("  connections started after that which reach another node", "0", fmt.Sprintf("%d of %d", wrong, connections), wrong == 0)
	b.add("  until nothing is left on the old node", "< 5 s", fmt.Sprintf("p50 %s, max %s; %d sessions closed because the time was over", ms(percentile(over, 0.5)), ms(percentile(over, 1)), killed), percentile(over, 1) < 5*time.Second)
	b.add("  both nodes open to writers, at most", "none: it is told", fmt.Sprintf("p50 %s, max %s", ms(percentile(both, 0.5)), ms(percentile(both, 1))), true)
	return nil
}

// poison measures how long a wrong entry lives.
func (b *bench) poison(ctx context.Context) error {
	const times = 20
	s, err := b.up(ctx, stack.Options{})
	if err != nil {
		return err
	}
	a, err := client(s.PX[0]).Active(ctx)
	if err != nil {
		return err
	}
	right := nodeID(s, s.Node(a.Active))
	bad := nodeID(s, others(s, a.Active)[0])
	load, err := s.StartLoad(ctx, lab.LoadConfig{Clients: 4, Rate: 100, ReconnectEvery: 1})
	if err != nil {
		return err
	}
	if err := within(ctx, 20*time.Second, load.WaitFlowing); err != nil {
		return err
	}
	start := load.Mark("poison")
	for _, t := range []struct {
		table, target string
		bound         time.Duration
	}{{nativeTable, "< 2 s", 2 * time.Second}, {steerTable, "< 150 ms", 150 * time.Millisecond}} {
		if t.table == steerTable {
			// The private table is what steers: only up to here must nothing go wrong.
			log := load.Snapshot()
			wrong := log.Wrong(start, a.Active)
			b.add("connections misrouted while the native tables were poisoned", "0", fmt.Sprint(len(wrong)), len(wrong) == 0)
		}
		var took []time.Duration
		for i := range times {
			p := s.PX[i%len(s.PX)]
			begin := time.Now()
			if _, err := p.Runtime(ctx, fmt.Sprintf("clear table %s key 1;set table %s key 1 data.server_id %d", t.table, t.table, bad)); err != nil {
				return err
			}
			if err := waitEntry(ctx, p, t.table, right); err != nil {
				return err
			}
			took = append(took, time.Since(begin))
		}
		name := map[string]string{nativeTable: "a wrong native entry put right", steerTable: "a wrong private entry put right"}[t.table]
		worst := percentile(took, 1)
		b.add(fmt.Sprintf("%s (%d times)", name, times), t.target, fmt.Sprintf("p50 %s, max %s", ms(percentile(took, 0.5)), ms(worst)), worst < t.bound)
	}
	load.Stop()
	return nil
}

// waitEntry polls a table until its key 1 leads to the server with that id.
func waitEntry(ctx context.Context, p *lab.Proxy, table string, id int) error {
	name := fmt.Sprintf("db%d", id-1) // the stack's ids
	return waitTable(ctx, p, table, fmt.Sprintf("name server %d", id), func(e runtimeapi.Entry) bool {
		return e.ServerKey == "" && e.ServerID == id || e.ServerKey == name
	})
}

// waitOther polls the private table until it names another server.
func waitOther(ctx context.Context, p *lab.Proxy, id int) error {
	return waitTable(ctx, p, steerTable, fmt.Sprintf("leave server %d", id), func(e runtimeapi.Entry) bool {
		return e.ServerID != id
	})
}

// waitTable polls key 1 of a table every millisecond until the entry is right.
func waitTable(ctx context.Context, p *lab.Proxy, table, what string, right func(runtimeapi.Entry) bool) error {
	c, err := runtimeapi.New(runtimeapi.Config{Socket: p.AdminSocket})
	if err != nil {
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		s, err := c.Snapshot(wctx, runtimeapi.SnapshotQuery{Tables: []string{table}})
		if err != nil {
			return err
		}
		entries := s.Tables[table].Entries
		if slices.ContainsFunc(entries, func(e runtimeapi.Entry) bool { return e.Key == "1" && right(e) }) {
			return nil
		}
		select {
		case <-wctx.Done():
			return fmt.Errorf("table %s of %s did not %s: %+v", table, p.Name, what, entries)
		case <-time.After(time.Millisecond):
		}
	}
}

// nodeID is the server id that the stack gives a node: db0 has 1.
func nodeID(s *stack.Stack, n *lab.Node) int {
	for i, o := range s.DB {
		if o == n {
			return i + 1
		}
	}
	return 0
}

// fsyncTime is the disk's share of a commit: one small file, written and synced.
func fsyncTime(dir string) (time.Duration, error) {
	var samples []time.Duration
	path := filepath.Join(dir, "fsync-probe")
	defer func() { _ = os.Remove(path) }()
	for range 50 {
		f, err := os.Create(path)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		if _, err := f.WriteString(strings.Repeat("x", 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		samples = append(samples, time.Since(start))
		if err := f.Close(); err != nil {
			return 0, err
		}
	}
	return percentile(samples, 0.5), nil
}
