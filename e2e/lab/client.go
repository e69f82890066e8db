package lab

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

// client is one connection's worth of load.
type client struct {
	load      *Load
	host      *Host
	cfg       LoadConfig
	via       string
	number    int
	user      string
	address   string
	every     time.Duration
	delay     time.Duration
	reconnect int

	seq int64
}

// work connects and commits until the context ends.
func (c *client) work(ctx context.Context) {
	pace := newPace(c.delay, c.every)
	for ctx.Err() == nil {
		if !pace.wait(ctx) {
			return
		}
		if err := c.session(ctx, pace); err != nil && ctx.Err() == nil {
			Sleep(ctx, c.cfg.Retry)
		}
	}
}

// session makes one connection and commits over it until it fails or has done its number. The first transaction is
// due at once.
func (c *client) session(ctx context.Context, pace *pace) error {
	record, connection, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer c.load.ended(record)
	defer connection.close()
	for n := 0; ctx.Err() == nil && (c.reconnect == 0 || n < c.reconnect); n++ {
		if n > 0 && !pace.wait(ctx) {
			return nil
		}
		if err := c.transaction(ctx, connection); err != nil {
			return err
		}
	}
	return nil
}

// link is one connection to a database, with the pool of one that database/sql needs around it.
type link struct {
	*sql.Conn
	pool *sql.DB
}

func (l link) close() {
	_ = l.Conn.Close()
	_ = l.pool.Close()
}

// connect makes a connection from the client host and writes down where it has landed, be it usable or not.
func (c *client) connect(ctx context.Context) (*Connection, link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	record := c.load.connecting(c.via, c.number)
	connector, err := connectorFor(c.host, c.user, c.address, func(conn net.Conn) net.Conn {
		return &greeted{Conn: conn, seen: func(node string) { c.load.greeted(record, node) }}
	})
	if err != nil {
		return nil, link{}, c.load.failed(record, err)
	}
	db := sql.OpenDB(OneShot{connector})
	db.SetMaxIdleConns(-1)
	connection, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close()
		return nil, link{}, c.load.failed(record, err)
	}
	return record, link{connection, db}, nil
}

// connectorFor makes the driver's connector for a login from a host to an address.
func connectorFor(host *Host, user, address string, wrap func(net.Conn) net.Conn) (driver.Connector, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = user, Password, "tcp", address, "lab"
	cfg.InterpolateParams, cfg.MultiStatements = true, true
	cfg.Logger = quiet{}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := host.Dial(ctx, network, host.lab.follow(address))
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}
	return mysql.NewConnector(cfg)
}

// OneShot keeps database/sql from trying a connection again by itself, which would hide a failure.
type OneShot struct{ driver.Connector }

// Connect is the connector's, with an error that database/sql hands on.
func (o OneShot) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := o.Connector.Connect(ctx)
	if errors.Is(err, driver.ErrBadConn) {
		err = errors.New("the connection broke during the login")
	}
	return conn, err
}

// transaction commits one row and writes down what came of it.
func (c *client) transaction(ctx context.Context, connection link) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	c.seq++
	commit := Commit{Via: c.via, Client: c.number, Seq: c.seq, Start: c.load.now()}
	var err error
	if c.cfg.Hold > 0 {
		err = c.inSteps(ctx, connection, &commit)
	} else {
		err = c.atOnce(ctx, connection, &commit)
	}
	if err == nil && commit.Node == "" {
		err = errors.New("no row came back")
	}
	if err != nil {
		commit.Err = err.Error()
	}
	c.load.committed(commit)
	return err
}

const insert = "INSERT INTO " + commitsTable + " VALUES (?, ?, ?, ?, @@wsrep_node_name) RETURNING node"

// atOnce sends the transaction and the question for its seqno in one packet. COMMIT's answer has no rows: it has come
// when the seqno's begins.
func (c *client) atOnce(ctx context.Context, connection link, commit *Commit) error {
	rows, err := connection.QueryContext(ctx, "BEGIN; "+insert+"; COMMIT; "+askSeqno,
		c.load.run, commit.Via, commit.Client, commit.Seq)
	if err != nil {
		return err
	}
	defer rows.Close()
	var gtid string
	for _, answer := range []*string{&commit.Node, &gtid} {
		for rows.Next() {
			if err := rows.Scan(answer); err != nil {
				return err
			}
		}
		if rows.NextResultSet() {
			commit.Ack = c.load.now()
		}
	}
	commit.Seqno = gtidSeqno(gtid)
	return rows.Err()
}

// inSteps sends the statements one by one and keeps the transaction open for a while.
func (c *client) inSteps(ctx context.Context, connection link, commit *Commit) error {
	commit.Failed = AtBegin
	tx, err := connection.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to undo after a commit
	commit.Failed = AtStatement
	err = tx.QueryRowContext(ctx, insert, c.load.run, commit.Via, commit.Client, commit.Seq).Scan(&commit.Node)
	if err != nil {
		return err
	}
	Sleep(ctx, c.cfg.Hold)
	commit.Failed = AtCommit
	err = tx.Commit()
	commit.Ack = c.load.now()
	if err == nil {
		commit.Failed = ""
		commit.Seqno = readSeqno(ctx, connection.Conn)
	}
	return err
}

// connecting begins the record of a connection.
func (l *Load) connecting(via string, number int) *Connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	record := &Connection{Via: via, Client: number, Start: l.now()}
	l.connections = append(l.connections, record)
	return record
}

func (l *Load) greeted(record *Connection, node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	record.Node, record.Greeted = node, l.now()
}

func (l *Load) failed(record *Connection, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	record.Err, record.End = err.Error(), l.now()
	return err
}

func (l *Load) ended(record *Connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	record.End = l.now()
}

func (l *Load) committed(c Commit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Ack == 0 {
		c.Ack = l.now()
	}
	l.commits = append(l.commits, c)
	if c.Acked() {
		l.latest[c.Via] = c
	}
}

// greeted is a connection that looks at the first packet from the server. The lab's nodes end their version with
// their name, so the greeting tells where a connection has landed, without a query and even if the login fails.
type greeted struct {
	net.Conn
	seen func(node string)
	head []byte
	done bool
}

// SyscallConn lets the driver look whether a connection from a pool still lives before it is used: without it, it
// would take every connection for good.
func (g *greeted) SyscallConn() (syscall.RawConn, error) {
	conn, ok := g.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return conn.SyscallConn()
}

func (g *greeted) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if !g.done && n > 0 {
		g.head = append(g.head, p[:n]...)
		var node string
		if node, g.done = nodeOfGreeting(g.head); g.done {
			g.head = nil
			if node != "" {
				g.seen(node)
			}
		}
	}
	return n, err
}

// nodeOfGreeting reads the node's name from the beginning of a server's stream: three bytes of length, one of number,
// protocol version 10, and the version up to a zero byte. It returns false while that is not complete, and no name
// for anything else, such as the error packet of a server with too many connections.
func nodeOfGreeting(stream []byte) (node string, complete bool) {
	const header, protocol = 4, 10
	if len(stream) <= header {
		return "", false
	}
	if stream[header] != protocol {
		return "", true
	}
	length := int(binary.LittleEndian.Uint32([]byte{stream[0], stream[1], stream[2], 0}))
	body := stream[header+1:]
	for i, b := range body {
		if b == 0 {
			version := string(body[:i])
			return version[strings.LastIndexByte(version, '-')+1:], true
		}
	}
	return "", len(body)+1 >= length
}

// pace gives turns at a fixed interval. Turns that were missed are not made up for.
type pace struct {
	next  time.Time
	every time.Duration
}

func newPace(delay, every time.Duration) *pace {
	return &pace{next: time.Now().Add(delay), every: every}
}

// wait waits for the next turn; false means that the context has ended.
func (p *pace) wait(ctx context.Context) bool {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	ok := Sleep(ctx, p.next.Sub(now))
	p.next = p.next.Add(p.every)
	return ok
}

// Sleep waits that long; false means that the context has ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
