package register

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// CoreConfig configures a [Core].
type CoreConfig struct {
	// Name is the member's stable name.
	Name string
	// Initial are the names of the voters of a first start.
	Initial []string
	// Expect is Config.BootstrapExpect.
	Expect int
	// MaxVoters is the largest number of voters; 0 means 5.
	MaxVoters int
	// Random yields ids. A core asks for few.
	Random func() uint64
	// Body is the contents of the state file, nil if there is none.
	Body []byte
	// Lost says why an earlier file was given up, "" if none was.
	Lost string
	// Reads is Config.Reads.
	Reads func(value []byte) error

	hooks hooks
}

// hooks break one rule each. Only tests set them, to prove that the simulation
// notices.
type hooks struct {
	answerBeforeFsync bool
	keepLostDisk      *state.Image
	skipExpect        bool
	obeyGeneration    bool
	applyUncommitted  bool
	startUnjoined     bool
	// believeAnybody takes every message for one that its sender has proved.
	believeAnybody bool
	// deadAfter, patience and probe, if not 0, take the place of the times of
	// their names: they break nothing, and are over sooner.
	deadAfter, patience, probe time.Duration
	// applied and configured hear of every command and configuration that is
	// applied. They break nothing.
	applied    func(c *Core, cmd Command, o state.Outcome)
	configured func(c *Core, index uint64)
	// serve takes a request that no product makes, advanced hears that a Ready was
	// carried out, deposed that this member leads no more: for the simulation's reads.
	serve    func(c *Core, w waiter)
	advanced func(c *Core, states []raft.ReadState)
	deposed  func(c *Core)
}

// Output is what a [Core] wants done. Send and Results may be acted on at once:
// whatever they depend on is durable already.
type Output struct {
	// Write, if not nil, must be written and then answered by [Core.Written].
	// At most one is outstanding.
	Write *Write
	// Send are messages for other members.
	Send []Message
	// Results answer Propose, Leave and Remove.
	Results []Result
	// Changed says that Status or Self may have changed.
	Changed bool
}

// Write is the state file to be.
type Write struct {
	// Seq goes back to [Core.Written].
	Seq uint64
	// Body is the file's contents.
	Body []byte
	// Aside, if not empty, asks to keep the present file under another name,
	// because the disk is given up for this reason.
	Aside string
}

// Message goes to a member; Name "" and Disk 0 mean all (see Announcement).
type Message struct {
	Name string
	Disk uint64
	Data []byte
}

// Result answers the request with this ID.
type Result struct {
	ID     uint64
	Record Record
	Err    error
}

// Core is the register without any I/O. Its methods take the time as a value:
// a monotonic clock that began, with a value above zero, when the core was
// made. It is not safe for concurrent use. After every call take the Output.
type Core struct {
	cfg CoreConfig
	now time.Duration
	// started is when the core was made.
	started time.Duration

	state.Image
	node *raft.RawNode
	// failed is why the member is out of the vote, nil if it is not.
	failed error

	// confirmed says that enough others know of no promise that this disk has
	// forgotten; until then it makes none.
	confirmed   bool
	confirmedBy map[uint64]bool
	// doubt is the suspicion that it has, on one member's word. dismissed is when
	// a majority last did not confirm what a member said.
	doubt     *doubt
	dismissed map[uint64]time.Duration
	words     words
	// claims are who says that it leads, accepted whom this member believes to.
	claims   map[uint64]*claim
	accepted leadership
	// hearsay is what the leader said once of others' promises.
	hearsay map[uint64]hearsay

	// One write may be under way; after runs when it is durable.
	writing  bool
	writeSeq uint64
	after    func()
	// durable is the number of promises on the disk, told what the others were
	// last told of it.
	durable, told uint64
	// lazyAt is when something is to be written that nothing waits for.
	lazyAt time.Duration
	// reset, if not empty, is why this disk is to be given up.
	reset     string
	resetLost bool
	resetKeep bool

	fresh    freshness
	founding founding
	requests requests
	waiters  waiters
	// membership is the leader's alone.
	membership membership
	contacts   contacts
	election
	observer

	out      Output
	counters Counters
	conflict string
	// conflictAt is when that was last replaced.
	conflictAt time.Duration
}

// NewCore returns a core that has read its state file. The error says what is
// wrong with the body.
func NewCore(cfg CoreConfig, now time.Duration) (*Core, error) {
	cfg.MaxVoters = cmp.Or(cfg.MaxVoters, 5)
	c := &Core{
		cfg: cfg, now: now, started: now,
		confirmedBy: make(map[uint64]bool), dismissed: make(map[uint64]time.Duration),
		words: make(words), claims: make(map[uint64]*claim), hearsay: make(map[uint64]hearsay),
		contacts: newContacts(cfg.Random(), now),
		requests: requests{local: make(map[uint64]*localRequest), nextID: cfg.Random()},
		waiters:  make(waiters),
		founding: founding{self: cfg.Name, expect: cfg.Expect, most: cfg.MaxVoters, joined: make(map[uint64]bool)},
	}
	c.founding.name(cfg.Initial)
	c.Image.Seen = make(map[uint64]uint64)
	if cfg.Lost != "" {
		c.counters.LostDisks++
	}
	switch {
	case cfg.Body != nil:
		im, err := state.DecodeImage(cfg.Body)
		if err != nil {
			return nil, err
		}
		if im.Name != cfg.Name {
			return nil, fmt.Errorf("the state file belongs to %q, this member is %q: %w", im.Name, cfg.Name, state.ErrCodec)
		}
		c.Image, c.durable = *im, im.Promises
		if c.Cluster != 0 {
			c.guard(c.openLog)
			c.recallDoubt()
			c.maybeConfirm()
			c.readRecord()
		}
	case cfg.hooks.keepLostDisk != nil:
		c.Image = *cfg.hooks.keepLostDisk
		c.Log, c.Machine = state.NewLog(), state.Machine{}
		c.guard(c.openLog)
		c.confirmed = true
	default:
		c.Image.Name, c.Image.Disk = cfg.Name, c.newID()
		c.startWrite("", func() {})
	}
	c.pump()
	return c, nil
}

// newID is a random id that raft does not use for itself.
func (c *Core) newID() uint64 {
	for {
		if id := c.cfg.Random(); id != 0 && id < raft.LocalApplyThread {
			return id
		}
	}
}

// Take returns what is to be done since the last call.
func (c *Core) Take() Output {
	o := c.out
	c.out = Output{}
	return o
}

// openLog starts raft on the log.
func (c *Core) openLog() {
	c.Log.Machine = func() []byte { return c.Machine.Encode() }
	node, err := raft.NewRawNode(&raft.Config{
		ID:      c.Disk,
		Storage: c.Log,
		Applied: c.Log.Applied.Index,
		// Only a leader's ticks reach raft (see tick): one is a heartbeat, and
		// after electionTicks a leader without its majority steps down.
		HeartbeatTick: 1, ElectionTick: electionTicks,
		MaxSizePerMsg: 64 << 10, MaxInflightMsgs: 64, MaxUncommittedEntriesSize: 512 << 10,
		CheckQuorum: true, PreVote: true,
		DisableProposalForwarding: true, StepDownOnRemoval: true,
		Logger: quiet,
	})
	if err != nil {
		panic(err)
	}
	c.node = node
	c.election = newElection(node.BasicStatus())
	c.election.drawJitter(c.cfg.Random())
	c.postpone()
}

// Written reports the end of a write. An error takes the member out of the
// vote: what the file holds now is not known.
func (c *Core) Written(now time.Duration, seq uint64, err error) {
	c.now = now
	if c.failed != nil || seq != c.writeSeq {
		return
	}
	if err != nil {
		c.fail(fmt.Errorf("%w: %w", errWrite, err))
		return
	}
	if f := c.after; c.writing {
		c.writing, c.after = false, nil
		c.guard(f)
	}
	c.pump()
}

// pump handles everything that raft has ready until it must wait for a write.
func (c *Core) pump() {
	c.guard(func() {
		for c.node != nil && !c.writing && c.doubt == nil && c.node.HasReady() {
			c.ready(c.node.Ready())
		}
	})
	c.observeElection()
	if c.reset != "" && !c.writing && c.failed == nil {
		c.resetDisk()
	}
	c.sendRequests(false)
}

// ready takes one Ready to the disk, if anything in it is a promise, and then
// to the others. All messages wait: even those that raft would let go earlier
// (a candidate's requests) could mislead a later life of this process.
func (c *Core) ready(rd raft.Ready) {
	if rd.HardState != nil {
		c.Log.Hard = c.pinned(rd.HardState)
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		m, err := state.DecodeMachine(rd.Snapshot.GetData())
		if err != nil {
			panic(err)
		}
		c.Machine = m
		c.Log.Restore(rd.Snapshot.GetMetadata())
		c.configChanged()
		c.out.Changed = true
		if c.readRecord(); c.failed != nil {
			return
		}
	}
	c.Log.Append(rd.Entries)
	if c.cfg.hooks.applyUncommitted {
		for _, e := range rd.Entries {
			c.applyCommand(e)
		}
	}
	if rd.MustSync || !raft.IsEmptySnap(rd.Snapshot) {
		c.Promises++
		c.startWrite("", func() { c.finish(rd) })
		return
	}
	// A change of the voters is on the disk before anybody hears that it is
	// committed. Who is taken out forgets its disk when it hears; where there
	// were two, the other one alone could never commit that change again.
	if slices.ContainsFunc(rd.CommittedEntries, isConfChange) {
		c.startWrite("", func() { c.finish(rd) })
		return
	}
	if rd.HardState != nil {
		c.lazily()
	}
	c.finish(rd)
}

func isConfChange(e *pb.Entry) bool { return e.GetType() != pb.EntryNormal }

// finish does what had to wait until the promises of rd were durable.
func (c *Core) finish(rd raft.Ready) {
	for _, m := range rd.Messages {
		c.sendRaft(m)
		if m.GetType() == pb.MsgSnap {
			// Whether it arrived shows in the answer to the next probe.
			defer c.node.ReportSnapshot(m.GetTo(), raft.SnapshotFinish)
		}
	}
	for _, e := range rd.CommittedEntries {
		if c.applyEntry(e); c.node == nil {
			return
		}
	}
	c.Log.Compact()
	c.node.Advance(rd)
	if c.cfg.hooks.advanced != nil {
		c.cfg.hooks.advanced(c, rd.ReadStates)
	}
}

// applyEntry applies a committed entry.
func (c *Core) applyEntry(e *pb.Entry) {
	if isConfChange(e) {
		c.applyConfig(e)
	} else if !c.cfg.hooks.applyUncommitted {
		c.applyCommand(e)
	}
	if c.failed != nil {
		return
	}
	c.Log.Applied = state.At(e)
	c.out.Changed = true
}

// applyCommand runs the command of an entry, if it has one. One that this
// version cannot read takes the member out of the vote: without it the state
// here would be another one than that of those who can.
func (c *Core) applyCommand(e *pb.Entry) {
	if e.GetType() != pb.EntryNormal || len(e.GetData()) == 0 {
		return
	}
	cmd, err := state.DecodeCommand(e.GetData())
	if err != nil {
		c.fail(fmt.Errorf("%w: entry %d", errUnreadable, e.GetIndex()))
		return
	}
	o := c.Machine.Apply(cmd, c.cfg.hooks.skipExpect)
	c.counters.Commands++
	if o.Refused {
		c.counters.Refused++
	}
	if c.cfg.hooks.applied != nil {
		c.cfg.hooks.applied(c, cmd, o)
	}
	for _, w := range c.waiters.take(cmd.ID) {
		c.replyOutcome(w, o)
	}
	c.readRecord()
}

// readRecord takes this member out of the vote when it cannot act on the record: it
// would lead, and decide nothing.
func (c *Core) readRecord() {
	if c.cfg.Reads == nil || len(c.Machine.Record.Value) == 0 {
		return
	}
	if err := c.cfg.Reads(c.Machine.Record.Value); err != nil {
		c.fail(fmt.Errorf("%w: %w", errUnreadable, err))
	}
}
