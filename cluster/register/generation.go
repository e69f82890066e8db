package register

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// errBusy asks to repeat a call when the write under way has ended.
var errBusy = errors.New("a write is under way")

func compareMembers(a, b Member) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Disk, b.Disk))
}

// Self is what the others must be told of this member.
func (c *Core) Self() Member {
	r, _ := c.known()
	return Member{
		Name: c.Name, Disk: c.Disk, Cluster: c.Cluster, Generation: c.Generation,
		Voter:   c.node != nil && voters.Has(c.Log.Conf, c.Disk),
		Willing: !c.leaving && c.failed == nil,
		Leaving: c.leaving, Initial: c.founding.hash, Version: r.Version,
	}
}

// begin makes the cluster; the offers follow when it is durable.
func (c *Core) begin(voters []Member) {
	conf, names := configuration(voters)
	c.switchTo(scope{cluster: c.newID(), origin: c.newID()}, state.Genesis(conf), state.Machine{Names: names})
}

// configuration makes these members the voters.
func configuration(voters []Member) (*pb.ConfState, map[uint64]string) {
	conf := &pb.ConfState{AutoLeave: new(false)}
	names := make(map[uint64]string, len(voters))
	for _, m := range voters {
		conf.Voters = append(conf.Voters, m.Disk)
		names[m.Disk] = m.Name
	}
	slices.Sort(conf.Voters)
	return conf, names
}

// InitForce makes a first start with those initial voters that are alive.
func (c *Core) InitForce(now time.Duration) error {
	c.now = now
	switch {
	case c.failed != nil:
		return fmt.Errorf("%w: %w", ErrStopped, c.failed)
	case c.Cluster != 0 || c.view != nil:
		return ErrNotEmpty
	case c.writing:
		return errBusy
	}
	voters := []Member{c.Self()}
	for _, m := range c.members {
		if !m.Empty() {
			return fmt.Errorf("%w: %s belongs to one", ErrNotEmpty, m.Name)
		}
		if slices.ContainsFunc(voters, func(v Member) bool { return v.Name == m.Name }) {
			return twice(m.Name)
		}
		if slices.Contains(c.founding.initial, m.Name) && !m.Leaving {
			voters = append(voters, m)
		}
	}
	c.begin(voters)
	c.pump()
	return nil
}

// twice refuses a name that cannot be turned into one disk: the gossip still
// shows a process that is gone, or the disk that one has given up.
func twice(name string) error {
	return fmt.Errorf("%w: %s is there twice", ErrTooEarly, name)
}

// offered takes the beginning of a generation that another voter passes on, once
// that one has proved itself: it is asked first, and offers again.
func (c *Core) offered(env *envelope, o offer, p proof) {
	mine := o.machine.Names[c.Disk] == c.Name && voters.Has(o.conf, c.Disk) && env.generation <= c.Generation+leap
	switch {
	case p.same || c.failed != nil || c.writing || c.leaving:
		c.counters.DroppedOther++
	case mine && !p.recent:
		c.challenge(env.from)
	case mine && c.Cluster == 0:
		c.switchTo(env.scope, state.Genesis(o.conf), o.machine)
	case mine && c.Cluster == env.cluster && env.generation > c.Generation && c.unanswered():
		c.switchTo(env.scope, state.Genesis(o.conf), o.machine)
	default:
		c.foreign(env)
	}
}

// outOfTouch says that this member has had time to hear from the majority of
// its generation and did not.
func (c *Core) outOfTouch() bool {
	return !c.inTouch(silentFor) && c.leaderless() > silentFor
}

// unanswered is outOfTouch where others want this disk for another generation. Who
// is suspended takes nothing for fresh, so there it is whether a majority answers
// that counts; an operator's recovery need not wait for that.
func (c *Core) unanswered() bool {
	if d := c.doubt; d != nil && d.answeredAt != 0 && c.now-d.answeredAt <= silentFor {
		return false
	}
	return c.outOfTouch()
}

// join makes an empty disk a member of the cluster whose leader speaks to it.
// A leader speaks only to disks of its configuration, and this one has never
// promised anything to anybody. The leader is who a majority of the voters says.
func (c *Core) join(env *envelope, p proof) {
	if c.failed != nil || c.writing || c.leaving {
		c.counters.DroppedOther++
		return
	}
	v := c.view
	if !p.recent || v == nil || v.backers == 0 || v.scope != env.scope || v.leader != env.from {
		c.counters.DroppedOther++
		c.challenge(env.from)
		c.askVotersNow()
		return
	}
	c.joinedAt = c.now
	c.switchTo(env.scope, state.NewLog(), state.Machine{Names: map[uint64]string{}})
}

// Recover begins a new generation with the record known here. See DESIGN.md.
func (c *Core) Recover(now time.Duration, names []string) error {
	c.now = now
	record, known := c.known()
	of := c.scope()
	cluster, generation := of.cluster, of.generation
	switch {
	case c.failed != nil:
		return fmt.Errorf("%w: %w", ErrStopped, c.failed)
	case !known || cluster == 0:
		return ErrNothingKnown
	case c.following() || c.inTouch(silentFor):
		return ErrMajorityAlive
	case !c.outOfTouch():
		return fmt.Errorf("%w: this member has not been without a majority for %s yet", ErrTooEarly, silentFor)
	case c.writing:
		return errBusy
	case !slices.Contains(names, c.Name):
		return fmt.Errorf("%w: %s must be among the voters, or run this on one of them", ErrUnknownVoter, c.Name)
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) > c.cfg.MaxVoters {
		return fmt.Errorf("%w: %d voters are named, at most %d are allowed", ErrUnknownVoter, len(names), c.cfg.MaxVoters)
	}
	m := state.Machine{Record: record}
	if c.Cluster != 0 {
		// What this member has followed while its disk was out of the vote may come
		// after what is on the disk.
		switch own, err := c.tail(); {
		case err != nil:
			return err
		case own.Record.Version.Compare(record.Version) >= 0:
			m = own
		}
	}
	var voters []Member
	live := append(slices.Clone(c.members), c.Self())
	for _, n := range names {
		named := func(m Member) bool { return m.Name == n }
		i := slices.IndexFunc(live, named)
		switch {
		case i < 0:
			return fmt.Errorf("%w: %s", ErrUnknownVoter, n)
		case slices.ContainsFunc(live[i+1:], named):
			return twice(n)
		case live[i].Leaving || !live[i].Willing:
			return fmt.Errorf("%w: %s is leaving, out of the vote, or not to vote", ErrUnknownVoter, n)
		case !live[i].Empty() && live[i].Cluster != cluster:
			return fmt.Errorf("%w: %s belongs to another cluster", ErrUnknownVoter, n)
		case live[i].Version.Compare(m.Record.Version) > 0:
			return fmt.Errorf("%w: %s holds %s, this one %s", ErrBehind, n, live[i].Version, m.Record.Version)
		}
		voters = append(voters, live[i])
	}
	for _, m := range live {
		if m.Cluster == cluster {
			generation = max(generation, m.Generation)
		}
	}
	conf, confNames := configuration(voters)
	m.Names = confNames
	m.Record.Recovery = generation + 1
	m.Done = []state.Done{{ID: m.Record.CommandID, Version: m.Record.Version}}
	c.switchTo(scope{cluster, generation + 1, c.newID()}, state.Genesis(conf), m)
	c.pump()
	return nil
}

// tail is the machine with the whole log applied. What was not known to be
// committed may have been answered as done by a leader that is gone for good.
func (c *Core) tail() (state.Machine, error) {
	m := state.Machine{Record: c.Machine.Record, Done: slices.Clone(c.Machine.Done)}
	for _, e := range c.Log.Tail {
		if e.GetIndex() > c.Log.Applied.Index && e.GetType() == pb.EntryNormal && len(e.GetData()) > 0 {
			cmd, err := state.DecodeCommand(e.GetData())
			if err != nil {
				return m, fmt.Errorf("%w: %w: entry %d", ErrStopped, errUnreadable, e.GetIndex())
			}
			m.Apply(cmd, false)
		}
	}
	return m, nil
}
