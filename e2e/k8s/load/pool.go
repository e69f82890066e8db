package load

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// poolTries is how many connections are tested for one transaction: what stays idle may all be broken after a
// failover, and a pool that tests its connections takes the next one then.
const poolTries = 4

// pool is an application's connection pool that tests a connection before it hands it out.
type pool struct {
	load *load
	db   *sql.DB
}

func newPool(l *load) *pool {
	p := &pool{load: l}
	p.db = sql.OpenDB(poolConnector{l})
	p.db.SetMaxIdleConns(l.cfg.Pool + 1)
	p.db.SetConnMaxLifetime(l.cfg.MaxLife)
	return p
}

// poolConnector makes the pool's connections and writes each attempt down.
type poolConnector struct{ load *load }

func (p poolConnector) Driver() driver.Driver { return mysql.MySQLDriver{} }

func (p poolConnector) Connect(ctx context.Context) (driver.Conn, error) {
	connector, err := mysql.NewConnector(p.load.dsn)
	if err != nil {
		return nil, err
	}
	record := lab.Connection{Via: ViaPool, Client: -1, Start: p.load.now()}
	attempt, cancel := context.WithTimeout(ctx, p.load.cfg.ConnectTimeout)
	defer cancel()
	conn, err := connector.Connect(attempt)
	record.End = p.load.now()
	if err == nil {
		record.Greeted = record.End
	} else {
		record.Err = err.Error()
	}
	if ctx.Err() == nil {
		p.load.write(Line{Connection: &record})
	}
	return conn, err
}

// writer is one thread of an application that uses the pool.
type writer struct {
	pool        *pool
	via         string
	number      int
	hold, think time.Duration
	seq         int64
}

func (w *writer) work(ctx context.Context) error {
	l := w.pool.load
	for ctx.Err() == nil {
		pause := w.think
		if err := w.transaction(ctx); err != nil {
			pause = l.cfg.Retry
		}
		if err := l.broken(); err != nil {
			return fmt.Errorf("write the log: %w", err)
		}
		lab.Sleep(ctx, pause)
	}
	return nil
}

func (w *writer) transaction(ctx context.Context) error {
	l := w.pool.load
	bounded, cancel := context.WithTimeout(ctx, l.cfg.Timeout+w.hold)
	defer cancel()
	w.seq++
	commit := lab.Commit{Via: w.via, Client: w.number, Seq: w.seq, Start: l.now()}
	err := w.commit(bounded, &commit)
	l.committed(ctx, commit, err)
	return err
}

// commit goes through a transaction step by step; commit.Failed says how far it came.
func (w *writer) commit(ctx context.Context, commit *lab.Commit) error {
	l := w.pool.load
	commit.Failed = lab.AtConnect
	conn, err := w.pool.tested(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	commit.Got = l.now()
	commit.Failed = lab.AtBegin
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to undo after a commit
	commit.Failed = lab.AtStatement
	if _, err := tx.ExecContext(ctx, insert, l.run, commit.Via, commit.Client, commit.Seq); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, whichNode).Scan(&commit.Node); err != nil {
		return err
	}
	lab.Sleep(ctx, w.hold)
	// A session that was closed while the application did something else is found by this statement, before COMMIT is
	// sent: without it nobody could tell whether a failed COMMIT may have reached the database.
	if _, err := tx.ExecContext(ctx, "DO 0"); err != nil {
		return err
	}
	commit.Failed = lab.AtCommit
	if err := tx.Commit(); err != nil {
		return err
	}
	commit.Ack, commit.Failed = l.now(), ""
	return nil
}

// tested returns a connection that has just answered.
func (p *pool) tested(ctx context.Context) (*sql.Conn, error) {
	var errs []error
	for range poolTries {
		conn, err := p.db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		if err = p.test(ctx, conn); err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("the test: %w", err))
		// Broken connections must not go back to the pool.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = conn.Close()
	}
	return nil, errors.Join(errs...)
}

// test asks for an answer, and waits for it no longer than for a new connection.
func (p *pool) test(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, p.load.cfg.ConnectTimeout)
	defer cancel()
	return conn.PingContext(ctx)
}
