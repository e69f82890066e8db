package galera

import (
	"bytes"
	"fmt"
	"io"
)

const (
	packetHeader    = 4       // 3 bytes of length, 1 of sequence
	longestGreeting = 4 << 10 // real ones have about 100 bytes, an error less than 600
	protocolVersion = 10
	errorPacket     = 0xff
	// What follows the version's NUL in a greeting: connection id 4, salt 8, filler
	// 1, capabilities 2, character set 1, status 2, capabilities 2, salt length
	// 1, reserved 10, salt 13 (MySQL "Protocol::HandshakeV10").
	greetingAfterVersion = 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10 + 13
)

// readGreeting reads the first packet of a server and checks its shape, for the
// driver does not: it panics on a short one, and takes the first bytes of an HTTP
// or SSH server for a packet of five megabytes and waits for it. The packet is
// returned whole, to be handed to the driver.
func readGreeting(r io.Reader) ([]byte, error) {
	packet := make([]byte, packetHeader, 256)
	if _, err := io.ReadFull(r, packet); err != nil {
		return nil, err
	}
	length := int(packet[0]) | int(packet[1])<<8 | int(packet[2])<<16
	if length == 0 || length > longestGreeting || packet[3] != 0 {
		return nil, fmt.Errorf("%w: it begins with %q", ErrProtocol, packet)
	}
	packet = append(packet, make([]byte, length)...)
	if _, err := io.ReadFull(r, packet[packetHeader:]); err != nil {
		return nil, err
	}
	return packet, checkGreeting(packet[packetHeader:])
}

func checkGreeting(body []byte) error {
	switch body[0] {
	case errorPacket:
		// The number is 2 bytes, and the driver looks at one more.
		if len(body) < 4 {
			return fmt.Errorf("%w: an error packet of %d bytes", ErrProtocol, len(body))
		}
		return nil
	case protocolVersion:
		if end := bytes.IndexByte(body, 0); end < 0 || len(body)-end-1 < greetingAfterVersion {
			return fmt.Errorf("%w: a greeting of %d bytes", ErrProtocol, len(body))
		}
		return nil
	}
	return fmt.Errorf("%w: it greets with protocol version %d", ErrProtocol, body[0])
}
