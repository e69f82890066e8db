package gossip

import (
	"encoding/binary"
	"errors"
)

// memberlist decodes with a general decoder that trusts lengths: a header of
// some bytes makes it allocate for what it announces, and unknown fields may
// nest. So whatever comes from the network is read here first, by a reader that
// knows only what memberlist v0.7.0 writes: maps of short names to numbers,
// byte strings, booleans and nil, and lists of small numbers. It allocates
// nothing and believes no length that the bytes do not bear out.

// errShape is what is reported for bytes that memberlist does not write.
var errShape = errors.New("not a message of memberlist")

// source gives the bytes of a message. Those of a datagram are all there; those
// of a stream are read as they are needed.
type source struct {
	b    []byte
	off  int
	more func(n int) error // makes b hold off+n bytes; nil: there are no more
}

// take returns the next n bytes.
func (s *source) take(n int) ([]byte, error) {
	if n < 0 {
		return nil, errShape
	}
	if len(s.b)-s.off < n {
		if s.more == nil {
			return nil, errShape
		}
		if err := s.more(n); err != nil {
			return nil, err
		}
	}
	v := s.b[s.off : s.off+n : s.off+n]
	s.off += n
	return v, nil
}

func (s *source) byte() (byte, error) {
	v, err := s.take(1)
	if err != nil {
		return 0, err
	}
	return v[0], nil
}

// number reads a big-endian number of n bytes.
func (s *source) number(n int) (uint64, error) {
	v, err := s.take(n)
	if err != nil {
		return 0, err
	}
	var b [8]byte
	copy(b[8-n:], v)
	return binary.BigEndian.Uint64(b[:]), nil
}

const (
	maxFields    = 16  // of a map; memberlist's have up to 7
	maxFieldName = 32  // bytes
	maxField     = 600 // bytes of a value: metadata has up to 512
	maxList      = 16  // numbers of a list: the versions are 6
)

// field is a value of a flat map.
type field struct {
	number uint64 // of numbers and booleans
	bytes  []byte // of byte strings, valid until the next read
}

// fieldName is a name that matters here.
type fieldName byte

const (
	fieldOther fieldName = iota
	fieldNode
	fieldIncarnation
	fieldNodes
	fieldUserStateLen
	fieldUserMsgLen
)

var fieldNames = map[string]fieldName{
	"Node": fieldNode, "Name": fieldNode, "Incarnation": fieldIncarnation, "Nodes": fieldNodes,
	"UserStateLen": fieldUserStateLen, "UserMsgLen": fieldUserMsgLen,
}

// flat reads a map and calls each for every field.
func (s *source) flat(each func(name fieldName, v field) error) error {
	t, err := s.byte()
	if err != nil {
		return err
	}
	var n uint64
	switch {
	case t&0xf0 == 0x80:
		n = uint64(t & 0x0f)
	case t == 0xde:
		if n, err = s.number(2); err != nil {
			return err
		}
	default:
		return errShape
	}
	if n > maxFields {
		return errShape
	}
	for range n {
		k, err := s.value(false)
		if err != nil {
			return err
		}
		if k.bytes == nil || len(k.bytes) > maxFieldName {
			return errShape
		}
		name := fieldNames[string(k.bytes)] // reading on may move what it points to
		v, err := s.value(true)
		if err != nil {
			return err
		}
		if err := each(name, v); err != nil {
			return err
		}
	}
	return nil
}

// value reads a number, boolean, nil or byte string, or a list if that may be.
func (s *source) value(list bool) (field, error) {
	t, err := s.byte()
	if err != nil {
		return field{}, err
	}
	switch {
	case t < 0x80: // positive fixint
		return field{number: uint64(t)}, nil
	case t&0xf0 == 0x90 && list: // fixarray
		return s.list(uint64(t & 0x0f))
	case t&0xe0 == 0xa0: // fixstr
		return s.text(int(t & 0x1f))
	}
	switch t {
	case 0xc0, 0xc2: // nil, false
		return field{}, nil
	case 0xc3: // true
		return field{number: 1}, nil
	case 0xc4, 0xd9, 0xc5, 0xda, 0xc6, 0xdb: // bin and str of 8, 16, 32 bits
		size := 1
		switch t {
		case 0xc5, 0xda:
			size = 2
		case 0xc6, 0xdb:
			size = 4
		}
		n, err := s.number(size)
		if err != nil {
			return field{}, err
		}
		if n > maxField {
			return field{}, errShape
		}
		return s.text(int(n))
	case 0xcc, 0xcd, 0xce, 0xcf: // uint of 8, 16, 32, 64 bits
		n, err := s.number(1 << (t - 0xcc))
		return field{number: n}, err
	case 0xd0, 0xd1, 0xd2, 0xd3: // int: memberlist writes none below zero
		size := 1 << (t - 0xd0)
		n, err := s.number(size)
		if err == nil && n>>(8*size-1) != 0 {
			err = errShape
		}
		return field{number: n}, err
	}
	return field{}, errShape
}

func (s *source) text(n int) (field, error) {
	v, err := s.take(n)
	return field{bytes: v}, err
}

// list reads a list of n numbers, which are not kept.
func (s *source) list(n uint64) (field, error) {
	if n > maxList {
		return field{}, errShape
	}
	for range n {
		if v, err := s.value(false); err != nil {
			return field{}, err
		} else if v.bytes != nil {
			return field{}, errShape
		}
	}
	return field{}, nil
}
