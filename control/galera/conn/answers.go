package conn

import (
	"encoding/binary"
	"fmt"
)

const (
	// mostColumns and mostResults are beyond those of every question of this package.
	mostColumns = 16
	mostResults = 64

	comQuery    = 0x03
	comQuit     = 0x01
	moreResults = 0x0008 // SERVER_MORE_RESULTS_EXISTS
	// longestEOF: what begins as an EOF packet does and is longer is a row.
	longestEOF = 9
)

// Value is one field of an answer as text; nil is NULL. It is valid until the next
// row.
type Value []byte

// LongColumn says that of one result only the last column is wanted, in pieces, for it
// may have any length.
type LongColumn struct {
	Result int
	Piece  func([]byte)
}

// Ask runs statements in one round trip and calls row, if there is one, with every row and
// the number of its result. Statements without a result have none. What panics in row is
// an answer that is wrong ([ErrProtocol]). Of a connection that fails the error is its own.
//
// This is not the driver's work, for the driver makes room for whatever number of columns and
// bytes the server names. The session has one buffer, and what does not fit
// into it ends the question.
func (s *Session) Ask(text string, row func(result int, row []Value) error, long *LongColumn) (err error) {
	defer func() { err = s.cause(err) }()
	defer recoverAsProtocolError(&err)
	if err := s.send(comQuery, text); err != nil {
		return err
	}
	for result, answered := 0, 0; ; answered++ {
		if answered == mostResults {
			return fmt.Errorf("%w: more than %d results", ErrProtocol, mostResults)
		}
		head, err := s.in.packet()
		if err != nil {
			return err
		}
		var status uint16
		switch head[0] {
		case okPacket:
			var ok bool
			if status, ok = statusOf(head); !ok {
				return fmt.Errorf("%w: an OK packet of %d bytes", ErrProtocol, len(head))
			}
		case errorPacket:
			return serverError(head)
		case localFilePacket:
			return fmt.Errorf("%w: it wants a local file", ErrProtocol)
		default:
			if status, err = s.readResult(head, result, row, long); err != nil {
				return err
			}
			result++
		}
		if status&moreResults == 0 {
			return nil
		}
	}
}

// send writes a command.
func (s *Session) send(command byte, text string) error {
	packet := make([]byte, packetHeader, packetHeader+1+len(text))
	packet = append(append(packet, command), text...)
	n := len(packet) - packetHeader
	packet[0], packet[1], packet[2] = byte(n), byte(n>>8), byte(n>>16)
	s.in.seq = 1
	_, err := s.stream.Write(packet)
	return err
}

// readResult reads a result that begins with head and returns the status after it.
func (s *Session) readResult(head []byte, result int, row func(int, []Value) error, long *LongColumn) (uint16, error) {
	columns, size, null := lengthEncoded(head)
	if size == 0 || null || columns == 0 || columns > mostColumns {
		return 0, fmt.Errorf("%w: a result of %d columns", ErrProtocol, columns)
	}
	for range columns {
		if err := s.in.skip(); err != nil {
			return 0, err
		}
	}
	if !s.noEOF {
		if end, err := s.in.packet(); err != nil {
			return 0, err
		} else if end[0] != eofPacket || len(end) >= longestEOF {
			return 0, fmt.Errorf("%w: no end of the columns", ErrProtocol)
		}
	}
	var to func([]byte)
	if long != nil && long.Result == result {
		to = long.Piece
	}
	for {
		length, err := s.in.header()
		if err != nil {
			return 0, err
		}
		if err := s.in.fill(1); err != nil {
			return 0, err
		}
		first := s.in.buf[s.in.lo]
		if first == errorPacket || first == eofPacket {
			// No row of this package begins so: that would be a column of 2^24 bytes.
			body, err := s.in.take(length)
			if err != nil {
				return 0, err
			}
			if first == errorPacket {
				return 0, serverError(body)
			}
			return s.endOfRows(body)
		}
		fields, err := s.readRow(length, int(columns), to)
		if err != nil {
			return 0, err
		}
		if row != nil && to == nil {
			if err := row(result, fields); err != nil {
				return 0, err
			}
		}
	}
}

func (s *Session) endOfRows(body []byte) (uint16, error) {
	if s.noEOF {
		if status, ok := statusOf(body); ok {
			return status, nil
		}
	} else if len(body) >= 5 && len(body) < longestEOF {
		return binary.LittleEndian.Uint16(body[3:]), nil
	}
	return 0, fmt.Errorf("%w: the rows end with a packet of %d bytes", ErrProtocol, len(body))
}

var errRow = fmt.Errorf("%w: a row that is shorter than it says", ErrProtocol)

// readRow reads a row of length bytes. With to the last column goes there, and there are
// no fields.
func (s *Session) readRow(length, columns int, to func([]byte)) ([]Value, error) {
	whole := min(length, packetSize)
	if to == nil {
		whole = length // or take refuses it
	}
	body, err := s.in.take(whole)
	if err != nil {
		return nil, err
	}
	at := 0
	for i := range columns {
		n, size, null := lengthEncoded(body[at:])
		if size == 0 {
			return nil, errRow
		}
		at += size
		if to != nil && i == columns-1 {
			if n != uint64(length-at) {
				return nil, errRow
			}
			to(body[at:])
			return nil, s.in.pieces(length-whole, to)
		}
		if n > uint64(len(body)-at) {
			return nil, errRow
		}
		if s.row[i] = nil; !null {
			s.row[i] = Value(body[at : at+int(n) : at+int(n)])
		}
		at += int(n)
	}
	return s.row[:columns], nil
}
