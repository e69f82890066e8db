package galera

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
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
		"'wsrep_local_recv_queue','wsrep_cluster_conf_id','wsrep_cluster_state_uuid','wsrep_last_committed'," +
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
	// answerSize bounds a packet of the answers, which are a few hundred bytes.
	answerSize = 1 << 20
)

// selected are the columns of selectVariables and selectMaintMode.
var selected = [...][]byte{
	[]byte("wsrep_reject_queries"), []byte("wsrep_sst_donor_rejects_queries"), []byte("read_only"), []byte("pxc_maint_mode"),
}

// login is what a session logs in with.
type login struct {
	account Account
	tls     *tls.Config
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
	wire *wire
	conn driver.Conn
	// unbind undoes that the end of the context stops the wire.
	unbind func() bool
	last   Reading // the previous one: its strings are reused, its Version holds
	full   bool    // the next query is the full one
	row    [len(selected)]driver.Value
	text   []byte
}

// openSession logs in on a connection, which it closes if that fails. The end of
// ctx stops the wire at any time. The wire's budget must have begun.
func openSession(ctx context.Context, w *wire, address string, l login) (*session, error) {
	s := &session{wire: w, full: true}
	s.unbind = context.AfterFunc(ctx, w.stop)
	if err := s.logIn(address, l); err != nil {
		s.abort()
		return nil, s.cause(err)
	}
	return s, nil
}

func (s *session) logIn(address string, l login) (err error) {
	defer recoverAsProtocolError(&err)
	if s.wire.unread, err = readGreeting(s.wire); err != nil {
		return err
	}
	cfg := mysql.NewConfig()
	cfg.User = l.account.User
	if cfg.Passwd, err = l.password(); err != nil {
		return err
	}
	cfg.Net, cfg.Addr = "tcp", address
	cfg.TLS = l.tls
	cfg.MultiStatements = true
	cfg.MaxAllowedPacket = answerSize // else the driver asks the server, a round trip
	cfg.ConnectionAttributes = "program_name:haproxyd"
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return s.wire, nil }
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	// A context that ends would cost the driver a goroutine's wake-up per query; the
	// wire bounds the time.
	s.conn, err = connector.Connect(context.Background())
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
	if err := s.ask(text, &p); err != nil {
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

func (s *session) ask(text string, p *parser) error {
	rows, err := s.conn.(driver.QueryerContext).QueryContext(context.Background(), text, nil)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // an error has been seen, or everything was read
	results := rows.(driver.RowsNextResultSet)
	for {
		if err := s.readResult(rows, p); err != nil {
			return err
		}
		if err := results.NextResultSet(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// readResult reads one result: of SHOW, with a name and a value in each row, or of
// SELECT, with a column for each name.
func (s *session) readResult(rows driver.Rows, p *parser) error {
	columns := len(rows.Columns())
	if columns < 2 || columns > len(selected) {
		return fmt.Errorf("%w: a result of %d columns", ErrIncomplete, columns)
	}
	for {
		row := s.row[:columns]
		if err := rows.Next(row); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if columns == 2 {
			name, _ := row[0].([]byte)
			if err := p.set(name, s.bytes(row[1])); err != nil {
				return err
			}
			continue
		}
		for i, value := range row {
			if err := p.set(selected[i], s.bytes(value)); err != nil {
				return err
			}
		}
	}
}

// bytes is a value as text: the driver turns columns that hold numbers into
// numbers. The result is valid until the next call.
func (s *session) bytes(v driver.Value) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case int64:
		s.text = strconv.AppendInt(s.text[:0], v, 10)
		return s.text
	case uint64:
		s.text = strconv.AppendUint(s.text[:0], v, 10)
		return s.text
	}
	return nil
}

// cause is what was behind an error of the driver, which calls every failure of
// the connection mysql.ErrInvalidConn.
func (s *session) cause(err error) error {
	var server *mysql.MySQLError
	var credentials *CredentialsError
	if s.wire.err == nil || errors.As(err, &server) || errors.As(err, &credentials) {
		return err
	}
	return s.wire.err
}

// abort closes the connection without a word: after an error, when the node may
// be deaf.
func (s *session) abort() {
	s.unbind()
	_ = s.wire.Close()
	if s.conn != nil {
		_ = s.conn.Close() // ends the driver's goroutine
	}
}

// close says goodbye, so that the server does not log an aborted connection.
func (s *session) close() {
	s.unbind()
	s.wire.begin(farewell)
	_ = s.conn.Close()
}

func recoverAsProtocolError(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrProtocol, p)
	}
}
