package register

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

const (
	// tickEvery is how often the core is told the time: twice per heartbeat.
	tickEvery = 50 * time.Millisecond
	// inboxSize bounds the messages that wait to be handled. More than this
	// many are only there after the process was stopped.
	inboxSize = 1024
	// inboxBytes bounds what they hold together: one is 256 KiB at most.
	inboxBytes = 4 << 20
)

// Node runs the register: a Core with a real clock, its state file and a
// Transport.
type Node struct {
	cfg     Config
	log     *slog.Logger
	disk    *state.File
	start   time.Time
	inbox   chan []byte
	held    atomic.Int64 // bytes in inbox
	calls   chan func()
	done    chan struct{}
	written chan writeResult
	updates chan struct{}
	// gossip says that members is new.
	gossip chan struct{}

	// mu guards members, initial and the core; Run alone changes which one that is.
	mu      sync.Mutex
	core    *Core
	members []Member
	// initial replaces the initial voters, nil while they are the configured ones.
	initial []string

	// What follows is of the goroutine of Run alone.
	waiting map[uint64]chan Result
	nextID  uint64
	last    Status
	// seq is the write under way, 0 for none; probing says that it is tried
	// whether writing works again, as was last done at probed.
	seq     uint64
	probing bool
	probed  time.Duration
}

// New opens the state file and returns a Node that does nothing until Run. A
// file that is damaged, or a copy that was restored, is moved aside and replaced
// by an empty disk with a new id. Errors: a bad Config, a Dir that cannot be created or is used by another
// process, a file that cannot be read or is of a newer version.
func New(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d, err := state.Open(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, disk: d, start: time.Now().Add(-time.Second),
		inbox: make(chan []byte, inboxSize), calls: make(chan func()), done: make(chan struct{}),
		written: make(chan writeResult, 1), updates: make(chan struct{}, 1),
		gossip: make(chan struct{}, 1), waiting: make(map[uint64]chan Result),
	}
	body, lost, err := d.Load(cfg.Name)
	if err == nil {
		n.core, err = NewCore(CoreConfig{
			Name: cfg.Name, Initial: cfg.InitialVoters, Expect: cfg.BootstrapExpect, MaxVoters: cfg.MaxVoters,
			Random: random, Body: body, Lost: lost, Reads: cfg.Reads,
		}, n.now())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("register: %w", err), d.Close())
	}
	if lost != "" {
		n.log.Error("the state file cannot be used: it was moved aside and this member joins with a new disk id",
			"file", d.Path(), "reason", lost)
	}
	return n, nil
}

func random() uint64 {
	var b [8]byte
	// It never returns an error: the process ends if there is no randomness.
	_, _ = crand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// now is the monotonic clock of this process, above zero from the beginning.
func (n *Node) now() time.Duration { return time.Since(n.start) }

// Run works until ctx is done and leaves nothing behind: to the others it
// looks like a crash. Call [Node.Leave] first for a clean stop. It may be
// called once.
func (n *Node) Run(ctx context.Context) error {
	var writer sync.WaitGroup
	writes := make(chan *Write, 1)
	writer.Go(func() { n.writeAll(writes) })
	defer func() {
		close(n.done)
		close(writes)
		writer.Wait()
		if err := n.disk.Close(); err != nil {
			n.log.Warn("closing the register's lock file", "error", err)
		}
	}()
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	n.step(writes, func() {})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			n.step(writes, func() { n.core.Tick(n.now()) })
			n.probe(writes)
		case data := <-n.inbox:
			n.held.Add(-int64(len(data)))
			n.step(writes, func() { n.core.Step(n.now(), data) })
		case <-n.gossip:
			n.step(writes, func() {
				if n.initial != nil {
					n.core.SetInitial(n.now(), n.initial)
				}
				n.core.SetMembers(n.now(), n.members)
			})
		case call := <-n.calls:
			n.step(writes, call)
		case w := <-n.written:
			n.step(writes, func() { n.endedLocked(w) })
		}
	}
}

// step runs f on the core and acts on what it wants.
func (n *Node) step(writes chan<- *Write, f func()) {
	n.mu.Lock()
	f()
	o := n.core.Take()
	for _, r := range o.Results {
		if ch, ok := n.waiting[r.ID]; ok {
			delete(n.waiting, r.ID)
			ch <- r
		}
	}
	if o.Write != nil {
		n.seq = o.Write.Seq
		writes <- o.Write
	}
	if o.Changed {
		n.reportLocked()
	}
	n.mu.Unlock()
	for _, m := range o.Send {
		n.cfg.Transport.Send(m.Name, m.Disk, m.Data)
	}
	if o.Changed {
		nudge.Send(n.updates)
	}
}

// reportLocked logs what has changed for an operator.
func (n *Node) reportLocked() {
	s := n.core.Status(n.now())
	if s.State != n.last.State || s.Voting != n.last.Voting {
		n.log.Info("register state", "state", s.State, "voting", s.Voting, "cluster", s.Cluster, "generation", s.Generation, "reason", s.Reason)
	}
	if s.Leader != n.last.Leader || s.Term != n.last.Term {
		n.log.Info("register leader", "leader", s.Leader, "term", s.Term)
	}
	if s.State == StateStopped && n.last.State != StateStopped {
		n.log.Error("out of the vote until writing works again", "error", n.core.failed, "directory", n.cfg.Dir)
	}
	if s.LastConflict != n.last.LastConflict {
		n.log.Warn("a message of another cluster or generation was refused", "conflict", s.LastConflict)
	}
	if s.Membership != n.last.Membership {
		n.log.Info("register membership", "doing", s.Membership)
	}
	n.last = s
}

// Receive takes a message that a Transport delivered, or an Announcement. It
// does not block and keeps data; messages beyond a bounded queue are dropped.
func (n *Node) Receive(data []byte) {
	if len(data) > maxMessage {
		return // it would be dropped as garbage, after all that waits
	}
	if n.held.Add(int64(len(data))) <= inboxBytes {
		select {
		case n.inbox <- data:
			return
		default:
		}
	}
	n.held.Add(-int64(len(data)))
}

// SetMembers replaces the list of the live members of the gossip, this one
// included or not. It does not block.
func (n *Node) SetMembers(members []Member) {
	n.mu.Lock()
	n.members = slices.Clone(members)
	n.mu.Unlock()
	nudge.Send(n.gossip)
}

// SetInitialVoters replaces the initial voters, for a first start that has not
// happened yet. It does not block.
func (n *Node) SetInitialVoters(names []string) {
	n.mu.Lock()
	n.initial = append([]string{}, names...)
	n.mu.Unlock()
	nudge.Send(n.gossip)
}

// Self is what the other members must be told of this one; it changes with
// the state, Updates says when.
func (n *Node) Self() Member {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.Self()
}

// Announcement is the committed record with its cluster and voters, for the
// gossip to spread to members that do not vote; nil while nothing is known or
// this member does not vote. Receivers hand it to Receive.
func (n *Node) Announcement() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.Announcement(n.now())
}

// Status computes what is known now.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.Status(n.now())
}

// Updates yields a value after Status or Self may have changed (1-buffered).
func (n *Node) Updates() <-chan struct{} { return n.updates }

// call runs f in the loop of Run.
func (n *Node) call(ctx context.Context, f func()) error {
	select {
	case n.calls <- f:
		return nil
	case <-n.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask runs a request of the core and waits for its result.
func (n *Node) ask(ctx context.Context, f func(id uint64)) (Record, error) {
	ch := make(chan Result, 1)
	var id uint64
	if err := n.call(ctx, func() {
		n.nextID++
		id = n.nextID
		n.waiting[id] = ch
		f(id)
	}); err != nil {
		return Record{}, err
	}
	select {
	case r := <-ch:
		return r.Record, r.Err
	case <-n.done:
		return Record{}, ErrStopped
	case <-ctx.Done():
	}
	_ = n.call(context.Background(), func() {
		delete(n.waiting, id)
		n.core.Cancel(n.now(), id)
	})
	select {
	case r := <-ch:
		return r.Record, r.Err
	default:
		return Record{}, fmt.Errorf("%w: %w", ErrNoMajority, ctx.Err())
	}
}

// Propose asks for c and waits for its outcome: the record that c wrote, or a
// *RefusedError. ErrNoMajority (with the error of ctx) and ErrStopped leave
// the outcome unknown; repeating c with its ID is safe. It works on every
// member: the leader is asked, again and again until ctx is done.
func (n *Node) Propose(ctx context.Context, c Command) (Record, error) {
	return n.ask(ctx, func(id uint64) { n.core.Propose(n.now(), id, c) })
}

// Leave takes this member out of the voters and waits until the majority has
// agreed and the disk is empty. On a member that does not vote it returns at
// once. ErrLastVoter on the only voter; when ctx is done first, the member
// still votes.
func (n *Node) Leave(ctx context.Context) error {
	_, err := n.ask(ctx, func(id uint64) { n.core.Leave(n.now(), id) })
	return err
}

// Remove takes a member that never comes back out of the voters and waits until
// the majority has agreed; nil, too, when no voter has that name. ErrAlive when it
// is alive or was heard in the last two seconds; ErrNoMajority.
func (n *Node) Remove(ctx context.Context, name string) error {
	_, err := n.ask(ctx, func(id uint64) { n.core.Remove(n.now(), id, name) })
	return err
}

// InitForce makes a first start with the initial voters that are alive now,
// this member among them. ErrNotEmpty when a cluster exists already.
func (n *Node) InitForce(ctx context.Context) error {
	return n.generation(ctx, func() error { return n.core.InitForce(n.now()) })
}

// Recover makes a new generation with the record known here and with these
// live members as voters, for the day on which the majority's disks are gone
// for good. ErrMajorityAlive, ErrUnknownVoter, ErrNothingKnown, ErrBehind.
func (n *Node) Recover(ctx context.Context, voters []string) error {
	return n.generation(ctx, func() error { return n.core.Recover(n.now(), voters) })
}

// generation runs f between two writes and returns when what it has begun is
// durable.
func (n *Node) generation(ctx context.Context, f func() error) error {
	begun := false
	retry := time.NewTicker(tickEvery)
	defer retry.Stop()
	for {
		var err error
		durable := false
		finished := make(chan struct{})
		if e := n.call(ctx, func() {
			defer close(finished)
			if !begun {
				err = f()
				begun = err == nil
				return
			}
			durable, err = n.seq == 0, n.core.failed
		}); e != nil {
			return e
		}
		<-finished
		if err != nil && !errors.Is(err, errBusy) || durable {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
		}
	}
}
