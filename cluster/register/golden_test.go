package register

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/internal/golden"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
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
	rec := Record{Version: Version{Recovery: 1, Epoch: 2, Revision: 3}, Value: []byte("value"), CommandID: "id"}
	s := state.NewLog()
	s.Hard = state.HardState(3, 1, 5)
	s.Conf = &pb.ConfState{Voters: []uint64{1, 2, 3}, AutoLeave: new(false)}
	s.Applied, s.Prev = state.Position{Index: 5, Term: 3}, state.Position{Index: 4, Term: 3}
	s.Tail = []*pb.Entry{{Index: new(uint64(5)), Term: new(uint64(3)), Data: Command{ID: "id", Expect: Version{Recovery: 1, Epoch: 1, Revision: 2}, NewEpoch: true, Value: []byte("value")}.Encode()}}
	im := state.Image{
		Name: "px0", Disk: 1, Cluster: 5, Generation: 6, Origin: 7, Promises: 8, Seen: map[uint64]uint64{2: 9}, Log: s,
		Machine: state.Machine{Record: rec, Done: []state.Done{{ID: "id", Version: rec.Version}}, Names: map[uint64]string{1: "px0", 2: "px1", 3: "px2"}},
	}
	empty := state.Image{Name: "px0", Disk: 1, Seen: map[uint64]uint64{}}
	file := func(b []byte) ([]byte, error) {
		body, err := state.Unseal(b, 77)
		if err != nil {
			return nil, err
		}
		im, err := state.DecodeImage(body)
		if err != nil {
			return nil, err
		}
		return state.Seal(im.Encode(), 77), nil
	}
	return append(out,
		golden.Format{Name: "state file", Bytes: state.Seal(im.Encode(), 77), Again: file},
		golden.Format{Name: "state file of an empty disk", Bytes: state.Seal(empty.Encode(), 77), Again: file})
}

// The formats are what 7535bfe wrote: a message or a file of it can be read, and
// what is written now is read by it. A change here is a new version, which may
// only be written once every voter reads it (control/decide, Raise).
func TestFormatsAreThoseOf7535bfe(t *testing.T) {
	golden.Check(t, "testdata/formats.golden", formats())
}
