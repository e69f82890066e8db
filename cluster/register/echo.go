package register

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

const (
	// echoFor is how old a stamp may be that a message brings back where it must
	// be of now: an old packet that is sent again brings back an old one. A
	// member that does not vote asks a leader among five voters every 10 s.
	echoFor = 12 * time.Second
	// provenFor is how old a stamp may be that a message brings back where it
	// only has to prove who the sender is, introduceEvery how often voters that
	// have nothing to say to each other renew what they prove it with.
	provenFor      = 20 * time.Minute
	introduceEvery = 5 * time.Minute
	// challengeEvery bounds how often one disk is asked to prove itself, so that
	// what comes under its name is not answered by a flood to it.
	challengeEvery = 50 * time.Millisecond
	// answeredEvery is the same for one that has answered the last question.
	answeredEvery = 5 * time.Millisecond
	// maxStrangers bounds what is remembered of disks that nothing is known of.
	maxStrangers = 64
)

// contacts is what this member needs to tell who really sent a message. A stamp
// is this process's clock behind an offset that is a secret of this process and
// another one for each receiver. So only who got a message at that disk's
// address can bring its stamp back.
type contacts struct {
	secret [8]byte
	// stamps are the last stamps of the others, to be echoed.
	stamps map[uint64]uint64
	// provenAt is, for each disk whose stamp was brought by a message that
	// proved its sender, when the stamp was sent that the message brought back.
	provenAt map[uint64]time.Duration
	// challengedAt is when a disk was last asked to prove itself.
	challengedAt map[uint64]time.Duration
}

func (k *contacts) init(secret uint64) {
	binary.LittleEndian.PutUint64(k.secret[:], secret)
	k.stamps = make(map[uint64]uint64)
	k.provenAt, k.challengedAt = make(map[uint64]time.Duration), make(map[uint64]time.Duration)
}

// offset is what the stamps for a disk are offset by.
func (k *contacts) offset(disk uint64) uint64 {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(k.secret[:], disk))
	return binary.LittleEndian.Uint64(sum[:])
}

// stampFor is the stamp of a message to a disk, in microseconds: few enough
// values are valid at a time that none can be guessed.
func (c *Core) stampFor(disk uint64) uint64 {
	return c.offset(disk) + uint64(c.now/time.Microsecond)
}

// echoed returns when this process sent the stamp that a message brings back.
// True proves that the sender is who it says.
func (c *Core) echoed(env *envelope) (time.Duration, bool) {
	at := env.echo - c.offset(env.from)
	ok := env.echo != 0 && at >= uint64(c.started/time.Microsecond) && at <= uint64(c.now/time.Microsecond)
	if !ok || c.now-time.Duration(at)*time.Microsecond > provenFor {
		return 0, false
	}
	return time.Duration(at) * time.Microsecond, true
}

// proof is what a message says about its sender: same cluster, generation and
// origin, that it got a stamp at its address in this life, and lately.
type proof struct {
	at                   time.Duration
	same, proven, recent bool
}

// prove checks a message before anything in it is believed.
func (c *Core) prove(env *envelope) proof {
	p := proof{same: c.same(env)}
	p.at, p.proven = c.echoed(env)
	p.recent = p.proven && c.now-p.at <= echoFor
	return p
}

// meet remembers the sender's stamp, to be echoed. One that came with a proof is
// replaced by another such one alone: nobody can make this member's echoes
// worthless by sending stamps under another's name.
func (c *Core) meet(env *envelope, p proof) {
	if env.kind == kindAnnounce {
		return
	}
	before, met := c.provenAt[env.from]
	if met && (!p.proven || p.at < before) {
		return
	}
	// One sender can ask under any number of disks, and prove each of them.
	if !met && !c.acquainted(env.from) {
		c.forgetStrangers()
	}
	if p.proven {
		c.provenAt[env.from] = p.at
	}
	c.stamps[env.from] = env.stamp
	if env.sender != "" && !c.acquainted(env.from) {
		c.callers[env.from] = env.sender
	}
}

// acquainted says that a disk is known from the configuration, from what is
// followed, or from the gossip.
func (c *Core) acquainted(disk uint64) bool {
	if _, ok := c.Machine.Names[disk]; ok {
		return true
	}
	if _, ok := c.memberNames[disk]; ok {
		return true
	}
	return c.view != nil && slices.Contains(voters.IDs(c.view.conf), disk)
}

// forgetStrangers makes room: what strangers send takes no memory for long.
func (c *Core) forgetStrangers() {
	if len(c.stamps) < maxStrangers && len(c.callers) < maxStrangers {
		return
	}
	for disk := range c.stamps {
		if !c.acquainted(disk) {
			delete(c.stamps, disk)
			delete(c.provenAt, disk)
			delete(c.challengedAt, disk)
		}
	}
	for disk := range c.callers {
		if !c.acquainted(disk) {
			delete(c.callers, disk)
		}
	}
}

// forgetGone forgets the disks that nobody has any more: members come and go, and
// may be invented.
func (c *Core) forgetGone() {
	gone := func(disk uint64) bool { return c.nameOf(disk) == "" }
	maps.DeleteFunc(c.stamps, func(disk, _ uint64) bool { return gone(disk) })
	for _, m := range []map[uint64]time.Duration{c.provenAt, c.challengedAt} {
		maps.DeleteFunc(m, func(disk uint64, _ time.Duration) bool { return gone(disk) })
	}
}

// challenge asks a disk, at its own address, to prove that it is alive and what
// it says: its answer brings back the stamp of the question. False when it was
// asked a moment ago.
func (c *Core) challenge(disk uint64) bool {
	if disk == c.Disk || !c.acquainted(disk) {
		return false
	}
	if at, ok := c.challengedAt[disk]; ok {
		every := challengeEvery
		if c.provenAt[disk] >= at.Truncate(time.Microsecond) {
			every = answeredEvery
		}
		if c.now-at < every {
			return false
		}
	}
	c.challengedAt[disk] = c.now
	c.sendAsk(disk)
	return true
}

// challengeAll asks every voter of a configuration.
func (c *Core) challengeAll(ids []uint64) {
	for _, id := range ids {
		c.challenge(id)
	}
}

// introduce asks those voters that have never proved themselves here, so that
// the first message that matters between two voters, a vote, need not be the one
// that is not believed yet.
func (c *Core) introduce() {
	if !c.due(&c.introducedAt, askEvery) {
		return
	}
	for _, id := range voters.IDs(c.Log.Conf) {
		if at, met := c.provenAt[id]; !met || c.now-at > introduceEvery {
			c.challenge(id)
		}
	}
}
