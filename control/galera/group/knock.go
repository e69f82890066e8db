package group

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// Knock makes a connection to a group port (HOST:PORT), hears what is said and leaves, within a budget of time in which this process is
// running. uuid is whom the answer named: with TLS it names nobody.
//
// The acceptor speaks first. With socket.ssl it waits for a ClientHello, and what comes back then, a ServerHello or an
// alert, is the process's word as well.
func Knock(ctx context.Context, address string, encrypted bool, within time.Duration) (a Answer, uuid string) {
	d, err := conn.NewDialer(address, nil)
	if err != nil {
		return Nothing, ""
	}
	err = d.Talk(ctx, within, func(c net.Conn) (err error) {
		if encrypted {
			return greetTLS(ctx, c)
		}
		uuid, err = Hello(c)
		return err
	})
	return Heard(err), uuid
}

// Heard is what an attempt that ended with this error has heard. Everything but a refusal and silence is taken for a
// word: it then evicts nobody.
func Heard(err error) Answer {
	switch {
	case errors.Is(err, conn.ErrOwnPause), errors.Is(err, conn.ErrName), errors.Is(err, context.Canceled), isLocal(err):
		return Nothing
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case conn.IsTimeout(err), conn.IsAny(err, syscall.EHOSTUNREACH, syscall.EHOSTDOWN):
		return Silent
	}
	return Spoke
}

// isLocal tells whether the failure is this machine's own.
func isLocal(err error) bool {
	return conn.IsAny(err, syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.EACCES,
		syscall.ENETUNREACH, syscall.ENETDOWN)
}

// greetTLS is nil once anything has come back to a ClientHello.
func greetTLS(ctx context.Context, c net.Conn) error {
	first := &firstByte{Conn: c}
	// Nothing is trusted and nothing is said: the handshake is broken off at the first byte.
	err := tls.Client(first, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}).HandshakeContext(ctx) //nolint:gosec // see above
	if first.heard {
		return nil
	}
	return err
}

var errHeard = errors.New("heard enough")

// firstByte ends a connection's reading with its first byte.
type firstByte struct {
	net.Conn
	heard bool
}

func (f *firstByte) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b[:min(len(b), 1)])
	if n > 0 {
		f.heard = true
		return n, errHeard
	}
	return n, err
}
