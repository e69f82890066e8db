package lab

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// Hangs of commits. What they do was measured on MariaDB 10.11.19 with Galera 26.4.23.
const (
	// hangTable is what appliers are blocked with: a row of it changed on one node waits for a lock on another one,
	// and everything that is committed after it waits for that row. The load's own table stays free.
	hangTable = "lab.hang"

	holdCommits = "FLUSH TABLES WITH READ LOCK"
	holdApplier = "LOCK TABLES " + hangTable + " READ"
	touchTable  = "INSERT INTO " + hangTable + " VALUES (1, 1) ON DUPLICATE KEY UPDATE n = n + 1"

	flowLimit     = "gcs.fc_limit"
	normalLimit   = flowLimit + "=16" // Galera's default, which the lab leaves
	noLimit       = flowLimit + "=1000000"
	providerNames = "wsrep_provider_options"
	// fullQueue is more write sets than flow control lets wait at one of three nodes: 16 * sqrt(3), so 28.
	fullQueue = 60
	// caughtUp bounds how long a node may take to apply what it had not.
	caughtUp = 10 * time.Second
)

// BlockCommits holds FLUSH TABLES WITH READ LOCK on the node: its own commits hang, and it applies nothing, while the
// others' proceed. The server desyncs the node meanwhile (wsrep_local_state 2), so flow control stays off; a statement
// that waits ends with error 1205 after its lock_wait_timeout. BACKUP STAGE BLOCK_COMMIT, as of a backup, does the
// same, but its waits end with the stage only.
func (n *Node) BlockCommits(ctx context.Context) (*Fault, error) {
	conn, err := n.hold(ctx, holdCommits)
	if err != nil {
		return nil, fmt.Errorf("block the commits of %s: %w", n.Name, err)
	}
	return n.lab.remember(&Fault{what: "blocked commits on " + n.Name, undo: func(context.Context) error {
		release(conn)
		return nil
	}}), nil
}

// PauseReplication makes commits wait as a transfer by rsync does before it has its lock: "Waiting for certification",
// while the node is a donor by its own word. Undo ends that.
func (n *Node) PauseReplication(ctx context.Context) (*Fault, error) {
	conn, err := n.hold(ctx, "BACKUP STAGE START", "BACKUP STAGE BLOCK_DDL")
	if err != nil {
		return nil, fmt.Errorf("pause the replication of %s: %w", n.Name, err)
	}
	return n.lab.remember(&Fault{what: "paused replication on " + n.Name, undo: func(context.Context) error {
		release(conn)
		return nil
	}}), nil
}

// SlowEverybody blocks the node's applier until its queue has passed gcs.fc_limit: flow control then pauses the whole
// cluster, every node's commits hang, all nodes stay synced, and no node's wsrep_last_committed moves. It fills the
// queue itself, by commits on another node, and returns when that one is paused.
func (n *Node) SlowEverybody(ctx context.Context) (*Fault, error) {
	writer, conn, err := n.blockApplier(ctx)
	if err != nil {
		return nil, fmt.Errorf("slow everybody by %s: %w", n.Name, err)
	}
	// The commit that meets the pause hangs until its end.
	fill, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range fullQueue {
			if _, err := writer.db.ExecContext(fill, touchTable); err != nil {
				return
			}
		}
	}()
	f := &Fault{what: "flow control by " + n.Name, undo: func(context.Context) error {
		release(conn)
		stop()
		<-done
		return nil
	}}
	err = poll(ctx, "flow control to pause "+writer.Name, pollInterval, func() (bool, string, error) {
		s, err := writer.Status(ctx, "wsrep_flow_control_active")
		return s["wsrep_flow_control_active"] == "true", "", err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("slow everybody by %s: %w", n.Name, err), f.Undo(context.WithoutCancel(ctx)))
	}
	return n.lab.remember(f), nil
}

// Lag blocks the node's applier as SlowEverybody does, but lifts the limit of its queue first: the node falls behind
// by all that is committed elsewhere, without flow control and without being desynced. It is synced by its own word,
// wsrep_last_committed stands still, wsrep_local_recv_queue grows, and its own commits hang ("Waiting for
// certification": they come after what it has not applied); neither KILL nor a timeout ends them. Undo returns when
// the node has caught up.
func (n *Node) Lag(ctx context.Context) (*Fault, error) {
	fail := func(err error) (*Fault, error) { return nil, fmt.Errorf("make %s lag: %w", n.Name, err) }
	n.mu.Lock()
	n.saved[providerNames] = normalLimit // for Reset, should the node not answer when the fault is lifted
	n.mu.Unlock()
	if err := n.setGlobal(ctx, providerNames, noLimit); err != nil {
		return fail(err)
	}
	_, conn, err := n.blockApplier(ctx)
	if err != nil {
		return fail(errors.Join(err, n.setGlobal(context.WithoutCancel(ctx), providerNames, normalLimit)))
	}
	return n.lab.remember(&Fault{what: "lag of " + n.Name, undo: func(ctx context.Context) error {
		release(conn)
		if !n.Running() || n.paused {
			return nil // Reset does the rest
		}
		// With the limit back too early the backlog would pause everybody.
		ctx, cancel := context.WithTimeout(ctx, caughtUp)
		defer cancel()
		err := poll(ctx, n.Name+" to have caught up", pollInterval, func() (bool, string, error) {
			s, err := n.Status(ctx, "wsrep_local_recv_queue")
			return s["wsrep_local_recv_queue"] == "0", s["wsrep_local_recv_queue"] + " waiting", err
		})
		return errors.Join(err, n.setGlobal(ctx, providerNames, normalLimit))
	}}), nil
}

// blockApplier makes the node wait with a write set of another one, which it returns.
func (n *Node) blockApplier(ctx context.Context) (writer *Node, lock *sql.Conn, err error) {
	for _, other := range n.lab.DB {
		if other == n || other.paused {
			continue
		}
		if ok, _ := other.Synced(ctx); ok {
			writer = other
			break
		}
	}
	if writer == nil {
		return nil, nil, errors.New("no other node is synced")
	}
	if _, err := writer.Query(ctx, "SELECT 1 FROM "+hangTable); err != nil {
		err = writer.Exec(ctx, "CREATE TABLE "+hangTable+" (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB")
		if err != nil {
			return nil, nil, err
		}
	}
	// DDL is done on the writer before it is on this node.
	err = poll(ctx, hangTable+" on "+n.Name, pollInterval, func() (bool, string, error) {
		_, err := n.Query(ctx, "SELECT 1 FROM "+hangTable)
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		return nil, nil, err
	}
	if lock, err = n.hold(ctx, holdApplier); err != nil {
		return nil, nil, err
	}
	if err := writer.Exec(ctx, touchTable); err != nil {
		release(lock)
		return nil, nil, err
	}
	return writer, lock, nil
}

// hold runs statements on a connection of its own, whose locks last until release.
func (n *Node) hold(ctx context.Context, statements ...string) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	conn, err := n.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			release(conn)
			return nil, fmt.Errorf("%s: %w", statement, err)
		}
	}
	return conn, nil
}

// release closes a connection for good: that ends its locks, also on a node that is paused, once it goes on.
func release(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // it does not go back to the pool
	_ = conn.Close()
}
