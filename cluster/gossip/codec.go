package gossip

import (
	"encoding/binary"
	"errors"
)

// errTruncated is what a reader reports when the bytes end too early, or when a
// length in them is larger than what is left.
var errTruncated = errors.New("message is cut short")

// errTrailing is what a reader reports when bytes are left after the last field.
// Formats are strict: a field can only be added with a new format version.
var errTrailing = errors.New("message has bytes after its end")

// errField is what a reader reports for a field with a value that nobody writes.
var errField = errors.New("message has a field that no version writes")

// writer appends fields; integers are varints, byte strings carry their length.
type writer struct{ b []byte }

func (w *writer) byte(v byte)     { w.b = append(w.b, v) }
func (w *writer) uint(v uint64)   { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) fixed(v uint64)  { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *writer) bytes(v []byte)  { w.uint(uint64(len(v))); w.b = append(w.b, v...) }
func (w *writer) string(v string) { w.uint(uint64(len(v))); w.b = append(w.b, v...) }

// reader reads what writer wrote. After the first error every read returns a
// zero value, so that only the end needs a check.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) < 1 {
		r.fail(errTruncated)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errTruncated)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail(errTruncated)
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// bytes returns a slice of the input, not a copy. nil when empty.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail(errTruncated)
		return nil
	}
	if n == 0 {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// string reads a byte string of at most limit bytes.
func (r *reader) string(limit int) string {
	v := r.bytes()
	if len(v) > limit {
		r.fail(errField)
		return ""
	}
	return string(v)
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = errTrailing
	}
	return r.err
}
