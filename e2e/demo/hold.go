package main

import (
	"context"
	"errors"
	"time"
)

// hold moves the active without cutting a transaction and without an overlap. It
// goes to db2, which no HAProxy was started with as its first server: for what follows.
func (d *demo) hold(ctx context.Context) error {
	d.title("Nothing overlaps: haproxyctl active set db2 --drain transactions --hold")
	before, err := d.Active(ctx, d.PX[2])
	if err != nil {
		return err
	}
	d.load.Mark("hold")
	r, err := d.Set(ctx, d.PX[2], "db2", "--drain", "transactions", "--hold")
	if err != nil {
		return err
	}
	if r.Move == nil {
		return errors.New("haproxyctl gave no report of the move")
	}
	if err := d.within(ctx, func(ctx context.Context) error { return d.load.WaitNode(ctx, "db2") }); err != nil {
		return err
	}
	if err := d.pause(ctx, time.Second); err != nil {
		return err
	}
	m := r.Move
	d.say("%d sessions: %d closed between two transactions, %d ended by themselves, %d cut. New ones waited for %d ms.",
		m.Moved, m.Drained, m.Finished, m.Killed, m.HeldMS)
	d.load.Mark("held")
	hand, ok := d.load.Snapshot().Between("hold", "held").HandOver(before.Active, "db2")
	if !ok {
		return errors.New("the clients saw no hand-over")
	}
	d.say("By Galera's own count %s's last commit was number %d, and db2's first was number %d.", before.Active, hand.LastOldSeqno, hand.FirstNewSeqno)
	if hand.FirstNewSeqno <= hand.LastOldSeqno {
		return errors.New("the new node committed before the old one had ended")
	}
	return nil
}
