package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// death is a way in which a database ends for the others.
type death struct {
	what   string
	active bool   // it is the active's
	mode   string // of --evict
	// returns: how long its coming back stops the others is measured, too.
	returns bool
	// target is the longest that nobody may commit, and usual the median, 0 for no bound.
	usual, target time.Duration
	end           func(context.Context, *lab.Lab, *lab.Node) (undo func(context.Context) error, err error)
}

func killed(_ context.Context, _ *lab.Lab, n *lab.Node) (func(context.Context) error, error) {
	n.Kill9()
	return n.Start, nil
}

func hung(_ context.Context, _ *lab.Lab, n *lab.Node) (func(context.Context) error, error) {
	return func(context.Context) error { return n.Cont() }, n.Pause()
}

func cutOff(ctx context.Context, l *lab.Lab, n *lab.Node) (func(context.Context) error, error) {
	f, err := l.Isolate(ctx, n.Host)
	if err != nil {
		return nil, err
	}
	return f.Undo, nil
}

// deadline is the probe's: nothing is silent before it is over.
const deadline = time.Second

var deaths = []death{
	{"the active's process killed", true, evict.ModeGone, true, 150 * time.Millisecond, 800 * time.Millisecond, killed},
	{"another node's process killed", false, evict.ModeGone, true, 150 * time.Millisecond, 800 * time.Millisecond, killed},
	{"the active hung (SIGSTOP), --evict silent", true, evict.ModeSilent, false, 0, deadline + 500*time.Millisecond, hung},
	{"the active cut off or its host lost, --evict silent", true, evict.ModeSilent, false, 0, deadline + 1200*time.Millisecond, cutOff},
}

// stalls measures for how long nobody can commit after a database has ended: with the eviction and without it, through
// the proxies and straight to a survivor; with Galera's timers as they are by default, and with the lab's, which are shorter.
func (b *bench) stalls(ctx context.Context) (err error) {
	cfg := b.cfg
	cfg.GaleraDefaults = true
	l, err := lab.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, d := range deaths {
		if err := b.stall(ctx, l, "Galera's defaults", d, 5, without(d)); err != nil {
			return err
		}
	}
	for _, d := range deaths[:2] {
		if err := b.stall(ctx, b.lab, "the lab's timers", d, 3, 1); err != nil {
			return err
		}
	}
	return nil
}

// without is how often a death is measured that is left to Galera: more often where its coming back is compared, which takes
// from 0.5 to 3 s.
func without(d death) int {
	if d.returns {
		return 4
	}
	return 2
}

// outage is what one death cost.
type outage struct{ proxies, direct, back time.Duration }

// stall measures one death some times with the eviction, and some without.
func (b *bench) stall(ctx context.Context, l *lab.Lab, timers string, d death, with, without int) error {
	told, err := b.rounds(ctx, l, d, true, with)
	if err != nil {
		return fmt.Errorf("%s: %w", d.what, err)
	}
	silent, err := b.rounds(ctx, l, d, false, without)
	if err != nil {
		return fmt.Errorf("%s, not evicted: %w", d.what, err)
	}
	proxies := func(o outage) time.Duration { return o.proxies }
	direct := func(o outage) time.Duration { return o.direct }
	back := func(o outage) time.Duration { return o.back }
	target := "max < " + d.target.String()
	if d.usual > 0 {
		target = fmt.Sprintf("p50 < %v, %s", d.usual, target)
	}
	b.add(fmt.Sprintf("%s, %s: nobody commits for (%d times)", d.what, timers, with), target, spread(told, proxies),
		at(told, proxies, 1) < d.target && (d.usual == 0 || at(told, proxies, 0.5) < d.usual))
	b.note("  straight to a survivor, without any proxy", spread(told, direct))
	b.note(fmt.Sprintf("  not evicted (%d times)", without), spread(silent, proxies))
	b.note("  not evicted, straight to a survivor", spread(silent, direct))
	if d.returns {
		own := at(silent, back, 1)
		b.add("  it comes back: nobody commits for", "< 1 s beyond Galera's own, "+ms(own), spread(told, back), at(told, back, 1) < own+time.Second)
	}
	return nil
}

func (b *bench) rounds(ctx context.Context, l *lab.Lab, d death, evicted bool, times int) ([]outage, error) {
	var all []outage
	for range times {
		o, err := b.die(ctx, l, d, evicted)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// die plays one death on a fresh stack.
func (b *bench) die(ctx context.Context, l *lab.Lab, d death, evicted bool) (o outage, err error) {
	if err := l.Reset(ctx); err != nil {
		return o, err
	}
	mode := d.mode
	if !evicted {
		mode = evict.ModeOff
	}
	s, err := stack.Up(ctx, l, stack.Options{CheckInterval: 10 * time.Second, DaemonArgs: []string{"--evict", mode}})
	if err != nil {
		return o, err
	}
	if evicted {
		if err := errors.Join(s.GrantEviction(ctx), within(ctx, 40*time.Second, s.WaitEvictable)); err != nil {
			return o, err
		}
	}
	a, err := s.Active(ctx, s.PX[0])
	if err != nil {
		return o, err
	}
	victim := s.Node(a.Active)
	if !d.active {
		victim = others(s, a.Active)[0]
	}
	survivors := others(s, victim.Name)
	load, err := s.StartLoad(ctx, lab.LoadConfig{Clients: 4, ReconnectEvery: 20, Direct: survivors[len(survivors)-1:]})
	if err != nil {
		return o, err
	}
	defer load.Stop()
	if err := within(ctx, 20*time.Second, load.WaitFlowing); err != nil {
		return o, err
	}
	lab.Sleep(ctx, time.Second)
	load.Mark("end")
	undo, err := d.end(ctx, l, victim)
	if err != nil {
		return o, err
	}
	err = within(ctx, 30*time.Second, load.WaitFlowing)
	lab.Sleep(ctx, time.Second)
	log := load.Snapshot()
	_, o.proxies = log.Worst("end")
	o.direct, _ = log.Floor("end")
	lab.Sleep(ctx, 2*time.Second) // the lists are seen to be empty twice
	load.Mark("back")
	if err := errors.Join(err, undo(context.WithoutCancel(ctx))); err != nil || !d.returns {
		return o, err
	}
	err = errors.Join(within(ctx, time.Minute, victim.WaitSynced), within(ctx, 20*time.Second, load.WaitFlowing))
	o.back, _ = load.Stop().Floor("back")
	return o, err
}

func at(all []outage, of func(outage) time.Duration, p float64) time.Duration {
	var d []time.Duration
	for _, o := range all {
		d = append(d, of(o))
	}
	return percentile(d, p)
}

func spread(all []outage, of func(outage) time.Duration) string {
	return fmt.Sprintf("p50 %s, max %s", ms(at(all, of, 0.5)), ms(at(all, of, 1)))
}
