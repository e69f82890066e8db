package gossip

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// A sealed stream begins with a frame of the dialling side and one of the
// accepting side, each with 128 random bits of its own. Both keys of the stream
// come from these two frames, so that nothing of an old stream fits into a new
// one, whichever side plays it. Records follow in both directions:
//
//	length (2 bytes, of the payload), payload, tag (16 bytes)
//
// The tag is over the side that writes, the record's number, and the record.

// maxRecord bounds a record's payload.
const maxRecord = 16 << 10

// sides of a stream.
const (
	sideDial   = 'd'
	sideAccept = 'a'
)

// errNotSealed is what opening a sealed stream returns when the other side hung
// up on it: a daemon without the seal, or one that has none of our keys.
var errNotSealed = errors.New("the other side does not open a sealed stream: an older daemon, or one with another gossip key")

// errUnfit is what a stream ends with that is refused, and counted, here.
var errUnfit = errors.New("the seal refused this gossip stream")

// errRecord ends a stream in which a record is not what its writer wrote.
var errRecord = errors.New("a record of this gossip stream is not genuine")

// sealedConn is a stream after both first frames.
type sealedConn struct {
	net.Conn
	key     []byte
	writes  byte // our side
	reads   byte
	written uint64
	read    uint64
	rest    []byte // of the record read last
	err     error
}

func recordTag(key []byte, side byte, number uint64, record []byte) []byte {
	var head [9]byte
	head[0] = side
	binary.BigEndian.PutUint64(head[1:], number)
	return sealSum(key, head[:], record)[:sealTag]
}

// Write writes b in records. It is not safe for concurrent use; memberlist has
// one writer to a stream.
func (c *sealedConn) Write(b []byte) (int, error) {
	for done := 0; ; {
		n := min(len(b)-done, maxRecord)
		record := binary.BigEndian.AppendUint16(make([]byte, 0, 2+n+sealTag), uint16(n))
		record = append(record, b[done:done+n]...)
		c.written++
		record = append(record, recordTag(c.key, c.writes, c.written, record)...)
		if _, err := c.Conn.Write(record); err != nil {
			return done, err
		}
		if done += n; done == len(b) {
			return done, nil
		}
	}
}

// Read reads what the other side wrote.
func (c *sealedConn) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.err == nil {
			c.rest, c.err = c.next()
		}
		if c.err != nil {
			return 0, c.err
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next reads a record. The end of the stream is believed anywhere between two
// records: what is read from it has lengths of its own.
func (c *sealedConn) next() ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n == 0 || n > maxRecord {
		return nil, errRecord
	}
	record := make([]byte, 2+n+sealTag)
	copy(record, head[:])
	if _, err := io.ReadFull(c.Conn, record[2:]); err != nil {
		return nil, err
	}
	c.read++
	if !hmac.Equal(recordTag(c.key, c.reads, c.read, record[:2+n]), record[2+n:]) {
		return nil, errRecord
	}
	return record[2 : 2+n], nil
}

// preface puts a frame's length before it. The magic comes first, so that the
// accepting side sees from one byte what kind of stream it is.
func preface(f []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{sealMagic}, uint16(len(f))), f...)
}

// readPreface reads what preface wrote.
func readPreface(r io.Reader) ([]byte, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if head[0] != sealMagic || n > maxPreface {
		return nil, errGarbage
	}
	f := make([]byte, n)
	_, err := io.ReadFull(r, f)
	return f, err
}

// dialSealed opens the sealed stream on a connection. named says that the
// connection is meant for the process that tells others this address.
func (s *seal) dialSealed(conn net.Conn, address string, named bool, deadline time.Time) (net.Conn, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	f := frame{kind: sealOpen, nonce: token(), token: token()}
	if named {
		f.to = address
	}
	s.mu.Lock()
	f.from = s.own
	s.mu.Unlock()
	mac := s.primary()
	hello := f.encode(mac)
	_, err := conn.Write(preface(hello))
	var answer []byte
	if err == nil {
		answer, err = readPreface(conn)
	}
	if err != nil {
		if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
			return nil, err
		}
		return nil, fmt.Errorf("%w (%w)", errNotSealed, err)
	}
	// The answer's key is made of the question, so that it answers this one.
	mine := sealSum(mac, hello)
	got, _, err := openFrame(answer, []sealKey{{mac: mine}})
	if err != nil || got.kind != sealOpened {
		s.metrics.drop(ReasonKey)
		return nil, errRecord
	}
	s.met(address)
	return &sealedConn{Conn: conn, key: sealSum(mine, answer), writes: sideDial, reads: sideAccept}, conn.SetDeadline(time.Time{})
}

// DialAddressTimeout opens a stream, sealed where the other side can read that.
// Where that is not known, it asks by trying.
func (s *seal) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(timeout)
	conn, err := s.inner.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	if yes, known := s.seals(to.Addr); yes || !known {
		sealed, err := s.dialSealed(conn, to.Addr, to.Name != "", deadline)
		if err == nil {
			return sealed, nil
		}
		_ = conn.Close()
		if !errors.Is(err, errNotSealed) || s.refusesOld() {
			return nil, err
		}
		return s.inner.DialAddressTimeout(to, time.Until(deadline))
	}
	return conn, nil
}

// DialTimeout opens a stream.
func (s *seal) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return s.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// acceptStreams hands accepted streams on. Their first bytes are read by who
// reads the stream, under its deadline.
func (s *seal) acceptStreams() {
	for {
		select {
		case <-s.done:
			return
		case conn := <-s.inner.StreamCh():
			if conn == nil {
				continue
			}
			select {
			case s.streams <- &acceptedConn{Conn: conn, seal: s}:
			case <-s.done:
				_ = conn.Close()
				return
			}
		}
	}
}

// acceptedConn is an accepted stream of which nothing is read yet, or what it
// turned out to be.
type acceptedConn struct {
	net.Conn
	seal *seal
	as   io.ReadWriter
	err  error
}

// Read reads the stream's first bytes at its first call.
func (c *acceptedConn) Read(b []byte) (int, error) {
	if c.as == nil && c.err == nil {
		c.as, c.err = c.seal.acceptSealed(c.Conn)
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.as.Read(b)
}

// Write writes to what the stream is. memberlist answers, it never speaks first.
func (c *acceptedConn) Write(b []byte) (int, error) {
	if c.as == nil {
		return 0, errors.New("nothing was read of this gossip stream yet")
	}
	return c.as.Write(b)
}

// acceptSealed reads a stream's first byte and, of a sealed one, the first frame.
func (s *seal) acceptSealed(conn net.Conn) (io.ReadWriter, error) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(first), conn)
	if first[0] != sealMagic {
		if s.refusesOld() {
			s.metrics.drop(s.unsealed(whole))
			return nil, errUnfit
		}
		return struct {
			io.Reader
			io.Writer
		}{whole, conn}, nil
	}
	hello, err := readPreface(whole)
	if err != nil {
		s.metrics.drop(ReasonGarbage)
		return nil, errUnfit
	}
	f, key, err := openFrame(hello, *s.keys.Load())
	if err != nil {
		s.metrics.drop(reasonOf(err))
		return nil, errUnfit
	}
	s.mu.Lock()
	own := s.own
	s.mu.Unlock()
	if f.kind != sealOpen || (f.to != "" && f.to != own) {
		s.metrics.drop(ReasonStale)
		return nil, errUnfit
	}
	mine := sealSum(key.mac, hello)
	answer := frame{kind: sealOpened, nonce: token(), token: token()}.encode(mine)
	if _, err := conn.Write(preface(answer)); err != nil {
		return nil, err
	}
	c := &sealedConn{Conn: conn, key: sealSum(mine, answer), writes: sideAccept, reads: sideDial}
	// An old first frame gets as far as here, and no further.
	if c.rest, c.err = c.next(); c.err != nil {
		if errors.Is(c.err, errRecord) {
			s.metrics.drop(ReasonReplayed)
		}
		return nil, errUnfit
	}
	s.met(f.from)
	return c, nil
}

// unsealed says why a stream without a seal is refused once all members seal: it is
// another installation's, nobody's who has a key, or an older daemon's.
func (s *seal) unsealed(r io.Reader) string {
	head := make([]byte, 2+len(s.label)+1)
	if _, err := io.ReadFull(r, head); err != nil {
		return ReasonGarbage
	}
	switch body, ours := unlabel(head, s.label); {
	case !ours:
		return ReasonLabel
	case body[0] != typeEncrypt:
		return ReasonKey
	}
	return ReasonOld
}
