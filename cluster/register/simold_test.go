package register

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// Members of 7535bfe in the simulation. They run today's rules, for there is one
// product here, and speak the wire format of that version: what they send is
// cut down to it, what the gossip shows of them is what it had, and whatever is
// sent to them must be readable for them. A process that starts may be of either
// version, so a cluster is upgraded and rolled back in any order. The formats
// below are frozen: they are not to follow the product.

// oldMember is what 7535bfe told the others of itself.
func oldMember(m Member) Member {
	return Member{
		Name: m.Name, Disk: m.Disk, Cluster: m.Cluster, Generation: m.Generation, Voter: m.Voter, Willing: m.Willing,
		Leaving: m.Leaving, Initial: m.Initial, Version: m.Version,
	}
}

// asOld is what a member of 7535bfe would have sent.
func (s *sim) asOld(l letter) []byte {
	env, err := decodeEnvelope(l.data)
	if err != nil {
		s.fail("%s sends %s what it cannot read itself: %v", l.from.name, l.to.name, err)
		return nil
	}
	n, err := oldPayload(env.kind, env.payload)
	if err != nil {
		s.fail("%s sends a payload of kind %d that does not begin as that of 7535bfe: %v", l.from.name, env.kind, err)
		return nil
	}
	return encodeOld(&env, env.payload[:n])
}

// mustBeOld fails the simulation if a member of 7535bfe could not read a message.
func (s *sim) mustBeOld(l letter) {
	if err := readsAsOld(l.data); err != nil && !s.isForged(l) {
		s.fail("%s, which is of 7535bfe, is sent by %s what it cannot read: %v", l.to.name, l.from.name, err)
	}
}

// encodeOld writes an envelope as 7535bfe did.
func encodeOld(v *envelope, payload []byte) []byte {
	e := state.Codec{B: []byte{1}}
	e.U8((*uint8)(&v.kind))
	e.U64(&v.cluster)
	e.Uvarint(&v.generation)
	e.U64(&v.origin)
	e.U64(&v.from)
	e.U64(&v.to)
	e.Str(&v.sender)
	e.Uvarint(&v.promises)
	e.Uvarint(&v.seen)
	e.Counts(&v.known)
	e.U64(&v.stamp)
	e.U64(&v.echo)
	e.U64(&v.age)
	e.Uvarint(&v.commit)
	e.Bytes(&payload)
	sum := checksum(e.B)
	return append(e.B, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

// readsAsOld says why 7535bfe would drop a message as newer or as garbage.
func readsAsOld(b []byte) error {
	if len(b) < 6 || len(b) > 1<<20 {
		return fmt.Errorf("%d bytes", len(b))
	}
	if b[0] != 1 {
		return fmt.Errorf("protocol %d", b[0])
	}
	var k kind
	var payload []byte
	err := state.Unmarshal(b[1:len(b)-4], func(c *state.Codec) {
		d := oldReader{c}
		k = kind(d.u8())
		d.u64s(1)
		d.uvarint()
		d.u64s(3)
		d.str()
		d.uvarint()
		d.uvarint()
		d.Counts(new(map[uint64]uint64))
		d.u64s(3)
		d.uvarint()
		d.Bytes(&payload)
	})
	if err != nil {
		return fmt.Errorf("the envelope: %w", err)
	}
	n, err := oldPayload(k, payload)
	if err == nil && n != len(payload) {
		err = fmt.Errorf("%d bytes more than it knows in a payload of kind %d", len(payload)-n, k)
	}
	return err
}

// oldReader reads what only must be there.
type oldReader struct{ *state.Codec }

func (d oldReader) u8() (v uint8)     { d.U8(&v); return v }
func (d oldReader) uvarint()          { d.Uvarint(new(uint64)) }
func (d oldReader) str()              { d.Str(new(string)) }
func (d oldReader) version()          { d.Version(&Version{}) }
func (d oldReader) record()           { d.Record(&Record{}) }
func (d oldReader) names()            { d.Names(new(map[uint64]string)) }
func (d oldReader) message()          { d.Message(&pb.ConfState{}) }
func (d oldReader) bytes() (v []byte) { d.Bytes(&v); return v }
func (d oldReader) u64s(n int) {
	for range n {
		d.U64(new(uint64))
	}
}

// oldPayload returns how many bytes of a payload 7535bfe would have written, from
// its beginning.
func oldPayload(k kind, payload []byte) (int, error) {
	d := oldReader{&state.Codec{B: payload, Reading: true}}
	switch k {
	case 1: // a raft message
		d.B = nil
		d.Check(proto.Unmarshal(payload, &pb.Message{}) == nil)
	case 2: // a question
		d.version()
	case 3, 4: // an answer, an announcement
		d.u64s(1)
		d.uvarint()
		d.message()
		d.names()
		var bare bool
		if d.Bool(&bare); bare {
			d.version()
		} else {
			d.record()
		}
	case 5: // an offer
		d.message()
		d.Check(state.Unmarshal(d.bytes(), oldMachine) == nil)
	case 6: // a request
		d.u64s(1)
		op := d.u8()
		d.uvarint()
		d.bytes()
		if op == 4 { // a removal
			d.str()
		}
		d.Check(op >= 1 && op <= 4)
	case 7: // a reply
		d.u64s(1)
		v := d.u8()
		d.Check(v >= 1 && v <= 6)
		d.u64s(1)
		d.record()
	default:
		return 0, fmt.Errorf("kind %d", k)
	}
	if d.Err != nil {
		return 0, fmt.Errorf("a payload of kind %d: %w", k, d.Err)
	}
	return len(payload) - len(d.B), nil
}

// oldMachine reads the state machine of an offer.
func oldMachine(c *state.Codec) {
	m := oldReader{c}
	m.Check(m.u8() == 1)
	m.record()
	for range m.Count(0, 1) {
		m.str()
		m.version()
	}
	m.names()
}
