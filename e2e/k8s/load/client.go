package load

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

const (
	table = "commits"
	// insert and whichNode travel apart from RETURNING, which MySQL does not have.
	insert    = "INSERT INTO " + table + " (run, via, client, seq, node) VALUES (?, ?, ?, ?, @@wsrep_node_name)"
	whichNode = "SELECT @@wsrep_node_name"
)

// load is a number of clients at work.
type load struct {
	cfg    Config
	run    string
	begin  time.Time
	dsn    *mysql.Config
	mu     sync.Mutex
	out    *json.Encoder
	failed error // of writing the log: the load is worth nothing then
}

// Run makes the table and lets the clients work until ctx ends, writing the log to out. It returns nil then.
func Run(ctx context.Context, cfg Config, out io.Writer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	l := &load{cfg: cfg, run: rand.Text()[:8], begin: time.Now(), dsn: dsn(cfg), out: json.NewEncoder(out)}
	if err := l.makeTable(ctx); err != nil {
		return err
	}
	l.begin = time.Now()
	l.write(Line{Header: &Header{Run: l.run, Begin: l.begin}})
	clients, ctx := errgroup.WithContext(ctx)
	for i := range cfg.Workers {
		w := worker{load: l, number: i}
		clients.Go(func() error { return w.work(ctx) })
	}
	if cfg.Pool > 0 {
		p := newPool(l)
		defer p.db.Close()
		for i := range cfg.Pool {
			w := writer{pool: p, via: ViaPool, number: i, hold: cfg.Hold, think: cfg.Think}
			clients.Go(func() error { return w.work(ctx) })
		}
		if cfg.Long > 0 {
			w := writer{pool: p, via: ViaLong, hold: cfg.Long}
			clients.Go(func() error { return w.work(ctx) })
		}
	}
	return clients.Wait()
}

func dsn(cfg Config) *mysql.Config {
	d := mysql.NewConfig()
	d.User, d.Passwd, d.Net, d.Addr, d.DBName = cfg.User, cfg.Password, "tcp", cfg.Address, cfg.Database
	d.Timeout = cfg.ConnectTimeout
	d.InterpolateParams, d.MultiStatements = true, true
	d.Logger = quiet{}
	return d
}

// quiet: every error is in the log of the load already.
type quiet struct{}

func (quiet) Print(...any) {}

// makeTable tries until the database is there: the pod may start before it.
func (l *load) makeTable(ctx context.Context) error {
	for {
		err := l.tryTable(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("make the table: %w", err)
		case <-time.After(time.Second):
		}
	}
}

func (l *load) tryTable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	d := l.dsn.Clone()
	d.DBName = "" // it may not be there yet
	connector, err := mysql.NewConnector(d)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	for _, statement := range []string{
		"CREATE DATABASE IF NOT EXISTS " + l.cfg.Database,
		"CREATE TABLE IF NOT EXISTS " + l.cfg.Database + "." + table + ` (run VARCHAR(16) NOT NULL, via VARCHAR(16) NOT NULL,
			client INT NOT NULL, seq BIGINT NOT NULL, node VARCHAR(64) NOT NULL,
			PRIMARY KEY (run, via, client, seq)) ENGINE=InnoDB`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) now() time.Duration { return time.Since(l.begin) }

func (l *load) write(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = l.out.Encode(line)
	}
}

func (l *load) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// worker is a client that connects anew every few transactions.
type worker struct {
	load   *load
	number int
	seq    int64
}

func (w *worker) work(ctx context.Context) error {
	every := time.Duration(float64(time.Second) / w.load.cfg.Rate)
	// Spread over one interval: clients in step would all wait at the same time.
	next := time.Now().Add(every * time.Duration(w.number) / time.Duration(w.load.cfg.Workers))
	turn := func() bool {
		if now := time.Now(); next.Before(now) {
			next = now // turns that were missed are not made up for
		}
		ok := lab.Sleep(ctx, time.Until(next))
		next = next.Add(every)
		return ok
	}
	for turn() {
		if err := w.session(ctx, turn); err != nil {
			lab.Sleep(ctx, w.load.cfg.Retry)
		}
		if err := w.load.broken(); err != nil {
			return fmt.Errorf("write the log: %w", err)
		}
	}
	return nil
}

// session makes one connection and commits over it until it fails or has done its number.
func (w *worker) session(ctx context.Context, turn func() bool) error {
	l := w.load
	record := lab.Connection{Via: ViaConnections, Client: w.number, Start: l.now()}
	defer func() {
		if ctx.Err() == nil {
			record.End = l.now()
			l.write(Line{Connection: &record})
		}
	}()
	db, conn, err := l.connect(ctx)
	if err != nil {
		record.Err = err.Error()
		return err
	}
	record.Greeted = l.now()
	defer db.Close()
	defer conn.Close()
	for n := range l.cfg.Reconnect {
		if n > 0 && !turn() {
			return nil
		}
		w.seq++
		commit := lab.Commit{Via: ViaConnections, Client: w.number, Seq: w.seq, Start: l.now()}
		err := l.atOnce(ctx, conn, &commit)
		if commit.Node != "" {
			record.Node = commit.Node
		}
		l.committed(ctx, commit, err)
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *load) connect(ctx context.Context) (*sql.DB, *sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout)
	defer cancel()
	connector, err := mysql.NewConnector(l.dsn)
	if err != nil {
		return nil, nil, err
	}
	db := sql.OpenDB(lab.OneShot{Connector: connector})
	db.SetMaxIdleConns(-1)
	conn, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return db, conn, nil
}

// atOnce sends a transaction in one packet: it is over in one round trip, as short as one can be.
func (l *load) atOnce(ctx context.Context, conn *sql.Conn, commit *lab.Commit) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	rows, err := conn.QueryContext(ctx, "BEGIN; "+insert+"; "+whichNode+"; COMMIT", l.run, commit.Via, commit.Client, commit.Seq)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		for rows.Next() {
			if err := rows.Scan(&commit.Node); err != nil {
				return err
			}
		}
		if !rows.NextResultSet() {
			break
		}
	}
	commit.Ack = l.now()
	if err := rows.Err(); err != nil {
		return err
	}
	if commit.Node == "" {
		return errors.New("no row came back")
	}
	return nil
}

// committed writes a transaction down. One that was under way when the load was told to end is left out, unless it was
// acknowledged: that is a promise all the same.
func (l *load) committed(ctx context.Context, commit lab.Commit, err error) {
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		commit.Err, commit.Ack = err.Error(), l.now()
	}
	l.write(Line{Commit: &commit})
}
