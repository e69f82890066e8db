package register

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// protocol is the version of the wire format. A message of a newer one is
// dropped and counted: what it means is not known here.
const protocol = 1

// maxMessage bounds what is decoded: a snapshot with the largest record fits
// several times, and so do the entries of one raft message. What is decoded takes
// many times that, and some of it is kept (see word and claim).
const maxMessage = 256 << 10

// kind says what an envelope carries.
type kind uint8

const (
	// kindRaft carries a raft message.
	kindRaft kind = iota + 1
	// kindAsk asks for a kindAnswer: who leads, and what is decided.
	kindAsk
	// kindAnswer and kindAnnounce carry an announcement; an announcement has no
	// single receiver.
	kindAnswer
	kindAnnounce
	// kindOffer carries the beginning of a generation.
	kindOffer
	// kindRequest and kindReply carry a command, read or leave to the leader
	// and its outcome back.
	kindRequest
	kindReply
	kindEnd
)

// never stands for an age that is not known.
const never = math.MaxUint64

// errNewer is returned for an envelope of a newer protocol.
var errNewer = errors.New("newer protocol")

// envelope is what every message says beside its contents.
type envelope struct {
	kind       kind
	cluster    uint64
	generation uint64
	// origin tells apart two generations with the same number.
	origin   uint64
	from, to uint64
	// sender is the sender's name where it wants an answer that may come
	// before the gossip has told who it is.
	sender string
	// promises is how many promises the sender has on its disk; seen is how
	// many of the receiver's the sender knows of, and known of others'.
	promises uint64
	seen     uint64
	known    map[uint64]uint64
	// stamp is the sender's clock, echo the last stamp that it got from the
	// receiver: with it the receiver knows when, by its own clock, the sender
	// was alive. age is how long ago (in microseconds) the sender knew itself
	// in touch with the majority; commit what it had applied.
	stamp, echo uint64
	age         uint64
	commit      uint64
	payload     []byte
}

func (v *envelope) encode() []byte {
	e := encoder{b: make([]byte, 0, 128+len(v.payload))}
	e.u8(protocol)
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
	e.bytes(v.payload)
	return binary.LittleEndian.AppendUint32(e.b, checksum(e.b))
}

// checksum is the same in every version of the protocol, so that damage is
// never taken for a newer version.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func decodeEnvelope(b []byte) (envelope, error) {
	if len(b) < 6 || len(b) > maxMessage {
		return envelope{}, errCodec
	}
	end := len(b) - 4
	if binary.LittleEndian.Uint32(b[end:]) != checksum(b[:end]) {
		return envelope{}, errCodec
	}
	if b[0] > protocol {
		return envelope{}, errNewer
	}
	d := decoder{b: b[1:end]}
	v := envelope{
		kind: kind(d.u8()), cluster: d.u64(), generation: d.uvarint(), origin: d.u64(), from: d.u64(), to: d.u64(),
		sender: d.str(), promises: d.uvarint(), seen: d.uvarint(), known: d.sortedMap(),
		stamp: d.u64(), echo: d.u64(), age: d.u64(), commit: d.uvarint(), payload: d.bytes(),
	}
	if b[0] != protocol || v.kind == 0 || v.kind >= kindEnd || v.from == 0 {
		d.fail()
	}
	return v, d.done()
}

// announcement says what is decided and by whom.
type announcement struct {
	leader uint64
	// index is the raft index of conf and record.
	index  uint64
	conf   *pb.ConfState
	names  map[uint64]string
	record Record
	// bare says that the record's value was left out, because the asker has it.
	bare bool
}

func (a *announcement) encode() []byte {
	var e encoder
	e.u64(a.leader)
	e.uvarint(a.index)
	e.message(a.conf)
	encodeNames(&e, a.names)
	e.bool(a.bare)
	if a.bare {
		e.version(a.record.Version)
	} else {
		e.record(a.record)
	}
	return e.b
}

func decodeAnnouncement(b []byte) (announcement, error) {
	d := decoder{b: b}
	a := announcement{leader: d.u64(), index: d.uvarint(), conf: &pb.ConfState{}}
	d.message(a.conf)
	a.names = decodeNames(&d)
	if a.bare = d.bool(); a.bare {
		a.record.Version = d.version()
	} else {
		a.record = d.record()
	}
	return a, d.done()
}

// op is what a request asks the leader for.
type op uint8

const (
	opCommand op = iota + 1
	opRead
	opLeave
	opRemove
)

// request asks the leader. index is what the sender has applied, name whom opRemove means.
type request struct {
	id      uint64
	op      op
	index   uint64
	command Command
	name    string
}

func (r *request) encode() []byte {
	var e encoder
	e.u64(r.id)
	e.u8(uint8(r.op))
	e.uvarint(r.index)
	e.bytes(encodeCommand(r.command))
	// Only there, so that the other requests are as they were before it.
	if r.op == opRemove {
		e.str(r.name)
	}
	return e.b
}

func decodeRequest(b []byte) (request, error) {
	d := decoder{b: b}
	r := request{id: d.u64(), op: op(d.u8()), index: d.uvarint()}
	c, err := decodeCommand(d.bytes())
	if err != nil || r.op < opCommand || r.op > opRemove {
		d.fail()
	}
	r.command = c
	if r.op == opRemove {
		r.name = d.str()
	}
	return r, d.done()
}

// verdict is how the leader answers a request.
type verdict uint8

const (
	verdictDone verdict = iota + 1
	verdictRefused
	verdictOpen
	verdictLastVoter
	// verdictElsewhere says that the receiver does not lead; leader may help.
	verdictElsewhere
	// verdictAlive says that the member that is to be removed is alive.
	verdictAlive
)

type reply struct {
	id      uint64
	verdict verdict
	leader  uint64
	record  Record
}

func (r *reply) encode() []byte {
	var e encoder
	e.u64(r.id)
	e.u8(uint8(r.verdict))
	e.u64(r.leader)
	e.record(r.record)
	return e.b
}

func decodeReply(b []byte) (reply, error) {
	d := decoder{b: b}
	r := reply{id: d.u64(), verdict: verdict(d.u8()), leader: d.u64(), record: d.record()}
	if r.verdict < verdictDone || r.verdict > verdictAlive {
		d.fail()
	}
	return r, d.done()
}

// offer is the beginning of a generation: the configuration and the machine of
// its index 1. The envelope says which generation.
type offer struct {
	conf    *pb.ConfState
	machine machine
}

func (o *offer) encode() []byte {
	var e encoder
	e.message(o.conf)
	e.bytes(o.machine.encode())
	return e.b
}

func decodeOffer(b []byte) (offer, error) {
	d := decoder{b: b}
	o := offer{conf: &pb.ConfState{}}
	d.message(o.conf)
	m, err := decodeMachine(d.bytes())
	if err != nil || !validConf(o.conf) || len(confIDs(o.conf)) != len(m.names) {
		d.fail()
	}
	o.machine = m
	return o, d.done()
}

// raftTypes are the raft messages that may come from another member. Requests
// travel in our own messages, so raft's forwarding is not among them.
var raftTypes = []pb.MessageType{
	pb.MsgApp, pb.MsgAppResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp,
	pb.MsgSnap, pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgTimeoutNow,
}

// checkRaft refuses messages that raft would panic about or that are not for
// others to send.
func checkRaft(m *pb.Message, env *envelope) bool {
	if !slices.Contains(raftTypes, m.GetType()) || m.GetFrom() != env.from || m.GetTo() != env.to ||
		m.GetTerm() == 0 || len(m.GetResponses()) > 0 || max(m.GetTerm(), m.GetIndex(), m.GetLogTerm(), m.GetCommit()) >= largest {
		return false
	}
	if (m.GetType() == pb.MsgHeartbeat || m.GetType() == pb.MsgHeartbeatResp) &&
		len(m.GetContext()) != 0 && len(m.GetContext()) != 8 {
		return false
	}
	prev := position{m.GetIndex(), m.GetLogTerm()}
	for _, e := range m.GetEntries() {
		if e.GetIndex() != prev.index+1 || e.GetTerm() < prev.term || e.GetTerm() > m.GetTerm() {
			return false
		}
		prev = position{e.GetIndex(), e.GetTerm()}
	}
	if m.GetType() == pb.MsgSnap {
		meta := m.GetSnapshot().GetMetadata()
		mach, err := decodeMachine(m.GetSnapshot().GetData())
		return err == nil && meta.GetIndex() > 0 && meta.GetIndex() < largest && meta.GetTerm() <= m.GetTerm() &&
			len(confIDs(meta.GetConfState())) == len(mach.names) && validConf(meta.GetConfState())
	}
	return true
}
