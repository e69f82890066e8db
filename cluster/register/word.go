package register

import (
	"maps"
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
	// forgotten says that it knows of more promises of this disk than the file.
	forgotten bool
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

// words are what others said last, by their disks.
type words map[uint64]*word

// of returns the entry for a disk, making room for it if there is some. Those whose
// word counts, the voters of conf, are never crowded out.
func (ws words) of(disk uint64, conf *pb.ConfState, now time.Duration) *word {
	if w, ok := ws[disk]; ok {
		return w
	}
	if len(ws) >= maxWords {
		maps.DeleteFunc(ws, func(_ uint64, w *word) bool { return now-w.at > wordFor })
	}
	if len(ws) >= maxWords {
		if !voters.Has(conf, disk) {
			return nil
		}
		for _, id := range sortedKeys(ws) {
			if !voters.Has(conf, id) {
				delete(ws, id)
				break
			}
		}
	}
	w := &word{disk: disk}
	ws[disk] = w
	return w
}

// hear notes what a message says for its sender, which has proved itself by bringing
// back what was sent at the time at, but for what weigh takes from it.
func (ws words) hear(env *envelope, at time.Duration, conf *pb.ConfState, now time.Duration) {
	w := ws.of(env.from, conf, now)
	if w == nil || at < w.at {
		return
	}
	if w.scope != env.scope {
		w.told, w.term, w.said = 0, 0, announcement{}
	}
	w.at, w.scope, w.forgotten = at, env.scope, false
	w.found = scope{env.cluster, env.known[factLaterGeneration], env.known[factLaterOrigin]}
}

// hearTerm notes the term of a raft message that proved its sender.
func (ws words) hearTerm(m *pb.Message) {
	w := ws[m.GetFrom()]
	if w == nil {
		return
	}
	if raises(m) {
		w.term = m.GetTerm()
	} else if m.GetType() == pb.MsgPreVote {
		w.term = m.GetTerm() - 1
	}
}

// hearAnswer notes an announcement in an answer to a question of this process;
// nil for one that was overtaken by a later one.
func (ws words) hearAnswer(env *envelope, a announcement, p proof) *word {
	w := ws[env.from]
	if w == nil || p.at < w.told || w.scope != env.scope {
		return nil
	}
	w.told, w.said, w.touchedAge = p.at, a, env.age
	w.saidTerm = env.known[factTerm]
	w.term = max(w.term, w.saidTerm)
	return w
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

// touched is when a voter was in touch with its majority, as it says.
func (w *word) touched() time.Duration {
	if w.touchedAge > uint64(w.told/time.Microsecond) {
		return 0
	}
	return w.told - time.Duration(w.touchedAge)*time.Microsecond
}

// working says that the majority that a word announces was heard lately by the
// voter that announces it.
func (w *word) working() bool { return w.touchedAge < uint64(FreshFor/time.Microsecond) }

// hearing is the words at one moment, for questions to them. The word of the disk
// that asks, self, never counts.
type hearing struct {
	words
	self uint64
	now  time.Duration
}

func (c *Core) hearing() hearing { return hearing{c.words, c.Disk, c.now} }

// current says that a word is of now, spoke that the announcement in it is.
func (h hearing) current(w *word) bool { return w != nil && h.now-w.at <= wordFor }

func (h hearing) spoke(w *word) bool { return w != nil && w.told > 0 && h.now-w.told <= wordFor }

// says that yes holds for the word of a disk, of now.
func (h hearing) says(disk uint64, yes func(w *word) bool) bool {
	return disk != h.self && h.current(h.words[disk]) && yes(h.words[disk])
}

// spoken are those whose announcement is of now, in the order of their disks.
func (h hearing) spoken() (all []*word) {
	for _, id := range sortedKeys(h.words) {
		if w := h.words[id]; h.spoke(w) {
			all = append(all, w)
		}
	}
	return all
}

// most says that yes holds for a majority of the voters of a configuration: one
// that has no voters has no majority.
func (h hearing) most(conf *pb.ConfState, yes func(w *word) bool) bool {
	return voters.Majority(conf, func(id uint64) bool { return h.says(id, yes) })
}

// withSelf is most where the disk that asks is a voter that says yes.
func (h hearing) withSelf(conf *pb.ConfState, yes func(w *word) bool) bool {
	return voters.Majority(conf, func(id uint64) bool { return id == h.self || h.says(id, yes) })
}

// count is of how many voters of a configuration yes holds, countOf of how many disks.
func (h hearing) count(conf *pb.ConfState, yes func(w *word) bool) int {
	return h.countOf(voters.Of(conf), yes)
}

func (h hearing) countOf(disks []uint64, yes func(w *word) bool) (n int) {
	for _, id := range disks {
		if h.says(id, yes) {
			n++
		}
	}
	return n
}

// several says that yes holds for a majority of a configuration that others
// announce, and for more than one voter: one alone is no majority of a later one.
func (h hearing) several(conf *pb.ConfState, yes func(w *word) bool) bool {
	return h.count(conf, yes) > 1 && h.most(conf, yes)
}

// backs says that o, of now, says what w announces, backers how many voters that w
// announces do, supported that a majority of them does: each of them was asked itself.
func (h hearing) backs(w, o *word) bool { return h.spoke(o) && w.confirmedBy(o) }

func (h hearing) backers(w *word) int {
	return h.count(w.said.conf, func(o *word) bool { return h.backs(w, o) })
}

func (h hearing) supported(w *word) bool {
	return h.most(w.said.conf, func(o *word) bool { return h.backs(w, o) })
}

// term is the highest term that a majority of a configuration has reached.
func (h hearing) term(conf *pb.ConfState) uint64 {
	return voters.Reached(conf, func(id uint64) uint64 {
		if w := h.words[id]; id != h.self && h.current(w) {
			return w.term
		}
		return 0
	})
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
	h := c.hearing()
	for _, w := range h.spoken() {
		if c.ours(w.scope) && h.supported(w) {
			return w.said.conf
		}
	}
	return &pb.ConfState{}
}

// termMayBe says that a term is one that this member may adopt on one sender's
// word: the next election, or the few that were missed.
func (c *Core) termMayBe(term, own uint64) bool {
	return term <= max(own, c.hearing().term(c.authority()))+leap
}

// repeatsTerm says that a term that leaps may be adopted all the same. Where there has
// been no leader for a while, as when the majority that could be asked is gone, a voter
// that was away for long may meet one other alone, whose term is further off: it is
// asked, and must say it itself. A number that no cluster ever reaches it may not be.
func (c *Core) repeatsTerm(from, term uint64) bool {
	h, w := c.hearing(), c.words[from]
	return c.orphaned() && h.spoke(w) && c.ours(w.scope) &&
		(w.saidTerm == 0 || w.saidTerm+1 >= term) && term <= max(c.term, h.term(c.authority()))+patientLeap
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
