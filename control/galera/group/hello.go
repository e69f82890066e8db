package group

import (
	"errors"
	"fmt"
	"io"
)

// The first message of an acceptor: a header of 8 bytes (the length in the lower 24 bits, little endian, and a checksum), then
// version, type, flags and segment, a byte each, and two UUIDs: the process's and the handshake's (gcomm's
// gmcast_message.hpp and datagram.hpp; recorded from Galera 26.4.23, see the test).
const (
	helloHeader = 8
	helloSize   = 4 + 2*16
	helloType   = 1    // GMCAST_T_HANDSHAKE
	helloFlags  = 0x10 // F_HANDSHAKE_UUID
)

// ErrNotGroup says that what speaks at a port is not the group layer.
var ErrNotGroup = errors.New("what answers is not Galera's group layer")

// Hello reads what the acceptor of the group layer says first, and returns the wsrep_gcomm_uuid of its process. The error wraps
// [ErrNotGroup] where it is something else.
func Hello(r io.Reader) (string, error) {
	var b [helloHeader + helloSize]byte
	if _, err := io.ReadFull(r, b[:helloHeader]); err != nil {
		return "", err
	}
	if size := int(b[0]) | int(b[1])<<8 | int(b[2])<<16; size != helloSize {
		return "", fmt.Errorf("%w: a message of %d bytes", ErrNotGroup, size)
	}
	body := b[helloHeader:]
	if _, err := io.ReadFull(r, body); err != nil {
		return "", err
	}
	if body[1] != helloType || body[2] != helloFlags {
		return "", fmt.Errorf("%w: a message of type %d with flags %#x", ErrNotGroup, body[1], body[2])
	}
	u := body[4:20]
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]), nil
}
