package register

import (
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// remembered is how many applied commands the machine can still answer for.
// A command that was applied moved the version that it expected, so a late
// copy can never be applied twice; the memory only lets the copy get the true
// answer. For one that expected a version before the memory begins, the
// answer is that its outcome is open.
const remembered = 64

// machine is the replicated state machine. It is fixed and trivial on purpose:
// daemons of different versions apply the same log and must never diverge.
type machine struct {
	record Record
	// done holds the last applied commands, oldest first.
	done []doneCommand
	// names maps the disk ids of the configuration to member names.
	names map[uint64]string
}

// doneCommand remembers that a command was applied and what version it made.
type doneCommand struct {
	id      string
	version Version
}

// outcome is the result of a command: the record that it wrote, or the record
// that made it be refused.
type outcome struct {
	record        Record
	refused, open bool
}

// apply runs c. skipCheck exists for the mutation tests alone.
func (m *machine) apply(c Command, skipCheck bool) outcome {
	if o, ok := m.lookup(c); ok {
		return o
	}
	if c.Expect != m.record.Version && !skipCheck {
		open := len(m.done) > 0 && c.Expect.Revision+1 < m.done[0].version.Revision ||
			c.Expect.Compare(m.record.Version) > 0
		return outcome{record: m.record, refused: true, open: open}
	}
	v := m.record.Version
	v.Revision++
	if c.NewEpoch {
		v.Epoch++
	}
	m.record = Record{Version: v, Value: c.Value, CommandID: c.ID}
	if len(m.done) >= remembered {
		m.done = slices.Delete(m.done, 0, len(m.done)-remembered+1)
	}
	m.done = append(m.done, doneCommand{id: c.ID, version: v})
	return outcome{record: m.record}
}

// lookup finds the outcome of a command that was applied before.
func (m *machine) lookup(c Command) (outcome, bool) {
	for _, d := range slices.Backward(m.done) {
		if d.id == c.ID {
			return outcome{record: Record{Version: d.version, Value: c.Value, CommandID: c.ID}}, true
		}
	}
	return outcome{}, false
}

// configured keeps the names of exactly the disks in conf, with those of added
// merged in.
func (m *machine) configured(conf *pb.ConfState, added map[uint64]string) {
	names := make(map[uint64]string)
	for _, id := range confIDs(conf) {
		if n, ok := added[id]; ok {
			names[id] = n
		} else if n, ok := m.names[id]; ok {
			names[id] = n
		}
	}
	m.names = names
}

// encode is deterministic: equal machines give equal bytes.
func (m *machine) encode() []byte {
	var e encoder
	e.u8(1)
	e.record(m.record)
	e.uvarint(uint64(len(m.done)))
	for _, d := range m.done {
		e.str(d.id)
		e.version(d.version)
	}
	encodeNames(&e, m.names)
	return e.b
}

func decodeMachine(b []byte) (machine, error) {
	d := decoder{b: b}
	if d.u8() != 1 {
		d.fail()
	}
	m := machine{record: d.record()}
	n := d.countOf(1 + 3)
	m.done = slices.Grow(m.done, n)
	for range n {
		m.done = append(m.done, doneCommand{id: d.str(), version: d.version()})
	}
	m.names = decodeNames(&d)
	return m, d.done()
}

func encodeNames(e *encoder, names map[uint64]string) {
	e.uvarint(uint64(len(names)))
	for _, id := range sortedKeys(names) {
		e.u64(id)
		e.str(names[id])
	}
}

func decodeNames(d *decoder) map[uint64]string {
	n := d.countOf(8 + 1)
	names := make(map[uint64]string, n)
	for range n {
		id := d.u64()
		names[id] = d.str()
	}
	return names
}

func encodeCommand(c Command) []byte {
	var e encoder
	e.u8(1)
	e.str(c.ID)
	e.version(c.Expect)
	e.bool(c.NewEpoch)
	e.bytes(c.Value)
	return e.b
}

func decodeCommand(b []byte) (Command, error) {
	d := decoder{b: b}
	if d.u8() != 1 {
		d.fail()
	}
	c := Command{ID: d.str(), Expect: d.version(), NewEpoch: d.bool(), Value: slices.Clone(d.bytes())}
	return c, d.done()
}

// confIDs lists every disk of a configuration, sorted, each once.
func confIDs(conf *pb.ConfState) []uint64 {
	ids := slices.Concat(conf.GetVoters(), conf.GetVotersOutgoing(), conf.GetLearners(), conf.GetLearnersNext())
	slices.Sort(ids)
	return slices.Compact(ids)
}

// validConf says that raft can work with a configuration: it has voters, and no
// disk is there twice or is none.
func validConf(conf *pb.ConfState) bool {
	once := func(lists ...[]uint64) bool {
		all := slices.Sorted(slices.Values(slices.Concat(lists...)))
		return len(all) == 0 || all[0] != 0 && len(slices.Compact(all)) == len(slices.Concat(lists...))
	}
	joint := len(conf.GetVotersOutgoing()) > 0
	for _, l := range conf.GetLearnersNext() {
		// Who is to become a learner is still a voter of the outgoing half.
		if !slices.Contains(conf.GetVotersOutgoing(), l) {
			return false
		}
	}
	return len(conf.GetVoters()) > 0 && (joint || len(conf.GetLearnersNext()) == 0) &&
		once(conf.GetVoters(), conf.GetLearners(), conf.GetLearnersNext()) && once(conf.GetVotersOutgoing(), conf.GetLearners())
}

// isVoter says that a disk has a vote in either half of a configuration.
func isVoter(conf *pb.ConfState, disk uint64) bool {
	return slices.Contains(conf.GetVoters(), disk) || slices.Contains(conf.GetVotersOutgoing(), disk)
}

// majorityOf says that yes holds for a majority of the voters, in a joint
// configuration for a majority of both halves.
func majorityOf(conf *pb.ConfState, yes func(disk uint64) bool) bool {
	half := func(ids []uint64) bool {
		n := 0
		for _, id := range ids {
			if yes(id) {
				n++
			}
		}
		return 2*n > len(ids)
	}
	return half(conf.GetVoters()) && (len(conf.GetVotersOutgoing()) == 0 || half(conf.GetVotersOutgoing()))
}
