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

	// Until a session is judged, Why and Idle are its command and the time in that.
	mark
}

// mark is what else is known of a session.
type mark struct {
	queryID uint64 // of the process list
	transaction
	asleep, locked, temporary bool
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
	hidden map[uint64]bool
	// locks has, by session, the one of its locks that sorts last: a user lock before one
	// on a table, before those on schemas and backups that come with it.
	locks map[uint64]string
}

// judge says what one session does.
func (l *look) judge(s ClientSession) ClientSession {
	innodb, inInnoDB := l.innodb[s.ID]
	if s.followed && !l.fresh {
		// What is missing from a cut list may be this one.
		inInnoDB = l.hidden[s.ID]
	}
	switch {
	case s.active:
		s.TrxAge = s.age
	case inInnoDB:
		s.TrxAge = innodb
	}
	s.Why = l.why(&s, inInnoDB)
	s.Busy = s.Why != ""
	if !s.asleep {
		s.Idle = 0
	}
	return s
}

// sleeping is the command of a session that waits for its client.
const sleeping = "Sleep"

func (l *look) why(s *ClientSession, inInnoDB bool) string {
	switch {
	case s.User == "unauthenticated user" || s.Why == "Connect":
		return "logs in"
	case s.active || inInnoDB:
		return fmt.Sprintf("is in a transaction for %v", s.TrxAge.Round(time.Millisecond))
	case !s.asleep:
		return "runs a statement"
	case s.locked:
		return lockReason(l.locks[s.ID])
	case s.temporary:
		return "has a temporary table"
	case !l.fresh && (l.hidden == nil || !s.followed):
		// Only InnoDB's list could tell that it is idle, and that is cut.
		return "cannot be told to be idle: SHOW ENGINE INNODB STATUS is longer than the megabyte that the server gives of it"
	}
	return ""
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
