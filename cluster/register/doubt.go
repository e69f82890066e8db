package register

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// dismissedFor is how long the word of a witness whom a majority has not
// confirmed suspends nothing.
const dismissedFor = 10 * time.Second

// doubt is the suspicion that this disk has forgotten something that it has
// promised. While there is one this member makes no promises: it neither votes
// nor acknowledges nor campaigns nor leads, and asks every voter itself.
type doubt struct {
	why     string
	witness uint64
	since   time.Duration
	askedAt time.Duration
	// answeredAt is when a majority, with this disk, last answered, whatever it said.
	answeredAt time.Duration
	// repeated says that somebody has said so in answer to a question, known that
	// the gossip or the configuration knows who has, or that it was written down.
	repeated, known bool
}

// trusted says that this member may make promises.
func (c *Core) trusted() bool { return c.confirmed && c.doubt == nil }

// suspect begins a doubt, on the word of one member that has proved itself.
func (c *Core) suspect(witness uint64, why string) {
	if c.cfg.hooks.keepLostDisk != nil || c.cfg.hooks.answerBeforeFsync || c.doubt != nil || c.failed != nil || c.node == nil {
		return
	}
	if at, ok := c.dismissed[witness]; ok && c.now-at < dismissedFor {
		return
	}
	c.doubt = &doubt{why: why, witness: witness, since: c.now.Truncate(time.Microsecond), known: c.acquainted(witness)}
	c.out.Changed = true
	c.askAboutDoubt()
}

// weigh looks at what a message of this generation says about this disk.
func (c *Core) weigh(env *envelope, p proof) {
	if !p.recent || c.failed != nil || c.node == nil {
		return
	}
	says := ""
	switch n := env.knowsOf(c.Disk); {
	case n > c.Promises:
		says = fmt.Sprintf("another voter knows of %d promises of it, the file of %d", n, c.Promises)
	case c.soleVoter() && env.commit > c.lastIndex():
		says = "others have applied what it, the only voter that it knows, does not have"
	}
	if w := c.words[env.from]; w != nil && w.at <= p.at {
		w.forgotten = says != ""
	}
	if says != "" && (voters.Has(c.Log.Conf, env.from) || !c.confirmed || c.soleVoter()) {
		c.suspect(env.from, says)
	}
	if says == "" && !c.confirmed {
		c.confirmedBy[env.from] = true
	}
}

func (c *Core) askAboutDoubt() {
	if c.due(&c.doubt.askedAt, 2*heartbeat) {
		c.askAll(c.others())
	}
}

// decideDoubt ends a doubt: with a majority's word, this disk's own not counted,
// the disk is given up; where a majority does not confirm it, it goes on. Else
// it stays suspended.
func (c *Core) decideDoubt() {
	d := c.doubt
	if d == nil || c.failed != nil || c.node == nil {
		return
	}
	c.askAboutDoubt()
	h, conf := c.hearing(), c.Log.Conf
	if !c.soleVoter() && h.withSelf(conf, func(w *word) bool { return c.ours(w.scope) }) {
		d.answeredAt = c.now
	}
	answered := func(w *word) bool { return w.at >= d.since && w.told >= d.since && c.ours(w.scope) }
	says := func(w *word) bool { return answered(w) && w.forgotten }
	denies := func(w *word) bool { return answered(w) && !w.forgotten }
	for i, conf := range c.judges(h) {
		// Whoever says so could announce a configuration of two as well.
		if i == 0 && !d.convicts(h, conf, says) || i > 0 && !h.several(conf, says) {
			continue
		}
		if c.doubt = nil; c.cfg.hooks.keepLostDisk == nil && !c.cfg.hooks.answerBeforeFsync {
			c.closeLog()
			c.wantReset("restored from an older copy: "+d.why, true)
		}
		return
	}
	outvoted := h.most(conf, denies) || c.outvotedLater(h, denies)
	somebody := false
	for _, id := range sortedKeys(c.words) {
		if h.current(c.words[id]) && says(c.words[id]) {
			somebody, d.known = true, d.known || c.acquainted(id)
		}
	}
	if somebody && !d.repeated {
		d.repeated = true
		// Written down as what others know of this disk's own promises: a start, when
		// nobody is there who says so, does not end it.
		c.Seen[c.Disk] = c.Promises + 1
		c.lazily()
		if !c.writing {
			c.startWrite("", func() {})
		}
	}
	// The witness, asked itself, does not say so, or was never there to be asked.
	witness := c.words[d.witness]
	withdrawn := h.current(witness) && denies(witness) || c.now-d.since > silentFor && !d.repeated
	enough := h.withSelf(conf, denies)
	// The only voter has nobody who could outvote a stranger that is gone: it does
	// as after a start at which the gossip shows no other voter of its cluster. Who
	// is no stranger may be a voter of later, and be back in a moment.
	alone := c.soleVoter() && !d.known && c.now-d.since > abandonAfter && !slices.ContainsFunc(c.members, func(m Member) bool {
		return m.Voter && m.Cluster == c.Cluster
	})
	if outvoted || (withdrawn || alone) && !somebody && enough {
		c.dismissed[d.witness] = c.now
		if len(c.dismissed) > maxStrangers {
			clear(c.dismissed)
		}
		c.doubt = nil
		delete(c.Seen, c.Disk)
		c.lazily()
		c.postpone()
		c.out.Changed = true
		c.maybeConfirm()
	}
}

// recallDoubt goes on with a doubt that was written down.
func (c *Core) recallDoubt() {
	if c.Seen[c.Disk] > c.Promises && c.cfg.hooks.keepLostDisk == nil && !c.cfg.hooks.answerBeforeFsync {
		c.doubt = &doubt{
			why: "it has forgotten promises, as was found before the last start", since: c.now.Truncate(time.Microsecond), repeated: true, known: true,
		}
	}
}

// judges are the configurations whose majority may say that this disk has
// forgotten something: its own and, since a copy may be of a time before the
// voters were changed, later ones that have it as a voter.
func (c *Core) judges(h hearing) []*pb.ConfState {
	later := slices.DeleteFunc(c.laterConfs(h), func(conf *pb.ConfState) bool { return !slices.Contains(voters.IDs(conf), c.Disk) })
	return append([]*pb.ConfState{c.Log.Conf}, later...)
}

// outvotedLater says that a majority of a later configuration, which has this disk
// as a voter, denies it: of this disk's own too few may be left. Several of its own
// must name that configuration, or whoever has some disks could make one.
func (c *Core) outvotedLater(h hearing, denies func(w *word) bool) bool {
	return slices.ContainsFunc(c.judges(h)[1:], func(conf *pb.ConfState) bool {
		name := func(w *word) bool { return denies(w) && slices.Equal(w.said.conf.GetVoters(), conf.GetVoters()) }
		return h.countOf(voters.IDs(c.Log.Conf), name) > 1 && h.most(conf, denies)
	})
}

// convicts says that enough of a configuration's other voters say so: a
// majority or, where there is one other alone, which is half of all, that one
// again and again. With fewer than two in all a single one never costs more than
// a disk without which nothing could have been decided, and it is kept aside.
func (d *doubt) convicts(h hearing, conf *pb.ConfState, says func(w *word) bool) bool {
	if h.most(conf, says) {
		return true
	}
	others := slices.DeleteFunc(voters.Of(conf), func(id uint64) bool { return id == h.self })
	return h.now-d.since > abandonAfter && len(others) == 1 && h.count(conf, says) == 1
}

// soleVoter says that nothing can be committed without this disk, and with it
// everything, as far as it knows.
func (c *Core) soleVoter() bool {
	return voters.Majority(c.Log.Conf, func(id uint64) bool { return id == c.Disk })
}

// maybeConfirm decides whether this disk may make promises again. After a
// start it must hear from a majority (with itself) that nobody knows of a
// promise that it has forgotten.
func (c *Core) maybeConfirm() {
	if c.confirmed || c.node == nil || c.doubt != nil {
		return
	}
	for i, conf := range c.judges(c.hearing()) {
		switch {
		case len(conf.GetVoters()) == 0:
			c.confirmed = c.confirmed || len(c.confirmedBy) > 0
			continue
		case !voters.Has(conf, c.Disk):
			// It may have been made a voter since.
			conf = proto.Clone(conf).(*pb.ConfState)
			conf.Voters = append(conf.Voters, c.Disk)
		}
		yes := voters.Majority(conf, func(id uint64) bool { return id == c.Disk || c.confirmedBy[id] })
		if i > 0 && !c.attested(conf) {
			yes = false
		}
		// The only voter that this disk knows needs nobody. But the disk may be
		// an old copy, of a time before there were others: they get the time to say so.
		nobody := c.alone && len(voters.IDs(c.Log.Conf)) == 1
		if i == 0 && c.soleVoter() && len(c.confirmedBy) == 0 && !nobody && c.now-c.started < silentFor {
			yes = false
		}
		c.confirmed = c.confirmed || yes
	}
	if c.confirmed {
		c.postpone()
		c.out.Changed = true
	}
}

// attested says that a later configuration, which anybody can announce, is
// confirmed by a disk of this one's own, or by several.
func (c *Core) attested(conf *pb.ConfState) bool {
	by := slices.DeleteFunc(voters.Of(conf), func(id uint64) bool { return id == c.Disk || !c.confirmedBy[id] })
	return len(by) > 1 || len(by) == 1 && slices.Contains(voters.IDs(c.Log.Conf), by[0])
}

// doubtText says why this member makes no promises.
func (c *Core) doubtText() string {
	who := cmp.Or(c.nameOf(c.doubt.witness), "somebody")
	return fmt.Sprintf("suspended: %s says of this disk: %s; asking every voter, a majority's word decides", who, c.doubt.why)
}
