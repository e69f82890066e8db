package sessions

import (
	"fmt"
	"strings"
	"time"
)

// ClientSession is a client's session on a node, at one moment.
type ClientSession struct {
	// ID is the server's number of the connection; numbers are not used again while
	// the server runs.
	ID uint64
	// User is the account's user.
	User string
	// Host is HOST of the process list: the client's address and port, as text, which
	// is HAProxy's own unless it sends the client's (send-proxy-v2). A server that
	// looks names up has a name there.
	Host string
	// Busy is true unless the session was seen to be between transactions.
	Busy bool
	// Why says what a busy session does, to follow "it": "is in a transaction for
	// 3 s", "runs a statement", "holds the user lock x".
	Why string
	// TrxAge is the age of its transaction, 0 if none is seen. InnoDB tells it in seconds.
	TrxAge time.Duration
	// Idle is the time since its last command, 0 while one runs. MariaDB's list tells
	// milliseconds, other sources seconds.
	Idle time.Duration
}

// process is a row of the process list.
type process struct {
	id, queryID         uint64
	user, host, command string
	time                time.Duration // in this command
}

// transaction is a row of performance_schema about a session.
type transaction struct {
	// followed is false for a thread that is not instrumented (setup_actors).
	followed bool
	active   bool
	age      time.Duration
}

// look is what all sources said at one moment.
type look struct {
	// innodb has the ages of InnoDB's transactions by session.
	innodb map[uint64]time.Duration
	// fresh is true if innodb is whole.
	fresh bool
	// hidden are the sessions in a transaction that InnoDB has and performance_schema does
	// not show, because it began before that was turned on. Nil is not known.
	hidden       map[uint64]bool
	transactions map[uint64]transaction
	// locks has, by session, the one of its locks that sorts last: a user lock before one
	// on a table, before those on schemas and backups that come with it.
	locks     map[uint64]string
	temporary map[uint64]bool
}

// judge says what one session does.
func (l *look) judge(p process) ClientSession {
	s := ClientSession{ID: p.id, User: p.user, Host: p.host}
	t := l.transactions[p.id]
	innodb, inInnoDB := l.innodb[p.id]
	if t.followed && !l.fresh {
		// What is missing from a cut list may be this one.
		inInnoDB = l.hidden[p.id]
	}
	switch {
	case t.active:
		s.TrxAge = t.age
	case inInnoDB:
		s.TrxAge = innodb
	}
	s.Why = l.why(p, t, inInnoDB, s.TrxAge)
	s.Busy = s.Why != ""
	if p.command == sleeping {
		s.Idle = p.time
	}
	return s
}

// sleeping is the command of a session that waits for its client.
const sleeping = "Sleep"

func (l *look) why(p process, t transaction, inInnoDB bool, age time.Duration) string {
	lock, locked := l.locks[p.id]
	switch {
	case p.user == "unauthenticated user" || p.command == "Connect":
		return "logs in"
	case t.active || inInnoDB:
		return fmt.Sprintf("is in a transaction for %v", age.Round(time.Millisecond))
	case p.command != sleeping:
		return "runs a statement"
	case locked:
		return lockReason(lock)
	case l.temporary[p.id]:
		return "has a temporary table"
	case l.doubtful(p):
		return "cannot be told to be idle: SHOW ENGINE INNODB STATUS is longer than the megabyte that the server gives of it"
	}
	return ""
}

// doubtful is true for a session that only InnoDB's list can tell to be idle, while
// that is cut.
func (l *look) doubtful(p process) bool {
	return !l.fresh && p.command == sleeping && (l.hidden == nil || !l.transactions[p.id].followed)
}

// stillHidden is what hidden is after this look. All transactions that begin after
// the first look are followed, so from then on it only shrinks.
func (l *look) stillHidden() map[uint64]bool {
	if !l.fresh {
		return l.hidden
	}
	still := make(map[uint64]bool)
	for id := range l.innodb {
		if t := l.transactions[id]; t.followed && !t.active && (l.hidden == nil || l.hidden[id]) {
			still[id] = true
		}
	}
	return still
}

// lockReason words a row of a source of locks: type, schema and name, with tabs between.
// MariaDB's plugin gives the name of a user lock as the schema.
func lockReason(row string) string {
	kind, rest, _ := strings.Cut(row, "\t")
	schema, name, _ := strings.Cut(rest, "\t")
	switch {
	case strings.HasPrefix(strings.ToUpper(kind), "USER"):
		return "holds the user lock " + schema + name
	case name != "":
		return fmt.Sprintf("holds a lock on the table %s.%s (LOCK TABLES, HANDLER or a transaction)", schema, name)
	}
	return "holds a lock (" + strings.ToLower(kind) + ")"
}
