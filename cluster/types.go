package cluster

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/cluster/register"
)

// The types and errors of the register that callers of this package meet.
type (
	// Version numbers a state of the record: recovery, epoch, revision.
	Version = register.Version
	// Record is the replicated record.
	Record = register.Record
	// Command asks for a new value of the record.
	Command = register.Command
	// RefusedError says that a command was validated against an old record, and
	// carries the current one.
	RefusedError = register.RefusedError
	// RegisterStatus is the whole of what the register knows, for `register status`.
	RegisterStatus = register.Status
	// Security is how safe the gossip is, for `status`.
	Security = gossip.Security
)

// Errors of the register; see there.
var (
	ErrNoMajority = register.ErrNoMajority
	ErrAlive      = register.ErrAlive
)

// FreshFor is how long a majority's answer counts.
const FreshFor = register.FreshFor

// Agreement is what this member knows of the agreement at the moment of the call.
type Agreement struct {
	// Known is false until a first command was committed and heard of here.
	Known bool
	// Record is the newest committed record known here. While Known is false
	// its Value is empty, but its Version is what a first command has to expect.
	Record Record
	// Fresh says that a majority of the voters was heard, as a round trip,
	// within the last FreshFor (1.5 s), and that Record is what it had committed
	// then. It is computed from the monotonic clock at the call: a process that
	// was stopped and continued is not fresh until it has heard them again.
	Fresh bool
	// FreshAge is how long ago, at the call, that majority stood behind Record;
	// -1 for never.
	FreshAge time.Duration
	// Reason is a sentence that says why Fresh is false, or what is waited for.
	Reason string
	// Voting says that this member is a voter; IsLeader that it leads them.
	Voting, IsLeader bool
	// Leader is the leader's name, "" if unknown.
	Leader string
	// Term is the register's term.
	Term uint64
	// Voters of the committed configuration, ordered by name.
	Voters []VoterInfo
	// State is waiting, voter, follower or stopped.
	State string
	// Cluster is the id of the cluster, "" while there is none.
	Cluster string
}

// VoterInfo is one voter.
type VoterInfo struct {
	Name string
	Disk uint64
	// Heard is how long ago it was heard as a round trip, -1 for never. On a
	// member that is not the leader only the leader's is kept current.
	Heard time.Duration
	// Live says that it is a member of the gossip.
	Live bool
}

// View is the view that a member published last.
type View struct {
	// Name is the member's stable name.
	Name string
	// Self marks this member's own view; Voter a voter's, as the sender said.
	Self, Voter bool
	// Live says that the process is a member of the gossip.
	Live bool
	// Data is what was given to Publish. It must not be modified.
	Data []byte
	// Age is how long ago the member last said that Data is its view. Voters
	// say so every 500 ms, others only every 4 s and on change.
	Age time.Duration
}

// The states of a Member.
const (
	// MemberStarting is a process that has not made sure yet to be the only one of its name.
	MemberStarting = "starting"
	// MemberAlive is a live member.
	MemberAlive = "alive"
	// MemberLeaving is a member that is about to stop.
	MemberLeaving = "leaving"
	// MemberGone left, or was found dead, within the last minute.
	MemberGone = "gone"
)

// Member is a process in the gossip.
type Member struct {
	// Name is its stable name.
	Name string
	// Address is the ADDR:PORT of its gossip.
	Address string
	// Version is its daemon's version.
	Version string
	// Disk is the id of its data directory.
	Disk uint64
	// Voter says that it is a voter of the configuration known here.
	Voter bool
	// Witness is its own word on itself.
	Witness bool
	// Self marks this process.
	Self bool
	// State is one of the Member constants.
	State string
	// Reads is the newest protocol that it reads, 1 for the versions that
	// announced none; see gossip.Reads.
	Reads uint8
}
