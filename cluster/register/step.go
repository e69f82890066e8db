package register

import (
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
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
	case env.from == c.disk:
		c.counters.DroppedOther++
	case env.to != c.disk && env.kind != kindAnnounce:
		c.counters.DroppedDisk++
	default:
		m := c.handle(&env)
		c.pump()
		if m != nil {
			c.refresh(&env, m)
		}
	}
}

// same says that a message comes from this disk's own cluster and generation.
func (c *Core) same(env *envelope) bool {
	if c.cluster == 0 || env.cluster != c.cluster {
		return false
	}
	return env.generation == c.generation && env.origin == c.origin || c.cfg.hooks.obeyGeneration
}

// handle returns the raft message of this generation that env carried, if any.
func (c *Core) handle(env *envelope) *pb.Message {
	if env.kind != kindAnnounce {
		c.stamps[env.from] = env.stamp
	}
	if env.sender != "" {
		if len(c.callers) >= maxCallers {
			clear(c.callers)
		}
		c.callers[env.from] = env.sender
	}
	same := c.same(env)
	if c.failed == nil && (env.seen > c.promises || env.known[c.disk] > c.promises) {
		c.forgot(fmt.Sprintf("another voter knows of %d promises of this disk, the file of %d",
			max(env.seen, env.known[c.disk]), c.promises))
		return nil
	}
	if same && c.failed == nil && env.commit > c.lastIndex() && c.soleVoter() {
		c.forgot("others have applied what this disk, the only voter that it knows, does not have")
		return nil
	}
	if same {
		c.joined[env.from] = true
		c.learnPromises(env)
		if _, ok := c.echoed(env); ok && !c.confirmed {
			c.confirmedBy[env.from] = true
			c.maybeConfirm()
		}
	}
	if c.cluster != 0 && env.cluster == c.cluster && later(env.generation, env.origin, c.generation, c.origin) &&
		env.kind != kindAnswer && c.failed == nil && c.due(&c.newerAskedAt, c.timing.Ask) {
		c.sendAsk(env.from)
	}
	switch env.kind {
	case kindRaft:
		m := &pb.Message{}
		switch {
		case proto.Unmarshal(env.payload, m) != nil || !checkRaft(m, env):
			c.counters.DroppedGarbage++
		case same:
			c.stepRaft(m, env)
			return m
		case c.cluster == 0 && fromLeader(m.GetType()):
			c.join(env)
		default:
			c.foreign(env)
		}
	case kindAsk:
		c.answer(env)
	case kindAnswer, kindAnnounce:
		if a, err := decodeAnnouncement(env.payload); err == nil {
			c.learn(env, a)
		} else {
			c.counters.DroppedGarbage++
		}
	case kindOffer:
		if o, err := decodeOffer(env.payload); err == nil {
			c.offered(env, o)
		} else {
			c.counters.DroppedGarbage++
		}
	case kindRequest:
		r, err := decodeRequest(env.payload)
		switch {
		case err != nil:
			c.counters.DroppedGarbage++
		case same:
			c.serve(env.from, r)
		default:
			c.foreign(env)
		}
	case kindReply:
		if r, err := decodeReply(env.payload); err == nil {
			c.replied(env, r)
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
	case c.cluster == 0:
		c.counters.DroppedOther++
		return
	case env.cluster != c.cluster:
		c.counters.DroppedCluster++
		c.conflict = fmt.Sprintf("disk %016x speaks for cluster %016x, this one is %016x", env.from, env.cluster, c.cluster)
	default:
		c.counters.DroppedGeneration++
		c.conflict = fmt.Sprintf("disk %016x is in recovery generation %d (%016x), this one in %d (%016x)",
			env.from, env.generation, env.origin, c.generation, c.origin)
	}
	c.out.Changed = true
}

// forgot gives up a disk that has promised things that it no longer knows: a
// file restored from a backup or a volume from a snapshot.
func (c *Core) forgot(why string) {
	if c.cfg.hooks.keepLostDisk == nil && !c.cfg.hooks.answerBeforeFsync {
		c.closeLog()
		c.wantReset("restored from an older copy: "+why, true)
	}
}

// learnPromises remembers how much the others have promised.
func (c *Core) learnPromises(env *envelope) {
	note := func(disk, n uint64) {
		if disk != c.disk && n > c.seen[disk] && c.log != nil {
			if _, ok := c.machine.names[disk]; ok || len(c.machine.names) == 0 {
				c.seen[disk] = n
				c.lazily()
			}
		}
	}
	note(env.from, env.promises)
	for disk, n := range env.known {
		note(disk, n)
	}
}

// soleVoter says that nothing can be committed without this disk, and with it
// everything, as far as it knows.
func (c *Core) soleVoter() bool {
	return majorityOf(c.log.conf, func(id uint64) bool { return id == c.disk })
}

// maybeConfirm decides whether this disk may make promises again. After a
// start it must hear from a majority (with itself) that nobody knows of a
// promise that it has forgotten.
func (c *Core) maybeConfirm() {
	if c.confirmed || c.node == nil {
		return
	}
	conf := c.log.conf
	if c.newerConf != nil {
		conf = c.newerConf
	}
	switch {
	case len(conf.GetVoters()) == 0:
		c.confirmed = len(c.confirmedBy) > 0
	default:
		if !isVoter(conf, c.disk) {
			// It may have been made a voter since.
			conf = proto.Clone(conf).(*pb.ConfState)
			conf.Voters = append(conf.Voters, c.disk)
		}
		c.confirmed = majorityOf(conf, func(id uint64) bool { return id == c.disk || c.confirmedBy[id] })
		// The only voter that this disk knows needs nobody. But the disk may be
		// an old copy, of a time before there were others: they get the time to say so.
		nobody := c.alone && len(confIDs(c.log.conf)) == 1
		if c.soleVoter() && len(c.confirmedBy) == 0 && !nobody && c.now-c.started < silentFor {
			c.confirmed = false
		}
	}
	if c.confirmed {
		c.campaignAt = c.now + c.patience()
		c.out.Changed = true
	}
}

// envelopeTo begins a message. Its counts speak of what is durable.
func (c *Core) envelopeTo(disk uint64, k kind, payload []byte) *envelope {
	env := &envelope{
		kind: k, from: c.disk, to: disk, promises: c.durable, seen: c.seen[disk],
		stamp: c.base + uint64(c.now), echo: c.stamps[disk], age: c.age(), payload: payload,
	}
	env.cluster, env.generation, env.origin = c.scope()
	if c.log != nil && c.failed == nil {
		env.commit = c.log.applied.index
	}
	if c.leading {
		env.known = c.seen
	}
	if k == kindAsk || k == kindRequest {
		env.sender = c.name
	}
	return env
}

// scope is the cluster and generation that this member belongs to or follows.
func (c *Core) scope() (cluster, generation, origin uint64) {
	if (c.cluster == 0 || c.failed != nil) && c.view != nil {
		return c.view.cluster, c.view.generation, c.view.origin
	}
	return c.cluster, c.generation, c.origin
}

func (c *Core) send(disk uint64, k kind, payload []byte) {
	if disk == 0 || disk == c.disk {
		return
	}
	c.out.Send = append(c.out.Send, Message{
		Name: c.nameOf(disk), Disk: disk, Data: c.envelopeTo(disk, k, payload).encode(),
	})
}

func (c *Core) sendRaft(m *pb.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	c.send(m.GetTo(), kindRaft, b)
}

// nameOf finds the name of a disk in the configuration, what was announced or
// the gossip.
func (c *Core) nameOf(disk uint64) string {
	if n, ok := c.machine.names[disk]; ok {
		return n
	}
	if c.view != nil {
		if n, ok := c.view.names[disk]; ok {
			return n
		}
	}
	if n, ok := c.memberNames[disk]; ok {
		return n
	}
	return c.callers[disk]
}
