package sessions

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

const (
	// listRoom is what a list of sessions may take, all of it together: a server may name as
	// many sessions as it likes. It is enough for more than 5,000 with their transactions.
	// Those that do not fit are not listed, so nobody closes them; they come into
	// the next lists as others end.
	listRoom = 1<<20 - 64<<10 // beside the connection's buffers
	// listBytes is how much of a server's answer is read for a list. 5,000 sessions
	// have 2 MiB with InnoDB's monitor.
	listBytes = 32 << 20

	// What a session takes beside its host's name: its ClientSession, and what is lost to
	// rounding; where performance_schema is asked, its thread.
	sessionCost  = 112 + 8
	followedCost = 16
	// busyRoom is kept for sessions in a transaction, under a lock or with a temporary
	// table. busyCost is one's place in a map that may be half empty.
	busyRoom = 96 << 10
	busyCost = 48

	// Of a text the list keeps so much: names of accounts and hosts in MySQL and
	// MariaDB have 32 to 128 and 255 bytes, types of locks 20.
	longestUser, longestHost, longestLock = 128, 280, 300
	// shortestHost is HOST with a port of five digits in it: "10.0.0.1:40000".
	shortestHost = 14
	// mostWords are kept once for all sessions: users and commands are few.
	mostWords = 64

	firstCrowd = 256

	processColumns, freshColumns = 6, 7
)

var errColumns = fmt.Errorf("%w: another number of columns than was asked for", conn.ErrIncomplete)

// crowd is a list of sessions in little memory, by ascending id once it is sorted.
type crowd struct {
	sessions   []ClientSession
	words      map[string]string
	each, most int // what one takes, and how many there may be
	room       int // what is left
	sorted     bool
}

// newCrowd makes room for as many sessions as there were last time.
func newCrowd(last int, s sources) *crowd {
	c := &crowd{words: make(map[string]string), each: sessionCost, room: listRoom}
	if s.transactions || s.locks == psMetadataLocks {
		c.each += followedCost
	}
	c.most = (listRoom - busyRoom) / (c.each + shortestHost)
	size := min(max(last+last/8, firstCrowd), c.most)
	c.sessions = make([]ClientSession, 0, size)
	return c
}

// add takes a row of the process list, as long as there is room.
func (c *crowd) add(row []conn.Value) error {
	if len(row) != processColumns {
		return errColumns
	}
	user, host := row[1][:min(len(row[1]), longestUser)], row[2][:min(len(row[2]), longestHost)]
	cost := c.each + len(host)
	if c.room < busyRoom+cost+len(user)+longestUser {
		return nil
	}
	c.room -= cost
	if len(c.sessions) == cap(c.sessions) {
		// At once as many as there may be: while it is copied, both are there.
		c.sessions = append(make([]ClientSession, 0, c.most), c.sessions...)
	}
	command := c.word(row[3][:min(len(row[3]), longestUser)])
	c.sessions = append(c.sessions, ClientSession{
		ID: row[0].Number(), User: c.word(user), Host: string(host), Why: command, Idle: row[4].Times(float64(time.Second)),
		mark: mark{queryID: row[5].Number(), asleep: command == sleeping},
	})
	return nil
}

// word is a text that many sessions have.
func (c *crowd) word(b []byte) string {
	if w, ok := c.words[string(b)]; ok {
		return w
	}
	w := string(b)
	c.room -= len(w)
	if len(c.words) < mostWords {
		c.words[w] = w
	}
	return w
}

// of is a session of the crowd, nil for one that is not there. It ends the adding.
func (c *crowd) of(id uint64) *ClientSession {
	byID := func(s ClientSession, id uint64) int { return cmp.Compare(s.ID, id) }
	if !c.sorted {
		slices.SortFunc(c.sessions, func(a, b ClientSession) int { return byID(a, b.ID) })
		c.sorted = true
	}
	if i, ok := slices.BinarySearchFunc(c.sessions, id, byID); ok {
		return &c.sessions[i]
	}
	return nil
}

// listing reads the answer to the question for all sessions. What is not about a
// session of the crowd is passed over.
type listing struct {
	*crowd
	look    look
	sources sources
	results []int
	innodb  trxReader
	// threads are those of performance_schema, in its order, or sorted after the last.
	threads       []thread
	threadsSorted bool
}

type thread struct{ id, session uint64 }

// sourceColumns are how many columns each result has.
var sourceColumns = [...]int{
	resultProcesses: processColumns, resultConsumers: 1, resultThreads: 3, resultTransactions: 3, resultLocks: 2, resultTemporary: 1,
}

func (l *listing) row(result int, row []conn.Value) error {
	if result >= len(l.results)-1 || len(row) != sourceColumns[l.results[result]] {
		return errColumns
	}
	switch id := row[0].Number(); l.results[result] {
	case resultProcesses:
		return l.add(row)
	case resultConsumers:
		if id != allConsumers {
			return errSourcesChanged
		}
	case resultThreads:
		l.thread(id, row[1].Number(), string(row[2]) == instrumented)
	case resultTransactions:
		// A thread that began after the threads were read is not in the process list either.
		if s := l.of(l.sessionOf(id)); s != nil && s.followed {
			s.transaction = s.in(row[1:])
		}
	case resultLocks:
		if l.sources.locks == psMetadataLocks {
			id = l.sessionOf(id)
		}
		l.lock(id, row[1])
	case resultTemporary:
		if s := l.of(id); s != nil {
			s.temporary = true
		}
	}
	return nil
}

func (l *listing) thread(id, session uint64, followed bool) {
	s := l.of(session)
	if s == nil || len(l.threads) >= len(l.sessions) {
		return
	}
	if l.threads == nil {
		l.threads = make([]thread, 0, len(l.sessions))
	}
	l.threads = append(l.threads, thread{id, session})
	s.followed = l.sources.transactions && followed
}

// sessionOf is the session of a thread, 0 for one that has none.
func (l *listing) sessionOf(id uint64) uint64 {
	byID := func(t thread, id uint64) int { return cmp.Compare(t.id, id) }
	if !l.threadsSorted {
		slices.SortFunc(l.threads, func(a, b thread) int { return byID(a, b.id) })
		l.threadsSorted = true
	}
	if i, ok := slices.BinarySearchFunc(l.threads, id, byID); ok {
		return l.threads[i].session
	}
	return 0
}

// lock notes the lock of a session that sorts last (see look), without its name where there is no
// room for names any more.
func (l *listing) lock(id uint64, described []byte) {
	described = described[:min(len(described), longestLock)]
	s := l.of(id)
	if had, named := l.look.locks[id]; s == nil || named && had >= string(described) {
		return
	}
	s.locked = true
	if cost := busyCost + 2*len(described); l.room >= cost {
		l.room -= cost
		l.look.locks[id] = string(described)
	}
}

// inTransaction takes a session that InnoDB's monitor has in a transaction. Where there is
// no room for one more, the list is as good as cut.
func (l *listing) inTransaction(id uint64, age time.Duration) {
	switch {
	case l.of(id) == nil:
	case l.room < busyCost:
		l.innodb.cut = true
	default:
		l.room -= busyCost
		l.look.innodb[id] = age
	}
}

// judge draws the conclusions of everything that was read.
func (l *listing) judge() {
	l.look.hidden = l.stillHidden()
	for i := range l.sessions {
		l.sessions[i] = l.judgeOne(l.sessions[i])
	}
}

// stillHidden is what hidden is after this look. All transactions that begin after
// the first look are followed, so from then on it only shrinks.
func (l *listing) stillHidden() map[uint64]bool {
	hidden := l.look.hidden
	if !l.look.fresh {
		return hidden
	}
	still := make(map[uint64]bool)
	for id := range l.look.innodb {
		if s := l.of(id); s.followed && !s.active && (hidden == nil || hidden[id]) {
			still[id] = true
		}
	}
	return still
}

func (l *listing) judgeOne(s ClientSession) ClientSession {
	s = l.look.judge(s)
	// A sentence of its own takes room; without any there is one for all.
	if s.TrxAge > 0 || s.locked {
		l.room -= len(s.Why)
	}
	switch {
	case l.room >= 0 || !s.Busy:
	case s.TrxAge > 0:
		s.Why = "is in a transaction"
	case s.locked:
		s.Why = "holds a lock"
	}
	return s
}
