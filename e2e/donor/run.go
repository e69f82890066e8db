package donor

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// Options say how a combination is run.
type Options struct {
	// Rejoins is how often the active is killed and comes back.
	Rejoins int
	// Megabytes of data are in the databases beside what an empty one has.
	Megabytes int
	// HAProxy is the binary of the combination's version, "" for the lab's.
	HAProxy string
	// Folder is where the check's script is written; HAProxy executes it there.
	Folder string
	// Log is told what happened, a line each.
	Log func(format string, args ...any)
}

const (
	// hold and think are the applications' transactions and their pauses between them.
	hold  = 100 * time.Millisecond
	think = 200 * time.Millisecond
	// patience is how long an application waits for an answer: longer than any copy
	// here stops the donor's commits, so that a stall is seen as one.
	patience = 90 * time.Second
	// steady is how long a load runs on after everything is as before: a late second
	// move would come now.
	steady = time.Second
)

// scene is one combination at work.
type scene struct {
	*stack.Stack
	c    Combination
	o    Options
	pool *lab.Load
}

// Run resets the lab, runs a combination in it and judges it. The error says that it
// could not be run, as where a node did not come back by the transfer that was
// meant, or no donor was seen; what the product did wrong is in the result.
func Run(ctx context.Context, l *lab.Lab, c Combination, o Options) (Result, error) {
	s := &scene{c: c, o: o}
	if err := s.up(ctx, l); err != nil {
		return Result{}, err
	}
	var err error
	s.pool, err = s.StartPool(ctx, lab.PoolConfig{Hold: hold, Think: think, Retry: think, Apart: true, Timeout: patience})
	if err != nil {
		return Result{}, err
	}
	var rounds []round
	for i := range o.Rejoins {
		r, err := s.rejoin(ctx, i)
		if err != nil {
			return Result{}, fmt.Errorf("%v: rejoin %d: %w", c, i+1, err)
		}
		o.Log("%s", r)
		rounds = append(rounds, r)
	}
	log := s.pool.Stop()
	lctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	lost, err := s.Lost(lctx, log)
	if err != nil {
		return Result{}, err
	}
	n := 0
	for _, commits := range lost {
		n = max(n, len(commits))
	}
	return judge(c, log, rounds, n), nil
}

// up brings the stack up, with data in the databases, the active being db1.
func (s *scene) up(ctx context.Context, l *lab.Lab) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := l.Reset(ctx); err != nil {
		return err
	}
	if err := l.Fill(ctx, l.DB[0], s.o.Megabytes); err != nil {
		return err
	}
	so := stack.Options{CheckInterval: s.c.Inter, HAProxy: s.o.HAProxy, Version: s.c.HAProxy,
		// A failover for each rejoin is more than an hour's.
		DaemonArgs: []string{"--max-auto-moves", "0"}}
	if s.c.File == StickOn {
		so.StickOn, so.Key = true, "int(1)"
	}
	if s.c.Check != TCP {
		so.Check = filepath.Join(s.o.Folder, "check-"+string(s.c.Check))
		if err := os.WriteFile(so.Check, []byte(script(s.c.Check)), 0o755); err != nil {
			return err
		}
	}
	var err error
	if s.Stack, err = stack.Up(ctx, l, so); err != nil {
		return err
	}
	if _, err := s.Set(ctx, s.PX[0], "db1", "--drain", "immediate"); err != nil {
		return err
	}
	return s.settled(ctx, "db1")
}

// script is an external check, after Percona's check_pxc.sh and clustercheck.
func script(c Check) string {
	states := "4"
	if c == Lenient {
		states = "[42]"
	}
	return fmt.Sprintf(`#!/bin/sh
set -- $(mariadb --no-defaults -N -h "$3" -P "$4" -u %s -p%s --connect-timeout=2 -e \
	"SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_local_state')" 2>/dev/null)
case "$*" in *Primary*) ;; *) exit 1 ;; esac
case " $* " in *" wsrep_local_state "%s" "*) exit 0 ;; esac
exit 1
`, lab.MonitorUser, lab.Password, states)
}

// rejoin kills the active, waits for the failover, and lets it come back with the new
// active as its donor.
func (s *scene) rejoin(ctx context.Context, i int) (round, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	before, err := s.Active(ctx, s.PX[0])
	if err != nil {
		return round{}, err
	}
	r := round{number: i, killed: before.Active}
	if err := s.pool.WaitNode(ctx, r.killed); err != nil {
		return r, err
	}
	s.pool.Mark(r.mark(killed))
	s.Node(r.killed).Kill9()
	err = s.WaitAll(ctx, "another active", func(a api.Active) bool { return a.Agreed && a.Active != r.killed && a.Move == nil })
	if err != nil {
		return r, err
	}
	if err := s.pool.WaitFlowing(ctx); err != nil {
		return r, err
	}
	lab.Sleep(ctx, steady)
	after, err := s.Active(ctx, s.PX[0])
	if err != nil {
		return r, err
	}
	r.donor = after.Active
	size, err := folderSize(s.Node(r.donor).DataDir)
	if err != nil {
		return r, err
	}
	s.pool.Mark(r.mark(returned))
	r.given, err = s.Node(r.killed).Return(ctx, lab.Return{Method: s.c.Transfer, Donor: s.Node(r.donor), Rate: s.rate(size)})
	if err != nil {
		return r, err
	}
	if r.given.Since.IsZero() {
		return r, fmt.Errorf("%s was not seen as the donor of %s", r.donor, r.killed)
	}
	last, err := s.Active(ctx, s.PX[0])
	if err == nil {
		err = s.settled(ctx, last.Active)
	}
	if err == nil {
		err = s.pool.WaitFlowing(ctx)
	}
	if err != nil {
		return r, err
	}
	lab.Sleep(ctx, steady)
	s.pool.Mark(r.mark(over))
	return r, s.decisions(ctx, &r, before.Epoch, after.Epoch)
}

// scriptPause is how long MariaDB's script for mariabackup waits before it sends anything, the donor being one (10.11).
const scriptPause = 10 * time.Second

// rate bounds the copy, in bytes per second, so that it takes so long that every HAProxy
// looks more often than it needs to call the donor down; 0 where it does anyway.
func (s *scene) rate(size int64) int {
	const looks = 2.5 // `fall 2`, from any moment between two looks
	long := time.Duration(looks*float64(s.c.Inter)) + time.Second
	if s.c.Transfer == lab.MariaBackup {
		long -= scriptPause
	}
	return max(0, int(float64(size)/long.Seconds()))
}

// folderSize is what a full copy of a data folder sends, in bytes: all but Galera's own memory.
func folderSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "galera.cache" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// settled waits until everything is as before a rejoin: this node the active, all proxies steering, every node healthy
// and up for everybody, no move under way, and no daemon hindered from looking at sessions.
func (s *scene) settled(ctx context.Context, node string) error {
	err := s.WaitAll(ctx, node+" to be the active without a move", func(a api.Active) bool {
		return a.Agreed && a.Active == node && a.Move == nil && a.Steering == len(s.PX) && a.Converged == len(s.PX)
	})
	for err == nil {
		if s.allUp(ctx) {
			return nil
		}
		lab.Sleep(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			err = fmt.Errorf("waited for every node to be up everywhere: %w", ctx.Err())
		}
	}
	return err
}

// allUp tells whether every daemon says of every node that all call it healthy and up.
func (s *scene) allUp(ctx context.Context) bool {
	for _, p := range s.PX {
		nodes, err := api.New(p.Daemon.AdminSocket).Nodes(ctx)
		if err != nil || len(nodes) != len(s.DB) {
			return false
		}
		for _, n := range nodes {
			if n.Healthy != len(s.PX) || len(n.Opinions) != len(s.PX) ||
				slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return o.HAProxy != "up" || o.Lacks != "" }) {
				return false
			}
		}
	}
	return true
}

// decisions reads what was decided since an epoch, before and after the node came back.
func (s *scene) decisions(ctx context.Context, r *round, before, back uint64) error {
	h, err := api.New(s.PX[0].Daemon.AdminSocket).History(ctx)
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(h.Decisions) {
		switch {
		case d.Epoch > back:
			r.atDonor = append(r.atDonor, d)
		case d.Epoch > before:
			r.atCrash = append(r.atCrash, d)
		}
	}
	return nil
}

// drained tells whether a decision closes sessions only between two transactions.
func drained(d api.Decision) bool {
	return d.Kind == model.KindPlanned || d.Kind == model.KindDeparture
}
