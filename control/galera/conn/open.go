package conn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// plainFor is how long a node where TLS failed and plain text worked is not asked for TLS
// again. A server may count a handshake that fails as a mark against this host, as it does a
// greeting that nobody answers.
const plainFor = 10 * time.Minute

// Opening says how to open a session.
type Opening struct {
	// Account is whom to log in as.
	Account Account
	// SSL says how to encrypt the connection.
	SSL SSL
	// Life ends the session; the context of [Dialer.Open] bounds the opening only.
	Life context.Context
	// Budget is for all of it, connecting included; what is left then is the session's for
	// its first question.
	Budget time.Duration
	// Patience, if set, is the budget of a connection once it is made. One that is made
	// because TLS failed on another has what that left.
	Patience time.Duration
	// Apart: the time that TLS takes, where the session may do without, is not taken off the
	// budget, which is short.
	Apart bool
	// Connected, if set, is called when a connection was made, Greeted when a server has
	// greeted and refused nothing yet, and Silent after each slice without an answer.
	Connected, Greeted, Silent func()

	// plain: TLS has failed, and SSL lets the session do without.
	plain bool
}

// Open makes a session on the node. With [SSLPreferred] it goes on without TLS on a
// second connection, within the same budget, where TLS fails; the node is then not
// asked for it for a while.
func (d *Dialer) Open(ctx context.Context, o Opening) (*Session, error) {
	o.plain = time.Since(d.plainSince) < plainFor
	s, left, err := d.openOnce(ctx, o)
	var failed *TLSError
	if err == nil || !errors.As(err, &failed) || failed.Mode != SSLPreferred || errors.Is(err, ErrOwnPause) || ctx.Err() != nil {
		if err != nil && !IsTimeout(err) {
			d.plainSince = time.Time{} // the server may want TLS now
		}
		return s, err
	}
	o.plain, o.Budget, o.Patience = true, max(left, grace), 0
	s, _, err = d.openOnce(ctx, o)
	if number := ServerNumber(err); number == ErAccessDenied || number == ErTLSRequired {
		err = errors.Join(err, failed) // which may be why
	}
	if err != nil {
		return nil, err
	}
	d.plainSince = time.Now()
	s.Weak = failed
	return s, nil
}

// openOnce makes one connection and logs in, and returns what is left of the budget
// after a failure.
func (d *Dialer) openOnce(ctx context.Context, o Opening) (s *Session, left time.Duration, err error) {
	w, stale, err := d.dial(ctx, o.Budget)
	if err != nil {
		return nil, o.Budget, err
	}
	if o.Patience > 0 {
		w.Left = o.Patience
	}
	if w.Silent = o.Silent; o.Connected != nil {
		o.Connected()
	}
	undo := context.AfterFunc(ctx, w.stop)
	s, err = d.openSession(w, o)
	undo()
	if s != nil {
		s.Stale = stale
	}
	return s, w.Left, err
}

// Greets reads a server's greeting and leaves again. The error is why there was none, or
// what the server refused the connection with.
func (d *Dialer) Greets(ctx context.Context, within time.Duration) error {
	_, err := d.Version(ctx, within)
	return err
}

// Version is what a server's greeting says its version is, which needs no account. The
// error is that of [Dialer.Greets].
func (d *Dialer) Version(ctx context.Context, within time.Duration) (version string, err error) {
	err = d.Talk(ctx, within, func(c net.Conn) error {
		packet, err := greet(c)
		if err == nil {
			version = versionOf(packet)
		}
		return err
	})
	return version, err
}

// Talk makes a connection that is no MySQL client's, lets f use it and closes it, all within the
// budget. Reading from it is bounded as a session's is, and its deadline is the budget, whatever f
// sets.
func (d *Dialer) Talk(ctx context.Context, within time.Duration, f func(net.Conn) error) error {
	w, _, err := d.dial(ctx, within)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	defer context.AfterFunc(ctx, w.stop)()
	if err = f(w); err != nil && w.err != nil {
		err = w.err
	}
	return err
}

// At is the one address that the node's name has now, as it was last resolved; not valid where it has none or
// several.
func (d *Dialer) At() netip.AddrPort {
	port, err := strconv.ParseUint(d.port, 10, 16)
	if err != nil || len(d.known) != 1 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(d.known[0].Unmap(), uint16(port))
}
