package galera

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// OnceConfig says whom [Once] asks, and how.
type OnceConfig struct {
	// Address is HOST:PORT.
	Address string
	// Account is whom to log in as. Without a user only the server's greeting is read.
	Account conn.Account
	// SSL says how to encrypt the connection.
	SSL conn.SSL
	// ExpectUUID is the Galera state UUID of the cluster's record; "" accepts any.
	ExpectUUID string
	// Within bounds all of it, connecting and logging in included. Zero means
	// DefaultDeadline.
	Within time.Duration
}

// Glance is what a single attempt at a node saw.
type Glance struct {
	// Greeted: a server greeted, or said instead that it has no connection left: it is
	// alive with all its sessions, which a check that fails would cut. It is what is left to
	// go by when the outcome is unknown.
	Greeted bool
	Outcome
}

// Once connects to a node, reads it once and leaves again. It is for those who look
// at a node so rarely that a connection is not worth keeping. What the node does
// wrong is in the outcome; the error is [conn.ErrOwnPause], that of ctx, or that the address
// is no HOST:PORT.
func Once(ctx context.Context, cfg OnceConfig) (Glance, error) {
	cfg.Within = cmp.Or(cfg.Within, DefaultDeadline)
	d, err := conn.NewDialer(cfg.Address, nil)
	if err != nil {
		return Glance{}, err
	}
	greeted, r, err := once(ctx, d, cfg)
	g := Glance{Greeted: greeted}
	switch {
	case ctx.Err() != nil:
		return Glance{}, ctx.Err()
	case errors.Is(err, conn.ErrOwnPause):
		return Glance{}, err
	case err != nil:
		g.Outcome = JudgeError(conn.Silence(err, cfg.Within, false), cfg.Account)
		g.Greeted = greeted || g.Class == ClassTooManyConns
	case cfg.Account.User == "":
		g.Outcome = unknown(ClassNotProbed, "nobody has logged in to ask for its state")
	default:
		g.Outcome = Judge(r, cfg.ExpectUUID)
	}
	return g, nil
}

// once does the work. The reading is empty when there is no user to log in as.
func once(ctx context.Context, d *conn.Dialer, cfg OnceConfig) (greeted bool, r Reading, err error) {
	if cfg.Account.User == "" {
		err = d.Greets(ctx, cfg.Within)
		return err == nil, r, err
	}
	session, err := d.Open(ctx, conn.Opening{
		Account: cfg.Account, SSL: cfg.SSL, Life: ctx, Budget: cfg.Within, Greeted: func() { greeted = true },
	})
	if err != nil {
		return greeted, r, err
	}
	s := &reader{Session: session}
	if r, err = s.read(); err != nil {
		s.Abort()
		return greeted, r, err
	}
	s.Close()
	return greeted, r, nil
}
