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
		look: look{
			hidden:       c.hidden,
			innodb:       make(map[uint64]time.Duration),
			transactions: make(map[uint64]transaction),
			locks:        make(map[uint64]string),
			temporary:    make(map[uint64]bool),
		},
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
	known, mark, ok := c.known.session(id)
	if c.sources.transactions && ok && c.hidden != nil && !c.hidden[id] {
		s, followed, err := c.lookFresh(known)
		if followed || err != nil {
			return s, err
		}
	}
	var p process
	err := c.Ask(c.sources.one(id), func(_ int, row []conn.Value) error {
		if len(row) == processColumns {
			p = process{
				id: row[0].Number(), user: string(row[1]), host: string(row[2]), command: string(row[3]),
				time: row[4].Times(float64(time.Second)), queryID: row[5].Number(),
			}
		}
		return nil
	}, nil)
	switch {
	case err != nil:
		return ClientSession{}, err
	case p.id == 0:
		return ClientSession{}, ErrNoSession
	}
	return c.compare(p, known, mark, ok), nil
}

// lookFresh looks at one session in performance_schema, which need not follow it.
func (c *inspection) lookFresh(known ClientSession) (s ClientSession, followed bool, err error) {
	l := look{fresh: true, hidden: c.hidden}
	p := process{id: known.ID, user: known.User, host: known.Host}
	found := false
	err = c.Ask(c.sources.oneFresh(known.ID), func(_ int, row []conn.Value) error {
		if len(row) != freshColumns {
			return errColumns
		}
		found = true
		p.command, p.time = string(row[0]), row[1].Times(float64(time.Second))
		t := transaction{followed: string(row[2]) == instrumented}.in(row[3:])
		l.transactions = map[uint64]transaction{p.id: t}
		if row[5] != nil {
			l.locks = map[uint64]string{p.id: string(row[5])}
		}
		l.temporary = map[uint64]bool{p.id: row[6].Number() > 0}
		followed = t.followed
		return nil
	}, nil)
	if err != nil || !found {
		// Not there is not followed: the process list says whether it is gone.
		return ClientSession{}, false, err
	}
	return l.judge(p), followed, nil
}

// compare judges a session by what the last list said of it: that holds while it
// has run nothing.
func (c *inspection) compare(p process, known ClientSession, then mark, listed bool) ClientSession {
	s := ClientSession{ID: p.id, User: p.user, Host: p.host, Busy: true}
	if p.command == sleeping {
		s.Idle = p.time
	}
	switch {
	case p.command != sleeping:
		s.Why = "runs a statement"
	case !c.sources.queryID:
		s.Why = "cannot be told to be idle on this server"
	case !listed:
		s.Why = "is new since the last list"
	case p.queryID != then.queryID || !then.asleep:
		s.Why = "has run a statement since the last list"
	default:
		s.Busy, s.Why, s.TrxAge = known.Busy, known.Why, known.TrxAge
	}
	return s
}
