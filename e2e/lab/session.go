package lab

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// State is what a Session has that must not be cut.
type State string

// States of a session. Each value is the statement that makes it.
const (
	// Idle has nothing.
	Idle State = "DO 0"
	// InTransaction has written a row and not committed it.
	InTransaction State = "BEGIN; INSERT INTO " + commitsTable +
		" VALUES ('session', '', CONNECTION_ID(), UUID_SHORT(), @@wsrep_node_name)"
	// InSnapshot has a transaction open that only reads.
	InSnapshot State = "START TRANSACTION WITH CONSISTENT SNAPSHOT; SELECT COUNT(*) FROM " + commitsTable
	// InBegin has sent BEGIN and nothing since: InnoDB does not know of the transaction yet.
	InBegin State = "BEGIN"
	// WithUserLock has taken a lock with GET_LOCK.
	WithUserLock State = "SELECT GET_LOCK(CONCAT('lab', CONNECTION_ID()), 0)"
	// WithTableLock has locked a table with LOCK TABLES; several sessions may at once.
	WithTableLock State = "LOCK TABLES " + lockedTable + " READ"
	// WithTemporaryTable has a temporary table.
	WithTemporaryTable State = "CREATE TEMPORARY TABLE lab.temporary (id INT)"
)

// Session is one client's connection in a state that stays until Close, or Lab.Reset or Lab.Close.
type Session struct {
	// Via is the proxy, Node the node that greeted.
	Via, Node string
	// ID is the connection's number at the node (CONNECTION_ID).
	ID int64

	link link
	raw  *greeted
}

// OpenSession logs in through a proxy from the client host and brings the session into a state.
func (l *Lab) OpenSession(ctx context.Context, p *Proxy, state State) (*Session, error) {
	s := &Session{Via: p.Name}
	connector, err := connectorFor(l.Client, AppUser, p.loadAddress(), func(conn net.Conn) net.Conn {
		s.raw = &greeted{Conn: conn, seen: func(node string) { s.Node = node }}
		return s.raw
	})
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(OneShot{connector})
	db.SetMaxIdleConns(-1)
	conn, err := db.Conn(ctx)
	if err == nil {
		s.link = link{conn, db}
		if err = s.Exec(ctx, string(state)); err == nil {
			err = conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&s.ID)
		}
		if err != nil {
			_ = conn.Close()
		}
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open a session through %s: %w", p.Name, err)
	}
	l.onReset(s.Close)
	return s, nil
}

// loadAddress is where the load's clients find the proxy.
func (p *Proxy) loadAddress() string { return net.JoinHostPort(p.IP, strconv.Itoa(MySQLPort)) }

// Exec runs a statement in the session.
func (s *Session) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := s.link.ExecContext(ctx, statement, args...)
	return err
}

// Alive tells whether the other side has not closed the connection yet. It sends nothing.
func (s *Session) Alive() bool { return alive(s.raw) }

// Close ends the session. A second call does nothing.
func (s *Session) Close() { s.link.close() }

// alive looks at a connection that waits for nothing: closed or reset connections have something to read.
func alive(conn syscall.Conn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
	})
	return err == nil && quiet
}

// IdleSessions are many connections that are logged in and do nothing.
type IdleSessions struct {
	mu    sync.Mutex
	conns []idleConn
}

type idleConn struct {
	driver.Conn
	raw *greeted
}

// loginsAtOnce bounds the logins at a time, below the nodes' backlog.
const loginsAtOnce = 32

// OpenIdle logs n connections in, dealt to the proxies in turn (none given: all of the lab), and returns when all are.
// For thousands the nodes need a Config.MaxConnections above n, and the proxies a maxconn. They stay until Close, or
// Lab.Reset or Lab.Close.
func (l *Lab) OpenIdle(ctx context.Context, n int, proxies ...*Proxy) (*IdleSessions, error) {
	if len(proxies) == 0 {
		proxies = l.PX
	}
	s := &IdleSessions{}
	logins, ctx := errgroup.WithContext(ctx)
	logins.SetLimit(loginsAtOnce)
	for i := range n {
		logins.Go(func() error { return s.open(ctx, l.Client, proxies[i%len(proxies)]) })
	}
	if err := logins.Wait(); err != nil {
		s.Close()
		return nil, fmt.Errorf("open %d idle sessions: %w", n, err)
	}
	l.onReset(s.Close)
	return s, nil
}

func (s *IdleSessions) open(ctx context.Context, from *Host, p *Proxy) error {
	var raw *greeted
	connector, err := connectorFor(from, AppUser, p.loadAddress(), func(conn net.Conn) net.Conn {
		raw = &greeted{Conn: conn, seen: func(string) {}}
		return raw
	})
	if err != nil {
		return err
	}
	conn, err := OneShot{connector}.Connect(ctx)
	if err != nil {
		return fmt.Errorf("through %s: %w", p.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, idleConn{conn, raw})
	return nil
}

// Alive counts those that the other side has not closed. It sends nothing.
func (s *IdleSessions) Alive() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.conns {
		if alive(c.raw) {
			n++
		}
	}
	return n
}

// Close ends all of them. A second call does nothing.
func (s *IdleSessions) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}
