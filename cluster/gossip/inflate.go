package gossip

import (
	"bytes"
	"compress/lzw"
	"io"
	"sync"
)

// No version of this program lets memberlist compress, but memberlist reads what
// is, and would unpack 40 MB from a datagram. So it is unpacked here first, one at
// a time and only up to what may be sent plain.

// inflateDatagram bounds a datagram's content.
const inflateDatagram = 8 * maxDatagram

// inflater unpacks memberlist's compressed messages.
type inflater struct {
	mu  sync.Mutex // guards the reader, and what it has read while that is used
	lzw *lzw.Reader
}

// inflate reads a compressed message from s, whose type has been read, and calls
// use with its content, which has at most limit bytes and is valid only there.
func (f *inflater) inflate(s *source, limit int, use func(b []byte) error) error {
	var packed []byte
	known := false
	s.limit = limit
	err := s.flat(func(name fieldName, v field) error {
		switch name {
		case fieldAlgo:
			known = v.number == 0 && v.bytes == nil
		case fieldBuf:
			packed = bytes.Clone(v.bytes) // the other field may be read after it
		}
		return nil
	})
	s.limit = 0
	if err != nil {
		return err
	}
	if !known || len(packed) == 0 {
		return errShape
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lzw == nil {
		f.lzw = lzw.NewReader(bytes.NewReader(packed), lzw.LSB, 8).(*lzw.Reader)
	} else {
		f.lzw.Reset(bytes.NewReader(packed), lzw.LSB, 8)
	}
	b, err := io.ReadAll(io.LimitReader(f.lzw, int64(limit)+1))
	switch {
	case err != nil:
		return errShape
	case len(b) > limit:
		return errSize
	case len(b) < 2:
		return errShape
	}
	return use(b)
}
