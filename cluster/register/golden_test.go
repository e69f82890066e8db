package register

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/internal/golden"
)

// formats are examples of everything that this package writes for another
// process: messages, and the state file.
func formats() []golden.Format {
	var out []golden.Format
	kinds := map[kind]string{
		kindRaft: "raft", kindAsk: "ask", kindAnswer: "answer", kindAnnounce: "announce",
		kindOffer: "offer", kindRequest: "request", kindReply: "reply",
	}
	for _, b := range wireExamples() {
		env, err := decodeEnvelope(b)
		if err != nil {
			panic(err)
		}
		out = append(out, golden.Format{Name: "envelope " + kinds[env.kind], Bytes: b, Again: func(b []byte) ([]byte, error) {
			env, err := decodeEnvelope(b)
			return env.encode(), err
		}})
	}
	remove := request{id: 9, op: opRemove, index: 4, name: "px2"}
	out = append(out, golden.Format{Name: "request remove", Bytes: remove.encode(), Again: func(b []byte) ([]byte, error) {
		r, err := decodeRequest(b)
		return r.encode(), err
	}})
	rec := Record{Version: Version{1, 2, 3}, Value: []byte("value"), CommandID: "id"}
	s := newLogStore()
	s.hard = hardState(3, 1, 5)
	s.conf = &pb.ConfState{Voters: []uint64{1, 2, 3}, AutoLeave: new(false)}
	s.applied, s.prev = position{5, 3}, position{4, 3}
	s.entries = []*pb.Entry{{Index: new(uint64(5)), Term: new(uint64(3)), Data: encodeCommand(Command{ID: "id", Expect: Version{1, 1, 2}, NewEpoch: true, Value: []byte("value")})}}
	im := image{
		name: "px0", disk: 1, cluster: 5, generation: 6, origin: 7, promises: 8, seen: map[uint64]uint64{2: 9}, log: s,
		machine: machine{record: rec, done: []doneCommand{{"id", rec.Version}}, names: map[uint64]string{1: "px0", 2: "px1", 3: "px2"}},
	}
	empty := image{name: "px0", disk: 1, seen: map[uint64]uint64{}}
	file := func(b []byte) ([]byte, error) {
		body, err := openFile(b, 77)
		if err != nil {
			return nil, err
		}
		im, err := decodeImage(body)
		if err != nil {
			return nil, err
		}
		return sealFile(im.encode(), 77), nil
	}
	return append(out,
		golden.Format{Name: "state file", Bytes: sealFile(im.encode(), 77), Again: file},
		golden.Format{Name: "state file of an empty disk", Bytes: sealFile(empty.encode(), 77), Again: file})
}

// The formats are what 7535bfe wrote: a message or a file of it can be read, and
// what is written now is read by it. A change here is a new version, which may
// only be written once every voter reads it (control/decide, Raise).
func TestFormatsAreThoseOf7535bfe(t *testing.T) {
	golden.Check(t, "testdata/formats.golden", formats())
}
