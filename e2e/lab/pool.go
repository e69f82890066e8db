package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// PoolConfig says what a load of applications with connection pools does: per proxy one database/sql pool, which looks
// at a connection before it uses it again, and writers that take a connection for each transaction.
type PoolConfig struct {
	// Proxies are connected through, from the client host. Default: all of the lab.
	Proxies []*Proxy

	// Writers is their number in all, dealt to the proxies in turn, 1 to 1000. Default 12.
	Writers int

	// Hold keeps each transaction open that long between its INSERT and its COMMIT. Default 50 ms; negative: not.
	Hold time.Duration

	// Think is a writer's pause between two transactions, in which its connection is idle in the pool. Default 0.
	Think time.Duration

	// RandomThink makes each pause a random one of 0 to twice Think.
	RandomThink bool

	// Apart gives each writer a pool of its own: as many connections as writers, each idle for its writer's pauses. In a
	// shared pool a few connections serve all writers that pause.
	Apart bool

	// MaxIdle is how many idle connections each pool keeps. Default: as many as it has writers. Negative: none, so that
	// every transaction makes a connection.
	MaxIdle int

	// MaxLife is after what time a connection is closed once it is idle, as pools do that want to be spread anew. Default
	// 0: never. database/sql looks once a second, and before each use.
	MaxLife time.Duration

	// Long adds one writer, at the first proxy, that keeps each of its transactions open that long. Default 0: none.
	Long time.Duration

	// NoSeqnos leaves out the statement after each commit that reads Commit.Seqno, as applications do.
	NoSeqnos bool

	// Port is the proxies' port. Default MySQLPort.
	Port int

	// ConnectTimeout bounds a connection attempt up to the end of the login. Default 5 s.
	ConnectTimeout time.Duration

	// Timeout bounds a transaction with its wait for a connection, beyond Hold or Long. Default 15 s.
	Timeout time.Duration

	// Retry is a writer's pause after a failure, before its next transaction. Default 10 ms.
	Retry time.Duration
}

const maxWriters = 1000

func (c PoolConfig) withDefaults(l *Lab) PoolConfig {
	if c.Proxies == nil {
		c.Proxies = l.PX
	}
	if c.Writers == 0 {
		c.Writers = 12
	}
	if c.Port == 0 {
		c.Port = MySQLPort
	}
	if c.MaxIdle == 0 {
		c.MaxIdle = c.Writers/len(c.Proxies) + 2 // one more where they do not divide, one more for Long
	}
	durations := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	durations(&c.Hold, 50*time.Millisecond)
	durations(&c.ConnectTimeout, 5*time.Second)
	durations(&c.Timeout, 15*time.Second)
	durations(&c.Retry, 10*time.Millisecond)
	return c
}

// Validate names every field that cannot be used, in one error (errors.Join). Zero values are valid.
func (c PoolConfig) Validate() error {
	var errs []error
	if c.Proxies != nil && len(c.Proxies) == 0 {
		errs = append(errs, errors.New("pool: Proxies is empty: nil means all"))
	}
	if c.Writers < 0 || c.Writers > maxWriters {
		errs = append(errs, fmt.Errorf("pool: Writers %d: 1 to %d", c.Writers, maxWriters))
	}
	if c.Think < 0 || c.Long < 0 || c.MaxLife < 0 || c.ConnectTimeout < 0 || c.Timeout < 0 || c.Retry < 0 {
		errs = append(errs, errors.New("pool: Think, MaxLife, Long, ConnectTimeout, Timeout and Retry must not be negative"))
	}
	return errors.Join(errs...)
}

// StartPool starts the writers and returns at once. Stop or Lab.Reset or Lab.Close ends them. Nothing is tried again
// but what database/sql tries by itself: a connection that it finds broken before anything was sent over it.
func (l *Lab) StartPool(ctx context.Context, cfg PoolConfig) (*Load, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("start the pools: %w", err)
	}
	cfg = cfg.withDefaults(l)
	load, ctx := l.newLoad(ctx)
	var pools []*sql.DB
	var connectors []*poolConnector
	number := len(cfg.Proxies)
	if cfg.Apart {
		number = max(number, cfg.Writers)
	}
	for i := range number {
		p := cfg.Proxies[i%len(cfg.Proxies)]
		connector := &poolConnector{load: load, host: l.Client, via: p.Name, timeout: cfg.ConnectTimeout,
			address: net.JoinHostPort(p.IP, strconv.Itoa(cfg.Port))}
		connectors = append(connectors, connector)
		pool := sql.OpenDB(connector)
		pool.SetMaxIdleConns(cfg.MaxIdle)
		pool.SetConnMaxLifetime(cfg.MaxLife)
		pools = append(pools, pool)
		load.clients.Go(func() {
			<-ctx.Done()
			_ = pool.Close() // connections in use are closed when they come back
		})
	}
	start := func(i int, hold, think time.Duration) {
		at := i % len(pools)
		via := cfg.Proxies[i%len(cfg.Proxies)].Name
		if i < len(cfg.Proxies) {
			load.vias = append(load.vias, via)
		}
		w := writer{load: load, pool: pools[at], connector: connectors[at], cfg: cfg, via: via,
			number: i / len(cfg.Proxies), hold: hold, think: think}
		load.clients.Go(func() { w.work(ctx) })
	}
	for i := range cfg.Writers {
		start(i, cfg.Hold, cfg.Think)
	}
	if cfg.Long > 0 {
		next := (cfg.Writers + len(cfg.Proxies) - 1) / len(cfg.Proxies) * len(cfg.Proxies) // the next number of the first proxy
		start(next, cfg.Long, 0)
	}
	return load, nil
}

// writer is one thread of an application.
type writer struct {
	load        *Load
	pool        *sql.DB
	connector   *poolConnector
	cfg         PoolConfig
	via         string
	number      int
	hold, think time.Duration

	seq int64
}

func (w *writer) work(ctx context.Context) {
	for ctx.Err() == nil {
		pause := w.think
		if w.cfg.RandomThink && pause > 0 {
			pause = rand.N(2 * pause)
		}
		if err := w.transaction(ctx); err != nil {
			pause = w.cfg.Retry
		}
		Sleep(ctx, pause)
	}
}

// transaction commits one row and writes down what came of it.
func (w *writer) transaction(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout+max(w.hold, 0))
	defer cancel()
	w.seq++
	commit := Commit{Via: w.via, Client: w.number, Seq: w.seq, Start: w.load.now()}
	err := w.commit(ctx, &commit)
	if err != nil {
		commit.Err = err.Error()
	}
	w.load.committed(commit)
	return err
}

func (w *writer) commit(ctx context.Context, commit *Commit) error {
	conn, tx, err := w.begin(ctx, commit)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer func() { _ = tx.Rollback() }() // nothing to undo after a commit
	commit.Failed = AtStatement
	err = tx.QueryRowContext(ctx, insert, w.load.run, commit.Via, commit.Client, commit.Seq).Scan(&commit.Node)
	if err != nil {
		return err
	}
	Sleep(ctx, w.hold)
	// A COMMIT over a connection that was closed meanwhile reaches nobody.
	if w.connector.alive(conn) {
		commit.Failed = AtCommit
	}
	err = tx.Commit()
	commit.Ack = w.load.now()
	if err != nil {
		return err
	}
	commit.Failed = ""
	if !w.cfg.NoSeqnos {
		commit.Seqno = readSeqno(ctx, conn)
	}
	return nil
}

// poolTries is how often database/sql takes another connection where one was found broken before anything was sent.
const poolTries = 3

// begin does what sql.DB.BeginTx does, in two steps, so that it is known whether BEGIN was sent.
func (w *writer) begin(ctx context.Context, commit *Commit) (*sql.Conn, *sql.Tx, error) {
	var err error
	for range poolTries {
		var conn *sql.Conn
		commit.Failed, commit.Got = AtConnect, 0
		if conn, err = w.pool.Conn(ctx); err != nil {
			return nil, nil, err
		}
		commit.Failed, commit.Got = AtBegin, w.load.now()
		var tx *sql.Tx
		if tx, err = conn.BeginTx(ctx, nil); err == nil {
			return conn, tx, nil
		}
		_ = conn.Close()
		if !isBadConn(err) {
			return nil, nil, err
		}
	}
	commit.Failed, commit.Got = AtConnect, 0
	return nil, nil, err
}
