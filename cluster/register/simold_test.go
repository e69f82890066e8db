package register

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
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
	e := encoder{}
	e.u8(1)
	e.u8(uint8(v.kind))
	e.u64(v.cluster)
	e.uvarint(v.generation)
	e.u64(v.origin)
	e.u64(v.from)
	e.u64(v.to)
	e.str(v.sender)
	e.uvarint(v.promises)
	e.uvarint(v.seen)
	e.sortedMap(v.known)
	e.u64(v.stamp)
	e.u64(v.echo)
	e.u64(v.age)
	e.uvarint(v.commit)
	e.bytes(payload)
	sum := checksum(e.b)
	return append(e.b, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

// readsAsOld says why 7535bfe would drop a message as newer or as garbage.
func readsAsOld(b []byte) error {
	if len(b) < 6 || len(b) > 1<<20 {
		return fmt.Errorf("%d bytes", len(b))
	}
	if b[0] != 1 {
		return fmt.Errorf("protocol %d", b[0])
	}
	d := decoder{b: b[1 : len(b)-4]}
	k := kind(d.u8())
	d.u64()
	d.uvarint()
	d.take(3 * 8)
	d.str()
	d.uvarint()
	d.uvarint()
	d.sortedMap()
	d.take(3 * 8)
	d.uvarint()
	payload := d.bytes()
	if err := d.done(); err != nil {
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
	d := decoder{b: payload}
	switch k {
	case 1: // a raft message
		d.b = nil
		if proto.Unmarshal(payload, &pb.Message{}) != nil {
			d.fail()
		}
	case 2: // a question
		d.version()
	case 3, 4: // an answer, an announcement
		d.u64()
		d.uvarint()
		d.message(&pb.ConfState{})
		decodeNames(&d)
		if d.bool() {
			d.version()
		} else {
			d.record()
		}
	case 5: // an offer
		d.message(&pb.ConfState{})
		oldMachine(&d)
	case 6: // a request
		d.u64()
		op := d.u8()
		d.uvarint()
		d.bytes()
		if op == 4 { // a removal
			d.str()
		}
		if op < 1 || op > 4 {
			d.fail()
		}
	case 7: // a reply
		d.u64()
		if v := d.u8(); v < 1 || v > 6 {
			d.fail()
		}
		d.u64()
		d.record()
	default:
		return 0, fmt.Errorf("kind %d", k)
	}
	if d.err != nil {
		return 0, fmt.Errorf("a payload of kind %d: %w", k, d.err)
	}
	return len(payload) - len(d.b), nil
}

// oldMachine reads the state machine of an offer.
func oldMachine(d *decoder) {
	m := decoder{b: d.bytes()}
	if m.u8() != 1 {
		m.fail()
	}
	m.record()
	for range m.count() {
		m.str()
		m.version()
	}
	decodeNames(&m)
	if m.done() != nil {
		d.fail()
	}
}
