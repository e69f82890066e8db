package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (d *demo) crash(ctx context.Context) error {
	d.title("Crash of the active: kill -9 db1")
	own, err := d.galeraAlone(ctx, "db1")
	if err != nil {
		return err
	}
	d.load.Mark("crash")
	start := time.Now()
	d.DB[1].Kill9()
	to := ""
	err = d.within(ctx, func(ctx context.Context) error {
		for {
			a, err := d.Active(ctx, d.PX[0])
			if err == nil && a.Agreed && a.Active != "db1" && a.Converged == len(d.PX) {
				to = a.Active
				return nil
			}
			if err := d.pause(ctx, 10*time.Millisecond); err != nil {
				return fmt.Errorf("nobody took over: %w", err)
			}
		}
	})
	if err != nil {
		return err
	}
	d.say("All three proxies route to %s after %s.", to, ms(time.Since(start)))
	if err := d.within(ctx, func(ctx context.Context) error { return d.load.WaitNode(ctx, to) }); err != nil {
		return err
	}
	if err := d.within(ctx, d.load.WaitFlowing); err != nil {
		return err
	}
	log := d.load.Snapshot()
	via, worst := log.Worst("crash")
	floor, _ := log.Floor("crash")
	d.say("Longest time without a commit: %s (%s).", ms(worst), via)
	d.say("A client connected straight to a surviving node waited %s: Galera itself, which was told that db1 is gone.", ms(floor))
	d.say("Left to its own timers Galera lets everybody wait for about %.1f s.", own.Seconds())
	return d.show(ctx, "active", "history")
}

func (d *demo) returns(ctx context.Context) error {
	d.title("db1 comes back")
	if err := d.within(ctx, d.DB[1].Start); err != nil {
		return err
	}
	if err := d.within(ctx, d.DB[1].WaitSynced); err != nil {
		return err
	}
	if err := d.pause(ctx, 2*time.Second); err != nil {
		return err
	}
	a, err := d.Active(ctx, d.PX[0])
	if err != nil {
		return err
	}
	d.say("It is synced again, and nothing moves: the active is still %s (epoch %d).", a.Active, a.Epoch)
	return nil
}

// galeraAlone is how long nobody could commit after a node's death if Galera were not told of it.
func (d *demo) galeraAlone(ctx context.Context, node string) (time.Duration, error) {
	nodes, err := api.New(d.PX[0].Daemon.AdminSocket).Nodes(ctx)
	for _, n := range nodes {
		for _, o := range n.Opinions {
			if n.Name != node && o.Group != nil && o.Group.FloorMS > 0 {
				return time.Duration(o.Group.FloorMS) * time.Millisecond, nil
			}
		}
	}
	return 0, errors.Join(err, errors.New("nobody knows Galera's timers"))
}
