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

// Codec writes or reads the fields of a format, so that each format is spelled once for
// both: see [Marshal] and [Unmarshal]. Numbers of a fixed size are little endian.
type Codec struct {
	// B is what was written so far or, where it is read, what is left.
	B       []byte
	Reading bool
	// Err is the first problem of reading: what comes after it is left as it is, so
	// callers check once at the end.
	Err error
}

// Marshal returns what fields writes.
func Marshal(fields func(c *Codec)) []byte {
	var c Codec
	fields(&c)
	return c.B
}

// Unmarshal lets fields read b, and returns the first problem; bytes left over are one.
func Unmarshal(b []byte, fields func(c *Codec)) error {
	c := Codec{B: b, Reading: true}
	fields(&c)
	c.Check(len(c.B) == 0)
	return c.Err
}

// Check says whether what was read can be.
func (c *Codec) Check(ok bool) {
	if c.Reading && !ok {
		c.Err, c.B = ErrCodec, nil
	}
}

// take reads so many bytes, nil if there are fewer.
func (c *Codec) take(n int) []byte {
	if n > len(c.B) {
		c.Check(false)
		return nil
	}
	v := c.B[:n:n]
	c.B = c.B[n:]
	return v
}

// U8 is one byte.
func (c *Codec) U8(v *uint8) {
	if !c.Reading {
		c.B = append(c.B, *v)
	} else if b := c.take(1); b != nil {
		*v = b[0]
	}
}

// U64 is 8 bytes.
func (c *Codec) U64(v *uint64) {
	if !c.Reading {
		c.B = binary.LittleEndian.AppendUint64(c.B, *v)
	} else if b := c.take(8); b != nil {
		*v = binary.LittleEndian.Uint64(b)
	}
}

// Uvarint is as few bytes as the number needs.
func (c *Codec) Uvarint(v *uint64) {
	if !c.Reading {
		c.B = binary.AppendUvarint(c.B, *v)
		return
	}
	x, n := binary.Uvarint(c.B)
	if c.Check(n > 0); n > 0 {
		*v, c.B = x, c.B[n:]
	}
}

// Count is a number of elements, each of which takes at least so many bytes,
// so that a lying number never allocates more than the message bears out.
func (c *Codec) Count(elements, each int) int {
	n := uint64(elements)
	c.Uvarint(&n)
	if c.Reading && n > uint64(len(c.B)/each) {
		c.Check(false)
		return 0
	}
	return int(n)
}

// Bytes is a length and so many bytes, which are not copied when they are read.
func (c *Codec) Bytes(v *[]byte) {
	if n := c.Count(len(*v), 1); c.Reading {
		*v = c.take(n)
	} else {
		c.B = append(c.B, *v...)
	}
}

// Str is a length and so much text.
func (c *Codec) Str(v *string) {
	b := []byte(*v)
	c.Bytes(&b)
	*v = string(b)
}

// Bool is one byte, 0 or 1.
func (c *Codec) Bool(v *bool) {
	var b uint8
	if *v {
		b = 1
	}
	c.U8(&b)
	c.Check(b <= 1)
	*v = b == 1
}

// Format is one byte that says which format follows: this version knows one.
func (c *Codec) Format(known uint8) {
	v := known
	c.U8(&v)
	c.Check(v == known)
}

// Version is the three numbers.
func (c *Codec) Version(v *Version) {
	c.Uvarint(&v.Recovery)
	c.Uvarint(&v.Epoch)
	c.Uvarint(&v.Revision)
}

// Record is the version, the value and the id of the command.
func (c *Codec) Record(r *Record) {
	c.Version(&r.Version)
	c.value(&r.Value)
	c.Str(&r.CommandID)
}

// value is bytes that are kept, and so copied.
func (c *Codec) value(v *[]byte) {
	if c.Bytes(v); c.Reading {
		*v = slices.Clone(*v)
	}
}

// Nested is a length and other fields.
func (c *Codec) Nested(fields func(c *Codec)) {
	var b []byte
	if !c.Reading {
		b = Marshal(fields)
	}
	if c.Bytes(&b); c.Reading {
		c.Check(Unmarshal(b, fields) == nil)
	}
}

// Message is a length and a protobuf message. Marshalling fails only for types that
// raft does not have (required fields, invalid UTF-8 in proto3 strings).
func (c *Codec) Message(m proto.Message) {
	var b []byte
	if !c.Reading {
		var err error
		if b, err = proto.Marshal(m); err != nil {
			panic(err)
		}
	}
	if c.Bytes(&b); c.Reading {
		c.Check(c.Err == nil && proto.Unmarshal(b, m) == nil)
	}
}

// Counts is a number for each disk.
func (c *Codec) Counts(m *map[uint64]uint64) { perDisk(c, m, c.Uvarint) }

// Names is the names of disks.
func (c *Codec) Names(m *map[uint64]string) { perDisk(c, m, c.Str) }

// perDisk is in the order of the disks: equal maps give equal bytes.
func perDisk[V any](c *Codec, m *map[uint64]V, value func(v *V)) {
	disks := slices.Sorted(maps.Keys(*m))
	n := c.Count(len(disks), 8+1)
	if c.Reading {
		*m, disks = make(map[uint64]V, n), make([]uint64, n)
	}
	for _, disk := range disks {
		c.U64(&disk)
		v := (*m)[disk]
		if value(&v); c.Reading {
			(*m)[disk] = v
		}
	}
}
