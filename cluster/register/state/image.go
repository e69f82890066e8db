package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
)

// The state file: magic, format (2 bytes), identity of the file (8 bytes), body,
// SHA-256 of everything before it.
const (
	fileMagic  = "haproxyd-register\n"
	fileFormat = 1
	fileHeader = len(fileMagic) + 2 + 8
)

// errNewerFile says that the state file was written by a newer version of the
// daemon. It is not damaged, so it is left alone.
var errNewerFile = errors.New("the state file was written by a newer version: start that one, or move the file away to join as a new disk")

// Image is everything that a voter must remember, as one value.
type Image struct {
	Name       string
	Disk       uint64
	Cluster    uint64
	Generation uint64
	Origin     uint64
	// Promises counts the writes that changed term, vote or log: what this
	// disk has promised to others. Seen is the highest count known of others.
	Promises uint64
	Seen     map[uint64]uint64
	Log      *Log
	Machine  Machine
}

// Encode is the body of the state file.
func (im *Image) Encode() []byte {
	var e Encoder
	e.Str(im.Name)
	e.U64(im.Disk)
	e.U64(im.Cluster)
	e.U64(im.Generation)
	e.U64(im.Origin)
	e.Uvarint(im.Promises)
	e.Counts(im.Seen)
	e.Bool(im.Log != nil)
	if im.Log == nil {
		return e.B
	}
	s := im.Log
	e.Uvarint(s.Hard.GetTerm())
	e.U64(s.Hard.GetVote())
	e.Uvarint(max(s.Hard.GetCommit(), s.Applied.Index))
	e.Message(s.Conf)
	e.Uvarint(s.Applied.Index)
	e.Uvarint(s.Applied.Term)
	e.Bytes(im.Machine.Encode())
	e.Uvarint(s.Prev.Index)
	e.Uvarint(s.Prev.Term)
	e.Uvarint(uint64(len(s.Tail)))
	for _, ent := range s.Tail {
		e.Message(ent)
	}
	return e.B
}

// DecodeImage reads a body and checks what raft would panic about.
func DecodeImage(b []byte) (*Image, error) {
	d := Decoder{B: b}
	im := &Image{
		Name: d.Str(), Disk: d.U64(), Cluster: d.U64(), Generation: d.U64(), Origin: d.U64(),
		Promises: d.Uvarint(), Seen: d.Counts(),
	}
	if im.Disk == 0 {
		d.Fail()
	}
	if !d.Bool() {
		if im.Cluster != 0 {
			d.Fail()
		}
		return im, d.Done()
	}
	s := NewLog()
	s.Hard = HardState(d.Uvarint(), d.U64(), d.Uvarint())
	d.Message(s.Conf)
	s.Applied = Position{d.Uvarint(), d.Uvarint()}
	m, err := DecodeMachine(d.Bytes())
	if err != nil {
		d.Fail()
	}
	im.Machine = m
	s.Prev = Position{d.Uvarint(), d.Uvarint()}
	for i := range uint64(d.Count()) {
		ent := &pb.Entry{}
		d.Message(ent)
		if ent.GetIndex() != s.Prev.Index+1+i {
			d.Fail()
		}
		s.Tail = append(s.Tail, ent)
	}
	if s.Prev.Index > s.Applied.Index || s.Applied.Index > s.Hard.GetCommit() || s.Hard.GetCommit() > s.Last().Index {
		d.Fail()
	}
	im.Log = s
	return im, d.Done()
}

// Seal makes the contents of a state file. id ties the contents to the file
// that holds them (see identity); 0 where that is not known.
func Seal(body []byte, id uint64) []byte {
	e := Encoder{B: make([]byte, 0, fileHeader+len(body)+sha256.Size)}
	e.B = append(e.B, fileMagic...)
	e.U8(fileFormat & 0xff)
	e.U8(fileFormat >> 8)
	e.U64(id)
	e.B = append(e.B, body...)
	sum := sha256.Sum256(e.B)
	return append(e.B, sum[:]...)
}

// ErrCopy says that the contents of the state file were written into another
// file, so this one is a copy, restored from somewhere: what was promised since
// then is not in it.
var ErrCopy = errors.New("it is a copy of the file that was written here, restored from somewhere")

// Unseal checks the contents of a file with the given identity and returns
// the body.
func Unseal(data []byte, id uint64) (body []byte, err error) {
	if len(data) < fileHeader+sha256.Size || !bytes.HasPrefix(data, []byte(fileMagic)) {
		return nil, fmt.Errorf("%w: %d bytes, no complete header", ErrCodec, len(data))
	}
	end := len(data) - sha256.Size
	if sum := sha256.Sum256(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return nil, fmt.Errorf("%w: the checksum of %d bytes does not match", ErrCodec, len(data))
	}
	d := Decoder{B: data[len(fileMagic):end]}
	format := int(d.U8()) | int(d.U8())<<8
	written := d.U64()
	if format > fileFormat {
		return nil, fmt.Errorf("format %d, this version reads %d: %w", format, fileFormat, errNewerFile)
	}
	// Where a file system cannot tell (0), the other voters must.
	if written != id && written != 0 && id != 0 {
		return nil, ErrCopy
	}
	return d.B, d.Err
}
