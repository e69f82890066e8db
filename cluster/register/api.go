package register

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

var (
	// ErrNoMajority says that no leader with a majority of the voters answered.
	// When [Node.Propose] returns it the command was never handed to raft here
	// or no answer came: its outcome is unknown, and repeating it with the same
	// ID is safe.
	ErrNoMajority = errors.New("no majority of the voters answers")
	// ErrStopped says that this member is out of the vote (after a write error,
	// until writing works again) or that Run has ended.
	ErrStopped = errors.New("register is stopped")
	// ErrLastVoter is returned by [Node.Leave] on the only voter: the record
	// would be gone with it, so it stays a voter.
	ErrLastVoter = errors.New("the last voter does not leave")
	// ErrAlive refuses [Node.Remove] of a member that is alive.
	ErrAlive = errors.New("it is alive")
	// ErrNotEmpty refuses [Node.InitForce] where a cluster exists already.
	ErrNotEmpty = errors.New("a cluster exists already")
	// ErrMajorityAlive refuses [Node.Recover] while the majority still answers.
	ErrMajorityAlive = errors.New("the majority answers, there is nothing to recover")
	// ErrUnknownVoter refuses an InitForce or Recover that names a member that
	// is not seen alive.
	ErrUnknownVoter = errors.New("not a live member")
	// ErrNothingKnown refuses a Recover on a member that knows no record.
	ErrNothingKnown = errors.New("this member knows no cluster, use init")
	// ErrBehind refuses a Recover on a member while another listed one holds
	// a newer record: recover there.
	ErrBehind = errors.New("another listed member holds a newer record")
	// ErrTooEarly refuses an InitForce or Recover while it is not clear yet who
	// is there: a name is there twice, or this member has only just started.
	ErrTooEarly = errors.New("wait a few seconds")
)

// RefusedError says that a command was not applied because the record had
// moved on. Current is the record that won.
type RefusedError struct {
	Expect  Version
	Current Record
	// Open says that the outcome is open in spite of the refusal: Expect is so
	// old that nobody can tell any more whether an earlier copy of this command
	// was applied, or it is a version that does not exist yet (of a cluster that
	// is gone), which a late copy might still meet.
	Open bool
}

// Error names the version expected and the one found.
func (e *RefusedError) Error() string {
	if e.Open {
		return fmt.Sprintf("the record is at %s, far from the expected %s: whether this command takes effect is not known",
			e.Current.Version, e.Expect)
	}
	return fmt.Sprintf("refused: the record is at %s (written by %q), the command expected %s",
		e.Current.Version, e.Current.CommandID, e.Expect)
}

// What is decided is in package state, with the file that holds it.
type (
	// Version numbers a state of the record.
	Version = state.Version
	// Record is the replicated record.
	Record = state.Record
	// Command asks for a new value of the record.
	Command = state.Command
)

// MaxValue is the largest Value of a [Command] in bytes.
const MaxValue = state.MaxValue

// Member is what the register must know of a member of the gossip. A member
// announces its own with [Node.Self]; the glue collects the others' and hands
// them to [Node.SetMembers].
type Member struct {
	// Name is the stable name (not the process name).
	Name string `json:"n"`
	// Disk identifies the member's state file. A lost disk gets a new one. It is the raft id.
	Disk uint64 `json:"d"`
	// Cluster is the cluster that the disk belongs to, 0 when it is empty.
	Cluster uint64 `json:"c,omitempty"`
	// Generation is the disk's recovery generation.
	Generation uint64 `json:"g,omitempty"`
	// Voter says that the member believes to be a voter of Cluster.
	Voter bool `json:"v,omitempty"`
	// Willing says that the member may be made a voter.
	Willing bool `json:"w,omitempty"`
	// Leaving says that the member is about to stop.
	Leaving bool `json:"l,omitempty"`
	// Initial is a hash of the sorted InitialVoters, and of BootstrapExpect: the
	// first start needs all of them to mean the same.
	Initial uint64 `json:"i,omitempty"`
	// Version is the committed record that the member last knew when this was
	// announced; it may lag.
	Version Version `json:"r"`
}

// Empty says that the member's disk belongs to no cluster.
func (m Member) Empty() bool { return m.Cluster == 0 }

// State is the role of this member.
type State string

// The states of a member.
const (
	// StateWaiting: no cluster yet; Reason says what for.
	StateWaiting State = "waiting"
	// StateVoter: a member of the configuration (voter or learner).
	StateVoter State = "voter"
	// StateFollower: knows the cluster and its record, does not vote.
	StateFollower State = "follower"
	// StateStopped: out of the vote after a write error, until a write works
	// again (see Core.Revive). It still follows.
	StateStopped State = "stopped"
)

// VoterStatus is one voter of the committed configuration.
type VoterStatus struct {
	Name string
	Disk uint64
	// Heard is how long ago the voter was last heard, as a round trip that
	// this process started; -1 for never. On a member that is not the leader
	// only the leader's is kept current.
	Heard time.Duration
	// Live says that a member with this name and disk is in the gossip.
	Live bool
	// Learner says that it is catching up and has no vote yet.
	Learner bool
}

// Status is what a member knows now. Everything that depends on time was
// computed when [Node.Status] was called.
type Status struct {
	State State
	// Known is false until this member has learnt a cluster's record.
	Known  bool
	Record Record
	// Fresh says that a majority of the voters was heard within FreshFor and
	// that Record is at least as new as what it had committed then. Reason says
	// why not, as a sentence.
	Fresh  bool
	Reason string
	// FreshAge is how old the knowledge is, -1 for never.
	FreshAge time.Duration
	Voting   bool
	IsLeader bool
	// Leader is the leader's name, "" if unknown.
	Leader     string
	Term       uint64
	Voters     []VoterStatus
	Cluster    string
	Generation uint64
	Disk       uint64
	// Index is the raft index up to which the record was applied here.
	Index uint64
	// Counters since the start of the process.
	Counters Counters
	// LastConflict names the last message that was refused because it came
	// from another cluster or generation, "" for none.
	LastConflict string
	// Membership says what the leader does, or why it does nothing, about the
	// configuration; on a member that is out of the vote, why it is.
	Membership string
}

// Counters count since the start of the process.
type Counters struct {
	// Writes of the state file.
	Writes uint64
	// Elections that this member started.
	Campaigns uint64
	// LeaderChanges seen here.
	LeaderChanges uint64
	// ConfigChanges applied here.
	ConfigChanges uint64
	// Commands applied here (refused ones included) and those refused.
	Commands, Refused uint64
	// LostDisks counts the disks that this process found lost and replaced by
	// a new id.
	LostDisks uint64
	// Messages that were dropped: undecodable, of a newer protocol, of another
	// cluster, of another generation, for another disk, or not acceptable now.
	DroppedGarbage, DroppedNewer, DroppedCluster, DroppedGeneration, DroppedDisk, DroppedOther uint64
}

// Transport carries messages between the members.
type Transport interface {
	// Send hands data to the member with this name and disk. It must not
	// block, and may lose, delay, duplicate or reorder messages. data must not
	// be modified and may be kept. Most messages have less than 300 bytes, the
	// largest about [MaxValue] plus a few kilobytes.
	Send(name string, disk uint64, data []byte)
}

// Config configures a [Node].
type Config struct {
	// Name is this member's stable name. Required.
	Name string
	// Dir holds the state file. Created if missing. Required.
	Dir string
	// InitialVoters are the names of the voters of a first start, in any
	// order, with this member's own name if it is one of them. Only looked at
	// while no cluster exists.
	InitialVoters []string
	// Reads says why this version cannot act on a value of the record; such a member
	// stops voting until it is upgraded. Nil takes every value.
	Reads func(value []byte) error
	// BootstrapExpect, if not 0, keeps a first start from happening by itself
	// with fewer initial voters than that, and until every one of them has
	// joined. It must be more than half of all the members that there can be at
	// a first start; then two lists of that length have a member in common, and
	// cannot both begin. See DESIGN.md.
	BootstrapExpect int
	// MaxVoters is the largest number of voters. Default 5.
	MaxVoters int
	// Transport is required.
	Transport Transport
	// Logger is required.
	Logger *slog.Logger
	// OnFsync is called after each write of the state file with the time that
	// it took and its error. Optional.
	OnFsync func(took time.Duration, err error)
}

// Validate returns every problem of c.
func (c Config) Validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("register: "+format, args...))
		}
	}
	refuse(c.Name == "", "Name is empty")
	refuse(c.Dir == "", "Dir is empty")
	refuse(c.Transport == nil, "Transport is nil")
	refuse(c.Logger == nil, "Logger is nil")
	refuse(c.MaxVoters < 0 || c.MaxVoters > 9, "MaxVoters is %d, want 1 to 9 (0 for the default)", c.MaxVoters)
	refuse(c.BootstrapExpect < 0, "BootstrapExpect is %d, want 0 (off) or more", c.BootstrapExpect)
	return errors.Join(errs...)
}
