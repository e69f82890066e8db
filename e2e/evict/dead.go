package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// shapes are all of them.
func shapes() []shape { return append(deadShapes(), aliveShapes()...) }

// deadShapes are those whose victim has ended, hangs or is cut off.
func deadShapes() []shape {
	all := []shape{
		{name: "kill-active", what: "the active's process is killed", play: kill},
		{name: "kill-another", what: "another node's process is killed", play: kill},
		{name: "kill-writers", what: "the active's process is killed, and clients write straight to every survivor", everywhere: true, play: kill},
		{name: "kill-idle", what: "the active's process is killed, and hardly anybody writes", idle: true, play: kill},
		{name: "hang", what: "the active is stopped, and goes on later; --evict silent", silent: true, play: func(ctx context.Context, r *round) error {
			if err := r.hang(); err != nil {
				return err
			}
			if err := r.flows(ctx); err != nil {
				return err
			}
			r.load.Mark(markBack)
			return r.victim.Cont()
		}},
		{name: "hang-resumed", what: "the active is stopped, and goes on 0 to 50 ms after it was evicted; --evict silent", silent: true, play: resumed},
		{name: "cut", what: "a node is cut off from all, and the cut heals later; --evict silent", silent: true, play: cut},
		{name: "late-kill", what: "the evidence comes around Galera's own view change: the daemons were stopped", may: true, play: late},
		{name: "transfer-kill", what: "a node is killed while another one comes back", may: true, play: duringTransfer},
		{name: "owner-another", what: "the daemon that owns the order is killed at that moment", play: owner},
	}
	for after := time.Duration(0); after <= 400*time.Millisecond; after += 20 * time.Millisecond {
		all = append(all, shape{name: fmt.Sprintf("restart-%d", after.Milliseconds()), may: true,
			what: fmt.Sprintf("the active's process is killed and started again %v later", after),
			play: func(ctx context.Context, r *round) error { return r.restart(ctx, after) }})
	}
	return all
}

func kill(ctx context.Context, r *round) error {
	r.ends()
	r.victim.Kill9()
	if err := r.flows(ctx); err != nil {
		return err
	}
	return r.back(ctx)
}

func (r *round) hang() error {
	r.ends()
	if err := r.victim.Pause(); err != nil {
		return err
	}
	r.undo = append(r.undo, func(context.Context) error { return r.victim.Cont() })
	return nil
}

func resumed(ctx context.Context, r *round) error {
	if err := r.hang(); err != nil {
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, ok := r.logs.wait(wctx, saysTold); !ok {
		return fmt.Errorf("%s hung for 20 s and nobody evicted it", r.victim.Name)
	}
	lab.Sleep(ctx, r.between(0, 50*time.Millisecond))
	if err := r.victim.Cont(); err != nil {
		return err
	}
	return r.flows(ctx)
}

func cut(ctx context.Context, r *round) error {
	r.ends()
	f, err := r.stage.lab.Isolate(ctx, r.victim.Host)
	if err != nil {
		return err
	}
	r.undo = append(r.undo, f.Undo)
	if err := r.flows(ctx); err != nil {
		return err
	}
	r.load.Mark(markBack)
	return nil
}

// late stops the daemons before the kill and lets them go on at about the time of Galera's own view change.
func late(ctx context.Context, r *round) error {
	for _, p := range r.stage.PX {
		if err := p.Daemon.Pause(); err != nil {
			return err
		}
	}
	r.ends()
	r.victim.Kill9()
	lab.Sleep(ctx, r.between(4500*time.Millisecond, 6500*time.Millisecond))
	for _, p := range r.stage.PX {
		if err := p.Daemon.Cont(); err != nil {
			return err
		}
	}
	if err := r.flows(ctx); err != nil {
		return err
	}
	return r.back(ctx)
}

// duringTransfer kills the victim while another node, which was shut down before, takes its state.
func duringTransfer(ctx context.Context, r *round) error {
	joiner := r.survivor()
	if err := joiner.Stop(); err != nil {
		return err
	}
	r.lives = slices.DeleteFunc(r.lives, func(l life) bool { return l.node == joiner })
	lab.Sleep(ctx, 2*time.Second) // there is something to take
	if err := joiner.StartAtOnce(); err != nil {
		return err
	}
	// Before it is a member the two others are all there are, and the last of two has no quorum.
	if err := r.stage.others(r.victim)[0].WaitClusterSize(ctx, len(r.stage.DB)); err != nil {
		return err
	}
	lab.Sleep(ctx, r.between(0, 1500*time.Millisecond))
	r.ends()
	r.victim.Kill9()
	if err := joiner.WaitSynced(ctx); err != nil {
		// Whom the end of the only other member finds half way may have to begin anew.
		r.note = "(the joiner ended) "
		if err := joiner.Start(ctx); err != nil {
			return err
		}
	}
	if err := r.flows(ctx); err != nil {
		return err
	}
	return r.back(ctx)
}

// owner kills the daemon whose order it is as soon as it proposes it.
func owner(ctx context.Context, r *round) error {
	r.ends()
	r.victim.Kill9()
	wctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	l, ok := r.logs.wait(wctx, saysEvicted)
	if !ok {
		return fmt.Errorf("nobody proposed to evict %s", r.victim.Name)
	}
	lab.Sleep(ctx, r.between(0, 10*time.Millisecond))
	for _, p := range r.stage.PX {
		if p.Daemon.Process().Log == l.file {
			p.Daemon.Kill9()
			defer func() { _ = p.Daemon.StartAgain() }()
		}
	}
	if err := r.flows(ctx); err != nil {
		return err
	}
	return r.back(ctx)
}

// restart kills the victim and starts it again a moment later.
func (r *round) restart(ctx context.Context, after time.Duration) error {
	r.ends()
	r.victim.Kill9()
	lab.Sleep(ctx, after)
	if err := r.victim.StartAtOnce(); err != nil {
		return err
	}
	if err := r.flows(ctx); err != nil {
		return err
	}
	return r.victim.WaitSynced(ctx)
}
