package register

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
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
	// kindRequest and kindReply carry a command or leave to the leader and its
	// outcome back.
	kindRequest
	kindReply
	kindEnd
)

// never stands for an age that is not known.
const never = math.MaxUint64

// errNewer is returned for an envelope of a newer protocol.
var errNewer = errors.New("newer protocol")

// scope is a generation of a cluster. origin tells apart two with the same number.
type scope struct{ cluster, generation, origin uint64 }

// later orders the generations of a cluster: by number and, where two
// recoveries were made at once and got the same one, by origin.
func (s scope) later(than scope) bool {
	return cmp.Or(cmp.Compare(s.generation, than.generation), cmp.Compare(s.origin, than.origin)) > 0
}

// envelope is what every message says beside its contents.
type envelope struct {
	kind kind
	scope
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

// knowsOf is how many promises of its receiver, whose disk that is, the sender knows of.
func (v *envelope) knowsOf(disk uint64) uint64 { return max(v.seen, v.known[disk]) }

func (v *envelope) fields(c *state.Codec) {
	c.U8((*uint8)(&v.kind))
	c.U64(&v.cluster)
	c.Uvarint(&v.generation)
	c.U64(&v.origin)
	c.U64(&v.from)
	c.U64(&v.to)
	c.Str(&v.sender)
	c.Uvarint(&v.promises)
	c.Uvarint(&v.seen)
	c.Counts(&v.known)
	c.U64(&v.stamp)
	c.U64(&v.echo)
	c.U64(&v.age)
	c.Uvarint(&v.commit)
	c.Bytes(&v.payload)
	c.Check(v.kind > 0 && v.kind < kindEnd && v.from != 0)
}

func (v *envelope) encode() []byte {
	b := append([]byte{protocol}, state.Marshal(v.fields)...)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

// checksum is the same in every version of the protocol, so that damage is
// never taken for a newer version.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func decodeEnvelope(b []byte) (envelope, error) {
	if len(b) < 6 || len(b) > maxMessage {
		return envelope{}, state.ErrCodec
	}
	end := len(b) - 4
	if binary.LittleEndian.Uint32(b[end:]) != checksum(b[:end]) {
		return envelope{}, state.ErrCodec
	}
	if b[0] > protocol {
		return envelope{}, errNewer
	}
	var v envelope
	err := state.Unmarshal(b[1:end], v.fields)
	if err == nil && b[0] != protocol {
		err = state.ErrCodec
	}
	return v, err
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

func (a *announcement) fields(c *state.Codec) {
	c.U64(&a.leader)
	c.Uvarint(&a.index)
	c.Message(a.conf)
	c.Names(&a.names)
	if c.Bool(&a.bare); a.bare {
		c.Version(&a.record.Version)
	} else {
		c.Record(&a.record)
	}
}

func (a *announcement) encode() []byte { return state.Marshal(a.fields) }

func decodeAnnouncement(b []byte) (announcement, error) {
	a := announcement{conf: &pb.ConfState{}}
	err := state.Unmarshal(b, a.fields)
	return a, err
}

// op is what a request asks the leader for.
type op uint8

const (
	opCommand op = iota + 1
	_            // a read, which no product asks for
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

func (r *request) fields(c *state.Codec) {
	c.U64(&r.id)
	c.U8((*uint8)(&r.op))
	c.Uvarint(&r.index)
	c.Nested(r.command.Fields)
	c.Check(r.op >= opCommand && r.op <= opRemove)
	// Only there, so that the other requests are as they were before it.
	if r.op == opRemove {
		c.Str(&r.name)
	}
}

func (r *request) encode() []byte { return state.Marshal(r.fields) }

func decodeRequest(b []byte) (r request, err error) {
	err = state.Unmarshal(b, r.fields)
	return r, err
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

func (r *reply) fields(c *state.Codec) {
	c.U64(&r.id)
	c.U8((*uint8)(&r.verdict))
	c.U64(&r.leader)
	c.Record(&r.record)
	c.Check(r.verdict >= verdictDone && r.verdict <= verdictAlive)
}

func (r *reply) encode() []byte { return state.Marshal(r.fields) }

func decodeReply(b []byte) (r reply, err error) {
	err = state.Unmarshal(b, r.fields)
	return r, err
}

// offer is the beginning of a generation: the configuration and the machine of
// its index 1. The envelope says which generation.
type offer struct {
	conf    *pb.ConfState
	machine state.Machine
}

func (o *offer) fields(c *state.Codec) {
	c.Message(o.conf)
	c.Nested(o.machine.Fields)
	c.Check(voters.Valid(o.conf) && len(voters.IDs(o.conf)) == len(o.machine.Names))
}

func (o *offer) encode() []byte { return state.Marshal(o.fields) }

func decodeOffer(b []byte) (offer, error) {
	o := offer{conf: &pb.ConfState{}}
	err := state.Unmarshal(b, o.fields)
	return o, err
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
	prev := state.Position{Index: m.GetIndex(), Term: m.GetLogTerm()}
	for _, e := range m.GetEntries() {
		if e.GetIndex() != prev.Index+1 || e.GetTerm() < prev.Term || e.GetTerm() > m.GetTerm() {
			return false
		}
		prev = state.At(e)
	}
	if m.GetType() == pb.MsgSnap {
		meta := m.GetSnapshot().GetMetadata()
		mach, err := state.DecodeMachine(m.GetSnapshot().GetData())
		return err == nil && meta.GetIndex() > 0 && meta.GetIndex() < largest && meta.GetTerm() <= m.GetTerm() &&
			len(voters.IDs(meta.GetConfState())) == len(mach.Names) && voters.Valid(meta.GetConfState())
	}
	return true
}
