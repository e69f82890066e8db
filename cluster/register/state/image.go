package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
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
func (im *Image) Encode() []byte { return Marshal(im.fields) }

// DecodeImage reads a body and checks what raft would panic about.
func DecodeImage(b []byte) (*Image, error) {
	im := &Image{}
	err := Unmarshal(b, im.fields)
	return im, err
}

func (im *Image) fields(c *Codec) {
	c.Str(&im.Name)
	c.U64(&im.Disk)
	c.U64(&im.Cluster)
	c.U64(&im.Generation)
	c.U64(&im.Origin)
	c.Uvarint(&im.Promises)
	c.Counts(&im.Seen)
	c.Check(im.Disk != 0)
	has := im.Log != nil
	if c.Bool(&has); !has {
		c.Check(im.Cluster == 0)
		return
	}
	if c.Reading {
		im.Log = NewLog()
	}
	s := im.Log
	term, vote, commit := s.Hard.GetTerm(), s.Hard.GetVote(), max(s.Hard.GetCommit(), s.Applied.Index)
	c.Uvarint(&term)
	c.U64(&vote)
	c.Uvarint(&commit)
	c.Message(s.Conf)
	s.Applied.fields(c)
	c.Nested(im.Machine.Fields)
	s.Prev.fields(c)
	n := c.Count(len(s.Tail), 1)
	for i := range n {
		if c.Reading {
			s.Tail = append(s.Tail, &pb.Entry{})
		}
		c.Message(s.Tail[i])
		c.Check(s.Tail[i].GetIndex() == s.Prev.Index+1+uint64(i))
	}
	if c.Reading {
		s.Hard = HardState(term, vote, commit)
		c.Check(s.Prev.Index <= s.Applied.Index && s.Applied.Index <= commit && commit <= s.Last().Index)
	}
}

// unsealImage reads the contents of a state file with the given identity.
func unsealImage(data []byte, id uint64) (body []byte, im *Image, err error) {
	if body, err = Unseal(data, id); err == nil {
		im, err = DecodeImage(body)
	}
	return body, im, err
}

// Seal makes the contents of a state file. id ties the contents to the file
// that holds them (see identity); 0 where that is not known.
func Seal(body []byte, id uint64) []byte {
	b := binary.LittleEndian.AppendUint16([]byte(fileMagic), fileFormat)
	b = append(binary.LittleEndian.AppendUint64(b, id), body...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
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
	format := binary.LittleEndian.Uint16(data[len(fileMagic):])
	written := binary.LittleEndian.Uint64(data[len(fileMagic)+2:])
	if format > fileFormat {
		return nil, fmt.Errorf("format %d, this version reads %d: %w", format, fileFormat, errNewerFile)
	}
	// Where a file system cannot tell (0), the other voters must.
	if written != id && written != 0 && id != 0 {
		return nil, ErrCopy
	}
	return data[fileHeader:end:end], nil
}
