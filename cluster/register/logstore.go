package register

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// keptEntries is how many applied entries stay in the log for a follower that
// missed a message. One that is further behind gets the snapshot, which is no
// larger than one entry.
const keptEntries = 4

// position is an entry of the raft log without its contents.
type position struct{ index, term uint64 }

// logStore is raft's log in memory, exactly as it is in the state file or in
// the write that is under way. It implements [raft.Storage]. Its snapshot is
// always the applied state, which is why a compacted log costs nothing.
type logStore struct {
	hard    *pb.HardState
	conf    *pb.ConfState
	applied position
	// machine is the encoded state at applied; set by the core when it applies.
	machine func() []byte
	// prev is the entry before entries[0].
	prev    position
	entries []*pb.Entry
}

func newLogStore() *logStore {
	return &logStore{hard: &pb.HardState{}, conf: &pb.ConfState{}}
}

// genesis is the log of a generation that begins with a given configuration:
// everything before is in the snapshot at index 1 and term 1.
func genesis(conf *pb.ConfState) *logStore {
	one := position{1, 1}
	return &logStore{
		hard: hardState(1, 0, 1), conf: conf, applied: one, prev: one,
	}
}

// InitialState implements raft.Storage.
func (s *logStore) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return s.hard, s.conf, nil
}

// Entries implements raft.Storage.
func (s *logStore) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= s.prev.index {
		return nil, raft.ErrCompacted
	}
	if hi > s.last().index+1 {
		return nil, raft.ErrUnavailable
	}
	ents := s.entries[lo-s.prev.index-1 : hi-s.prev.index-1]
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
func (s *logStore) Term(i uint64) (uint64, error) {
	switch {
	case i == s.applied.index:
		return s.applied.term, nil
	case i < s.prev.index:
		return 0, raft.ErrCompacted
	case i == s.prev.index:
		return s.prev.term, nil
	case i > s.last().index:
		return 0, raft.ErrUnavailable
	}
	return s.entries[i-s.prev.index-1].GetTerm(), nil
}

// LastIndex implements raft.Storage.
func (s *logStore) LastIndex() (uint64, error) { return s.last().index, nil }

// FirstIndex implements raft.Storage.
func (s *logStore) FirstIndex() (uint64, error) { return s.prev.index + 1, nil }

// Snapshot implements raft.Storage: the applied state, made when asked for.
func (s *logStore) Snapshot() (*pb.Snapshot, error) {
	return &pb.Snapshot{
		Data: s.machine(),
		Metadata: &pb.SnapshotMetadata{
			ConfState: proto.Clone(s.conf).(*pb.ConfState),
			Index:     new(s.applied.index), Term: new(s.applied.term),
		},
	}, nil
}

func (s *logStore) last() position {
	if n := len(s.entries); n > 0 {
		return position{s.entries[n-1].GetIndex(), s.entries[n-1].GetTerm()}
	}
	return s.prev
}

// append adds entries that raft made or accepted, replacing the tail that they
// contradict. raft never replaces a committed entry.
func (s *logStore) append(entries []*pb.Entry) {
	if len(entries) == 0 {
		return
	}
	keep := entries[0].GetIndex() - s.prev.index - 1
	s.entries = append(slices.Clip(s.entries[:keep]), entries...)
}

// restore replaces the log by a snapshot of the leader.
func (s *logStore) restore(m *pb.SnapshotMetadata) {
	s.conf = proto.Clone(m.GetConfState()).(*pb.ConfState)
	s.applied = position{m.GetIndex(), m.GetTerm()}
	s.prev, s.entries = s.applied, nil
}

// compact drops applied entries but the last few.
func (s *logStore) compact() {
	if drop := int(s.applied.index) - int(s.prev.index) - keptEntries; drop > 0 && drop <= len(s.entries) {
		e := s.entries[drop-1]
		s.prev = position{e.GetIndex(), e.GetTerm()}
		s.entries = slices.Clone(s.entries[drop:])
	}
}

func hardState(term, vote, commit uint64) *pb.HardState {
	return &pb.HardState{Term: new(term), Vote: new(vote), Commit: new(commit)}
}

// quietLogger drops raft's log: the core has no logger, and what an operator
// must know is in Status. Panics stay panics.
type quietLogger struct{}

func (quietLogger) Debug(...any)            {}
func (quietLogger) Debugf(string, ...any)   {}
func (quietLogger) Error(...any)            {}
func (quietLogger) Errorf(string, ...any)   {}
func (quietLogger) Info(...any)             {}
func (quietLogger) Infof(string, ...any)    {}
func (quietLogger) Warning(...any)          {}
func (quietLogger) Warningf(string, ...any) {}
func (quietLogger) Fatal(v ...any)          { panic(fmt.Sprint(v...)) }
func (quietLogger) Fatalf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
func (quietLogger) Panic(v ...any) { panic(fmt.Sprint(v...)) }
func (quietLogger) Panicf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
