package lab

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"sync"
	"time"
)

// poolConnector makes a pool's connections and writes each attempt down.
type poolConnector struct {
	load    *Load
	host    *Host
	via     string
	address string
	timeout time.Duration
	open    sync.Map // driver.Conn to *recorded
}

// poolClient is the Connection.Client of a pool's connections.
const poolClient = -1

// Connect is one attempt. database/sql makes up to three where one breaks during the login.
func (p *poolConnector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	record := p.load.connecting(p.via, poolClient)
	var raw *recorded
	connector, err := connectorFor(p.host, AppUser, p.address, func(conn net.Conn) net.Conn {
		raw = &recorded{
			greeted: greeted{Conn: conn, seen: func(node string) { p.load.greeted(record, node) }},
			closed:  func() { p.load.ended(record) },
		}
		return raw
	})
	if err != nil {
		return nil, p.load.failed(record, err)
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, p.load.failed(record, err)
	}
	p.open.Store(conn, raw)
	return conn, nil
}

// alive tells whether the other side has not closed a connection that waits for nothing.
func (p *poolConnector) alive(conn *sql.Conn) bool {
	result := false
	// The error is the function's own, or that the connection is closed.
	_ = conn.Raw(func(driverConn any) error {
		raw, ok := p.open.Load(driverConn)
		result = ok && alive(raw.(*recorded))
		return nil
	})
	return result
}

// Driver is asked for by database/sql and not used.
func (p *poolConnector) Driver() driver.Driver { return nil }

// recorded is a connection whose end is written down.
type recorded struct {
	greeted
	once   sync.Once
	closed func()
}

func (r *recorded) Close() error {
	r.once.Do(r.closed)
	return r.Conn.Close()
}

// isBadConn tells whether the driver says that nothing was sent over a connection, so that another may be taken.
func isBadConn(err error) bool { return errors.Is(err, driver.ErrBadConn) }
