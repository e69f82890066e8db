package register

import (
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

const (
	// wordFor is how long what a voter said counts as what it says.
	wordFor = 3 * time.Second
	// maxWords bounds how many disks' words are kept: several configurations of
	// the largest size.
	maxWords = 48
	// leap is how far a term may be above what this member knows and still be
	// the next election or the few that it has missed. patientLeap is the same
	// where no majority can be asked because there is none: see repeatsTerm.
	leap        = 64
	patientLeap = 1 << 20
	// countLeap is the same for counts of promises, indices and revisions.
	countLeap = 1 << 20
	// largest bounds every number on the wire that counts something: far
	// beyond what any cluster reaches, and far from where adding one overflows.
	largest = 1 << 62
)

// What an answer says beside the counts of promises stands in the same map of
// the envelope, under keys that are no disks: a version that does not know them
// takes no notice of them.
const (
	// factTerm is the sender's term.
	factTerm = iota + 1
	// factLaterGeneration and factLaterOrigin say which later generation of this
	// cluster the sender has found alive by asking it.
	factLaterGeneration
	factLaterOrigin
	factEnd
)

// word is what one disk said last, in answer to a message of this process that
// was sent at the time at. One word is never enough: see DESIGN.md.
type word struct {
	disk uint64
	at   time.Duration
	// scope is the cluster and generation that it speaks of.
	scope
	// forgotten says that it knows of more promises of this disk than the file,
	// applied what it had applied itself.
	forgotten bool
	applied   uint64
	// term is the highest that it has shown.
	term uint64
	// found is the later generation that it has found, if any.
	found scope
	// told is when the message was sent that it last answered with an
	// announcement: said, with the term that it named (0 for none) and how long
	// ago, in microseconds, it was in touch with its majority.
	told       time.Duration
	said       announcement
	saidTerm   uint64
	touchedAge uint64
}

// word returns the entry for a disk, making room for it if there is some.
func (c *Core) wordOf(disk uint64) *word {
	if w, ok := c.words[disk]; ok {
		return w
	}
	if len(c.words) >= maxWords {
		maps.DeleteFunc(c.words, func(_ uint64, w *word) bool { return c.now-w.at > wordFor })
	}
	if len(c.words) >= maxWords {
		// Those whose word counts are never crowded out.
		conf := c.authority()
		if !voters.Has(conf, disk) {
			return nil
		}
		for _, id := range sortedKeys(c.words) {
			if !voters.Has(conf, id) {
				delete(c.words, id)
				break
			}
		}
	}
	w := &word{disk: disk}
	c.words[disk] = w
	return w
}

// hear notes what a message says for its sender, which has proved itself.
func (c *Core) hear(env *envelope, p proof) {
	if !p.recent || env.cluster == 0 || !c.acquainted(env.from) && !p.same {
		return
	}
	w := c.wordOf(env.from)
	if w == nil || p.at < w.at {
		return
	}
	w.at = p.at
	if w.scope != env.scope {
		w.told, w.term, w.said = 0, 0, announcement{}
	}
	w.scope = env.scope
	w.applied = env.commit
	w.forgotten = p.same && (env.seen > c.Promises || env.known[c.Disk] > c.Promises)
	w.found = scope{env.cluster, env.known[factLaterGeneration], env.known[factLaterOrigin]}
}

// hearTerm notes the term of a raft message that proved its sender.
func (c *Core) hearTerm(m *pb.Message) {
	w := c.words[m.GetFrom()]
	if w == nil {
		return
	}
	switch t := m.GetTerm(); m.GetType() {
	case pb.MsgPreVoteResp:
		if m.GetReject() {
			w.term = t
		}
	case pb.MsgPreVote:
		w.term = t - 1
	default:
		w.term = t
	}
}

// hearAnswer notes an announcement in an answer to a question of this process;
// nil for one that was overtaken by a later one.
func (c *Core) hearAnswer(env *envelope, a announcement, p proof) *word {
	w := c.words[env.from]
	if w == nil || p.at < w.told || w.scope != env.scope {
		return nil
	}
	w.told, w.said, w.touchedAge = p.at, a, env.age
	w.saidTerm = env.known[factTerm]
	w.term = max(w.term, w.saidTerm)
	return w
}

// current says that a word is of now, spoke that the announcement in it is.
func (c *Core) current(w *word) bool { return w != nil && c.now-w.at <= wordFor }

func (c *Core) spoke(w *word) bool { return w != nil && w.told > 0 && c.now-w.told <= wordFor }

// ownWord says that a word speaks of this disk's own generation.
func (c *Core) ownWord(w *word) bool {
	return w.cluster == c.Cluster && (w.scope == c.own() || c.cfg.hooks.obeyGeneration)
}

// authority is the configuration whose majority this member believes: its own
// or, while it has none yet, the one that it follows.
func (c *Core) authority() *pb.ConfState {
	if c.Log != nil && len(c.Log.Conf.GetVoters()) > 0 {
		return c.Log.Conf
	}
	if c.view != nil && (c.Cluster == 0 || c.view.scope == c.own()) {
		return c.view.conf
	}
	for _, id := range sortedKeys(c.words) {
		if w := c.words[id]; c.spoke(w) && c.ownWord(w) && c.supported(w) {
			return w.said.conf
		}
	}
	return &pb.ConfState{}
}

// most says that yes holds for a majority of the voters of a configuration, this
// disk not counted: one that has no voters has no majority.
func (c *Core) most(conf *pb.ConfState, yes func(w *word) bool) bool {
	return len(conf.GetVoters()) > 0 && voters.Majority(conf, func(id uint64) bool {
		w := c.words[id]
		return id != c.Disk && c.current(w) && yes(w)
	})
}

// count is of how many voters of a configuration yes holds, this disk not counted.
func (c *Core) count(conf *pb.ConfState, yes func(w *word) bool) int {
	n := 0
	for _, id := range voters.IDs(conf) {
		if w := c.words[id]; voters.Has(conf, id) && id != c.Disk && c.current(w) && yes(w) {
			n++
		}
	}
	return n
}

// supported says that what a word announces is what a majority of the voters
// that it announces says: each of them was asked itself.
func (c *Core) supported(w *word) bool {
	return c.most(w.said.conf, func(o *word) bool { return c.spoke(o) && w.confirmedBy(o) })
}

// confirmedBy says that o confirms what w announces: it has applied as much, and
// where it is at the same version it names the same command.
func (w *word) confirmedBy(o *word) bool {
	if o.scope != w.scope || o.said.index < w.said.index {
		return false
	}
	n := o.said.record.Version.Compare(w.said.record.Version)
	return n > 0 || n == 0 && (o.said.bare || w.said.bare || o.said.record.CommandID == w.said.record.CommandID)
}

// knownTerm is the highest term that a majority of the others has reached.
func (c *Core) knownTerm() uint64 {
	conf := c.authority()
	var terms []uint64
	for _, id := range voters.IDs(conf) {
		if w := c.words[id]; id != c.Disk && c.current(w) {
			terms = append(terms, w.term)
		}
	}
	slices.Sort(terms)
	for _, t := range slices.Backward(terms) {
		if c.most(conf, func(w *word) bool { return w.term >= t }) {
			return t
		}
	}
	return 0
}

// termMayBe says that a term is one that this member may adopt on one sender's
// word: the next election, or the few that were missed.
func (c *Core) termMayBe(term, own uint64) bool { return term <= max(own, c.knownTerm())+leap }

// repeatsTerm says that a term that leaps may be adopted all the same. Where there has
// been no leader for a while, as when the majority that could be asked is gone, a voter
// that was away for long may meet one other alone, whose term is further off: it is
// asked, and must say it itself. A number that no cluster ever reaches it may not be.
func (c *Core) repeatsTerm(from, term uint64) bool {
	w := c.words[from]
	return c.lead == 0 && c.leaderless() > silentFor && c.spoke(w) && c.ownWord(w) &&
		(w.saidTerm == 0 || w.saidTerm+1 >= term) && term <= max(c.term, c.knownTerm())+patientLeap
}

// facts are what an answer of this member says beside its counts.
func (c *Core) facts() map[uint64]uint64 {
	m := make(map[uint64]uint64, 3+len(c.Seen))
	if c.leading {
		maps.Copy(m, c.counts())
	}
	m[factTerm] = c.term
	if c.laterSince != 0 {
		m[factLaterGeneration], m[factLaterOrigin] = c.later.generation, c.later.origin
	}
	return m
}
