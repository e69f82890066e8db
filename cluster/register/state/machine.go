package state

import (
	"maps"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// remembered is how many applied commands the machine can still answer for.
// A command that was applied moved the version that it expected, so a late
// copy can never be applied twice; the memory only lets the copy get the true
// answer. For one that expected a version before the memory begins, the
// answer is that its outcome is open.
const remembered = 64

// Machine is the replicated state machine. It is fixed and trivial on purpose:
// daemons of different versions apply the same log and must never diverge.
type Machine struct {
	Record Record
	// Done holds the last applied commands, oldest first.
	Done []Done
	// Names maps the disk ids of the configuration to member names.
	Names map[uint64]string
}

// Done says that a command was applied and what version it made.
type Done struct {
	ID      string
	Version Version
}

// Outcome is the result of a command: the record that it wrote, or the record
// that made it be refused.
type Outcome struct {
	Record        Record
	Refused, Open bool
}

// Apply runs c. skipCheck exists for the mutation tests alone.
func (m *Machine) Apply(c Command, skipCheck bool) Outcome {
	if o, ok := m.Lookup(c); ok {
		return o
	}
	if c.Expect != m.Record.Version && !skipCheck {
		open := len(m.Done) > 0 && c.Expect.Revision+1 < m.Done[0].Version.Revision ||
			c.Expect.Compare(m.Record.Version) > 0
		return Outcome{Record: m.Record, Refused: true, Open: open}
	}
	v := m.Record.Version
	v.Revision++
	if c.NewEpoch {
		v.Epoch++
	}
	m.Record = Record{Version: v, Value: c.Value, CommandID: c.ID}
	if len(m.Done) >= remembered {
		m.Done = slices.Delete(m.Done, 0, len(m.Done)-remembered+1)
	}
	m.Done = append(m.Done, Done{ID: c.ID, Version: v})
	return Outcome{Record: m.Record}
}

// Lookup finds the outcome of a command that was applied before.
func (m *Machine) Lookup(c Command) (Outcome, bool) {
	for _, d := range slices.Backward(m.Done) {
		if d.ID == c.ID {
			return Outcome{Record: Record{Version: d.Version, Value: c.Value, CommandID: c.ID}}, true
		}
	}
	return Outcome{}, false
}

// Configured keeps the names of exactly the disks in conf, with those of added
// merged in.
func (m *Machine) Configured(conf *pb.ConfState, added map[uint64]string) {
	names := make(map[uint64]string)
	for _, id := range voters.IDs(conf) {
		if n, ok := added[id]; ok {
			names[id] = n
		} else if n, ok := m.Names[id]; ok {
			names[id] = n
		}
	}
	m.Names = names
}

// Encode is deterministic: equal machines give equal bytes.
func (m *Machine) Encode() []byte {
	var e Encoder
	e.U8(1)
	e.Record(m.Record)
	e.Uvarint(uint64(len(m.Done)))
	for _, d := range m.Done {
		e.Str(d.ID)
		e.Version(d.Version)
	}
	e.Names(m.Names)
	return e.B
}

// DecodeMachine reads what [Machine.Encode] wrote.
func DecodeMachine(b []byte) (Machine, error) {
	d := Decoder{B: b}
	if d.U8() != 1 {
		d.Fail()
	}
	m := Machine{Record: d.Record()}
	n := d.countOf(1 + 3)
	m.Done = slices.Grow(m.Done, n)
	for range n {
		m.Done = append(m.Done, Done{ID: d.Str(), Version: d.Version()})
	}
	m.Names = d.Names()
	return m, d.Done()
}

// Names appends the names of disks, in the order of these.
func (e *Encoder) Names(names map[uint64]string) {
	e.Uvarint(uint64(len(names)))
	for _, id := range slices.Sorted(maps.Keys(names)) {
		e.U64(id)
		e.Str(names[id])
	}
}

// Names reads what [Encoder.Names] wrote.
func (d *Decoder) Names() map[uint64]string {
	n := d.countOf(8 + 1)
	names := make(map[uint64]string, n)
	for range n {
		id := d.U64()
		names[id] = d.Str()
	}
	return names
}

// Encode is the data of the raft entry with the command.
func (c Command) Encode() []byte {
	var e Encoder
	e.U8(1)
	e.Str(c.ID)
	e.Version(c.Expect)
	e.Bool(c.NewEpoch)
	e.Bytes(c.Value)
	return e.B
}

// DecodeCommand reads what [Command.Encode] wrote: ErrCodec for what this version
// cannot read.
func DecodeCommand(b []byte) (Command, error) {
	d := Decoder{B: b}
	if d.U8() != 1 {
		d.Fail()
	}
	c := Command{ID: d.Str(), Expect: d.Version(), NewEpoch: d.Bool(), Value: slices.Clone(d.Bytes())}
	return c, d.Done()
}
