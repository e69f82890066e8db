package conn

import (
	"bytes"
	"encoding/binary"
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

// Where the capabilities are, from the end of the version's NUL, and some of them
// (MySQL "Capabilities Flags").
const (
	greetingCapabilities = 4 + 8 + 1
	capabilitySSL        = 1 << 11
	capabilityCompress   = 1 << 5
	capabilityLocalFiles = 1 << 7
	capabilityNoEOF      = 1 << 24 // CLIENT_DEPRECATE_EOF
)

// offers tells whether a greeting that was read has the capability of the lower half.
func offers(packet []byte, capability uint16) bool {
	at := capabilitiesAt(packet)
	return at > 0 && binary.LittleEndian.Uint16(packet[at:])&capability != 0
}

// without takes capabilities of the lower half out of a greeting.
func without(packet []byte, capability uint16) {
	if at := capabilitiesAt(packet); at > 0 {
		binary.LittleEndian.PutUint16(packet[at:], binary.LittleEndian.Uint16(packet[at:])&^capability)
	}
}

// capabilitiesAt is where the lower half of the capabilities begins; 0 in an error packet.
func capabilitiesAt(packet []byte) int {
	if packet[packetHeader] != protocolVersion {
		return 0
	}
	return bytes.IndexByte(packet[packetHeader:], 0) + packetHeader + 1 + greetingCapabilities
}

// versionOf is the server's version in a greeting that was read and is no error.
func versionOf(packet []byte) string {
	version, _, _ := bytes.Cut(packet[packetHeader+1:], []byte{0})
	return string(version)
}

// methodAt is where the name of the method of authentication is in a greeting that was
// read and is no error.
func methodAt(packet []byte) int {
	return bytes.IndexByte(packet[packetHeader:], 0) + packetHeader + 1 + greetingAfterVersion
}

// greet returns what readGreeting reads, where the server does not refuse the connection.
func greet(r io.Reader) ([]byte, error) {
	packet, err := readGreeting(r)
	if err == nil && packet[packetHeader] == errorPacket {
		err = serverError(packet[packetHeader:])
	}
	return packet, err
}

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
		if !errorIsWhole(body) {
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
