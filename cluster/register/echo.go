package register

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
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
	// since is when this process began to send stamps.
	since time.Duration
	disks map[uint64]contact
}

// contact is what is remembered of another disk. Its times are 0 for never.
type contact struct {
	// stamp is its last one, to be echoed.
	stamp uint64
	// provenAt is, if its stamp was brought by a message that proved its sender,
	// when the stamp was sent that the message brought back.
	provenAt time.Duration
	// challengedAt is when it was last asked to prove itself.
	challengedAt time.Duration
	// name is what a disk that nothing is known of called itself when it asked something.
	name string
}

func newContacts(secret uint64, now time.Duration) contacts {
	k := contacts{since: now, disks: make(map[uint64]contact)}
	binary.LittleEndian.PutUint64(k.secret[:], secret)
	return k
}

// offset is what the stamps for a disk are offset by.
func (k *contacts) offset(disk uint64) uint64 {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(k.secret[:], disk))
	return binary.LittleEndian.Uint64(sum[:])
}

// stampFor is the stamp of a message to a disk, in microseconds: few enough
// values are valid at a time that none can be guessed.
func (k *contacts) stampFor(disk uint64, now time.Duration) uint64 {
	return k.offset(disk) + uint64(now/time.Microsecond)
}

// echoed returns when this process sent the stamp that a message brings back.
// True proves that the sender is who it says.
func (k *contacts) echoed(env *envelope, now time.Duration) (time.Duration, bool) {
	at := env.echo - k.offset(env.from)
	ok := env.echo != 0 && at >= uint64(k.since/time.Microsecond) && at <= uint64(now/time.Microsecond)
	if !ok || now-time.Duration(at)*time.Microsecond > provenFor {
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
func (k *contacts) prove(env *envelope, now time.Duration) (p proof) {
	p.at, p.proven = k.echoed(env, now)
	p.recent = p.proven && now-p.at <= echoFor
	return p
}

// meet remembers the sender's stamp, to be echoed. One that came with a proof is
// replaced by another such one alone: nobody can make this member's echoes
// worthless by sending stamps under another's name.
func (k *contacts) meet(env *envelope, p proof, acquainted func(disk uint64) bool) {
	met := k.disks[env.from].provenAt
	if met != 0 && (!p.proven || p.at < met) {
		return
	}
	// One sender can ask under any number of disks, and prove each of them: what
	// strangers send takes no memory for long.
	stranger := !acquainted(env.from)
	if met == 0 && stranger && len(k.disks) >= maxStrangers {
		k.keep(acquainted)
	}
	d := k.disks[env.from]
	if d.stamp = env.stamp; p.proven {
		d.provenAt = p.at
	}
	if env.sender != "" && stranger {
		d.name = env.sender
	}
	k.disks[env.from] = d
}

// keep forgets the other disks: members come and go, and may be invented.
func (k *contacts) keep(known func(disk uint64) bool) {
	maps.DeleteFunc(k.disks, func(disk uint64, _ contact) bool { return !known(disk) })
}

// challenge says that a disk may be asked to prove itself, and notes that it is:
// false when it was asked a moment ago.
func (k *contacts) challenge(disk uint64, now time.Duration) bool {
	d := k.disks[disk]
	if d.challengedAt != 0 {
		every := challengeEvery
		if d.provenAt >= d.challengedAt.Truncate(time.Microsecond) {
			every = answeredEvery
		}
		if now-d.challengedAt < every {
			return false
		}
	}
	d.challengedAt = now
	k.disks[disk] = d
	return true
}

// fading says that a disk has not proved itself for long, or never.
func (k *contacts) fading(disk uint64, now time.Duration) bool {
	at := k.disks[disk].provenAt
	return at == 0 || now-at > introduceEvery
}

// acquainted says that a disk is known from the configuration, from what is
// followed, or from the gossip.
func (c *Core) acquainted(disk uint64) bool {
	_, ok := c.Machine.Names[disk]
	return ok || c.observer.knows(disk)
}

// challenge asks a disk, at its own address, to prove that it is alive and what
// it says: its answer brings back the stamp of the question. False when it was
// asked a moment ago.
func (c *Core) challenge(disk uint64) bool {
	ask := disk != c.Disk && c.acquainted(disk) && c.contacts.challenge(disk, c.now)
	if ask {
		c.sendAsk(disk)
	}
	return ask
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
		if c.contacts.fading(id, c.now) {
			c.challenge(id)
		}
	}
}
