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
	// members are the others in the gossip, in the order of their names.
	members []Member
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
		c.contacts.keep(func(disk uint64) bool { return c.nameOf(disk) != "" })
	}
	if !slices.ContainsFunc(members, func(m Member) bool { return m.Cluster != 0 && m.Cluster == c.Cluster }) {
		c.alone = true
	}
	c.tickLife()
	c.pump()
}

// named returns the name of a disk in the gossip.
func (obs *observer) named(disk uint64) (string, bool) {
	i := slices.IndexFunc(obs.members, func(m Member) bool { return m.Disk == disk })
	if i < 0 {
		return "", false
	}
	return obs.members[i].Name, true
}

// shows says that a name is in the gossip, with whatever disk.
func (obs *observer) shows(name string) bool {
	return slices.ContainsFunc(obs.members, func(m Member) bool { return m.Name == name })
}

// knows says that a disk is in the gossip or a voter of what is followed.
func (obs *observer) knows(disk uint64) bool {
	_, ok := obs.named(disk)
	return ok || obs.view != nil && slices.Contains(voters.IDs(obs.view.conf), disk)
}

// followed are the voters that this member, whose disk is self, knows of.
func (obs *observer) followed(self uint64) []uint64 {
	var ids []uint64
	v := obs.view
	if v != nil {
		ids = voters.Of(v.conf)
	}
	for _, m := range obs.members {
		if m.Voter && (v == nil || m.Cluster != v.cluster || m.Generation != v.generation || !slices.Contains(ids, m.Disk)) {
			ids = append(ids, m.Disk)
		}
	}
	ids = slices.DeleteFunc(ids, func(id uint64) bool { return id == self })
	slices.Sort(ids)
	return slices.Compact(ids)
}

// turn says whom of those that are followed to ask now: the leader alone while all is
// well. Of the others a majority would have to say how fresh it is.
func (obs *observer) turn(ids []uint64, self uint64, inTouch bool) []uint64 {
	obs.askTurn++
	n := 1
	switch v := obs.view; {
	case !inTouch || v.backers < settled && len(ids) > 1:
		n = min(5, len(ids))
	case slices.Contains(ids, v.leader):
		return []uint64{v.leader}
	}
	first := int(self%1024) + obs.askTurn/4
	var asked []uint64
	for i := range n {
		asked = append(asked, ids[(first+i)%len(ids)])
	}
	return asked
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
	var has Version
	if state.Unmarshal(env.payload, func(e *state.Codec) { e.Version(&has) }) != nil {
		c.counters.DroppedGarbage++
		return
	}
	if env.cluster == 0 && c.virgin() && c.lead == 0 && slices.Contains(voters.IDs(c.Log.Conf), env.from) {
		// It was offered a place and asks who we are.
		o := offer{conf: c.Log.Conf, machine: c.Machine}
		c.sendBack(env, kindOffer, o.encode())
	}
	a := c.announce()
	a.bare = env.scope == c.own() && has == a.record.Version && has.Revision > 0
	c.sendBack(env, kindAnswer, a.encode())
}

// askAll asks each of these disks how things are.
func (c *Core) askAll(disks []uint64) {
	for _, disk := range disks {
		c.sendAsk(disk)
	}
}

func (c *Core) sendAsk(disk uint64) {
	has := c.Machine.Record.Version
	if c.view != nil {
		has = c.view.record.Version
	}
	c.send(disk, kindAsk, state.Marshal(func(e *state.Codec) { e.Version(&has) }))
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

// tickObserver asks the voters how things are.
func (c *Core) tickObserver() {
	if c.hinted && c.askVotersNow() {
		c.hinted = false
	}
	if ids := c.observer.followed(c.Disk); len(ids) > 0 && c.due(&c.askedAt, askEvery) {
		c.askAll(c.observer.turn(ids, c.Disk, c.inTouch(2*askEvery)))
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
