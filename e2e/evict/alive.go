package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

const (
	// groupPort is where Galera's group layer listens.
	groupPort = 4567
	// wideTable is copied by DDL for some seconds.
	wideTable = "lab.wide"
	wideRows  = 1 << 20
	// bulkTable takes large transactions.
	bulkTable = "lab.bulk"
	bulkRows  = 1_000_000 // with a key each
	bulkMiB   = 500
	// diskMiB holds a node's data, its ring buffer and little more.
	diskMiB = 256
)

// aliveShapes are those whose accused lives and talks to the other nodes: nobody may evict it.
func aliveShapes() []shape {
	walled := func(name, what string, meanwhile func(context.Context, *round) error) shape {
		return shape{name: name, what: "a firewall that resets before a live node: " + what, lives: true,
			play: func(ctx context.Context, r *round) error { return r.behindWall(ctx, meanwhile) }}
	}
	all := []shape{
		walled("wall", "nothing else", nothing),
		walled("wall-ddl-accused", "DDL at it", func(ctx context.Context, r *round) error { return r.ddl(ctx, r.victim) }),
		walled("wall-ddl", "DDL at a survivor", func(ctx context.Context, r *round) error { return r.ddl(ctx, r.survivor()) }),
		walled("wall-rows-accused", "a transaction of many rows at it", func(ctx context.Context, r *round) error { return r.bulk(ctx, r.victim, manyRows) }),
		walled("wall-rows", "a transaction of many rows at a survivor", func(ctx context.Context, r *round) error { return r.bulk(ctx, r.survivor(), manyRows) }),
		walled("wall-blobs-accused", "a transaction of hundreds of MB at it", func(ctx context.Context, r *round) error { return r.bulk(ctx, r.victim, blobs) }),
		walled("wall-blobs", "a transaction of hundreds of MB at a survivor", func(ctx context.Context, r *round) error { return r.bulk(ctx, r.survivor(), blobs) }),
		walled("wall-flow-accused", "flow control by it", func(ctx context.Context, r *round) error {
			return r.fault(ctx, r.victim.SlowEverybody)
		}),
		walled("wall-flow", "flow control by a survivor", func(ctx context.Context, r *round) error {
			return r.fault(ctx, r.survivor().SlowEverybody)
		}),
		walled("wall-lock", "FLUSH TABLES WITH READ LOCK at a survivor", func(ctx context.Context, r *round) error {
			return r.fault(ctx, r.survivor().BlockCommits)
		}),
		walled("wall-locks", "FLUSH TABLES WITH READ LOCK at both survivors", func(ctx context.Context, r *round) error {
			others := r.stage.others(r.victim)
			f, err := others[0].BlockCommits(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = f.Undo(context.WithoutCancel(ctx)) }()
			return r.fault(ctx, others[1].BlockCommits)
		}),
		walled("wall-backup", "a backup's lock at a survivor", func(ctx context.Context, r *round) error {
			return r.fault(ctx, r.survivor().PauseReplication)
		}),
		walled("wall-loss", "one packet in 20 of its own is lost", func(ctx context.Context, r *round) error {
			return r.fault(ctx, func(ctx context.Context) (*lab.Fault, error) { return r.stage.lab.Lossy(ctx, r.victim.Host, "0.05") })
		}),
		walled("wall-far", "80 ms lie between it and the other nodes", far),
		walled("wall-slow", "it stops for 0.3 s, and goes on for 0.2 s, again and again", stutter),
		{name: "drop", what: "a firewall that drops before a live node, --evict silent", lives: true, silent: true,
			play: func(ctx context.Context, r *round) error { return r.behindWall(ctx, nothing) }},
		{name: "drop-ddl", what: "the same during DDL at a survivor", lives: true, silent: true,
			play: func(ctx context.Context, r *round) error {
				return r.behindWall(ctx, func(ctx context.Context, r *round) error { return r.ddl(ctx, r.survivor()) })
			}},
		{name: "drop-rows", what: "the same during a transaction of many rows at a survivor", lives: true, silent: true,
			play: func(ctx context.Context, r *round) error {
				return r.behindWall(ctx, func(ctx context.Context, r *round) error { return r.bulk(ctx, r.survivor(), manyRows) })
			}},
		walled("wall-disk", "the disk of a survivor is full", fullDisk),
		walled("wall-donor", "one survivor is the other's donor", donor),
	}
	// Without writers nothing but what is meant fills the queues.
	for _, sh := range slices.Clone(all) {
		switch sh.name {
		case "wall", "wall-rows-accused", "wall-rows", "wall-blobs-accused", "wall-blobs", "wall-ddl", "wall-ddl-accused", "drop-rows":
			sh.name, sh.what, sh.idle = sh.name+"-idle", sh.what+", few other writes", true
			all = append(all, sh)
		}
	}
	return append(all, shape{name: "shutdown", what: "a node is shut down in order", may: true, play: shutdown})
}

// survivor is one that is not accused, the one that the direct client is not at.
func (r *round) survivor() *lab.Node { return r.stage.others(r.victim)[1] }

// wall puts the firewall up between the proxies and the victim.
func (r *round) wall(ctx context.Context) error {
	f, err := r.stage.lab.Wall(ctx, r.victim.Host, r.shape.silent, []int{lab.MySQLPort, groupPort}, r.stage.hosts()...)
	if err != nil {
		return err
	}
	r.undo = append(r.undo, f.Undo)
	r.ends()
	return nil
}

// behindWall puts the wall up, does something behind it, and waits for the verdict's sake.
func (r *round) behindWall(ctx context.Context, meanwhile func(context.Context, *round) error) error {
	if err := meanwhile(ctx, r); err != nil {
		return err
	}
	lab.Sleep(ctx, 500*time.Millisecond)
	return nil
}

// nothing is done behind the wall.
func nothing(ctx context.Context, r *round) error {
	if err := r.wall(ctx); err != nil {
		return err
	}
	lab.Sleep(ctx, r.between(2*time.Second, 4*time.Second))
	return nil
}

// fault begins a fault before the wall or behind it.
func (r *round) fault(ctx context.Context, begin func(context.Context) (*lab.Fault, error)) error {
	first := r.random.IntN(2) == 0
	if first {
		if err := r.wall(ctx); err != nil {
			return err
		}
		lab.Sleep(ctx, r.between(0, 500*time.Millisecond))
	}
	f, err := begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = f.Undo(context.WithoutCancel(ctx)) }()
	lab.Sleep(ctx, r.between(0, 500*time.Millisecond))
	if !first {
		if err := r.wall(ctx); err != nil {
			return err
		}
	}
	lab.Sleep(ctx, r.between(2*time.Second, 4*time.Second))
	return nil
}

// ddls copy a table. Each is a way to say so.
var ddls = []string{
	"ALTER TABLE " + wideTable + " ENGINE=InnoDB, ALGORITHM=COPY",
	"/* SELECT */ ALTER TABLE " + wideTable + " ENGINE=InnoDB, ALGORITHM=COPY",
	"BEGIN NOT ATOMIC ALTER TABLE " + wideTable + " ENGINE=InnoDB, ALGORITHM=COPY; END",
	"EXECUTE IMMEDIATE 'ALTER TABLE " + wideTable + " ENGINE=InnoDB, ALGORITHM=COPY'",
	"OPTIMIZE TABLE " + wideTable,
}

// ddl runs DDL on a node around the moment of the wall.
func (r *round) ddl(ctx context.Context, n *lab.Node) error {
	err := prepare(ctx, n, wideTable, fmt.Sprintf("CREATE OR REPLACE TABLE %s (id INT PRIMARY KEY, data CHAR(100) NOT NULL) ENGINE=InnoDB;"+
		"INSERT INTO %s SELECT seq, MD5(seq) FROM seq_1_to_%d", wideTable, wideTable, wideRows))
	if err != nil {
		return err
	}
	statement := ddls[r.random.IntN(len(ddls))]
	c, err := session(ctx, n)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return r.around(ctx, func() error {
		_, err := c.ExecContext(ctx, statement)
		return err
	})
}

// around does something long around the moment of the wall, and waits until all have applied it.
func (r *round) around(ctx context.Context, long func() error) error {
	before, after := time.Duration(0), r.between(0, time.Second)
	if r.random.IntN(2) == 0 {
		before, after = after, 0
	}
	done := make(chan error, 1)
	go func() {
		lab.Sleep(ctx, after)
		begun := time.Now()
		err := long()
		r.note = fmt.Sprintf("(%.1f s) ", time.Since(begun).Seconds())
		done <- err
	}()
	lab.Sleep(ctx, before)
	err := r.wall(ctx)
	if e := <-done; err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	for _, n := range r.stage.DB {
		if err := applied(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// applied waits until a node has applied what was committed before.
func applied(ctx context.Context, n *lab.Node) error {
	c, err := session(ctx, n)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for {
		_, err := c.ExecContext(ctx, "SET STATEMENT wsrep_sync_wait=15 FOR SELECT COUNT(*) FROM "+bulkGuard)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !lab.Sleep(ctx, 200*time.Millisecond) {
			return err
		}
	}
}

// bulkGuard is a table that is always there.
const bulkGuard = "lab.locked"

// The large transactions.
var (
	manyRows = fmt.Sprintf("INSERT INTO %s (data) SELECT 'x' FROM seq_1_to_%d", bulkTable, bulkRows)
	blobs    = fmt.Sprintf("INSERT INTO %s (data) SELECT REPEAT(MD5(seq), 32768) FROM seq_1_to_%d", bulkTable, bulkMiB)
)

// bulk commits a large transaction on a node around the moment of the wall.
func (r *round) bulk(ctx context.Context, n *lab.Node, insert string) error {
	c, err := session(ctx, n)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, statement := range []string{
		"DROP TABLE IF EXISTS " + bulkTable,
		"CREATE TABLE " + bulkTable + " (id BIGINT AUTO_INCREMENT PRIMARY KEY, data LONGBLOB NOT NULL) ENGINE=InnoDB",
		"BEGIN", insert,
	} {
		if _, err := c.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	err = r.around(ctx, func() error {
		_, err := c.ExecContext(ctx, "COMMIT")
		return err
	})
	if err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "DROP TABLE "+bulkTable)
	// For ten seconds after a large write set nobody is evicted: the next round is not to be one of these.
	lab.Sleep(ctx, 11*time.Second)
	return err
}

// session is a connection of root's to a node.
func session(ctx context.Context, n *lab.Node) (*sql.Conn, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName = "root", "unix", n.Socket, "lab"
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector).Conn(ctx)
}

// far puts the victim far away, for longer than the wall stands.
func far(ctx context.Context, r *round) error {
	others := r.stage.others(r.victim)
	f, err := r.stage.lab.Far(ctx, r.victim.Host, 80*time.Millisecond, others[0].Host, others[1].Host)
	if err != nil {
		return err
	}
	r.undo = append(r.undo, f.Undo)
	lab.Sleep(ctx, 10*time.Second)
	if err := r.wall(ctx); err != nil {
		return err
	}
	lab.Sleep(ctx, 8*time.Second)
	return nil
}

// stutter stops the victim and lets it go on, again and again: a machine that is starved.
func stutter(ctx context.Context, r *round) error {
	if err := r.wall(ctx); err != nil {
		return err
	}
	for range 8 {
		if err := r.victim.Pause(); err != nil {
			return err
		}
		lab.Sleep(ctx, 300*time.Millisecond)
		if err := r.victim.Cont(); err != nil {
			return err
		}
		lab.Sleep(ctx, 200*time.Millisecond)
	}
	return nil
}

// donor makes one survivor the donor of the other while the wall is up.
func donor(ctx context.Context, r *round) error {
	joiner, donor := r.survivor(), r.stage.others(r.victim)[0]
	if err := joiner.Stop(); err != nil {
		return err
	}
	r.lives = slices.DeleteFunc(r.lives, func(l life) bool { return l.node == joiner })
	done := make(chan error, 1)
	go func() {
		_, err := joiner.Return(ctx, lab.Return{Method: lab.RSync, Donor: donor, Rate: 20 << 20})
		done <- err
	}()
	lab.Sleep(ctx, r.between(0, 2*time.Second))
	err := r.wall(ctx)
	if e := <-done; err == nil {
		err = e
	}
	return err
}

// fullDisk fills the disk of a survivor around the moment of the wall. How the survivor bears that is its own affair.
func fullDisk(ctx context.Context, r *round) error {
	poor := r.survivor()
	r.dies = poor
	r.lives = slices.DeleteFunc(r.lives, func(l life) bool { return l.node == poor })
	if err := poor.Stop(); err != nil {
		return err
	}
	disk, err := poor.SmallDisk(ctx, diskMiB)
	if err != nil {
		return err
	}
	if err := poor.Start(ctx); err != nil {
		return errors.Join(err, disk.Undo(ctx))
	}
	if err := r.stage.calm(ctx); err != nil {
		return errors.Join(err, disk.Undo(ctx))
	}
	first := r.random.IntN(2) == 0
	if first {
		err = r.wall(ctx)
		lab.Sleep(ctx, r.between(0, 500*time.Millisecond))
	}
	err = errors.Join(err, poor.FillDisk())
	lab.Sleep(ctx, r.between(0, 2*time.Second))
	if !first {
		err = errors.Join(err, r.wall(ctx))
	}
	lab.Sleep(ctx, r.between(4*time.Second, 8*time.Second))
	r.note = fmt.Sprintf("(%s has ended: %t) ", poor.Name, !poor.Running())
	for _, l := range r.logs.lines(saysTold) {
		if poor.Running() && strings.Contains(l.text, " victim="+poor.Name+" ") {
			r.broke("%s lives with a full disk and was evicted: %s", poor.Name, l.text)
		}
	}
	return errors.Join(err, disk.Undo(ctx), poor.Start(ctx))
}

// shutdown ends the victim in order, and lets it come back.
func shutdown(ctx context.Context, r *round) error {
	r.ends()
	if err := r.victim.Stop(); err != nil {
		return err
	}
	if err := r.flows(ctx); err != nil {
		return err
	}
	return r.back(ctx)
}
