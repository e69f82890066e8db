package sessions

import (
	"errors"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// errSourcesChanged says that performance_schema was turned off meanwhile.
var errSourcesChanged = errors.New("performance_schema does not follow transactions any more: ask again")

// inspection is a connection of an inspector, and what is known by it.
type inspection struct {
	*conn.Session
	sources sources
	lacks   *PrivilegeError
	hidden  map[uint64]bool // see look
	known   crowd           // the last list
}

// prepare finds out what the account is and may see.
func (c *inspection) prepare() error {
	account, err := c.Prepare(inspectSetup)
	if err != nil {
		return err
	}
	if c.lacks, err = checkProcess(c.Session, account); err != nil {
		return err
	}
	c.sources, err = findSources(c.Session, account)
	return err
}

// list looks at all sessions, as far as they fit into listRoom. The result is
// kept for lookAt: it must not be changed.
func (c *inspection) list() ([]ClientSession, error) {
	if c.lacks != nil {
		return nil, c.lacks
	}
	text, results := c.sources.list()
	now := newCrowd(len(c.known.sessions), c.sources)
	c.known = crowd{} // two lists at a time do not fit
	l := &listing{
		crowd: now, sources: c.sources, results: results,
		look: look{hidden: c.hidden, innodb: make(map[uint64]time.Duration), locks: make(map[uint64]string)},
	}
	l.innodb.open = l.inTransaction
	c.Room = listBytes
	if err := c.Ask(text, l.row, &conn.LongColumn{Result: len(results) - 1, Piece: l.innodb.piece}); err != nil {
		return nil, err
	}
	l.look.fresh = l.innodb.end()
	l.judge()
	c.hidden = l.look.hidden
	c.known = *now
	return now.sessions, nil
}

// instrumented is INSTRUMENTED of a thread that performance_schema follows.
const instrumented = "YES"

// in returns t with what STATE and TIMER_WAIT say, which is in picoseconds.
func (t transaction) in(row []conn.Value) transaction {
	if t.active = string(row[0]) == "ACTIVE"; t.active {
		t.age = row[1].Times(1e-3)
	}
	return t
}

// lookAt looks at one session.
func (c *inspection) lookAt(id uint64) (ClientSession, error) {
	if c.lacks != nil {
		return ClientSession{}, c.lacks
	}
	known := c.known.of(id)
	if c.sources.transactions && known != nil && c.hidden != nil && !c.hidden[id] {
		s, followed, err := c.lookFresh(known)
		if followed || err != nil {
			return s, err
		}
	}
	var s ClientSession
	err := c.Ask(c.sources.one(id), func(_ int, row []conn.Value) error {
		if len(row) == processColumns {
			s = ClientSession{ID: row[0].Number(), User: string(row[1]), Host: string(row[2]), Idle: row[4].Times(float64(time.Second))}
			s.asleep, s.queryID = string(row[3]) == sleeping, row[5].Number()
		}
		return nil
	}, nil)
	switch {
	case err != nil:
		return ClientSession{}, err
	case s.ID == 0:
		return ClientSession{}, ErrNoSession
	}
	return c.compare(s, known), nil
}

// lookFresh looks at one session in performance_schema, which need not follow it. One that
// is not there is not followed: the process list says whether it is gone.
func (c *inspection) lookFresh(known *ClientSession) (s ClientSession, followed bool, err error) {
	l := look{fresh: true, hidden: c.hidden}
	s = ClientSession{ID: known.ID, User: known.User, Host: known.Host}
	err = c.Ask(c.sources.oneFresh(known.ID), func(_ int, row []conn.Value) error {
		if len(row) != freshColumns {
			return errColumns
		}
		s.Why, s.Idle = string(row[0]), row[1].Times(float64(time.Second))
		s.mark = mark{
			transaction: transaction{followed: string(row[2]) == instrumented}.in(row[3:]),
			asleep:      s.Why == sleeping, locked: row[5] != nil, temporary: row[6].Number() > 0,
		}
		l.locks = map[uint64]string{s.ID: string(row[5])}
		return nil
	}, nil)
	if err != nil {
		return ClientSession{}, false, err
	}
	return l.judge(s), s.followed, nil
}

// compare judges a session by what the last list said of it, if it was there: that holds
// while it has run nothing.
func (c *inspection) compare(s ClientSession, known *ClientSession) ClientSession {
	s.Busy = true
	switch {
	case !s.asleep:
		s.Why, s.Idle = "runs a statement", 0
	case !c.sources.queryID:
		s.Why = "cannot be told to be idle on this server"
	case known == nil:
		s.Why = "is new since the last list"
	case s.queryID != known.queryID || !known.asleep:
		s.Why = "has run a statement since the last list"
	default:
		s.Busy, s.Why, s.TrxAge = known.Busy, known.Why, known.TrxAge
	}
	return s
}
