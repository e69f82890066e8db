package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// DefaultTimeout is the default of [Config].Timeout.
const DefaultTimeout = 500 * time.Millisecond

// Errors of an [Inspector].
var (
	// ErrNoSession says that a session is gone.
	ErrNoSession = errors.New("the session is gone")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the inspector is closed")
)

// Config says which node to look at and as whom.
type Config struct {
	// Address is HOST:PORT of the node.
	Address string
	// Account is whom to log in as. It needs the privilege PROCESS.
	Account conn.Account
	// SSL says how the connection is encrypted.
	SSL conn.SSL
	// Timeout bounds each question, connecting included, in time during which this
	// process was running. Zero means DefaultTimeout.
	Timeout time.Duration
	// Explain makes a sentence about the node of an error of its connection or its answers.
	// Nil leaves the error's own words.
	Explain func(error) string
	// Logger gets a line for every new connection. Nil discards it.
	Logger *slog.Logger
}

// Inspector looks at the client sessions of one node, on demand, over one connection
// of its own. It may be used by several goroutines; questions are asked one after
// the other.
type Inspector struct {
	cfg    Config
	dialer *conn.Dialer
	ctx    context.Context // ends with Close; the connection outlives a call
	cancel context.CancelFunc

	mu sync.Mutex // guards what follows, and the connection
	c  *inspection
}

// New makes an inspector. It connects with the first question. Without a user its error is
// [conn.ErrNoUser].
func New(cfg Config) (*Inspector, error) {
	if cfg.Account.User == "" {
		return nil, conn.ErrNoUser
	}
	if err := conn.CheckAddress(cfg.Address, cfg.Address); err != nil {
		return nil, err
	}
	if err := cfg.SSL.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("galera: the inspector's timeout is %v: it must be positive", cfg.Timeout)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Explain == nil {
		cfg.Explain = error.Error
	}
	d, err := conn.NewDialer(cfg.Address, nil)
	if err != nil {
		return nil, err
	}
	i := &Inspector{cfg: cfg, dialer: d}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i, nil
}

// Close ends a question that is being asked and closes the connection.
func (i *Inspector) Close() {
	i.cancel()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop()
}

// Sessions lists the client sessions of the node, in no order, and of more than 5,000
// perhaps only some: those that do not fit into a megabyte are left out. The list is also the inspector's
// own and must not be changed. The error is a [PrivilegeError] if the account may not see
// those of others.
func (i *Inspector) Sessions(ctx context.Context) (sessions []ClientSession, err error) {
	err = i.do(ctx, func(c *inspection) error {
		sessions, err = c.list()
		return err
	})
	return sessions, err
}

// InTransaction counts the sessions of other accounts than the inspector's own that must not
// be closed now: those in a transaction, and what Busy has besides. More than fit into a list
// are not counted.
func (i *Inspector) InTransaction(ctx context.Context) (n int, err error) {
	err = i.do(ctx, func(c *inspection) error {
		all, err := c.list()
		n = 0
		for k := range all {
			if all[k].Busy && all[k].User != i.cfg.Account.User {
				n++
			}
		}
		return err
	})
	return n, err
}

// Session looks at one session of the last list, right before it is closed, in one
// round trip. ErrNoSession says that it is gone.
//
// Where performance_schema does not follow transactions, a session is idle only if it
// was so in the last list and has run no statement since (QUERY_ID): that is cheaper
// than to ask InnoDB again, and says as much.
func (i *Inspector) Session(ctx context.Context, id uint64) (s ClientSession, err error) {
	err = i.do(ctx, func(c *inspection) error {
		s, err = c.lookAt(id)
		return err
	})
	return s, err
}

// Applied is the seqno that the node has applied up to now (wsrep_last_committed),
// -1 if undefined. It needs no privilege.
func (i *Inspector) Applied(ctx context.Context) (seqno int64, err error) {
	err = i.do(ctx, func(c *inspection) error {
		found := false
		err := c.Ask("SHOW SESSION STATUS LIKE 'wsrep_last_committed'", func(_ int, row []conn.Value) (err error) {
			if len(row) != 2 {
				return errColumns
			}
			found = true
			seqno, err = conn.Seqno(row[0], row[1])
			return err
		}, nil)
		if err == nil && !found {
			return conn.ErrNotGalera
		}
		return err
	})
	return seqno, err
}

// do asks a question, on a new connection if the one that is there turns out to be
// broken. After an error the connection is given up: an answer of several results
// may lie in it.
func (i *Inspector) do(ctx context.Context, ask func(*inspection) error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	budget := i.cfg.Timeout
	for {
		if err := i.ended(ctx); err != nil {
			return err
		}
		reused := i.c != nil
		left, err := i.once(ctx, budget, ask)
		if err == nil || errors.Is(err, ErrNoSession) {
			return err
		}
		i.drop()
		if ended := i.ended(ctx); ended != nil {
			return ended
		}
		// Everything but silence may be over with a new connection: a privilege granted
		// since, a plugin uninstalled, a connection killed. What time that took is gone.
		if budget = left; !reused || conn.IsTimeout(err) || budget <= 0 {
			return i.explain(err)
		}
	}
}

func (i *Inspector) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if i.ctx.Err() != nil {
		return ErrClosed
	}
	return nil
}

// once asks on the connection that is there or on a new one, within the budget and
// until ctx ends. left is what remains of the budget.
func (i *Inspector) once(ctx context.Context, budget time.Duration, ask func(*inspection) error) (left time.Duration, err error) {
	if end, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(end))
	}
	if i.c == nil {
		return 0, conn.Silence(i.connect(ctx, budget, ask), budget, false)
	}
	i.c.Begin(budget)
	err = i.c.Within(ctx, func() error { return ask(i.c) })
	return i.c.Left, conn.Silence(err, budget, false)
}

func (i *Inspector) connect(ctx context.Context, budget time.Duration, ask func(*inspection) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(i.ctx, cancel)()
	s, err := i.dialer.Open(ctx, conn.Opening{Account: i.cfg.Account, SSL: i.cfg.SSL, Life: i.ctx, Budget: budget})
	if err != nil {
		return err
	}
	if s.Stale != nil {
		s.Abort()
		return s.Stale
	}
	c := &inspection{Session: s}
	i.c = c
	return c.Within(ctx, func() error {
		if err := c.prepare(); err != nil {
			return err
		}
		i.cfg.Logger.Debug("connected to look at the sessions of a node", "address", i.cfg.Address,
			"seen", c.sources.seen(), "unseen", c.sources.unseen)
		return ask(c)
	})
}

// drop gives the connection up.
func (i *Inspector) drop() {
	if i.c == nil {
		return
	}
	if i.c.Broken() {
		i.c.Abort()
	} else {
		i.c.Close()
	}
	i.c = nil
}

// explain makes one line of an error.
func (i *Inspector) explain(err error) error {
	reason := err.Error()
	var lacking *PrivilegeError
	if !errors.As(err, &lacking) && !errors.Is(err, errSourcesChanged) {
		reason = i.cfg.Explain(err)
	}
	return &inspectError{address: i.cfg.Address, reason: reason, err: err}
}

// inspectError is an error of a question.
type inspectError struct {
	address, reason string
	err             error
}

func (e *inspectError) Error() string {
	return fmt.Sprintf("galera: cannot look at the sessions of the node at %s: %s", e.address, e.reason)
}

func (e *inspectError) Unwrap() error { return e.err }
