package register

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

// image is everything that a voter must remember, as one value.
type image struct {
	name       string
	disk       uint64
	cluster    uint64
	generation uint64
	origin     uint64
	// promises counts the writes that changed term, vote or log: what this
	// disk has promised to others. seen is the highest count known of others.
	promises uint64
	seen     map[uint64]uint64
	log      *logStore
	machine  machine
}

// encode is the body of the state file.
func (im *image) encode() []byte {
	var e encoder
	e.str(im.name)
	e.u64(im.disk)
	e.u64(im.cluster)
	e.u64(im.generation)
	e.u64(im.origin)
	e.uvarint(im.promises)
	e.sortedMap(im.seen)
	e.bool(im.log != nil)
	if im.log == nil {
		return e.b
	}
	s := im.log
	e.uvarint(s.hard.GetTerm())
	e.u64(s.hard.GetVote())
	e.uvarint(max(s.hard.GetCommit(), s.applied.index))
	e.message(s.conf)
	e.uvarint(s.applied.index)
	e.uvarint(s.applied.term)
	e.bytes(im.machine.encode())
	e.uvarint(s.prev.index)
	e.uvarint(s.prev.term)
	e.uvarint(uint64(len(s.entries)))
	for _, ent := range s.entries {
		e.message(ent)
	}
	return e.b
}

// decodeImage reads a body and checks what raft would panic about.
func decodeImage(b []byte) (*image, error) {
	d := decoder{b: b}
	im := &image{
		name: d.str(), disk: d.u64(), cluster: d.u64(), generation: d.u64(), origin: d.u64(),
		promises: d.uvarint(), seen: d.sortedMap(),
	}
	if im.disk == 0 {
		d.fail()
	}
	if !d.bool() {
		if im.cluster != 0 {
			d.fail()
		}
		return im, d.done()
	}
	s := newLogStore()
	s.hard = hardState(d.uvarint(), d.u64(), d.uvarint())
	d.message(s.conf)
	s.applied = position{d.uvarint(), d.uvarint()}
	m, err := decodeMachine(d.bytes())
	if err != nil {
		d.fail()
	}
	im.machine = m
	s.prev = position{d.uvarint(), d.uvarint()}
	for i := range uint64(d.count()) {
		ent := &pb.Entry{}
		d.message(ent)
		if ent.GetIndex() != s.prev.index+1+i {
			d.fail()
		}
		s.entries = append(s.entries, ent)
	}
	if s.prev.index > s.applied.index || s.applied.index > s.hard.GetCommit() || s.hard.GetCommit() > s.last().index {
		d.fail()
	}
	im.log = s
	return im, d.done()
}

// sealFile makes the contents of a state file. id ties the contents to the file
// that holds them (see identity); 0 where that is not known.
func sealFile(body []byte, id uint64) []byte {
	e := encoder{b: make([]byte, 0, fileHeader+len(body)+sha256.Size)}
	e.b = append(e.b, fileMagic...)
	e.u8(fileFormat & 0xff)
	e.u8(fileFormat >> 8)
	e.u64(id)
	e.b = append(e.b, body...)
	sum := sha256.Sum256(e.b)
	return append(e.b, sum[:]...)
}

// errCopy says that the contents of the state file were written into another
// file, so this one is a copy, restored from somewhere: what was promised since
// then is not in it.
var errCopy = errors.New("it is a copy of the file that was written here, restored from somewhere")

// openFile checks the contents of a file with the given identity and returns
// the body.
func openFile(data []byte, id uint64) (body []byte, err error) {
	if len(data) < fileHeader+sha256.Size || !bytes.HasPrefix(data, []byte(fileMagic)) {
		return nil, fmt.Errorf("%w: %d bytes, no complete header", errCodec, len(data))
	}
	end := len(data) - sha256.Size
	if sum := sha256.Sum256(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return nil, fmt.Errorf("%w: the checksum of %d bytes does not match", errCodec, len(data))
	}
	d := decoder{b: data[len(fileMagic):end]}
	format := int(d.u8()) | int(d.u8())<<8
	written := d.u64()
	if format > fileFormat {
		return nil, fmt.Errorf("format %d, this version reads %d: %w", format, fileFormat, errNewerFile)
	}
	// Where a file system cannot tell (0), the other voters must.
	if written != id && written != 0 && id != 0 {
		return nil, errCopy
	}
	return d.b, d.err
}
