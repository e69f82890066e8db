package register

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// Step handles a message of another member. Whatever is wrong with it, it is
// dropped and counted.
func (c *Core) Step(now time.Duration, data []byte) {
	c.now = now
	env, err := decodeEnvelope(data)
	switch {
	case errors.Is(err, errNewer):
		c.counters.DroppedNewer++
	case err != nil:
		c.counters.DroppedGarbage++
	case env.from == c.Disk:
		c.counters.DroppedOther++
	case env.to != c.Disk && env.kind != kindAnnounce:
		c.counters.DroppedDisk++
	default:
		m := c.handle(&env)
		c.pump()
		if m != nil {
			c.refresh(&env, m)
		}
	}
}

// ours says that a cluster and generation are this disk's own.
func (c *Core) ours(s scope) bool {
	return c.Cluster != 0 && s.cluster == c.Cluster && (s == c.own() || c.cfg.hooks.obeyGeneration)
}

// handle returns the raft message of this generation that env carried and that
// was handed to raft, if any. What the message belongs to and who sent it is
// looked at before anything else in it is believed.
func (c *Core) handle(env *envelope) *pb.Message {
	p := c.contacts.prove(env, c.now)
	p.same = c.ours(env.scope)
	if env.kind != kindAnnounce {
		c.contacts.meet(env, p, c.acquainted)
	}
	if c.cfg.hooks.believeAnybody {
		p.proven, p.recent, p.at = true, true, c.now
	}
	if p.recent && env.cluster != 0 && (p.same || c.acquainted(env.from)) {
		c.words.hear(env, p.at, c.authority(), c.now)
	}
	switch {
	case p.same && p.proven:
		if slices.Contains(voters.IDs(c.Log.Conf), env.from) {
			c.founding.joined[env.from] = true
		}
		c.learnPromises(env, p)
		c.weigh(env, p)
	case p.same && env.kind != kindAnnounce:
		c.challenge(env.from)
	}
	if c.Cluster != 0 && env.cluster == c.Cluster && env.later(c.own()) &&
		env.kind != kindAnswer && c.failed == nil && c.due(&c.newerAskedAt, askEvery) {
		c.sendAsk(env.from)
	}
	m := c.open(env, p)
	c.maybeConfirm()
	c.decideDoubt()
	c.judgeClaims()
	return m
}

// open takes the contents of a message.
func (c *Core) open(env *envelope, p proof) *pb.Message {
	switch env.kind {
	case kindRaft:
		m := &pb.Message{}
		switch {
		case proto.Unmarshal(env.payload, m) != nil || !checkRaft(m, env):
			c.counters.DroppedGarbage++
		case p.same && c.admit(m, env, p) && c.takeRaft(m, env):
			return m
		case p.same:
			c.counters.DroppedOther++
		case c.Cluster == 0 && fromLeader(m.GetType()):
			c.join(env, p)
		default:
			c.foreign(env)
		}
	case kindAsk:
		c.answer(env)
	case kindAnswer, kindAnnounce:
		if a, err := decodeAnnouncement(env.payload); err == nil && a.record.Recovery == env.generation && a.index < largest {
			c.learn(env, a, p)
		} else {
			c.counters.DroppedGarbage++
		}
	case kindOffer:
		if o, err := decodeOffer(env.payload); err == nil && o.machine.Record.Recovery == env.generation && voters.Has(o.conf, env.from) {
			c.offered(env, o, p)
		} else {
			c.counters.DroppedGarbage++
		}
	case kindRequest:
		r, err := decodeRequest(env.payload)
		switch {
		case err != nil:
			c.counters.DroppedGarbage++
		case !p.same:
			c.foreign(env)
		case !p.recent:
			c.introduceTo(env, r)
		default:
			c.serve(env.from, r)
		}
	case kindReply:
		if r, err := decodeReply(env.payload); err == nil {
			c.replied(env, r, p)
		} else {
			c.counters.DroppedGarbage++
		}
	}
	return nil
}

// foreign counts a message of another cluster or generation, which is never
// obeyed, and remembers it for the operator.
func (c *Core) foreign(env *envelope) {
	switch {
	case c.Cluster == 0:
		c.counters.DroppedOther++
		return
	case env.cluster != c.Cluster:
		c.counters.DroppedCluster++
		c.reportConflict(fmt.Sprintf("disk %016x speaks for cluster %016x, this one is %016x", env.from, env.cluster, c.Cluster))
	default:
		c.counters.DroppedGeneration++
		c.reportConflict(fmt.Sprintf("disk %016x is in recovery generation %d (%016x), this one in %d (%016x)",
			env.from, env.generation, env.origin, c.Generation, c.Origin))
	}
}

// reportConflict remembers a conflict for the operator. What anybody may send does not
// fill the log: there is a new one once a second at most.
func (c *Core) reportConflict(conflict string) {
	if conflict == c.conflict || c.conflict != "" && c.now-c.conflictAt < time.Second {
		return
	}
	c.conflict, c.conflictAt = conflict, c.now
	c.out.Changed = true
}

// hearsay is what the leader said of another disk's promises, and has not repeated
// yet in answer to anything that was sent since.
type hearsay struct {
	leader, promises uint64
	since            time.Duration
}

// learnPromises remembers how much the others have promised: what a disk says of
// itself, and what the leader that is followed says of the others, twice: with a
// count that is too high the others would take that disk for one that has
// forgotten, here and for as long as it makes no new promise. So no single message
// in the leader's name does it, and whatever the leader itself says next ends it.
func (c *Core) learnPromises(env *envelope, p proof) {
	c.notePromises(env.from, env.promises)
	if env.from == c.lead && !c.leading && len(env.known) > 0 {
		for disk := range c.Machine.Names {
			if disk != env.from && disk != c.Disk {
				c.hearOf(disk, env.known[disk], env.from, p)
			}
		}
	}
}

// hearOf takes what the leader says of another disk.
func (c *Core) hearOf(disk, n, leader uint64, p proof) {
	if h, ok := c.hearsay[disk]; ok && h.leader == leader {
		if p.at < h.since {
			return // sent before that was heard: neither repeated nor taken back
		}
		if n >= h.promises {
			c.notePromises(disk, h.promises)
		}
	}
	delete(c.hearsay, disk)
	if n > c.Seen[disk] {
		if len(c.hearsay) > maxStrangers {
			clear(c.hearsay)
		}
		c.hearsay[disk] = hearsay{leader, n, c.now.Truncate(time.Microsecond)}
	}
}

// notePromises does not believe a count that leaps.
func (c *Core) notePromises(disk, n uint64) {
	have := c.Seen[disk]
	if disk == c.Disk || n <= have || c.Log == nil || n-have > countLeap && have > 0 || n > largest {
		return
	}
	if _, ok := c.Machine.Names[disk]; ok {
		c.Seen[disk] = n
		c.lazily()
	}
}

// counts is what this leader says of the others' promises: not what it has
// written down about its own disk (see decideDoubt).
func (c *Core) counts() map[uint64]uint64 {
	if _, ok := c.Seen[c.Disk]; !ok {
		return c.Seen
	}
	m := maps.Clone(c.Seen)
	delete(m, c.Disk)
	return m
}

// tellPromises says to the other voters how much this disk has promised. Whom
// the promises were made to, the leader, knows it anyway; but if the disk is
// restored from an older copy, a majority must say so.
func (c *Core) tellPromises() {
	if c.told == c.durable || !c.trusted() {
		return
	}
	c.told = c.durable
	a := c.announce()
	a.bare = true
	for _, id := range c.Log.Conf.GetVoters() {
		if id != c.lead && id != c.Disk {
			c.send(id, kindAnswer, a.encode())
		}
	}
}

// envelopeTo begins a message. Its counts speak of what is durable.
func (c *Core) envelopeTo(disk uint64, k kind, payload []byte) *envelope {
	env := &envelope{
		kind: k, scope: c.scope(), from: c.Disk, to: disk, promises: c.durable, seen: c.Seen[disk],
		stamp: c.contacts.stampFor(disk, c.now), echo: c.contacts.disks[disk].stamp, age: c.age(), payload: payload,
	}
	if c.Log != nil && c.failed == nil {
		env.commit = c.Log.Applied.Index
	}
	switch {
	case k == kindAnswer:
		env.known = c.facts()
	case c.leading:
		env.known = c.counts()
	}
	if k == kindAsk || k == kindRequest {
		env.sender = c.Name
	}
	return env
}

// scope is the cluster and generation that this member belongs to or follows.
func (c *Core) scope() scope {
	if (c.Cluster == 0 || c.failed != nil) && c.view != nil {
		return c.view.scope
	}
	return c.own()
}

// own is the cluster and generation that this disk belongs to.
func (c *Core) own() scope { return scope{c.Cluster, c.Generation, c.Origin} }

func (c *Core) send(disk uint64, k kind, payload []byte) {
	if disk == 0 || disk == c.Disk {
		return
	}
	c.sendEnvelope(c.envelopeTo(disk, k, payload))
}

// sendBack answers a message: who asks gets the stamp of its own question, whatever
// came under its name before.
func (c *Core) sendBack(env *envelope, k kind, payload []byte) {
	e := c.envelopeTo(env.from, k, payload)
	e.echo = env.stamp
	c.sendEnvelope(e)
}

func (c *Core) sendEnvelope(env *envelope) {
	c.out.Send = append(c.out.Send, Message{Name: c.nameOf(env.to), Disk: env.to, Data: env.encode()})
}

// sendRaft sends what raft wants sent, unless there is a doubt: then it is lost.
func (c *Core) sendRaft(m *pb.Message) {
	if c.doubt != nil {
		return
	}
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	c.send(m.GetTo(), kindRaft, b)
}

// nameOf finds the name of a disk in the configuration, what was announced or
// the gossip.
func (c *Core) nameOf(disk uint64) string {
	if n, ok := c.Machine.Names[disk]; ok {
		return n
	}
	if c.view != nil {
		if n, ok := c.view.names[disk]; ok {
			return n
		}
	}
	if n, ok := c.observer.named(disk); ok {
		return n
	}
	return c.contacts.disks[disk].name
}
