package galera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/clock"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

const (
	// canaryPatience is how long one hanging commit is waited for. Measured: a commit that
	// hangs is ended neither by KILL nor by the end of its connection, its thread
	// stays on the server until the node commits again. So the canary keeps waiting on
	// the connection that it has, and leaves at most one thread per minute behind.
	canaryPatience = time.Minute
	// reconnectPause is the least time between two connections.
	reconnectPause = 3 * time.Second
	// lacksPause is the time between attempts while the canary cannot commit for a reason
	// that an administrator must remove.
	lacksPause = 5 * time.Second
)

// hang is the canary's word on a node that does not commit.
type hang struct {
	why   string    // a sentence, "" if it does not hang
	since time.Time // when the first commit began that did not come back
}

// canary commits on one node; its goroutine alone uses it.
type canary struct {
	node    string
	cfg     *CanaryConfig
	probe   *Config
	dialer  *conn.Dialer
	grid    time.Time
	log     *slog.Logger
	metrics nodeMetrics
	verdict func() Verdict
	publish func(func(*record))

	session   *conn.Session
	account   string    // CURRENT_USER(), quoted
	connected time.Time // the last attempt
	hang      hang
	waited    time.Duration // by the commits since hang.since, while this process was running
	lacks     string        // why it cannot commit: the node is not stuck then, but unknown
}

// run commits until ctx is done, and leaves no connection behind.
func (c *canary) run(ctx context.Context) {
	defer c.drop(true)
	clock.Loop(ctx, func() time.Duration { return c.turn(ctx) })
}

// turn makes one commit, if the node is one that should take it, and returns the time
// until the next. All nodes' turns begin together, so that their results can be
// compared.
func (c *canary) turn(ctx context.Context) time.Duration {
	next := func() time.Duration { return c.cfg.Interval - time.Since(c.grid)%c.cfg.Interval }
	if c.verdict() != Healthy {
		c.drop(true)
		c.conclude(hang{}, "")
		return next()
	}
	if c.session == nil && time.Since(c.connected) < reconnectPause {
		return next()
	}
	began := time.Now()
	err := c.commit(ctx, began)
	if ctx.Err() != nil {
		return 0
	}
	if err == nil {
		now := time.Now()
		c.metrics.commits.Observe(now.Sub(began).Seconds())
		c.publish(func(r *record) { r.CanaryAt = now })
		c.conclude(hang{}, "")
		return next()
	}
	return max(next(), c.failed(err, began))
}

// commit makes one commit.
func (c *canary) commit(ctx context.Context, began time.Time) error {
	if c.session == nil {
		if err := c.connect(ctx); err != nil {
			return err
		}
	}
	s, before := c.session, c.waited
	return c.patiently(c.cfg.commit(c.node), func() {
		c.waited = before + canaryPatience - s.Left
		c.overdue(began)
		if c.verdict() == Down {
			s.Left = 0 // its end is known, and its threads end with it or do not matter
		}
	})
}

// patiently runs a statement. The patience is for one that waits: what has begun to answer
// has a deadline.
func (c *canary) patiently(statement string, silent func()) error {
	s := c.session
	s.Begin(canaryPatience)
	s.Silent = silent
	s.Answered = func() { s.Left, s.Silent = min(s.Left, c.cfg.Deadline), nil }
	defer func() { s.Answered = nil }()
	return s.Ask(statement, nil, nil)
}

func (c *canary) connect(ctx context.Context) error {
	c.connected = time.Now()
	s, err := c.dialer.Open(ctx, c.probe.opening(ctx, c.cfg.Deadline))
	if err != nil {
		return err
	}
	if c.account, err = s.Prepare(c.cfg.setup()); err != nil {
		s.Abort()
		return err
	}
	c.session = s
	return nil
}

// overdue publishes a hang once the canary has waited long enough.
func (c *canary) overdue(began time.Time) {
	if c.waited < c.cfg.Deadline {
		return
	}
	since := c.hang.since
	if c.hang.why == "" {
		since = began
	}
	c.conclude(hang{
		why:   fmt.Sprintf("its own commits hang: the canary's has waited %.1f s", c.waited.Seconds()),
		since: since,
	}, "")
}

// failed draws the conclusion of an error and returns how long to pause at least.
func (c *canary) failed(err error, began time.Time) time.Duration {
	var server *mysql.MySQLError
	if !errors.As(err, &server) {
		stuck := c.hang
		c.drop(false)
		if !conn.IsTimeout(err) || c.verdict() != Healthy {
			// The connection is gone, and with it what is known.
			stuck = hang{}
		}
		c.conclude(stuck, "")
		return 0
	}
	switch server.Number {
	case erLockWait:
		// Nobody else locks this row: a global lock holds the commit back, or an
		// earlier commit of ours that still hangs.
		c.waited = max(c.waited, c.cfg.Deadline)
		c.overdue(began)
		return 0
	case erDeadlock:
		c.conclude(hang{}, "") // DDL went first: the node goes on
		return 0
	case erUnknownDatabase, conn.ErNoSuchTable:
		if err = c.create(); err == nil {
			return 0
		}
		if !errors.As(err, &server) {
			c.drop(false)
			c.conclude(hang{}, "")
			return 0
		}
		c.conclude(hang{}, lacksTable(c.cfg, c.account, server))
	default:
		c.conclude(hang{}, lacks(c.cfg, c.account, server))
	}
	return lacksPause
}

// create makes schema and table.
func (c *canary) create() error {
	for _, statement := range []string{c.cfg.createSchema(), c.cfg.createTable()} {
		// DDL waits for everything before it on every node.
		if err := c.patiently(statement, nil); err != nil {
			return err
		}
	}
	c.log.Info("the canary's table was made", "table", c.cfg.table())
	return nil
}

// conclude publishes what is known now.
func (c *canary) conclude(h hang, lacks string) {
	if h.why == "" {
		c.waited = 0
	}
	if (h.why == "") != (c.hang.why == "") {
		if h.why != "" {
			c.log.Warn("a node does not commit", "reason", h.why)
		} else {
			c.log.Info("the canary no longer waits for a node", "since", c.hang.since)
		}
	}
	if lacks != "" && lacks != c.lacks {
		c.log.Error("the canary cannot commit", "reason", lacks)
	}
	if h == c.hang && lacks == c.lacks {
		return
	}
	c.hang, c.lacks = h, lacks
	c.publish(func(r *record) { r.hang = h })
}

// drop closes the connection that is there: with a word, or without where the node
// may be deaf.
func (c *canary) drop(politely bool) {
	if c.session == nil {
		return
	}
	if politely {
		c.session.Close()
	} else {
		c.session.Abort()
	}
	c.session = nil
}

// lacks words what an administrator must do so that the canary can commit.
func lacks(cfg *CanaryConfig, account string, e *mysql.MySQLError) string {
	switch e.Number {
	case conn.ErDBAccessDenied, conn.ErTableAccessDenied, conn.ErColumnDenied, conn.ErSpecificAccess:
		return "the canary lacks a privilege: run " + cfg.grant(account) + " (" + inItsWords(e) + ")"
	}
	return "the canary cannot commit (" + inItsWords(e) + ")"
}

// lacksTable is lacks for a table that is missing and cannot be made.
func lacksTable(cfg *CanaryConfig, account string, e *mysql.MySQLError) string {
	return fmt.Sprintf("the canary's table is missing and could not be made: run %s; %s; or %s (%s)",
		cfg.createSchema(), cfg.createTable(), cfg.grant(account), inItsWords(e))
}
