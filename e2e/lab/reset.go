package lab

import (
	"context"
	"errors"
	"slices"
	"time"
)

// resetTimeout bounds how long nodes may take to come back before the cluster is made anew instead.
const resetTimeout = 40 * time.Second

func (l *Lab) resetCluster(ctx context.Context) error {
	if err := l.healCluster(ctx); err != nil {
		l.log.Warn("the cluster did not come back and is made anew", "reason", err)
		if err := l.startCluster(ctx); err != nil {
			return err
		}
	}
	// A node that was stopped and goes on calls itself synced until it has heard that the others put it out.
	pctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	err := poll(pctx, "the nodes to stay synced", pollInterval, func() (bool, string, error) {
		if err := l.WaitSynced(pctx); err != nil {
			return false, "", err
		}
		err := each(l.DB, func(n *Node) error {
			return errors.Join(n.restoreGlobals(pctx), n.disconnect(pctx))
		})
		if err != nil {
			return false, err.Error(), nil
		}
		return true, "", nil
	})
	if err != nil {
		return err
	}
	for _, user := range []string{AppUser, DirectUser, ProbeUser, MonitorUser} {
		if err := l.SetPassword(ctx, user, Password); err != nil {
			return err
		}
	}
	if err := l.DB[0].Exec(ctx, "TRUNCATE TABLE "+commitsTable); err != nil {
		return err
	}
	if err := l.empty(ctx); err != nil {
		return err
	}
	if err := l.WaitSynced(ctx); err != nil {
		return err
	}
	// Synced is a node that may still have to apply what was ordered a moment ago.
	return each(l.DB, func(n *Node) error { return n.Exec(ctx, "SET STATEMENT wsrep_sync_wait=1 FOR SELECT 1") })
}

// healCluster brings every node back into the cluster that there is.
func (l *Lab) healCluster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	var paused []*Node
	for _, n := range l.DB {
		if n.isPaused() {
			paused = append(paused, n)
		}
	}
	if err := each(paused, (*Node).Cont); err != nil {
		return err
	}
	if err := l.NormalFloor(ctx); err != nil {
		return err
	}
	if !slices.ContainsFunc(l.DB, (*Node).Running) {
		return errNoneSynced
	}
	// Restored first: a desynced or rejecting node would never be synced.
	err := each(l.DB, func(n *Node) error {
		if !n.Running() {
			return nil
		}
		return n.restoreGlobals(ctx)
	})
	if err != nil {
		return err
	}
	err = each(l.DB, func(n *Node) error {
		if n.Running() {
			return nil
		}
		return n.Start(ctx)
	})
	if err != nil {
		return err
	}
	return l.WaitSynced(ctx)
}

// disconnect ends every connection of the load's and the daemons' users.
func (n *Node) disconnect(ctx context.Context) error {
	var errs []error
	for _, user := range []string{AppUser, DirectUser, ProbeUser, MonitorUser} {
		errs = append(errs, n.Exec(ctx, "KILL CONNECTION USER "+user))
	}
	return errors.Join(errs...)
}
