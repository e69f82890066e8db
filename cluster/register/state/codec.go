package state

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
)

// ErrCodec is what every decoder returns for bytes that it cannot read; what
// exactly is wrong with them helps nobody.
var ErrCodec = errors.New("malformed or truncated")

// Encoder appends fields to a buffer. Fixed-size numbers are little endian.
type Encoder struct {
	// B is what was written so far.
	B []byte
}

// U8 appends one byte.
func (e *Encoder) U8(v uint8) { e.B = append(e.B, v) }

// U64 appends 8 bytes.
func (e *Encoder) U64(v uint64) { e.B = binary.LittleEndian.AppendUint64(e.B, v) }

// Uvarint appends as few bytes as the number needs.
func (e *Encoder) Uvarint(v uint64) { e.B = binary.AppendUvarint(e.B, v) }

// Bytes appends a length and the bytes.
func (e *Encoder) Bytes(v []byte) { e.Uvarint(uint64(len(v))); e.B = append(e.B, v...) }

// Str appends a length and the text.
func (e *Encoder) Str(v string) { e.Uvarint(uint64(len(v))); e.B = append(e.B, v...) }

// Bool appends one byte, 0 or 1.
func (e *Encoder) Bool(v bool) {
	if v {
		e.U8(1)
	} else {
		e.U8(0)
	}
}

// Version appends the three numbers.
func (e *Encoder) Version(v Version) {
	e.Uvarint(v.Recovery)
	e.Uvarint(v.Epoch)
	e.Uvarint(v.Revision)
}

// Record appends the version, the value and the id of the command.
func (e *Encoder) Record(r Record) {
	e.Version(r.Version)
	e.Bytes(r.Value)
	e.Str(r.CommandID)
}

// Message appends a protobuf message. Marshalling fails only for types that
// raft does not have (required fields, invalid UTF-8 in proto3 strings).
func (e *Encoder) Message(m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	e.Bytes(b)
}

// Counts appends m in the order of its keys: equal maps give equal bytes.
func (e *Encoder) Counts(m map[uint64]uint64) {
	e.Uvarint(uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		e.U64(k)
		e.Uvarint(m[k])
	}
}

// Decoder reads what [Encoder] wrote. After the first problem every read yields
// a zero value and Err is set, so callers check once at the end.
type Decoder struct {
	B   []byte
	Err error
}

// Fail says that what was read cannot be.
func (d *Decoder) Fail() { d.Err, d.B = ErrCodec, nil }

// Take reads so many bytes.
func (d *Decoder) Take(n int) []byte {
	if n < 0 || n > len(d.B) {
		d.Fail()
		return nil
	}
	v := d.B[:n:n]
	d.B = d.B[n:]
	return v
}

// U8 reads one byte.
func (d *Decoder) U8() uint8 {
	if v := d.Take(1); v != nil {
		return v[0]
	}
	return 0
}

// U64 reads 8 bytes.
func (d *Decoder) U64() uint64 {
	if v := d.Take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

// Uvarint reads what Encoder.Uvarint wrote.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.B)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

// Count reads a number of elements of one byte at least.
func (d *Decoder) Count() int { return d.countOf(1) }

// countOf reads a number of elements, each of which takes at least so many bytes,
// so that a lying number never allocates more than the message bears out.
func (d *Decoder) countOf(each int) int {
	n := d.Uvarint()
	if n > uint64(len(d.B)/each) {
		d.Fail()
		return 0
	}
	return int(n)
}

// Bytes reads a length and so many bytes, which are not copied.
func (d *Decoder) Bytes() []byte { return d.Take(d.Count()) }

// Str reads a length and so much text.
func (d *Decoder) Str() string { return string(d.Bytes()) }

// Bool reads one byte, which must be 0 or 1.
func (d *Decoder) Bool() bool {
	v := d.U8()
	if v > 1 {
		d.Fail()
	}
	return v == 1
}

// Version reads the three numbers.
func (d *Decoder) Version() Version {
	return Version{Recovery: d.Uvarint(), Epoch: d.Uvarint(), Revision: d.Uvarint()}
}

// Record reads what Encoder.Record wrote.
func (d *Decoder) Record() Record {
	return Record{Version: d.Version(), Value: slices.Clone(d.Bytes()), CommandID: d.Str()}
}

// Message reads a protobuf message into m.
func (d *Decoder) Message(m proto.Message) {
	b := d.Bytes()
	if d.Err == nil && proto.Unmarshal(b, m) != nil {
		d.Fail()
	}
}

// Counts reads what Encoder.Counts wrote.
func (d *Decoder) Counts() map[uint64]uint64 {
	n := d.countOf(8 + 1)
	m := make(map[uint64]uint64, n)
	for range n {
		k := d.U64()
		m[k] = d.Uvarint()
	}
	return m
}

// Done returns the first problem; bytes left over are one.
func (d *Decoder) Done() error {
	if d.Err == nil && len(d.B) > 0 {
		d.Fail()
	}
	return d.Err
}
