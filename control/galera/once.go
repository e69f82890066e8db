package galera

import (
	"cmp"
	"context"
	"time"
)

// OnceConfig says whom [Once] asks, and how.
type OnceConfig struct {
	// Address is HOST:PORT.
	Address string
	// Account is whom to log in as. Without a user only the server's greeting is read.
	Account Account
	// SSL says how to encrypt the connection.
	SSL SSL
	// ExpectUUID is the Galera state UUID of the cluster's record; "" accepts any.
	ExpectUUID string
	// Within bounds all of it, connecting and logging in included. Zero means
	// DefaultDeadline.
	Within time.Duration
}

// Glance is what a single attempt at a node saw.
type Glance struct {
	// Greeted: a server greeted and did not refuse the connection at once. It is what
	// is left to go by when the outcome is unknown, because the probe's own account is
	// missing or wrong.
	Greeted bool
	Outcome
}

// Once connects to a node, reads it once and leaves again. It is for those who look
// at a node so rarely that a connection is not worth keeping. What the node does
// wrong is in the outcome; the error is ErrOwnPause, that of ctx, or that the address
// is no HOST:PORT.
func Once(ctx context.Context, cfg OnceConfig) (Glance, error) {
	cfg.Within = cmp.Or(cfg.Within, DefaultDeadline)
	d, err := newDialer(cfg.Address, lookupIP)
	if err != nil {
		return Glance{}, err
	}
	greeted, r, err := once(ctx, d, cfg)
	g := Glance{Greeted: greeted}
	switch {
	case ctx.Err() != nil:
		return Glance{}, ctx.Err()
	case isAny(err, ErrOwnPause):
		return Glance{}, err
	case err != nil:
		g.Outcome = JudgeError(silence(err, cfg.Within, false), cfg.Account)
	case cfg.Account.User == "":
		g.Outcome = unknown(ClassNotProbed, "nobody has logged in to ask for its state")
	default:
		g.Outcome = Judge(r, cfg.ExpectUUID)
	}
	return g, nil
}

// once does the work. The reading is empty when there is no user to log in as.
func once(ctx context.Context, d *dialer, cfg OnceConfig) (greeted bool, r Reading, err error) {
	if cfg.Account.User == "" {
		greeted, err = d.greets(ctx, cfg.Within)
		return greeted, r, err
	}
	s, _, _, err := d.open(ctx, opening{
		login: login{account: cfg.Account, ssl: cfg.SSL, greeted: func() { greeted = true }}, life: ctx, budget: cfg.Within,
		connected: func(w *wire, left time.Duration) { w.begin(left) },
	})
	if err != nil {
		return greeted, r, err
	}
	if r, err = s.read(); err != nil {
		s.abort()
		return greeted, r, err
	}
	s.close()
	return greeted, r, nil
}

// greets reads a server's greeting and leaves again.
func (d *dialer) greets(ctx context.Context, within time.Duration) (bool, error) {
	conn, spent, _, err := d.dial(ctx, within)
	if err != nil {
		return false, err
	}
	w, err := newWire(conn)
	if err != nil {
		return false, err
	}
	defer w.Close()
	w.begin(max(within-spent, grace))
	defer context.AfterFunc(ctx, w.stop)()
	packet, err := readGreeting(w)
	if err != nil {
		return false, err
	}
	if body := packet[packetHeader:]; body[0] == errorPacket {
		return false, serverError(body)
	}
	return true, nil
}
