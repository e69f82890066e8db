package register

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
)

// errCodec is what every decoder returns for bytes that it cannot read; what
// exactly is wrong with them helps nobody.
var errCodec = errors.New("malformed or truncated")

// encoder appends fields to a buffer. Fixed-size numbers are little endian.
type encoder struct{ b []byte }

func (e *encoder) u8(v uint8)       { e.b = append(e.b, v) }
func (e *encoder) u64(v uint64)     { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) uvarint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) bytes(v []byte)   { e.uvarint(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) str(v string)     { e.uvarint(uint64(len(v))); e.b = append(e.b, v...) }

func (e *encoder) bool(v bool) {
	if v {
		e.u8(1)
	} else {
		e.u8(0)
	}
}

func (e *encoder) version(v Version) {
	e.uvarint(v.Recovery)
	e.uvarint(v.Epoch)
	e.uvarint(v.Revision)
}

func (e *encoder) record(r Record) {
	e.version(r.Version)
	e.bytes(r.Value)
	e.str(r.CommandID)
}

// message appends a protobuf message. Marshalling fails only for types that
// raft does not have (required fields, invalid UTF-8 in proto3 strings).
func (e *encoder) message(m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	e.bytes(b)
}

// sortedMap appends m in the order of its keys: equal maps give equal bytes.
func (e *encoder) sortedMap(m map[uint64]uint64) {
	e.uvarint(uint64(len(m)))
	for _, k := range sortedKeys(m) {
		e.u64(k)
		e.uvarint(m[k])
	}
}

// decoder reads what encoder wrote. After the first problem every read yields
// a zero value and err is set, so callers check once at the end.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() { d.err, d.b = errCodec, nil }

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() uint8 {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if v := d.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of elements of one byte at least.
func (d *decoder) count() int { return d.countOf(1) }

// countOf reads a number of elements, each of which takes at least so many bytes,
// so that a lying number never allocates more than the message bears out.
func (d *decoder) countOf(each int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/each) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte { return d.take(d.count()) }
func (d *decoder) str() string   { return string(d.bytes()) }

func (d *decoder) bool() bool {
	v := d.u8()
	if v > 1 {
		d.fail()
	}
	return v == 1
}

func (d *decoder) version() Version {
	return Version{Recovery: d.uvarint(), Epoch: d.uvarint(), Revision: d.uvarint()}
}

func (d *decoder) record() Record {
	return Record{Version: d.version(), Value: slices.Clone(d.bytes()), CommandID: d.str()}
}

func (d *decoder) message(m proto.Message) {
	b := d.bytes()
	if d.err == nil && proto.Unmarshal(b, m) != nil {
		d.fail()
	}
}

func (d *decoder) sortedMap() map[uint64]uint64 {
	n := d.countOf(8 + 1)
	m := make(map[uint64]uint64, n)
	for range n {
		k := d.u64()
		m[k] = d.uvarint()
	}
	return m
}

// done returns the first problem; bytes left over are one.
func (d *decoder) done() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
