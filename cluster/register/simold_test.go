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
	e := state.Encoder{}
	e.U8(1)
	e.U8(uint8(v.kind))
	e.U64(v.cluster)
	e.Uvarint(v.generation)
	e.U64(v.origin)
	e.U64(v.from)
	e.U64(v.to)
	e.Str(v.sender)
	e.Uvarint(v.promises)
	e.Uvarint(v.seen)
	e.Counts(v.known)
	e.U64(v.stamp)
	e.U64(v.echo)
	e.U64(v.age)
	e.Uvarint(v.commit)
	e.Bytes(payload)
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
	d := state.Decoder{B: b[1 : len(b)-4]}
	k := kind(d.U8())
	d.U64()
	d.Uvarint()
	d.Take(3 * 8)
	d.Str()
	d.Uvarint()
	d.Uvarint()
	d.Counts()
	d.Take(3 * 8)
	d.Uvarint()
	payload := d.Bytes()
	if err := d.Done(); err != nil {
		return fmt.Errorf("the envelope: %w", err)
	}
	n, err := oldPayload(k, payload)
	if err == nil && n != len(payload) {
		err = fmt.Errorf("%d bytes more than it knows in a payload of kind %d", len(payload)-n, k)
	}
	return err
}

// oldPayload returns how many bytes of a payload 7535bfe would have written, from
// its beginning.
func oldPayload(k kind, payload []byte) (int, error) {
	d := state.Decoder{B: payload}
	switch k {
	case 1: // a raft message
		d.B = nil
		if proto.Unmarshal(payload, &pb.Message{}) != nil {
			d.Fail()
		}
	case 2: // a question
		d.Version()
	case 3, 4: // an answer, an announcement
		d.U64()
		d.Uvarint()
		d.Message(&pb.ConfState{})
		d.Names()
		if d.Bool() {
			d.Version()
		} else {
			d.Record()
		}
	case 5: // an offer
		d.Message(&pb.ConfState{})
		oldMachine(&d)
	case 6: // a request
		d.U64()
		op := d.U8()
		d.Uvarint()
		d.Bytes()
		if op == 4 { // a removal
			d.Str()
		}
		if op < 1 || op > 4 {
			d.Fail()
		}
	case 7: // a reply
		d.U64()
		if v := d.U8(); v < 1 || v > 6 {
			d.Fail()
		}
		d.U64()
		d.Record()
	default:
		return 0, fmt.Errorf("kind %d", k)
	}
	if d.Err != nil {
		return 0, fmt.Errorf("a payload of kind %d: %w", k, d.Err)
	}
	return len(payload) - len(d.B), nil
}

// oldMachine reads the state machine of an offer.
func oldMachine(d *state.Decoder) {
	m := state.Decoder{B: d.Bytes()}
	if m.U8() != 1 {
		m.Fail()
	}
	m.Record()
	for range m.Count() {
		m.Str()
		m.Version()
	}
	m.Names()
	if m.Done() != nil {
		d.Fail()
	}
}
