package sessions

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
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

	// What a session takes beside its host's name: its ClientSession and its marks, and what is
	// lost to rounding; where performance_schema is asked, its thread.
	sessionCost  = 80 + 32 + 8
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
	marks      []mark // of the same sessions
	words      map[string]string
	each, most int // what one takes, and how many there may be
	room       int // what is left
	sorted     bool
}

// mark is what else is known of a session.
type mark struct {
	queryID uint64 // of the process list
	transaction
	asleep, locked, temporary bool
}

// newCrowd makes room for as many sessions as there were last time.
func newCrowd(last int, s sources) *crowd {
	c := &crowd{words: make(map[string]string), each: sessionCost, room: listRoom}
	if s.transactions || s.locks == psMetadataLocks {
		c.each += followedCost
	}
	c.most = (listRoom - busyRoom) / (c.each + shortestHost)
	size := min(max(last+last/8, firstCrowd), c.most)
	c.sessions, c.marks = make([]ClientSession, 0, size), make([]mark, 0, size)
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
		c.marks = append(make([]mark, 0, c.most), c.marks...)
	}
	command := c.word(row[3][:min(len(row[3]), longestUser)])
	// Why and Idle hold the command and its time until everything is known.
	c.sessions = append(c.sessions, ClientSession{
		ID: row[0].Number(), User: c.word(user), Host: string(host), Why: command, Idle: row[4].Times(float64(time.Second)),
	})
	c.marks = append(c.marks, mark{queryID: row[5].Number(), asleep: command == sleeping})
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

// sort ends the adding.
func (c *crowd) sort() {
	if c.sorted = true; !slices.IsSortedFunc(c.sessions, func(a, b ClientSession) int { return cmp.Compare(a.ID, b.ID) }) {
		sort.Sort(c)
	}
}

// Len is sort.Interface's.
func (c *crowd) Len() int { return len(c.sessions) }

// Less is sort.Interface's.
func (c *crowd) Less(i, j int) bool { return c.sessions[i].ID < c.sessions[j].ID }

// Swap is sort.Interface's.
func (c *crowd) Swap(i, j int) {
	c.sessions[i], c.sessions[j] = c.sessions[j], c.sessions[i]
	c.marks[i], c.marks[j] = c.marks[j], c.marks[i]
}

// find is the place of a session.
func (c *crowd) find(id uint64) (int, bool) {
	if !c.sorted {
		c.sort()
	}
	return slices.BinarySearchFunc(c.sessions, id, func(s ClientSession, id uint64) int { return cmp.Compare(s.ID, id) })
}

// process is a session before it was judged.
func (c *crowd) process(i int) process {
	s := &c.sessions[i]
	return process{id: s.ID, queryID: c.marks[i].queryID, user: s.User, host: s.Host, command: s.Why, time: s.Idle}
}

// session is what the list knows of a session.
func (c *crowd) session(id uint64) (s ClientSession, m mark, ok bool) {
	i, ok := c.find(id)
	if !ok {
		return s, m, false
	}
	return c.sessions[i], c.marks[i], true
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
		if i, ok := l.find(l.sessionOf(id)); ok && l.marks[i].followed {
			l.marks[i].transaction = l.marks[i].in(row[1:])
		}
	case resultLocks:
		if l.sources.locks == psMetadataLocks {
			id = l.sessionOf(id)
		}
		l.lock(id, row[1])
	case resultTemporary:
		if i, ok := l.find(id); ok {
			l.marks[i].temporary = true
		}
	}
	return nil
}

func (l *listing) thread(id, session uint64, followed bool) {
	i, ok := l.find(session)
	if !ok || len(l.threads) >= len(l.sessions) {
		return
	}
	if l.threads == nil {
		l.threads = make([]thread, 0, len(l.sessions))
	}
	l.threads = append(l.threads, thread{id, session})
	l.marks[i].followed = l.sources.transactions && followed
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
	i, ok := l.find(id)
	if had, named := l.look.locks[id]; !ok || named && had >= string(described) {
		return
	}
	l.marks[i].locked = true
	if cost := busyCost + 2*len(described); l.room >= cost {
		l.room -= cost
		l.look.locks[id] = string(described)
	}
}

// inTransaction takes a session that InnoDB's monitor has in a transaction. Where there is
// no room for one more, the list is as good as cut.
func (l *listing) inTransaction(id uint64, age time.Duration) {
	switch _, ok := l.find(id); {
	case !ok:
	case l.room < busyCost:
		l.innodb.cut = true
	default:
		l.room -= busyCost
		l.look.innodb[id] = age
	}
}

// judge draws the conclusions of everything that was read.
func (l *listing) judge() {
	// Of the sessions in InnoDB's list: what hides there.
	for id := range l.look.innodb {
		if i, ok := l.find(id); ok {
			l.look.transactions[id] = l.marks[i].transaction
		}
	}
	l.look.hidden = l.look.stillHidden()
	for i := range l.sessions {
		l.sessions[i] = l.judgeOne(l.process(i), l.marks[i])
	}
}

func (l *listing) judgeOne(p process, m mark) ClientSession {
	clear(l.look.transactions)
	l.look.transactions[p.id] = m.transaction
	clear(l.look.temporary)
	if m.temporary {
		l.look.temporary[p.id] = true
	}
	_, named := l.look.locks[p.id]
	if m.locked && !named {
		l.look.locks[p.id] = ""
		defer delete(l.look.locks, p.id)
	}
	s := l.look.judge(p)
	// A sentence of its own takes room; without any there is one for all.
	if s.TrxAge > 0 || m.locked {
		l.room -= len(s.Why)
	}
	switch {
	case l.room >= 0 || !s.Busy:
	case s.TrxAge > 0:
		s.Why = "is in a transaction"
	case m.locked:
		s.Why = "holds a lock"
	}
	return s
}
