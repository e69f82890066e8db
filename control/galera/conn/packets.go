package conn

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/go-sql-driver/mysql"
)

const (
	// packetSize is the longest packet that is held as a whole. The rows that are asked for
	// have a few hundred bytes; only the last column of a [LongColumn] is longer, and
	// is read in pieces.
	packetSize = 4 << 10
	// chained is the length of a packet that the next one continues. Nothing that is asked for
	// is that long.
	chained = 1<<24 - 1

	okPacket        = 0x00
	moreAuthPacket  = 0x01
	localFilePacket = 0xfb
	eofPacket       = 0xfe
	nullColumn      = 0xfb
)

// packets takes apart what a server says, in one buffer: nothing that the server says
// makes it allocate. Lengths are believed only as far as the buffer goes.
type packets struct {
	from   io.Reader
	buf    [packetSize + packetHeader]byte
	lo, hi int // what is read and not taken yet
	seq    byte
}

// fill reads until n bytes lie in the buffer.
func (p *packets) fill(n int) error {
	if p.lo > 0 && p.lo+n > len(p.buf) {
		p.hi = copy(p.buf[:], p.buf[p.lo:p.hi])
		p.lo = 0
	}
	for empty := 0; p.hi-p.lo < n; {
		got, err := p.from.Read(p.buf[p.hi:])
		if p.hi += got; p.hi-p.lo >= n {
			return nil
		}
		if err != nil {
			return err
		}
		if empty++; got > 0 {
			empty = 0
		} else if empty > 100 {
			return io.ErrNoProgress
		}
	}
	return nil
}

// header begins a packet and returns its length.
func (p *packets) header() (int, error) {
	if err := p.fill(packetHeader); err != nil {
		return 0, err
	}
	h := p.buf[p.lo : p.lo+packetHeader]
	p.lo += packetHeader
	length := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	if length == 0 || length == chained {
		return 0, fmt.Errorf("%w: a packet of %d bytes", ErrProtocol, length)
	}
	if h[3] != p.seq {
		// Servers number an error that nobody asked for as they like.
		if err := p.fill(1); err != nil {
			return 0, err
		}
		if p.buf[p.lo] != errorPacket {
			return 0, fmt.Errorf("%w: packet %d instead of %d", ErrProtocol, h[3], p.seq)
		}
	}
	p.seq = h[3] + 1
	return length, nil
}

// packet reads a packet as a whole. It is valid until the next call.
func (p *packets) packet() ([]byte, error) {
	length, err := p.header()
	if err != nil {
		return nil, err
	}
	return p.take(length)
}

// take takes the next n bytes of a packet.
func (p *packets) take(n int) ([]byte, error) {
	if n > packetSize {
		return nil, fmt.Errorf("%w: %d bytes where %d are the most", ErrProtocol, n, packetSize)
	}
	if err := p.fill(n); err != nil {
		return nil, err
	}
	p.lo += n
	return p.buf[p.lo-n : p.lo : p.lo], nil
}

// skip passes over a packet.
func (p *packets) skip() error {
	length, err := p.header()
	if err != nil {
		return err
	}
	return p.pieces(length, nil)
}

// pieces passes the next n bytes on as they come.
func (p *packets) pieces(n int, to func(piece []byte)) error {
	for n > 0 {
		if err := p.fill(1); err != nil {
			return err
		}
		size := min(n, p.hi-p.lo)
		if to != nil {
			to(p.buf[p.lo : p.lo+size])
		}
		p.lo += size
		n -= size
	}
	return nil
}

// lengthEncoded reads an integer of the protocol and returns its size too, which is 0 where b
// is too short for it, and whether it stands for NULL.
func lengthEncoded(b []byte) (n uint64, size int, null bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	switch first := b[0]; first {
	case nullColumn:
		return 0, 1, true
	case 0xfc:
		size = 3
	case 0xfd:
		size = 4
	case 0xfe:
		size = 9
	case 0xff:
		return 0, 0, false
	default:
		return uint64(first), 1, false
	}
	if len(b) < size {
		return 0, 0, false
	}
	var whole [8]byte
	copy(whole[:], b[1:size])
	return binary.LittleEndian.Uint64(whole[:]), size, false
}

// statusOf is the server's status in an OK packet, or in one that ends rows in its place.
func statusOf(body []byte) (status uint16, ok bool) {
	rest := body[1:]
	for range 2 { // affected rows, last insert id
		_, size, _ := lengthEncoded(rest)
		if size == 0 {
			return 0, false
		}
		rest = rest[size:]
	}
	if len(rest) < 2 {
		return 0, false
	}
	return binary.LittleEndian.Uint16(rest), true
}

// longestMessage is how much of an error's message is kept.
const longestMessage = 512

// serverError is what an error packet says.
func serverError(body []byte) error {
	if !errorIsWhole(body) {
		return fmt.Errorf("%w: an error packet of %d bytes", ErrProtocol, len(body))
	}
	e := &mysql.MySQLError{Number: binary.LittleEndian.Uint16(body[1:])}
	message := body[3:]
	if len(message) > 0 && message[0] == '#' {
		copy(e.SQLState[:], message[1:])
		message = message[1+len(e.SQLState):]
	}
	e.Message = PlainText(string(message[:min(len(message), longestMessage)]), longestMessage)
	return e
}

// errorIsWhole tells whether an error packet has all that is looked at: the driver indexes
// it unseen.
func errorIsWhole(body []byte) bool {
	return len(body) >= 4 && (body[3] != '#' || len(body) >= 9)
}
