package conn

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"net"

	"github.com/go-sql-driver/mysql"
)

const (
	// mostLoginPackets is beyond every exchange of a login: MySQL's longest has four
	// packets of the server's.
	mostLoginPackets = 12
	saltSize         = 20
	// Bits of a server's public key. MySQL makes 2,048; beyond 8,192 one encryption
	// is work that a server could order.
	shortestKey, longestKey = 1024, 8192

	nativePassword  = "mysql_native_password"
	sha2Password    = "caching_sha2_password"
	sha256Password  = "sha256_password"
	clearPassword   = "mysql_clear_password"
	capabilitiesEnd = packetHeader + 4
	// sslRequest is the size of an SSLRequest packet: the first fields of a login's
	// (MySQL "Protocol::SSLRequest").
	sslRequest = packetHeader + 4 + 4 + 1 + 23
)

// guard is the connection that the driver logs in on. The driver knows the methods of
// authentication, and believes what a server says: it indexes packets unseen, makes
// room for as many bytes as a header names, and where it panics a goroutine of
// its own stays behind for good. So the guard hands it one packet at a time, each
// checked, and no more than a login has. After that the driver is let go.
//
// TLS is made here too: below the driver, so that what is checked is what the
// driver gets, and in the place where the driver would. To the driver the connection
// looks like a plain one: the offer is taken out of the greeting, and the packets, of which one
// more was sent, are numbered as it expects them.
type guard struct {
	*Session
	net.Conn // the wire, which has the deadlines
	mode     SSLMode
	tls      func(net.Conn) (*tls.Conn, error) // nil: plain

	pending  []byte // what the driver has not read yet, of the packet that is there
	packets  int
	shift    byte // of the packets' numbers
	wrote    bool
	loggedIn bool
	err      error // why the login failed, where the driver hides it
}

func (g *guard) Read(b []byte) (int, error) {
	if len(g.pending) == 0 {
		if err := g.next(); err != nil {
			return 0, g.failed(err)
		}
	}
	n := copy(b, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

// next makes the server's next packet ready for the driver.
func (g *guard) next() error {
	if g.packets++; g.packets > mostLoginPackets || g.loggedIn {
		return fmt.Errorf("%w: a login without end", ErrProtocol)
	}
	body, err := g.in.packet()
	if err != nil {
		return g.inTLS(err)
	}
	if err := checkLogin(body); err != nil {
		return err
	}
	if body, err = g.translate(body); err != nil {
		return err
	}
	n := len(body)
	g.pending = append(append(g.pending[:0], byte(n), byte(n>>8), byte(n>>16), g.in.seq-1-g.shift), body...)
	g.loggedIn = body[0] == okPacket
	return nil
}

// inTLS is the error of the first packet each way on an encrypted connection. The server may
// end it there for what it dislikes in TLS, for in TLS 1.3 the client is done before its
// certificate was looked at; and what it says of that is lost when it closes at once.
func (g *guard) inTLS(err error) error {
	if g.encrypted() && g.packets <= 1 && !IsTimeout(err) && !errors.Is(err, ErrOwnPause) {
		return &TLSError{Mode: g.mode, Err: err}
	}
	return err
}

// translate changes the method of authentication that the driver would not use as
// the server wants it, because it does not know that the connection is encrypted:
// sha256_password sends the password as it is then, as mysql_clear_password does. That
// one is not done where a server asks for it.
func (g *guard) translate(body []byte) ([]byte, error) {
	if body[0] != eofPacket {
		return body, nil
	}
	method, rest, _ := bytes.Cut(body[1:], []byte{0})
	switch {
	case string(method) == clearPassword:
		return nil, mysql.ErrCleartextPassword
	case g.encrypted() && string(method) == sha256Password:
		return append(append([]byte{eofPacket}, clearPassword+"\x00"...), rest...), nil
	}
	return body, nil
}

// withoutClear is a greeting with another method in the place of one that sends the password
// as it is: a server that wants such a one says so once more, and translate decides.
func withoutClear(greeting []byte) []byte {
	at := methodAt(greeting)
	switch method, _, _ := bytes.Cut(greeting[at:], []byte{0}); string(method) {
	case sha256Password, clearPassword:
		greeting = append(greeting[:at:at], nativePassword+"\x00"...)
		n := len(greeting) - packetHeader
		greeting[0], greeting[1] = byte(n), byte(n>>8)
	}
	return greeting
}

func (g *guard) encrypted() bool { return g.shift > 0 }

// checkLogin refuses what the driver would index beyond its end, or compute with for long.
func checkLogin(body []byte) error {
	bad := func() error {
		return fmt.Errorf("%w: a packet of the login that begins with %q", ErrProtocol, body[:min(len(body), 16)])
	}
	switch body[0] {
	case errorPacket:
		if !errorIsWhole(body) {
			return bad()
		}
		return nil
	case okPacket:
		if _, ok := statusOf(body); !ok {
			return bad()
		}
		return nil
	case moreAuthPacket:
		if len(body) == 2 || len(body) > 2 && isPublicKey(body[1:]) {
			return nil
		}
		return bad()
	case eofPacket:
		if len(body) == 1 {
			return nil // the method of MySQL 4.0, which the driver refuses
		}
		method, salt, found := bytes.Cut(body[1:], []byte{0})
		salt = bytes.TrimSuffix(salt, []byte{0})
		switch string(method) {
		case nativePassword, sha2Password, sha256Password:
			found = found && len(salt) == saltSize
		}
		if found {
			return nil
		}
	}
	return bad()
}

// isPublicKey tells whether the text is an RSA key, for the driver takes every key for one.
func isPublicKey(text []byte) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return false
	}
	pub, ok := key.(*rsa.PublicKey)
	return ok && pub.N.BitLen() >= shortestKey && pub.N.BitLen() <= longestKey
}

// Write sends a packet of the driver's. Before the first one, TLS is made.
func (g *guard) Write(b []byte) (int, error) {
	if g.loggedIn {
		return len(b), nil // its farewell: the session goes on without it
	}
	if len(b) < packetHeader || !g.wrote && len(b) < sslRequest {
		return 0, g.failed(fmt.Errorf("galera: the driver writes %d bytes", len(b)))
	}
	packet := append([]byte(nil), b...)
	if !g.wrote {
		g.wrote = true
		if err := g.start(packet); err != nil {
			return 0, g.failed(err)
		}
	}
	packet[packetHeader-1] += g.shift
	g.in.seq = packet[packetHeader-1] + 1
	if _, err := g.stream.Write(packet); err != nil {
		return 0, g.failed(g.inTLS(err))
	}
	return len(b), nil
}

// start notes what the login's first packet asks for, and encrypts the connection.
func (g *guard) start(first []byte) error {
	asked := binary.LittleEndian.Uint32(first[packetHeader:]) &^ capabilityLocalFiles
	if g.tls != nil {
		asked |= capabilitySSL
	}
	binary.LittleEndian.PutUint32(first[packetHeader:capabilitiesEnd], asked)
	g.noEOF = asked&capabilityNoEOF != 0
	if g.tls == nil {
		return nil
	}
	request := append([]byte(nil), first[:sslRequest]...)
	request[0], request[1], request[2] = sslRequest-packetHeader, 0, 0
	if _, err := g.stream.Write(request); err != nil {
		return err
	}
	conn, err := g.tls(g.wire)
	if err != nil {
		return err
	}
	g.stream, g.in.from, g.shift = conn, conn, 1
	return nil
}

func (g *guard) failed(err error) error {
	if g.err == nil {
		g.err = err
	}
	return err
}

// Close leaves the connection to the session.
func (g *guard) Close() error { return nil }

// run has the driver log in as an account, on a connection whose greeting was read.
func (g *guard) run(greeting []byte, address string, account Account, password string) error {
	without(greeting, capabilitySSL|capabilityCompress)
	if g.tls != nil {
		greeting = withoutClear(greeting)
	}
	g.pending = greeting
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = account.User, password
	cfg.Net, cfg.Addr = "tcp", address
	if g.tls != nil {
		// What the driver sends over a local socket, it sends here: caching_sha2_password
		// needs no public key then. sha256_password it would still hide, see translate.
		cfg.Net, cfg.AllowCleartextPasswords = "unix", true
	}
	cfg.MultiStatements = true
	cfg.MaxAllowedPacket = answerSize // else the driver asks the server, a round trip
	cfg.ConnectionAttributes = "program_name:haproxyd"
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return g, nil }
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	// A context that ends would cost the driver a goroutine's wake-up; the wire bounds the
	// time.
	conn, err := connector.Connect(context.Background())
	if err == nil {
		_ = conn.Close() // ends the driver's goroutine
		if !g.loggedIn {
			err = fmt.Errorf("%w: a login without an OK", ErrProtocol)
		}
	}
	if err != nil && g.err != nil {
		err = g.err
	}
	return err
}
