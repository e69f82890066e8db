package state

import (
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// KeptEntries is how many applied entries stay in the log for a follower that
// missed a message. One that is further behind gets the snapshot, which is no
// larger than one entry.
const KeptEntries = 4

// Position is an entry of the raft log without its contents.
type Position struct{ Index, Term uint64 }

func (p *Position) fields(c *Codec) {
	c.Uvarint(&p.Index)
	c.Uvarint(&p.Term)
}

// At is where an entry stands.
func At(e *pb.Entry) Position { return Position{e.GetIndex(), e.GetTerm()} }

// Log is raft's log in memory, exactly as it is in the state file or in
// the write that is under way. It implements [raft.Storage]. Its snapshot is
// always the applied state, which is why a compacted log costs nothing.
type Log struct {
	Hard    *pb.HardState
	Conf    *pb.ConfState
	Applied Position
	// Machine is the encoded state at Applied; set by the core when it applies.
	Machine func() []byte
	// Prev is the entry before the first of Tail.
	Prev Position
	Tail []*pb.Entry
}

// NewLog is the log of a disk that has just joined: it has nothing yet.
func NewLog() *Log {
	return &Log{Hard: &pb.HardState{}, Conf: &pb.ConfState{}}
}

// Genesis is the log of a generation that begins with a given configuration:
// everything before is in the snapshot at index 1 and term 1.
func Genesis(conf *pb.ConfState) *Log {
	one := Position{1, 1}
	return &Log{
		Hard: HardState(1, 0, 1), Conf: conf, Applied: one, Prev: one,
	}
}

// InitialState implements raft.Storage.
func (s *Log) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return s.Hard, s.Conf, nil
}

// Entries implements raft.Storage.
func (s *Log) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= s.Prev.Index {
		return nil, raft.ErrCompacted
	}
	if hi > s.Last().Index+1 {
		return nil, raft.ErrUnavailable
	}
	ents := s.Tail[lo-s.Prev.Index-1 : hi-s.Prev.Index-1]
	size := uint64(0)
	for i, e := range ents {
		if size += uint64(proto.Size(e)); size > maxSize && i > 0 {
			ents = ents[:i]
			break
		}
	}
	return slices.Clone(ents), nil
}

// Term implements raft.Storage.
func (s *Log) Term(i uint64) (uint64, error) {
	switch {
	case i == s.Applied.Index:
		return s.Applied.Term, nil
	case i < s.Prev.Index:
		return 0, raft.ErrCompacted
	case i == s.Prev.Index:
		return s.Prev.Term, nil
	case i > s.Last().Index:
		return 0, raft.ErrUnavailable
	}
	return s.Tail[i-s.Prev.Index-1].GetTerm(), nil
}

// LastIndex implements raft.Storage.
func (s *Log) LastIndex() (uint64, error) { return s.Last().Index, nil }

// FirstIndex implements raft.Storage.
func (s *Log) FirstIndex() (uint64, error) { return s.Prev.Index + 1, nil }

// Snapshot implements raft.Storage: the applied state, made when asked for.
func (s *Log) Snapshot() (*pb.Snapshot, error) {
	return &pb.Snapshot{
		Data: s.Machine(),
		Metadata: &pb.SnapshotMetadata{
			ConfState: proto.Clone(s.Conf).(*pb.ConfState),
			Index:     new(s.Applied.Index), Term: new(s.Applied.Term),
		},
	}, nil
}

// Last is the last entry.
func (s *Log) Last() Position {
	if n := len(s.Tail); n > 0 {
		return At(s.Tail[n-1])
	}
	return s.Prev
}

// Append adds entries that raft made or accepted, replacing the tail that they
// contradict. raft never replaces a committed entry.
func (s *Log) Append(entries []*pb.Entry) {
	if len(entries) == 0 {
		return
	}
	keep := entries[0].GetIndex() - s.Prev.Index - 1
	s.Tail = append(slices.Clip(s.Tail[:keep]), entries...)
}

// Restore replaces the log by a snapshot of the leader.
func (s *Log) Restore(m *pb.SnapshotMetadata) {
	s.Conf = proto.Clone(m.GetConfState()).(*pb.ConfState)
	s.Applied = Position{m.GetIndex(), m.GetTerm()}
	s.Prev, s.Tail = s.Applied, nil
}

// Compact drops applied entries but the last few.
func (s *Log) Compact() {
	if drop := int(s.Applied.Index) - int(s.Prev.Index) - KeptEntries; drop > 0 && drop <= len(s.Tail) {
		s.Prev = At(s.Tail[drop-1])
		s.Tail = slices.Clone(s.Tail[drop:])
	}
}

// HardState is what raft wants kept of a term.
func HardState(term, vote, commit uint64) *pb.HardState {
	return &pb.HardState{Term: new(term), Vote: new(vote), Commit: new(commit)}
}
