package galera

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
)

const (
	// A session that waits for causality (wsrep_sync_wait) would hang with the
	// cluster and fail outside the primary component, where it must answer.
	setup = "SET SESSION wsrep_sync_wait=0;"

	showStatus = "SHOW SESSION STATUS WHERE Variable_name IN ('wsrep_cluster_status','wsrep_local_state','wsrep_ready'," +
		"'wsrep_cluster_state_uuid','wsrep_last_committed'," +
		"'wsrep_replicated','wsrep_flow_control_paused_ns');"

	showVariables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_reject_queries','wsrep_sst_donor_rejects_queries'," +
		"'read_only','pxc_maint_mode','version');"

	selectVariables = "SELECT @@global.wsrep_reject_queries,@@global.wsrep_sst_donor_rejects_queries,@@global.read_only"
	selectMaintMode = ",@@global.pxc_maint_mode"

	// fullQuery is the first on a connection. It learns which variables the server has,
	// and those that do not change.
	fullQuery = setup + showStatus + showVariables + selectVariables

	query          = showStatus + selectVariables
	queryMaintMode = query + selectMaintMode

	// farewell is how long saying goodbye to a server may take.
	farewell = 50 * time.Millisecond
	// answerSize is what the driver may write at once; a login has a few hundred bytes.
	answerSize = 1 << 20
)

// selected are the columns of selectVariables and selectMaintMode.
var selected = [...][]byte{
	[]byte("wsrep_reject_queries"), []byte("wsrep_sst_donor_rejects_queries"), []byte("read_only"), []byte("pxc_maint_mode"),
}

// login is what a session logs in with.
type login struct {
	account Account
	ssl     SSL
	// plain: TLS has failed, and ssl lets the session do without.
	plain bool
	// apart: the time that TLS takes, where the session may do without, is not taken off the
	// wire's budget, which is short.
	apart bool
	// greeted, if set, is called when a server has greeted and refused nothing yet.
	greeted func()
}

// password reads the password file. It is done for every connection, so that a
// rotated password needs no signal: connections that are there outlive a rotation.
func (l login) password() (string, error) {
	if l.account.PasswordFile == "" {
		return "", nil
	}
	raw, _, err := safefile.Read(l.account.PasswordFile)
	if err != nil {
		return "", &CredentialsError{Err: err}
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"), nil
}

// session is a connection that is logged in.
type session struct {
	wire   *wire
	stream io.ReadWriter // the wire, or TLS on it
	in     packets       // what comes from there
	// noEOF: rows end as CLIENT_DEPRECATE_EOF has it.
	noEOF bool
	// unbind undoes that the end of the context stops the wire.
	unbind func() bool
	last   Reading // the previous one: its strings are reused, its Version holds
	full   bool    // the next query is the full one
	row    [mostColumns]value
	// encrypted is the version of TLS, "" for none.
	encrypted string
}

// openSession logs in on a connection, which it closes if that fails. The end of
// ctx stops the wire at any time. The wire's budget must have begun. The error is a
// [TLSError] where encrypting failed.
func openSession(ctx context.Context, w *wire, address string, l login) (*session, error) {
	s := &session{wire: w, stream: w, full: true}
	s.in.from = w
	s.unbind = context.AfterFunc(ctx, w.stop)
	if err := s.logIn(address, l); err != nil {
		s.abort()
		return nil, s.cause(err)
	}
	return s, nil
}

func (s *session) logIn(address string, l login) (err error) {
	defer recoverAsProtocolError(&err)
	greeting, err := readGreeting(s.wire)
	if err != nil {
		return err
	}
	if body := greeting[packetHeader:]; body[0] == errorPacket {
		return serverError(body)
	}
	if l.greeted != nil {
		l.greeted()
	}
	password, err := l.password()
	if err != nil {
		return err
	}
	g := &guard{session: s, mode: l.ssl.mode()}
	offered := offers(greeting, capabilitySSL)
	if l.encrypts(offered) {
		if !offered {
			return &TLSError{Mode: l.ssl.mode(), Err: errNoTLS}
		}
		g.tls = func(conn net.Conn) (*tls.Conn, error) { return s.encrypt(conn, address, l) }
	}
	err = g.run(greeting, address, l.account, password)
	if offered && g.mode == SSLDisabled && serverNumber(err) == erAccessDenied {
		// MariaDB says no more than that where it wants TLS.
		err = errors.Join(err, &TLSError{Mode: g.mode, Err: errNotWanted})
	}
	return err
}

// read asks the node, in one round trip. After an error the session must be
// aborted.
func (s *session) read() (r Reading, err error) {
	defer recoverAsProtocolError(&err)
	text := fullQuery
	if !s.full {
		if text = query; s.last.MaintMode != "" {
			text = queryMaintMode
		}
	}
	p := newParser(s.last)
	p.r.Version = s.last.Version
	if err := s.collect(text, &p); err != nil {
		var server *mysql.MySQLError
		if !errors.As(err, &server) || server.Number != erUnknownCom {
			return Reading{}, s.cause(err)
		}
		p.r.Refused = true
	}
	if r, err = p.reading(); err != nil {
		if p.r.Refused {
			// Not even SHOW was answered.
			err = &mysql.MySQLError{Number: erUnknownCom, Message: "WSREP has not yet prepared node for application use"}
		}
		return Reading{}, err
	}
	// A refused SELECT leaves variables unread: the full query says more.
	s.full, s.last = r.Refused, r
	return r, nil
}

// collect reads results: of SHOW, with a name and a value in each row, or of SELECT,
// with a column for each name.
func (s *session) collect(text string, p *parser) error {
	return s.ask(text, func(_ int, row []value) error {
		switch columns := len(row); {
		case columns < 2 || columns > len(selected):
			return fmt.Errorf("%w: a result of %d columns", ErrIncomplete, columns)
		case columns == 2:
			return p.set(row[0], row[1])
		}
		for i, v := range row {
			if err := p.set(selected[i], v); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// cause is what was behind an error: the connection's own, but for what a server or a
// file said before, and for what failed in TLS, which has it inside.
func (s *session) cause(err error) error {
	var server *mysql.MySQLError
	var credentials *CredentialsError
	var encrypting *TLSError
	if s.wire.err == nil || errors.As(err, &server) || errors.As(err, &credentials) || errors.As(err, &encrypting) {
		return err
	}
	return s.wire.err
}

// abort closes the connection without a word: after an error, when the node may
// be deaf.
func (s *session) abort() {
	s.unbind()
	_ = s.wire.Close()
}

// close says goodbye, so that the server does not log an aborted connection.
func (s *session) close() {
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
