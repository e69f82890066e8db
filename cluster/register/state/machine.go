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
	names, ids := make(map[uint64]string), voters.IDs(conf)
	maps.Copy(names, m.Names)
	maps.Copy(names, added)
	maps.DeleteFunc(names, func(id uint64, _ string) bool { return !slices.Contains(ids, id) })
	m.Names = names
}

// Encode is deterministic: equal machines give equal bytes.
func (m *Machine) Encode() []byte { return Marshal(m.Fields) }

// DecodeMachine reads what [Machine.Encode] wrote.
func DecodeMachine(b []byte) (m Machine, err error) {
	err = Unmarshal(b, m.Fields)
	return m, err
}

// Fields are the fields of a machine on the wire and in the file.
func (m *Machine) Fields(c *Codec) {
	c.Format(1)
	c.Record(&m.Record)
	if n := c.Count(len(m.Done), 1+3); c.Reading {
		m.Done = slices.Grow(m.Done, n)[:n]
	}
	for i := range m.Done {
		c.Str(&m.Done[i].ID)
		c.Version(&m.Done[i].Version)
	}
	c.Names(&m.Names)
}

// Encode is the data of the raft entry with the command.
func (m Command) Encode() []byte { return Marshal(m.Fields) }

// DecodeCommand reads what [Command.Encode] wrote: ErrCodec for what this version
// cannot read.
func DecodeCommand(b []byte) (m Command, err error) {
	err = Unmarshal(b, m.Fields)
	return m, err
}

// Fields are the fields of a command on the wire and in the log.
func (m *Command) Fields(c *Codec) {
	c.Format(1)
	c.Str(&m.ID)
	c.Version(&m.Expect)
	c.Bool(&m.NewEpoch)
	c.value(&m.Value)
}
