package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// farewell is how long saying goodbye to a server may take.
	farewell = 50 * time.Millisecond
	// answerSize is what the driver may write at once; a login has a few hundred bytes.
	answerSize = 1 << 20
	// longestAccount is beyond NAME@HOST of every account.
	longestAccount = 400
)

// Session is a connection that is logged in, for one goroutine. After an error of a
// question it must be aborted, unless the error is the server's.
type Session struct {
	// Weak is the [TLSError] for which [SSLPreferred] went on without TLS, else nil.
	Weak error
	// Stale, if set, makes a good answer worthless: the node's name does not resolve any
	// more, and another may have its last address now.
	Stale error
	// Exchange is the one that goes on, from Begin to the next.
	*Exchange

	wire   *wire
	stream io.ReadWriter // the wire, or TLS on it
	in     packets       // what comes from there
	// noEOF: rows end as CLIENT_DEPRECATE_EOF has it.
	noEOF bool
	// unbind undoes that the end of the context stops the wire.
	unbind func() bool
	row    [mostColumns]Value
}

// openSession logs in on a connection, which it closes if that fails. The end of
// the session's life stops the wire at any time. The wire's budget must have begun. The
// error is a [TLSError] where encrypting failed.
func (d *Dialer) openSession(w *wire, o Opening) (*Session, error) {
	s := &Session{Exchange: &w.Exchange, wire: w, stream: w}
	s.in.from = w
	s.unbind = context.AfterFunc(o.Life, w.stop)
	if err := s.logIn(d, o); err != nil {
		s.Abort()
		return nil, s.cause(err)
	}
	return s, nil
}

func (s *Session) logIn(d *Dialer, o Opening) (err error) {
	defer recoverAsProtocolError(&err)
	greeting, err := greet(s.wire)
	if err != nil {
		return err
	}
	if o.Greeted != nil {
		o.Greeted()
	}
	password, err := o.Account.password()
	if err != nil {
		return err
	}
	g := &guard{Session: s, Conn: s.wire, mode: o.SSL.mode()}
	offered := offers(greeting, capabilitySSL)
	if o.encrypts(offered) {
		if !offered {
			return &TLSError{Mode: g.mode, Err: errNoTLS}
		}
		g.tls = func(conn net.Conn) (*tls.Conn, error) { return s.encrypt(conn, d.host, o) }
	}
	err = g.run(greeting, d.address, o.Account, password)
	if offered && g.mode == SSLDisabled && ServerNumber(err) == ErAccessDenied {
		// MariaDB says no more than that where it wants TLS.
		err = errors.Join(err, &TLSError{Mode: g.mode, Err: errNotWanted})
	}
	return err
}

// Prepare sets the session up with a statement and returns the account that the server
// took the login for, as GRANT wants it.
func (s *Session) Prepare(setup string) (account string, err error) {
	last := ""
	err = s.Ask(setup+";SELECT CURRENT_USER()", func(_ int, row []Value) error {
		last = string(row[0])
		return nil
	}, nil)
	return quoteAccount(PlainText(last, longestAccount)), err
}

// Begin starts an exchange that may take budget, with an answer of at most 128 KiB.
func (s *Session) Begin(budget time.Duration) { s.wire.begin(budget) }

// Rest waits for d, and less if the node closes the connection or sends something unasked.
func (s *Session) Rest(d time.Duration) { s.wire.rest(d) }

// Within runs f and stops the session, for good, if ctx ends meanwhile. What panics in f
// is an answer that is wrong.
func (s *Session) Within(ctx context.Context, f func() error) error {
	undo := context.AfterFunc(ctx, s.wire.stop)
	err := func() (err error) {
		defer recoverAsProtocolError(&err)
		return f()
	}()
	if !undo() && err == nil {
		err = ctx.Err()
	}
	return s.cause(err)
}

// Remote is the address that the session is connected to.
func (s *Session) Remote() netip.AddrPort {
	at, _ := s.wire.RemoteAddr().(*net.TCPAddr)
	return netip.AddrPortFrom(at.AddrPort().Addr().Unmap(), at.AddrPort().Port())
}

// Broken tells whether the connection itself failed or was stopped.
func (s *Session) Broken() bool { return s.wire.err != nil || s.wire.stopped.Load() }

// cause is what was behind an error: the connection's own, but for what a server or a
// file said before, and for what failed in TLS, which has it inside.
func (s *Session) cause(err error) error {
	var server *mysql.MySQLError
	var encrypting *TLSError
	if err == nil || s.wire.err == nil || errors.As(err, &server) || errors.Is(err, ErrCredentials) || errors.As(err, &encrypting) {
		return err
	}
	return s.wire.err
}

// Abort closes the connection without a word: after an error, when the node may
// be deaf.
func (s *Session) Abort() {
	s.unbind()
	_ = s.wire.Close()
}

// Close says goodbye, so that the server does not log an aborted connection.
func (s *Session) Close() {
	s.unbind()
	s.wire.begin(farewell)
	_ = s.send(comQuit, "")
	_ = s.wire.Close()
}

func recoverAsProtocolError(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrProtocol, p)
	}
}
