package galera

import (
	"context"
	"errors"
	"time"
)

// plainFor is how long a node where TLS failed and plain text worked is not asked for TLS
// again. A server may count a handshake that fails as a mark against this host, as it does a
// greeting without an answer (see patience).
const plainFor = 10 * time.Minute

// opening says how to open a session.
type opening struct {
	login
	// life ends the session; the context of open bounds the opening only.
	life context.Context
	// budget is for all of it, connecting included.
	budget time.Duration
	// connected begins the wire of each connection, which has so much left.
	connected func(w *wire, left time.Duration)
}

// open makes a session on the node. With [SSLPreferred] it goes on without TLS on a
// second connection, within the same budget, where TLS fails; the node is then not
// asked for it for a while. weak is the TLSError of the first one then. stale is an error that makes a
// good reading worthless (see dial).
func (d *dialer) open(ctx context.Context, o opening) (s *session, weak, stale, err error) {
	o.plain = time.Since(d.plainSince) < plainFor
	s, left, stale, err := d.openOnce(ctx, o)
	var failed *TLSError
	if err == nil || !errors.As(err, &failed) || failed.Mode != SSLPreferred || errors.Is(err, ErrOwnPause) || ctx.Err() != nil {
		if err != nil && !isTimeout(err) {
			d.plainSince = time.Time{} // the server may want TLS now
		}
		return s, nil, stale, err
	}
	o.plain, o.budget = true, max(left, grace)
	begin := o.connected
	o.connected = func(w *wire, left time.Duration) {
		begin(w, left)
		w.left = min(w.left, max(left, grace))
	}
	s, _, stale, err = d.openOnce(ctx, o)
	if number := serverNumber(err); number == erAccessDenied || number == erTLSRequired {
		err = errors.Join(err, failed) // which may be why
	}
	if err != nil {
		return nil, failed, stale, err
	}
	d.plainSince = time.Now()
	return s, failed, stale, nil
}

// openOnce makes one connection and logs in, and returns what is left of the budget
// after a failure.
func (d *dialer) openOnce(ctx context.Context, o opening) (s *session, left time.Duration, stale, err error) {
	conn, spent, stale, err := d.dial(ctx, o.budget)
	if err != nil {
		return nil, o.budget - spent, nil, err
	}
	w, err := newWire(conn)
	if err != nil {
		return nil, o.budget - spent, stale, err
	}
	o.connected(w, max(o.budget-spent, grace))
	undo := context.AfterFunc(ctx, w.stop)
	s, err = openSession(o.life, w, d.address, o.login)
	undo()
	return s, w.left, stale, err
}
