package register

import (
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// How long something must last before this member draws a conclusion that
// costs it its disk or that depends on others being silent.
const (
	// silentFor without a leader makes a voter ask everybody what is going on.
	silentFor = 2 * time.Second
	// abandonAfter without a leader lets a voter give up a disk that another
	// generation or cluster has left behind.
	abandonAfter = 5 * time.Second
	// viewFor is how long what was announced of one cluster keeps what is
	// announced of another from being believed.
	viewFor = 10 * time.Second
	// settled is how many voters must stand behind what a follower knows before
	// it never goes back.
	settled = 2
)

// observer is what a member knows that does not vote, and how it learns.
type observer struct {
	members []Member
	// memberNames are the names of the members' disks.
	memberNames map[uint64]string
	// callers are the names of disks that asked something.
	callers map[uint64]string
	view    *view
	leaving bool
	// ledAt is when a leader was last known, joinedAt when this disk was
	// admitted without a snapshot yet.
	ledAt, joinedAt time.Duration
	askedAt         time.Duration
	askTurn         int
	offeredAt       time.Duration
	// later is a later recovery whose majority is alive, laterSince since when,
	// laterAt when it last was, newerAskedAt when it was last asked.
	later                             scope
	laterSince, laterAt, newerAskedAt time.Duration
	// votersAskedAt is when all voters that are followed were last asked at once,
	// introducedAt when the voters that have not proved themselves yet were.
	votersAskedAt, introducedAt time.Duration
	// hinted says that there may be news for which the voters were not asked yet.
	hinted bool
	// alone says that the gossip once showed no other member of this disk's
	// cluster.
	alone bool
	// waiting says what a first start waits for.
	waiting string
}

// view is what was announced of a cluster.
type view struct {
	scope
	announcement
	heardAt time.Duration
	// backers is how many voters stood behind it when it was adopted: 0 if they
	// were no majority of its own, since when it is what is known.
	backers int
	since   time.Duration
}

// SetMembers replaces the live members.
func (c *Core) SetMembers(now time.Duration, members []Member) {
	c.now = now
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Disk == c.Disk || m.Disk == 0 })
	slices.SortFunc(members, compareMembers)
	if !slices.Equal(members, c.members) {
		c.members = members
		c.out.Changed = true
		c.memberNames = make(map[uint64]string, len(members))
		for _, m := range members {
			c.memberNames[m.Disk] = m.Name
		}
		c.forgetGone()
	}
	if !slices.ContainsFunc(members, func(m Member) bool { return m.Cluster != 0 && m.Cluster == c.Cluster }) {
		c.alone = true
	}
	c.tickLife()
	c.pump()
}

// observeOwn keeps what this member knew as a voter for its life as a follower.
func (c *Core) observeOwn() {
	if !c.knowsItself() || c.view != nil && c.view.later(c.own()) {
		return
	}
	c.view = &view{scope: c.own(), heardAt: c.now, since: c.now, backers: settled, announcement: c.announce()}
}

func (c *Core) announce() announcement {
	return announcement{
		leader: c.lead, index: c.Log.Applied.Index, conf: c.Log.Conf, names: c.Machine.Names, record: c.Machine.Record,
	}
}

// Announcement is the committed record for the gossip, nil while none is known
// or this member does not vote.
func (c *Core) Announcement(now time.Duration) []byte {
	c.now = now
	if c.node == nil || len(c.Log.Conf.GetVoters()) == 0 {
		return nil
	}
	a := c.announce()
	return c.envelopeTo(0, kindAnnounce, a.encode()).encode()
}

// answer tells who leads and what is decided; the envelope tells the rest.
func (c *Core) answer(env *envelope) {
	if c.node == nil {
		return
	}
	d := state.Decoder{B: env.payload}
	has := d.Version()
	if d.Done() != nil {
		c.counters.DroppedGarbage++
		return
	}
	if env.kind == kindAsk && env.cluster == 0 && c.virgin() && c.lead == 0 && slices.Contains(voters.IDs(c.Log.Conf), env.from) {
		// It was offered a place and asks who we are.
		o := offer{conf: c.Log.Conf, machine: c.Machine}
		e := c.envelopeTo(env.from, kindOffer, o.encode())
		e.echo = env.stamp
		c.sendEnvelope(e)
	}
	a := c.announce()
	a.bare = env.scope == c.own() && has == a.record.Version && has.Revision > 0
	e := c.envelopeTo(env.from, kindAnswer, a.encode())
	// Who asks gets its own question back, whatever came under its name before.
	e.echo = env.stamp
	c.sendEnvelope(e)
}

// askAll asks each of these disks how things are.
func (c *Core) askAll(disks []uint64) {
	for _, disk := range disks {
		c.sendAsk(disk)
	}
}

func (c *Core) sendAsk(disk uint64) {
	var e state.Encoder
	if c.view != nil {
		e.Version(c.view.record.Version)
	} else {
		e.Version(c.Machine.Record.Version)
	}
	c.send(disk, kindAsk, e.B)
}

// virgin says that this disk belongs to a cluster of which it has seen nothing
// but the offer: it has confirmed no entry to anybody.
func (c *Core) virgin() bool {
	return c.Log != nil && c.Log.Applied.Index == 1 && c.lastIndex() == 1 && c.Machine.Record.Version == Version{}
}

// tickLife does what has nothing to do with raft's own clock.
func (c *Core) tickLife() {
	if c.following() {
		c.ledAt = c.now
	}
	if c.Cluster == 0 || c.failed != nil {
		c.tickObserver()
		c.tickFirstStart()
		return
	}
	if c.node == nil {
		return
	}
	leaderless := c.leaderless()
	c.maybeConfirm()
	if !c.confirmed && c.due(&c.askedAt, 2*heartbeat) || leaderless > silentFor && c.due(&c.askedAt, askEvery) {
		c.askAll(c.others())
	}
	if c.knowsItself() {
		// The member has caught up with what it had followed before it joined.
		c.view = nil
	}
	c.introduce()
	c.tellPromises()
	c.decideDoubt()
	c.decideFate()
	c.askOtherGenerations()
	if c.lead == 0 && c.Log.Applied.Index == 1 && len(c.Log.Conf.GetVoters()) > 0 && c.due(&c.offeredAt, 2*heartbeat) {
		o := offer{conf: c.Log.Conf, machine: c.Machine}
		for _, id := range voters.IDs(c.Log.Conf) {
			c.send(id, kindOffer, o.encode())
		}
	}
	if leaderless > 2*abandonAfter && len(c.Log.Conf.GetVoters()) == 0 {
		c.wantReset("the admission was begun and never finished", false)
	}
	if leaderless > abandonAfter && c.virgin() && deserted(&c.Image, c.members, len(c.unjoined()) > 0) {
		c.abandon("the first start was interrupted: the disks that it was made for are gone", false)
	}
}

// askOtherGenerations asks voters of this cluster that are not this
// generation's whether theirs is a later one that works.
func (c *Core) askOtherGenerations() {
	var disks []uint64
	for _, m := range c.members {
		other := m.Generation == c.Generation && !slices.Contains(voters.IDs(c.Log.Conf), m.Disk)
		if m.Voter && m.Cluster == c.Cluster && (m.Generation > c.Generation || other) {
			disks = append(disks, m.Disk)
		}
	}
	if c.laterSince != 0 {
		// Whether the others of this one's voters have found it, too.
		disks = append(disks, voters.IDs(c.Log.Conf)...)
	}
	if len(disks) == 0 || !c.due(&c.newerAskedAt, askEvery) {
		return
	}
	slices.Sort(disks)
	c.askAll(slices.Compact(disks))
}

// due says that d has passed since *at, and begins anew.
func (c *Core) due(at *time.Duration, d time.Duration) bool {
	if *at != 0 && c.now-*at < d {
		return false
	}
	*at = c.now
	return true
}

// others are the disks that may know of this one's cluster.
func (c *Core) others() []uint64 {
	ids := voters.IDs(c.Log.Conf)
	for _, m := range c.members {
		if m.Cluster != 0 {
			ids = append(ids, m.Disk)
		}
	}
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id uint64) bool { return id == c.Disk })
}

// tickObserver asks the voters how things are, the leader alone while all is well.
func (c *Core) tickObserver() {
	if c.hinted && c.askVotersNow() {
		c.hinted = false
	}
	ids := c.followed()
	if len(ids) == 0 || !c.due(&c.askedAt, askEvery) {
		return
	}
	c.askTurn++
	n := 1
	switch v := c.view; {
	case !c.inTouch(2*askEvery) || v.backers < settled && len(ids) > 1:
		n = min(5, len(ids))
	case slices.Contains(ids, v.leader):
		// Of the others a majority would have to say how fresh it is.
		c.sendAsk(v.leader)
		return
	}
	for i := range n {
		c.sendAsk(ids[(int(c.Disk%1024)+c.askTurn/4+i)%len(ids)])
	}
}

// knowsItself says that this member's own log is what it knows. A disk that
// has just joined has none yet, and its first snapshot may be older than what
// this member had followed before; until it has caught up that stays valid, but
// for a while only where one voter alone stood behind it.
func (c *Core) knowsItself() bool {
	return c.Cluster != 0 && c.failed == nil && c.Log != nil && len(c.Log.Conf.GetVoters()) > 0 &&
		(c.view == nil || c.Log.Applied.Index >= c.view.index || c.view.backers < settled && c.now-c.joinedAt > wordFor)
}

// known is the committed record that this member knows.
func (c *Core) known() (Record, bool) {
	switch {
	case c.knowsItself():
		return c.Machine.Record, true
	case c.view != nil:
		return c.view.record, true
	}
	return Record{}, false
}

// conf is the configuration that this member knows, with its names.
func (c *Core) knownConf() (*pb.ConfState, map[uint64]string) {
	switch {
	case c.knowsItself():
		return c.Log.Conf, c.Machine.Names
	case c.view != nil:
		return c.view.conf, c.view.names
	}
	return &pb.ConfState{}, nil
}
