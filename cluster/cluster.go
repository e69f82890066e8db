package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/cluster/register"
)

// channelRegister marks the register's messages among the gossip's direct ones.
const channelRegister = 1

// Cluster is this process's part of the cluster. New, then Run; all methods may
// be called at any time from any goroutine.
type Cluster struct {
	cfg      Config
	log      *slog.Logger
	gossip   *gossip.Gossip
	register *register.Node
	metrics  *metrics

	changed chan struct{} // for Changed
	wake    chan struct{} // for loop: the gossip changed
	leaving atomic.Bool
}

// New opens the state file and reads the keys; it opens no socket. Errors: what
// Config.Validate reports, a data directory or a key file that cannot be used.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Cluster{
		cfg: cfg, log: cfg.Logger, metrics: newMetrics(),
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	c.log = cmp.Or(c.log, slog.New(slog.DiscardHandler))
	var err error
	c.register, err = register.New(register.Config{
		Name: cfg.Name, Dir: cfg.DataDir, InitialVoters: cfg.InitialVoters,
		BootstrapExpect: cfg.BootstrapExpect, Reads: cfg.Reads, MaxVoters: cfg.MaxVoters,
		Transport: (*transport)(c), Logger: c.log, OnFsync: c.metrics.fsync,
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	meta := gossip.Meta{Name: cfg.Name, Version: cfg.Version, Witness: cfg.Witness, Observer: cfg.Observe}
	c.describe(&meta, c.register.Self())
	if c.gossip, err = gossip.New(cfg.gossip(meta, c)); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if cfg.Registerer != nil {
		if err := c.metrics.register(cfg.Registerer, c); err != nil {
			return nil, fmt.Errorf("cluster metrics: %w", err)
		}
	}
	return c, nil
}

// Run takes part until ctx is done, which to the others looks like a crash; call
// Leave first for a clean stop. It returns a *gossip.NameTakenError when another live
// process has this one's name.
func (c *Cluster) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.gossip.Run(ctx) })
	group.Go(func() error {
		select {
		case <-ctx.Done(): // Run then only gives the data directory free
		case <-c.gossip.Settled():
		}
		return c.register.Run(ctx)
	})
	group.Go(func() error { c.loop(ctx); return nil })
	return group.Wait()
}

// loop tells the register of the members, and the gossip of what the register has
// become and has committed; records that the gossip brings go through offered.
func (c *Cluster) loop(ctx context.Context) {
	type edition struct {
		cluster uint64
		order   gossip.Order
	}
	var (
		spread  edition
		members []register.Member
		settled = c.gossip.Settled()
		looked  time.Time        // at the members
		again   <-chan time.Time // when to look again
	)
	for {
		// Before that the register does not run, and would not take them.
		if settled == nil {
			if wait := lookEvery(len(members)) - time.Since(looked); wait > 0 {
				if again == nil {
					again = time.After(wait)
				}
			} else {
				looked = time.Now()
				if now := registerMembers(c.gossip.Members()); !slices.Equal(now, members) {
					members = now
					c.register.SetMembers(slices.Clone(now))
				}
			}
		}
		self, status := c.register.Self(), c.register.Status()
		c.gossip.SetMeta(func(m *gossip.Meta) { c.describe(m, self) })
		c.gossip.SetCluster(clusterID(status.Cluster))
		// An announcement also says who votes, so it is numbered by what was
		// applied, not by the record's version.
		now := edition{clusterID(status.Cluster), gossip.Order{status.Generation, status.Index, status.Record.Revision}}
		if now != spread {
			if data := c.register.Announcement(); data != nil {
				spread = now
				c.gossip.PublishRecord(gossip.Record{Cluster: now.cluster, Order: now.order, Data: data})
			}
		}
		nudge.Send(c.changed)
		select {
		case <-ctx.Done():
			return
		case <-settled:
			settled = nil
		case <-c.wake:
		case <-again:
			again = nil
		case <-c.register.Updates():
		}
	}
}

// describe puts what the register says of this member into the metadata.
func (c *Cluster) describe(m *gossip.Meta, self register.Member) {
	m.Disk, m.Cluster, m.Generation, m.Initial = self.Disk, self.Cluster, self.Generation, self.Initial
	m.Voter, m.Willing = self.Voter, self.Willing
	m.Leaving = self.Leaving || c.leaving.Load()
	m.Order = order(self.Version)
}

// Leave takes this member out of the voters and then tells the gossip, for a
// clean stop; Run still has to be ended after it. It does both as far as it can
// before ctx is done, the second in the last 2 s if the first takes that long,
// and reports what failed. The last voter stays one.
func (c *Cluster) Leave(ctx context.Context) error {
	c.leaving.Store(true)
	nudge.Send(c.wake)
	var err error
	select {
	case <-c.gossip.Settled():
		voters, cancel := withoutLast(ctx, gossipLeave)
		err = c.register.Leave(voters)
		cancel()
	default: // it has never voted
	}
	if errors.Is(err, register.ErrLastVoter) {
		c.log.Info("this is the only voter, so it stays one")
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("leave the voters: %w", err)
	}
	if e := c.gossip.Leave(ctx); e != nil && !errors.Is(e, gossip.ErrNotRunning) {
		err = errors.Join(err, fmt.Errorf("leave the gossip: %w", e))
	}
	if err != nil {
		// Whoever decides to go on is a member like any other.
		c.leaving.Store(false)
		nudge.Send(c.wake)
	}
	return err
}

// gossipLeave is what Leave keeps of its time for the gossip.
const gossipLeave = 2 * time.Second

// withoutLast returns a context that ends d before ctx, or after half of its
// time if that is less than twice d.
func withoutLast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(d, max(time.Until(deadline), 0)/2)))
}

// Agreement returns what is known now. It is cheap.
func (c *Cluster) Agreement() Agreement {
	s := c.register.Status()
	a := Agreement{
		Known: s.Known && s.Record.Revision > 0, Record: s.Record,
		Fresh: s.Fresh, FreshAge: s.FreshAge, Reason: s.Reason, Voting: s.Voting, IsLeader: s.IsLeader,
		Leader: s.Leader, Term: s.Term, State: string(s.State), Cluster: s.Cluster,
	}
	for _, v := range s.Voters {
		if !v.Learner {
			a.Voters = append(a.Voters, VoterInfo{Name: v.Name, Disk: v.Disk, Heard: v.Heard, Live: v.Live})
		}
	}
	slices.SortFunc(a.Voters, func(x, y VoterInfo) int { return strings.Compare(x.Name, y.Name) })
	select {
	case <-c.gossip.Settled():
	default:
		a.Fresh, a.Reason = false, "this daemon is making sure that no other one is named "+c.cfg.Name
	}
	return a
}

// Propose asks for a command and waits for its outcome: the record that it
// wrote, or a *RefusedError with the record that won. ErrNoMajority, ErrStopped
// and the errors of ctx leave the outcome unknown; repeating the command with its
// ID is safe. It works on every member.
func (c *Cluster) Propose(ctx context.Context, cmd Command) (Record, error) {
	return c.register.Propose(ctx, cmd)
}

// Publish makes data this member's view. It is sent at once if it differs from
// the last one, so it should hold nothing that changes all the time. Data must
// not be modified afterwards.
func (c *Cluster) Publish(view []byte) { c.gossip.Publish(view) }

// Security returns how safe the gossip is now.
func (c *Cluster) Security() Security { return c.gossip.Security() }

// SetLowest takes the lowest protocol that the members agreed on: from
// gossip.ReadsSealed on, what is not sealed is refused. It may be called before
// Run, and should be where the disk knows.
func (c *Cluster) SetLowest(n uint8) { c.gossip.SetStrict(n >= gossip.ReadsSealed) }

// Changed yields a value after the record, a view, the leader or the members
// changed (1-buffered).
func (c *Cluster) Changed() <-chan struct{} { return c.changed }

// Register returns all that the register knows.
func (c *Cluster) Register() RegisterStatus { return c.register.Status() }

// InitForce makes a first start with those of the initial voters that are alive
// now. ErrNotEmpty if a cluster exists already, ErrTooEarly.
func (c *Cluster) InitForce(ctx context.Context) error { return c.register.InitForce(ctx) }

// SetInitialVoters replaces the initial voters, for a first start that has not
// happened yet.
func (c *Cluster) SetInitialVoters(names []string) { c.register.SetInitialVoters(names) }

// Remove takes a voter that never comes back out of the voters, by a step that a
// majority commits; nil, too, when none has that name. ErrAlive when it is alive,
// ErrNoMajority.
func (c *Cluster) Remove(ctx context.Context, name string) error { return c.register.Remove(ctx, name) }

// Recover starts a new generation of the cluster with the record known here and
// the named live members as voters, for the day on which the majority's disks
// are gone for good. ErrMajorityAlive, ErrUnknownVoter, ErrNothingKnown, ErrBehind,
// ErrTooEarly.
func (c *Cluster) Recover(ctx context.Context, voters []string) error {
	return c.register.Recover(ctx, voters)
}

// Views returns the newest view of each stable name, ordered by name: of several
// processes of one name a live one's, and of those the one heard last.
func (c *Cluster) Views() []View {
	now := time.Now()
	var out []View
	for _, v := range c.gossip.Views() {
		if v.Published.IsZero() {
			continue // only headers came so far
		}
		w := View{
			Name: v.Name, Self: v.Self, Voter: v.Voter, Live: v.Live,
			Data: v.Data, Age: max(now.Sub(v.Published), 0),
		}
		if w.Self {
			w.Age = 0
		}
		n := len(out)
		switch {
		case n == 0 || out[n-1].Name != w.Name:
			out = append(out, w)
		case better(w, out[n-1]):
			out[n-1] = w
		}
	}
	return out
}

// better reports whether a is to be shown instead of b, a view of the same name.
func better(a, b View) bool {
	if a.Self != b.Self {
		return a.Self
	}
	if a.Live != b.Live {
		return a.Live
	}
	return a.Age < b.Age
}

// Members returns the live members and those that went within the last minute,
// ordered by name.
func (c *Cluster) Members() []Member {
	voters := c.register.Status().Voters
	var out []Member
	for _, m := range c.gossip.Members() {
		w := Member{
			Name: m.Name, Address: m.Address, Version: m.Version, Disk: m.Disk,
			Witness: m.Witness, Self: m.Self, State: MemberAlive, Reads: m.Reads,
			Voter: slices.ContainsFunc(voters, func(v register.VoterStatus) bool {
				return v.Name == m.Name && v.Disk == m.Disk && !v.Learner
			}),
		}
		switch {
		case !m.Live:
			w.State = MemberGone
		case m.Leaving:
			w.State = MemberLeaving
		case !m.Settled:
			w.State = MemberStarting
		}
		out = append(out, w)
	}
	return out
}

// deliver takes a direct message from the gossip.
func (c *Cluster) deliver(m gossip.Message) {
	if m.Channel == channelRegister {
		c.register.Receive(m.Data)
	}
}

// gossipChanged is called by the gossip, sometimes under its lock.
func (c *Cluster) gossipChanged() { nudge.Send(c.wake) }

// viewStatus is what goes with every publication of this member's view.
func (c *Cluster) viewStatus() gossip.Status {
	s := c.register.Status()
	return gossip.Status{
		Cluster: clusterID(s.Cluster), Voter: s.Voting, Quorum: s.Fresh, Order: order(s.Record.Version),
	}
}

// transport carries the register's messages.
type transport Cluster

// Send implements register.Transport.
func (t *transport) Send(name string, disk uint64, data []byte) {
	t.gossip.SendDisk(name, disk, channelRegister, data)
}

// clusterID turns the id that the register shows into a number, 0 for none.
func clusterID(s string) uint64 {
	id, _ := strconv.ParseUint(s, 16, 64)
	return id
}

func version(o gossip.Order) Version { return Version{Recovery: o[0], Epoch: o[1], Revision: o[2]} }

func order(v Version) gossip.Order { return gossip.Order{v.Recovery, v.Epoch, v.Revision} }
