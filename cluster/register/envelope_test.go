package register

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// wireExamples are one encoded payload of every kind.
func wireExamples() [][]byte {
	conf := &pb.ConfState{Voters: []uint64{1, 2, 3}, AutoLeave: new(false)}
	names := map[uint64]string{1: "px0", 2: "px1", 3: "px2"}
	rec := Record{Version: Version{Recovery: 1, Epoch: 2, Revision: 3}, Value: []byte("value"), CommandID: "id"}
	cmd := Command{ID: "id", Expect: Version{Recovery: 0, Epoch: 1, Revision: 2}, NewEpoch: true, Value: []byte("v")}
	a := announcement{leader: 1, index: 7, conf: conf, names: names, record: rec}
	bare := announcement{leader: 1, index: 7, conf: conf, names: names, record: Record{Version: rec.Version}, bare: true}
	req := request{id: 9, op: opCommand, index: 4, command: cmd}
	rep := reply{id: 9, verdict: verdictRefused, leader: 2, record: rec}
	off := offer{conf: conf, machine: state.Machine{Record: rec, Done: []state.Done{{ID: "id", Version: rec.Version}}, Names: names}}
	raftMessage, _ := proto.Marshal(&pb.Message{
		Type: pb.MsgApp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(3)), Index: new(uint64(4)),
		LogTerm: new(uint64(2)), Entries: []*pb.Entry{{Index: new(uint64(5)), Term: new(uint64(3)), Data: cmd.Encode()}},
	})
	var out [][]byte
	for k, payload := range map[kind][]byte{
		kindRaft: raftMessage, kindAsk: {0, 0, 0}, kindAnswer: a.encode(), kindAnnounce: bare.encode(),
		kindOffer: off.encode(), kindRequest: req.encode(), kindReply: rep.encode(),
	} {
		env := envelope{
			kind: k, scope: scope{5, 6, 7}, from: 1, to: 2, promises: 8, seen: 9,
			known: map[uint64]uint64{1: 2, 3: 4}, stamp: 10, echo: 11, age: never, commit: 12, payload: payload,
		}
		out = append(out, env.encode())
	}
	return out
}

func TestEnvelopeRoundTrip(t *testing.T) {
	for _, b := range wireExamples() {
		env, err := decodeEnvelope(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := env.encode(); !bytes.Equal(again, b) {
			t.Errorf("kind %d changes when encoded again", env.kind)
		}
		switch env.kind {
		case kindAnswer, kindAnnounce:
			a, err := decodeAnnouncement(env.payload)
			if err != nil || !bytes.Equal(a.encode(), env.payload) {
				t.Errorf("announcement: %v", err)
			}
		case kindOffer:
			o, err := decodeOffer(env.payload)
			if err != nil || !bytes.Equal(o.encode(), env.payload) {
				t.Errorf("offer: %v", err)
			}
		case kindRequest:
			r, err := decodeRequest(env.payload)
			if err != nil || !bytes.Equal(r.encode(), env.payload) {
				t.Errorf("request: %v", err)
			}
		case kindReply:
			r, err := decodeReply(env.payload)
			if err != nil || !bytes.Equal(r.encode(), env.payload) {
				t.Errorf("reply: %v", err)
			}
		}
	}
}

// Every single cut and every single flipped bit is noticed.
func TestEnvelopeDamage(t *testing.T) {
	for _, b := range wireExamples() {
		for n := range b {
			if _, err := decodeEnvelope(b[:n]); err == nil {
				t.Fatalf("cut to %d of %d bytes and not noticed", n, len(b))
			}
			bad := bytes.Clone(b)
			bad[n] ^= 1 << (n % 8)
			if _, err := decodeEnvelope(bad); err == nil {
				t.Fatalf("byte %d flipped and not noticed", n)
			}
		}
	}
}

func TestStepCountsWhatItDrops(t *testing.T) {
	c, err := NewCore(CoreConfig{Name: "px0", Initial: []string{"px0"}, Random: rand.New(rand.NewSource(1)).Uint64}, 1)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(wireExamples()[0])
	newer[0] = protocol + 1
	newer = binary.LittleEndian.AppendUint32(newer[:len(newer)-4], checksum(newer[:len(newer)-4]))
	c.Step(2, newer)
	c.Step(3, []byte("garbage"))
	c.Step(4, nil)
	env := envelope{kind: kindAsk, from: 1, to: 2}
	c.Step(5, env.encode())
	if got := c.counters; got.DroppedNewer != 1 || got.DroppedGarbage != 2 || got.DroppedDisk != 1 {
		t.Errorf("counted %+v", got)
	}
}

// FuzzStep feeds voters anything at all: none may panic, and all three must
// still be working voters afterwards, with the disks that they had. The checksum
// is made right and the message put into the voters' own generation, so that the
// fuzzer gets behind that; it comes from a stranger, under another voter's name,
// and from that voter itself.
func FuzzStep(f *testing.F) {
	for _, b := range wireExamples() {
		f.Add(b[:len(b)-4])
	}
	for _, typ := range raftTypes {
		payload, _ := proto.Marshal(&pb.Message{
			Type: typ.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(3)), Index: new(uint64(2)), LogTerm: new(uint64(2)),
			Commit: new(uint64(2)),
		})
		env := envelope{kind: kindRaft, scope: scope{cluster: 5}, from: 1, to: 2, age: never, payload: payload}
		b := env.encode()
		f.Add(b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSim(simOptions{seed: 1, voters: 3})
		s.loss, s.dup, s.slow = 0, 0, 0
		for _, h := range s.hosts {
			h.start()
		}
		s.run(3*time.Second, nil)
		disks := make(map[string]uint64)
		for i, h := range s.hosts {
			disks[h.name] = h.core.Disk
			h.receive(data)
			sum := data
			if len(data) > 6 {
				sum = binary.LittleEndian.AppendUint32(data[:len(data):len(data)], checksum(data))
			}
			env, err := decodeEnvelope(sum)
			if err != nil {
				continue
			}
			for _, proof := range []bool{false, true} {
				from := s.hosts[(i+1)%3].core.Disk
				if h.core.lead == from && proof {
					// What the leader itself says is what raft believes.
					continue
				}
				payload := env.payload
				if m := (&pb.Message{}); env.kind == kindRaft && proto.Unmarshal(payload, m) == nil {
					m.From, m.To = new(from), new(h.core.Disk)
					payload, _ = proto.Marshal(m)
				}
				h.receive(forged(h, from, proof, env.kind, payload, func(e *envelope) {
					// A voter can always say that it is not what it was; it harms itself.
					e.sender, e.promises, e.seen, e.known = env.sender, s.hosts[(i+1)%3].core.durable, env.seen, env.known
					e.stamp, e.age, e.commit = env.stamp, env.age, env.commit
				}))
			}
			h.receive(forged(h, env.from, false, env.kind, env.payload, nil))
		}
		s.run(s.now+200*time.Millisecond, nil)
		s.run(s.now+3*time.Second, s.works)
		for _, h := range s.hosts {
			if st := h.core.Status(h.clock()); !st.Voting || !st.Fresh || st.Disk != disks[h.name] || h.core.failed != nil {
				t.Errorf("%s is no working voter any more: voting %v, fresh %v, disk %x, was %x: %s, %v",
					h.name, st.Voting, st.Fresh, st.Disk, disks[h.name], st.Reason, h.core.failed)
			}
		}
	})
}

// FuzzStateFile: any contents are either refused or can be used.
func FuzzStateFile(f *testing.F) {
	im := state.Image{Name: "px0", Disk: 5, Seen: map[uint64]uint64{}}
	f.Add(im.Encode())
	im.Cluster, im.Log, im.Machine = 1, state.Genesis(&pb.ConfState{Voters: []uint64{5}}), state.Machine{Names: map[uint64]string{5: "px0"}}
	f.Add(im.Encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		im, err := state.DecodeImage(body)
		if err != nil {
			return
		}
		c, err := NewCore(CoreConfig{Name: im.Name, Body: body, Random: rand.New(rand.NewSource(1)).Uint64}, 1)
		if err != nil {
			t.Fatal(err)
		}
		c.Tick(2)
		if _, err := state.Unseal(body, 0); err == nil {
			t.Log("a body that is a file")
		}
	})
}
